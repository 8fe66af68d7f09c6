"""The newest record that one of us has kept on a subject.

Whoever may publish anything can have the server's answer to it stored on any subject. Such junk has no headers of
ours: it is passed over, and whoever keeps something next writes behind it."""

import contextlib
from collections.abc import Mapping

from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.events.codec import COPIED

from . import api
from .feed import Feed
from .headers import parse as parse_headers

KEPT = "Ro-Kept"
HEADERS = {KEPT: "1"}
"""What is kept is stored with these."""
READ_PATIENCE_SECONDS = 5.0


class SubjectState(Struct, frozen=True):
    """What stands on a subject."""

    last: int
    """The sequence of the newest record there, whatever it is; 0 where there is none."""
    payload: bytes | None
    """Of the newest that was kept; None where nothing was."""


async def newest_kept(connection: Client, stream: str, subject: str) -> SubjectState:
    """Look for what was kept last on a subject. Raises LogError."""
    found = await api.last_message(connection, stream, subject)
    if found is None:
        return SubjectState(0, None)
    if _is_kept(parse_headers(found.hdrs)):
        return SubjectState(found.seq, found.data)
    return SubjectState(found.seq, await _behind_junk(connection, stream, subject))


async def _behind_junk(connection: Client, stream: str, subject: str) -> bytes | None:
    info = await api.stream_info(connection, stream)
    if info is None:
        return None
    feed = Feed(connection, stream, info.created, subject=subject, patience=READ_PATIENCE_SECONDS)
    newest = None
    async with contextlib.aclosing(feed.batches()) as batches:
        async for batch in batches:
            for message in batch:
                newest = message.payload if _is_kept(message.headers) else newest
            if feed.drained:
                return newest
    return newest


def _is_kept(headers: Mapping[str, str] | None) -> bool:
    return headers is not None and KEPT in headers and COPIED.isdisjoint(headers)  # That is a copy of one.
