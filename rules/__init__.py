"""Alert policies: what a person decides about an alert, and everything mechanical that follows from it."""
