"""The whole stack, real programs only, followed from a cause to what a person receives."""
