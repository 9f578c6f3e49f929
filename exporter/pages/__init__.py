"""Pages for people: the status page and the runbooks, in one look."""
