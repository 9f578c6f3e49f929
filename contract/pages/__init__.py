"""Pages for people, in one look whichever service shows them."""
