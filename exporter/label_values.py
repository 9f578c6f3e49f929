"""How long label values may be: Prometheus drops a whole scrape for one that is longer than its limit."""

MAX_LABEL_BYTES = 250
"""UTF-8 bytes; below `label_value_length_limit` of rules/prometheus.yml, which counts bytes too."""


def checked(text: str) -> str:
    """Return a label value as it is. Raises ValueError when it is too long."""
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_LABEL_BYTES:
        raise ValueError(f"{size} bytes are too long for a label; use at most {MAX_LABEL_BYTES}")
    return text


def cut(text: str) -> str:
    """Return as much of a foreign text as fits into a label."""
    return text.encode("utf-8", "replace")[:MAX_LABEL_BYTES].decode("utf-8", "ignore")
