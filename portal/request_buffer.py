"""A request as it comes in, piece by piece: whether all of it is here, or enough of it to answer.

It looks only at what it needs for that; gunicorn's parser, which reads the same bytes afterwards, decides what they mean.
"""

from __future__ import annotations

from enum import Enum

END_OF_HEAD = b"\r\n\r\n"
# More than any client of the portal sends; gunicorn has limits of its own for lines and their number.
LARGEST_HEAD = 64 * 1024


class Progress(Enum):
    """How much of a request is here."""

    PARTIAL = "partial"
    # All of it.
    COMPLETE = "complete"
    # Its head, and that is all the answer needs: the body is too large, or its length is unknown. The connection has to be closed
    # after the answer, because where the next request begins is unknown.
    HEAD_ONLY = "head_only"
    TOO_LARGE_HEAD = "too_large_head"


class RequestBuffer:
    """Collects the bytes of one request. What follows it is the next one, and stays in `data` too."""

    def __init__(self, largest_body: int, data: bytes = b"") -> None:
        self.largest_body = largest_body
        self.data = bytearray(data)
        self.expects_continue = False
        self._searched = 0
        # Bytes of the head and the body together, once the head is here.
        self._length: int | None = None
        self._head_only = False

    def add(self, data: bytes) -> None:
        """Take more bytes."""
        self.data += data

    def progress(self) -> Progress:
        """Return how much of the request is here. Each byte of the head is looked at once, however many calls there are."""
        if self._length is None:
            # Empty lines before a request are allowed, and are not the end of its head.
            while self.data[:2] == b"\r\n":
                del self.data[:2]
                self._searched = 0
            end = self.data.find(END_OF_HEAD, max(0, self._searched - len(END_OF_HEAD)))
            self._searched = len(self.data)
            if end < 0 or end > LARGEST_HEAD:
                return Progress.TOO_LARGE_HEAD if len(self.data) > LARGEST_HEAD else Progress.PARTIAL
            self._length = end + len(END_OF_HEAD) + self._read_head(bytes(self.data[:end]))
        if self._head_only:
            return Progress.HEAD_ONLY
        return Progress.COMPLETE if len(self.data) >= self._length else Progress.PARTIAL

    def _read_head(self, head: bytes) -> int:
        """Return how many bytes the body has; 0 too when only the head is read."""
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
        # Two lengths, or one that is no number: gunicorn answers 400.
        if (
            len(lengths) > 1
            or not lengths[0].isdigit()
            or len(lengths[0]) > 18
            or int(lengths[0]) > self.largest_body
        ):
            self._head_only = True
        else:
            return int(lengths[0])
        return 0
