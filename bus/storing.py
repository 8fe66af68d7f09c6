"""Storing on the broker: one message or a batch, and what the server's answer says of it, no more and no less."""

import asyncio
import re
import secrets
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from . import api
from .port import (
    TOGETHER_MAX,
    LogError,
    LogFullError,
    LogUnreachableError,
    StaleWriteError,
    UnknownOutcomeError,
)

BATCH, BATCH_SEQUENCE, BATCH_COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"

# An fsync takes milliseconds, an election up to seven seconds: longer waits are better spent asking `last`.
APPEND_SECONDS = 5.0

_WRONG_LAST = 10071
# Another append with this expectation, or this message id, is in flight: its outcome decides ours.
_IN_FLIGHT = {10164, 10158}
_STORE_FAILED = 10077
# Of the server's, the account's or the stream's storage: no room.
_NO_ROOM = {10002, 10023, 10026, 10028, 10047, 10054}
_LAST = re.compile(r"wrong last sequence: (\d+)")

_PAUSE_SECONDS = 0.01
_PAUSE_SECONDS_MAX = 0.25


class _Stored(Struct):
    """The server's answer to an append."""

    seq: int = 0
    count: int = 0
    """How many were stored together; 0 for a single one."""
    error: api.Refusal | None = None


_stored = msgspec.json.Decoder(_Stored)


async def store(
    connection: Client, subject: str, payload: bytes, *, headers: dict[str, str], expect: int | None
) -> int:
    """Store one message; where another is in flight on the subject, wait for its outcome, within bounds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + APPEND_SECONDS
    pause = _PAUSE_SECONDS
    while True:
        try:
            answer = await api.request(connection, subject, payload, headers=headers, seconds=APPEND_SECONDS)
        except api.NoAnswerError as error:
            raise UnknownOutcomeError(f"{error}: it may be stored or not") from error
        stored = _read_answer(subject, answer)
        if stored.error is None:
            return stored.seq
        if stored.error.err_code not in _IN_FLIGHT:
            raise _refused(subject, expect, stored.error)
        if loop.time() > deadline:
            raise UnknownOutcomeError(f"{subject}: another append there is still in flight")
        await asyncio.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)


async def store_together(
    connection: Client, records: Sequence[tuple[str, bytes, dict[str, str]]], *, expect: int = 0
) -> int:
    """Store a batch, each with its headers. Only the last is answered; what came before it waits for that one."""
    assert 0 < len(records) <= TOGETHER_MAX
    batch = secrets.token_hex(8)
    *earlier, (last, final, headers) = records
    try:
        for number, (subject, payload, own) in enumerate(earlier, start=1):
            await connection.publish(subject, payload, headers=own | {BATCH: batch, BATCH_SEQUENCE: str(number)})
    except Error as error:  # A batch without its end is forgotten by the server.
        raise LogUnreachableError(f"the broker cannot be reached: {error}") from error
    headers = headers | {BATCH: batch, BATCH_SEQUENCE: str(len(records)), BATCH_COMMIT: "1"}
    try:
        answer = await api.request(connection, last, final, headers=headers, seconds=APPEND_SECONDS)
    except api.NoAnswerError as error:
        raise UnknownOutcomeError(f"{error}: they may be stored or not") from error
    stored = _read_answer(last, answer)
    if stored.error is not None:
        raise _refused(f"{len(records)} records up to {last}", expect, stored.error)
    if stored.count != len(records):
        raise UnknownOutcomeError(f"{last}: the broker knows nothing of batches, and may have stored some")
    return stored.seq


def _read_answer(subject: str, answer: Msg) -> _Stored:
    """Read an answer to an append. What is no such answer says nothing of the record."""
    try:
        stored = _stored.decode(answer.data)
    except msgspec.DecodeError as error:
        raise UnknownOutcomeError(f"{subject}: the answer cannot be read: {error}") from error
    if stored.error is None and stored.seq == 0:
        raise UnknownOutcomeError(f"{subject}: somebody answered who is no log")
    return stored


def _refused(subject: str, expect: int | None, refusal: api.Refusal) -> LogError:
    text = f"{subject}: {refusal.description}"
    if refusal.err_code == _WRONG_LAST:
        found = _LAST.search(refusal.description)
        return StaleWriteError(subject, expect or 0, int(found.group(1)) if found else None)
    if refusal.err_code in _NO_ROOM:
        return LogFullError(text)
    if refusal.err_code == _STORE_FAILED:
        full = "maximum" in refusal.description or "no space" in refusal.description
        return LogFullError(text) if full else UnknownOutcomeError(text)
    if refusal.code >= 500:
        return UnknownOutcomeError(text)
    return LogError(text)
