"""A living fleet to watch: agents on the official MCP SDK, workflow engine, identity provider and notification sink."""
