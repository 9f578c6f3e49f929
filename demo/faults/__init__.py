"""Faults on command: what can be broken, how it is broken, and what to look for when it is."""
