"""System health: the score and its parts, alerts, and the report that machines and people read."""
