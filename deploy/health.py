"""Exit 0 when a port of this machine answers a path with 200: the health check inside the image, which has no curl.

`python -I -S health.py PORT PATH`; a bare socket, because it runs every few seconds and imports cost processor time.
"""

import socket
import sys


def is_healthy(port: int, path: str, *, timeout_seconds: float = 3.0) -> bool:
    """Tell whether GET of the path answers 200 within the time-out."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_healthy(int(sys.argv[1]), sys.argv[2]) else 1)
