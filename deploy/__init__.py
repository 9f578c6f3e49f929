"""Running the stack: secrets made ready, and the native runner for machines without Docker."""
