"""Workflow engines: their statistics document, where it comes from, and the series rendered from it."""
