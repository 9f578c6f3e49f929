"""The stack as plain processes on one machine: the same configuration files, no Docker and nothing installed."""
