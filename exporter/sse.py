"""Server-sent events, read as they arrive: bytes in, the data of complete events out."""

_BOM = b"\xef\xbb\xbf"


class EventParser:
    """Collects the data of events from a stream cut at any byte (WHATWG HTML, section 9.2).

    Event names, ids and retry hints mean nothing to a JSON-RPC reader and are passed over, comments too.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._is_first_line = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of every event that `chunk` completes."""
        had_end = self._rest.endswith(b"\r")
        self._rest += chunk
        if not (had_end or b"\n" in chunk or b"\r" in chunk):
            return []  # A line under way only grows; copying it for every chunk would take quadratic time.
        # A CR at the very end may be the first half of CRLF: it waits for the next chunk.
        text = bytes(self._rest)
        held = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = bytearray(rest + held)
        return [data for line in lines if (data := self._line(line)) is not None]

    def _line(self, line: bytes) -> bytes | None:
        """Take one line; return the event's data when the line ends an event that has some."""
        if self._is_first_line:
            line, self._is_first_line = line.removeprefix(_BOM), False
        if not line:
            data, self._data = self._data, []
            return b"\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None
