"""What all parts of MCP Lookout agree on: vocabularies, metrics, configuration, generated files, logs, traces, web."""
