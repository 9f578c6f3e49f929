"""Keeps one core busy at the lowest priority, as long as somebody holds the other end of its standard input."""

import os
import sys
import threading


def end_with_parent() -> None:
    """Leave the process, whatever it is doing, when standard input ends: also a killed parent closes it."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Burn."""
    os.nice(19)
    threading.Thread(target=end_with_parent, daemon=True).start()
    number = 1
    while True:
        number = number * 48271 % 2147483647


if __name__ == "__main__":
    main()
