"""What is answered where nobody can say yes: problem details (RFC 9457), a line for each thing that is wrong.

A problem never quotes a token, and never more than a little of what was sent."""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

# Enough to repair a body by; a thousand wrong alerts are not told one by one.
ERRORS_MAX = 20
LINE_LENGTH_MAX = 300
CONTENT_TYPE = "application/problem+json"


class HttpProblem(Exception):  # noqa: N818 - it is an answer, and RFC 9457 calls it so
    """An answer that is not 2xx. `errors` say what and where, one line each."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[str] = (),
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = {**(headers or {})}
        if retry_after is not None:
            self.headers["retry-after"] = str(retry_after)

    def body(self) -> bytes:
        """The problem as JSON."""
        said: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": _short(self.detail),
        }
        if self.errors:
            said["errors"] = [_short(line) for line in self.errors[:ERRORS_MAX]]
            said["errors_total"] = len(self.errors)
        return msgspec.json.encode(said)

    def response(self) -> Response:
        """The problem as an answer."""
        return Response(self.body(), self.status.value, self.headers, CONTENT_TYPE)


def _short(line: str) -> str:
    """Cut a line, and write what UTF-8 cannot say (half a surrogate pair) as an escape."""
    cut = line if len(line) <= LINE_LENGTH_MAX else line[:LINE_LENGTH_MAX] + "…"
    return cut.encode(errors="backslashreplace").decode()
