"""Twelve agents on the official MCP SDK, two of each type, with small real tools; and faults on command."""
