"""The lint: one check a file, whose name is also its entry in docs/lint.md and the key that switches it off."""
