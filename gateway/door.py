"""The door itself, an ASGI application: a body in, stored before it is answered, or a problem that says why not.

It never answers 2xx for what is not on disk, and asks nothing about whether to remediate."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remediation_orchestrator.bus.port import FULL, EventLog, LogError, LogFullError, UnknownOutcomeError
from remediation_orchestrator.web.app import application
from remediation_orchestrator.web.health import Health, pages
from remediation_orchestrator.web.problems import CONTENT_TYPE as PROBLEM
from remediation_orchestrator.web.problems import HttpProblem

from . import metrics as metrics_page
from .access import Authenticator, Rate, Sender
from .bodies import Received, Source
from .delivery import DisconnectedError, Held, Incoming, Receive, check_encoding
from .frames import StoredBody, body_of, digest_of
from .intake import BusyError, Intake, Stored
from .items import BodyTooLargeError, Found, Item, LeftOut, WebhookError, refuse
from .leisure import Leisure
from .metrics import Metrics
from .openapi import document
from .said import lines_of, tell
from .sources import Rules, check_some_good, each_item

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)

SERVICE = "gateway"
JSON = "application/json"
# A sender that waits longer has given up by itself; the same body sent again is stored once.
STORE_SECONDS = 8.0
# Requests at once; each holds little more than its body, and those have a bound of their own.
REQUESTS_MAX = 4_000
# Longer bodies are read one after the other, since what they are read into is many times larger.
LONG_BYTES = 256 * 1024
# A broker is back within seconds; a full log needs a person.
RETRY_SECONDS, RETRY_FULL_SECONDS = 2, 60
READY_SECONDS = 2.0


class Reply(Struct, frozen=True):
    """What goes back."""

    status: HTTPStatus
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = {}


class AccessEntry(Struct):
    """What the access log says of a body, as far as it came."""

    source: str = metrics_page.NO_SOURCE
    sender: str = ""
    bytes: int = 0
    stored: str = ""
    duplicate: bool = False
    why: str = ""


class Door:
    """Sources by their names, each with an intake of its own, behind one guard."""

    def __init__(
        self,
        log: EventLog,
        sources: Mapping[str, Source],
        rules: Rules,
        guard: Authenticator,
        rate: float | None = None,
    ) -> None:
        self.intakes = {name: Intake(log, name) for name in sources}
        self.metrics = Metrics(list(sources))
        self._log = log
        self._sources = sources
        self._rules = rules
        self._guard = guard
        self._rate = Rate(rate)
        self._held = Held(self.metrics.held_bytes)
        self._requests = 0
        self._leisure = Leisure()
        self._document = msgspec.json.encode(document(sources, guarded=not guard.is_open))
        health = Health(SERVICE)
        health.ask(SERVICE, self.why_not_ready)
        self.app = application(
            [
                Route("/v1/{source}", self),
                *pages(health, self.metrics.registry),
                Route("/openapi.json", self._answer_document),
            ]
        )
        """All that is answered: bodies, and the pages that operators and their machines read."""

    async def open(self) -> None:
        """Read which bodies the log has already. Raises LogError."""
        for intake in self.intakes.values():
            await intake.catch_up()

    async def run(self) -> None:
        """Store what comes in, for ever."""
        async with asyncio.TaskGroup() as group:
            for intake in self.intakes.values():
                group.create_task(intake.run())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one body."""
        self._requests += 1
        self.metrics.requests.set(self._requests)
        try:
            with contextlib.suppress(DisconnectedError):
                await self._serve(scope, receive, send)
        finally:
            self._requests -= 1
            self.metrics.requests.set(self._requests)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        incoming = Incoming(receive, self._held)
        entry = AccessEntry()
        try:
            answer = await self._take(scope["path_params"]["source"], scope, incoming, entry)
        except HttpProblem as problem:
            entry.why = problem.detail
            answer = Reply(problem.status, problem.body(), PROBLEM, problem.headers)
            if not await incoming.drain():
                answer = msgspec.structs.replace(answer, headers={**answer.headers, "connection": "close"})
        finally:
            incoming.release()
        seconds = time.monotonic() - began
        self.metrics.answered(entry.source, answer.status, seconds)
        fields = {key: value for key, value in msgspec.structs.asdict(entry).items() if key != "why" or value}
        fields |= {"status": answer.status.value, "seconds": round(seconds, 6)}
        log.info("answered", extra=fields)
        await _send(send, answer, head=scope["method"] == "HEAD")

    async def _answer_document(self, _: Request) -> Response:
        return Response(self._document, media_type=JSON)

    async def why_not_ready(self) -> str | None:
        """Why no body can be stored now, in one line; None where one can."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                full = (await self._log.room()).fill >= FULL
        except (LogError, TimeoutError):
            return "the log cannot be reached"
        return "the log is nearly full" if full else None

    async def _take(self, name: str, scope: Scope, incoming: Incoming, entry: AccessEntry) -> Reply:
        """Take one body, in the order in which a refusal costs least."""
        if self._requests > REQUESTS_MAX:
            raise _unavailable("too many requests at once", 1)
        source = self._sources.get(name)
        if source is None:
            raise HttpProblem(HTTPStatus.NOT_FOUND, f"there is no source {name[:100]!r}")
        entry.source = name
        if scope["method"] != "POST":
            detail = "only POST is understood here"
            raise HttpProblem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"allow": "POST"})
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        if "origin" in headers:  # Some bodies are text/plain, which any page may send to any address.
            raise HttpProblem(HTTPStatus.FORBIDDEN, "a page in a browser sends nothing here")
        sender = self._guard.by_headers(headers)
        media_type = check_encoding(headers, source.media_types)
        if sender is not None:
            self._let_in(sender, source, entry)
        raw = await incoming.read(headers)
        entry.bytes = len(raw)
        if sender is None:
            sender = self._guard.by_signature(headers, raw)
            self._let_in(sender, source, entry)
        received = Received(media_type, headers, incoming.unpack(headers, raw))
        return await self._store(source, received, sender, entry)

    def _let_in(self, sender: Sender, source: Source, entry: AccessEntry) -> None:
        entry.sender = sender.name
        sender.check(source.name)
        self._rate.take(sender.name, time.monotonic(), source.too_often)

    async def _store(self, source: Source, received: Received, sender: Sender, entry: AccessEntry) -> Reply:
        try:
            items, body = await self._leisure.do(
                self._converted(source, received, sender), long=len(received.body) > LONG_BYTES
            )
        except BodyTooLargeError as error:
            raise HttpProblem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.lines[0]) from error
        except WebhookError as error:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, error.lines[0], errors=error.lines) from error
        if body is None:
            self.metrics.stored(source.name, items, duplicate=False)
            tell(items, entry.source, entry.sender)
            return _accepted(None, items)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                stored = await self.intakes[source.name].store(body)
        except (LogError, BusyError, TimeoutError) as error:
            raise _not_stored(error) from error
        positions = stored.place.positions()
        entry.stored = positions[0] if len(positions) == 1 else f"{positions[0]}..{positions[-1]}"
        entry.duplicate = stored.duplicate
        self.metrics.stored(source.name, items, duplicate=stored.duplicate)
        if not stored.duplicate:
            tell(items, entry.source, entry.sender)
        return _accepted(stored, items)

    def _converted(
        self, source: Source, received: Received, sender: Sender
    ) -> Generator[None, None, tuple[list[Item], StoredBody | None]]:
        """A body's items, and what is to be stored of them. It rests after each. Raises WebhookError."""
        now = datetime.now(UTC)
        items: list[Item] = []
        for item in each_item(source, received, self._rules, now):
            items.append(_allowed(item, sender))
            yield
        left_out = [item for item in items if isinstance(item, LeftOut)]
        kept = [item for item in items if not isinstance(item, LeftOut)]
        digest = digest_of(received.media_type.encode(), received.body, *_attributes(received.headers))
        body = yield from body_of(self._log.cell, source.name, digest, kept, now, sender.authid)
        check_some_good(kept)
        return [*left_out, *kept], body if kept else None


def _accepted(stored: Stored | None, items: list[Item]) -> Reply:
    """Where each item stands that is stored; which are no signals, and what, or of what, was left out."""
    said: dict[str, object] = {"positions": stored.place.positions() if stored else []}
    if stored is not None and stored.duplicate:
        said["duplicate"] = True
    said |= {key: lines for key, lines in lines_of(items).items() if lines}
    return Reply(HTTPStatus.OK, msgspec.json.encode(said))


def _allowed(item: Item, sender: Sender) -> Item:
    """An item as it is, unless it says what is to run and its sender may not say that."""
    if not isinstance(item, Found) or item.signal.workflow is None or sender.workflows:
        return item
    why = f"{item.where}: names a workflow, and {sender.name!r} may name none"
    return refuse(item.where, [why], msgspec.to_builtins(item.signal))


def _attributes(headers: Mapping[str, str]) -> list[bytes]:
    """Return what a binary CloudEvent says outside its body."""
    given = sorted(pair for pair in headers.items() if pair[0].startswith("ce-"))
    return [part.encode() for pair in given for part in pair]


def _not_stored(error: Exception) -> HttpProblem:
    match error:
        case LogFullError():
            return _unavailable("the log is full", RETRY_FULL_SECONDS)
        case BusyError():
            return _unavailable("too many bodies are waiting", 1)
        case UnknownOutcomeError() | TimeoutError():
            detail = "no answer of the log in time: send the same body again, it is stored once"
            return _unavailable(detail)
        case _:
            log.warning("not stored", extra={"error": str(error)})
            return _unavailable("the log cannot be reached")


def _unavailable(detail: str, retry_after: int = RETRY_SECONDS) -> HttpProblem:
    return HttpProblem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after=retry_after)


async def _send(send: Send, answer: Reply, *, head: bool) -> None:
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body)), **answer.headers}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status.value, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
