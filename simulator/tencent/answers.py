"""The answers of Tencent Cloud: with HTTP's status 200, also for errors."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from ..http_messages import Response


class ApiError(Exception):
    """An error of the API, raised to end the call."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message

    def to_response(self) -> Response:
        """Return the answer."""
        return refuse(self.code, self.message)


def answer(members: dict[str, Any]) -> Response:
    """Return a successful answer."""
    return Response(200, {"Response": {**members, "RequestId": str(uuid4())}})


def refuse(code: str, message: str = "No.", *, status: int = 200) -> Response:
    """Return an answer by which the API refuses a request."""
    error = {"Code": code, "Message": message}
    return Response(status, {"Response": {"Error": error, "RequestId": str(uuid4())}})
