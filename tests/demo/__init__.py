"""The demo as its users meet it: real servers, real SMTP, the official MCP client."""
