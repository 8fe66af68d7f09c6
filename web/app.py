"""An application of routes, whose every refusal is a problem."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from .problems import HttpProblem


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """These routes; what is asked beside them is told that nothing is there."""
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _failed})
    app.router.redirect_slashes = False
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    detail = error.detail
    if status is HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.scope['path'][:100]}"
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ", ".join(sorted(headers.get("allow", "").replace(" ", "").split(",")))
        detail = f"only {headers['allow']} is understood here"
    return HttpProblem(status, detail, headers=headers).response()


async def _failed(request: Request, error: Exception) -> Response:
    """The server logs what went wrong; whoever asked learns that it was not their fault."""
    return HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault in ro itself; its log says which").response()
