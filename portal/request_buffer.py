"""The bytes of an incoming request, and whether they are complete or sufficient for a response.

It parses only the headers that it needs for that. gunicorn's parser reads the same bytes afterwards and validates them.
"""

from __future__ import annotations

from enum import Enum

END_OF_HEAD = b"\r\n\r\n"
# More than any client of the portal sends. gunicorn has its own limits for the number and the length of header lines.
MAX_HEAD_BYTES = 64 * 1024


class Progress(Enum):
    """The progress of an incoming request."""

    PARTIAL = "partial"
    COMPLETE = "complete"
    # The head is sufficient, because the body is too large or its length is unknown. The connection has to be closed after
    # the response, because the beginning of the next request is unknown.
    HEAD_ONLY = "head_only"
    TOO_LARGE_HEAD = "too_large_head"


class RequestBuffer:
    """A buffer for the bytes of one request. Bytes of the next request also stay in `data`."""

    def __init__(self, max_body: int, data: bytes = b"") -> None:
        self.max_body = max_body
        self.data = bytearray(data)
        self.expects_continue = False
        self._searched = 0
        # The length of the head and the body, once the head is complete.
        self._length: int | None = None
        self._head_only = False

    def add(self, data: bytes) -> None:
        """Add received bytes."""
        self.data += data

    def progress(self) -> Progress:
        """Return the progress of the request. Repeated calls do not search the same bytes again."""
        if self._length is None:
            # Empty lines before a request are allowed, and do not end its head.
            while self.data[:2] == b"\r\n":
                del self.data[:2]
                self._searched = 0
            end = self.data.find(END_OF_HEAD, max(0, self._searched - len(END_OF_HEAD)))
            self._searched = len(self.data)
            if end < 0 or end > MAX_HEAD_BYTES:
                return Progress.TOO_LARGE_HEAD if len(self.data) > MAX_HEAD_BYTES else Progress.PARTIAL
            self._length = end + len(END_OF_HEAD) + self._read_head(bytes(self.data[:end]))
        if self._head_only:
            return Progress.HEAD_ONLY
        return Progress.COMPLETE if len(self.data) >= self._length else Progress.PARTIAL

    def _read_head(self, head: bytes) -> int:
        """Read the headers and return the length of the body; 0 when only the head is needed."""
        lengths = []
        for line in head.split(b"\r\n")[1:]:
            name, _colon, value = line.partition(b":")
            match name.lower():
                case b"content-length":
                    lengths.append(value.strip(b" \t"))
                case b"transfer-encoding":
                    self._head_only = True
                case b"expect":
                    self.expects_continue = value.strip(b" \t").lower() == b"100-continue"
        if not lengths:
            return 0
        # For several lengths or an invalid one, gunicorn answers 400.
        if (
            len(lengths) > 1
            or not lengths[0].isdigit()
            or len(lengths[0]) > 18
            or int(lengths[0]) > self.max_body
        ):
            self._head_only = True
        else:
            return int(lengths[0])
        return 0
