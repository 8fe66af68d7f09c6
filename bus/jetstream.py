"""The event log on JetStream.

A record is stored by the server's word alone: what leaves that open is an UnknownOutcomeError, never a guess."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from remediation_orchestrator.events import CellName, StoredMessage, subjects

from . import api, topology
from .feed import Feed
from .imported import restored
from .port import (
    TOGETHER_MAX,
    LogError,
    LogFullError,
    LogUnreachableError,
    StaleWriteError,
    UnknownOutcomeError,
)

if TYPE_CHECKING:
    from .snapshots import JetStreamSnapshots

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"
BATCH, BATCH_SEQUENCE, BATCH_COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"

# An fsync takes milliseconds, an election up to seven seconds: longer waits are better spent asking `last`.
APPEND_SECONDS = 5.0
# A reader that must end gives up after this long without getting through.
READ_PATIENCE_SECONDS = 15.0

_WRONG_LAST = 10071
# Another append with this expectation, or this message id, is in flight: its outcome decides ours.
_IN_FLIGHT = {10164, 10158}
_STORE_FAILED = 10077
# Of the server's, the account's or the stream's storage: no room.
_NO_ROOM = {10002, 10023, 10026, 10028, 10047, 10054}
_LAST = re.compile(r"wrong last sequence: (\d+)")
_FRACTION = re.compile(r"\.(\d+)")

_PAUSE_SECONDS = 0.01
_PAUSE_SECONDS_MAX = 0.25


class _Stored(Struct):
    """The server's answer to an append."""

    seq: int = 0
    count: int = 0
    """How many were stored together; 0 for a single one."""
    error: api.Refusal | None = None


_stored = msgspec.json.Decoder(_Stored)


class JetStreamLog:
    """One cell's log on a connection, our own or anybody's (FastStream's `broker.connection`)."""

    def __init__(self, connection: Client, cell: CellName, info: api.StreamInfo) -> None:
        self._imported = topology.is_imported(info.config)
        self._connection = connection
        self._cell = cell
        self._stream = topology.stream_name(cell)
        self._created = info.created
        self._replicas: int = info.config.get("num_replicas", 1)

    @classmethod
    async def open(cls, connection: Client, cell: CellName) -> "JetStreamLog":
        """Open a log that is there. Raises LogUnreachableError where it is not."""
        info = await api.stream_info(connection, topology.stream_name(cell))
        if info is None:
            raise LogUnreachableError(f"the broker has no log of the cell {cell!r}")
        return cls(connection, cell, info)

    @classmethod
    async def ensure(
        cls, connection: Client, cell: CellName, *, replicas: int = 1, max_bytes: int | None = None
    ) -> "JetStreamLog":
        """Open the cell's log, and make it first if there is none."""
        info = await topology.ensure_stream(connection, cell, replicas=replicas, max_bytes=max_bytes)
        return cls(connection, cell, info)

    @property
    def cell(self) -> CellName:
        """Whose log this is."""
        return self._cell

    @property
    def identity(self) -> str:
        """Eight hex digits that name this stream's life."""
        return topology.identity_of(self._stream, self._created)

    @property
    def is_imported(self) -> bool:
        """Whether it was brought in from a file, and is there to be read."""
        return self._imported

    @property
    def snapshots(self) -> "JetStreamSnapshots":
        """The cell's snapshots, beside its log, on as many servers."""
        from .snapshots import JetStreamSnapshots  # Only here: it stores by what is below.

        return JetStreamSnapshots(self._connection, self._cell, replicas=self._replicas)

    @property
    def archive(self) -> "JetStreamSnapshots":
        """What the log goes on from, where its beginning was archived."""
        from .snapshots import JetStreamSnapshots  # Only here: as above.

        return JetStreamSnapshots(self._connection, self._cell, topology.ARCHIVES, replicas=self._replicas)

    async def purge(self, below: int) -> None:
        """Take away every record below a sequence: for what is archived, and for nothing else."""
        await api.call(self._connection, f"STREAM.PURGE.{self._stream}", {"seq": below}, api.Done)

    async def append(
        self, subject: str, payload: bytes, *, expect: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one message and return its sequence, once it is on disk."""
        headers = {}
        if expect is not None:
            headers[EXPECTED] = str(expect)
        if message_id is not None:
            headers[MESSAGE_ID] = message_id
        try:
            return await store(self._connection, subject, payload, headers=headers, expect=expect)
        except api.NobodyThereError as error:
            raise await self._why_nobody(subject) from error

    async def append_together(self, records: Sequence[tuple[str, bytes]]) -> int:
        """Store messages one right after the other, each the first on its subject: all of them or none."""
        firsts = [(subject, payload, {EXPECTED: "0"}) for subject, payload in records]
        try:
            return await store_together(self._connection, firsts)
        except api.NobodyThereError as error:
            raise await self._why_nobody(records[-1][0]) from error

    async def read(self, start: int = 1, *, follow: bool = False) -> AsyncIterator[StoredMessage]:
        """Yield every message from sequence `start` on, in order, each once."""
        end = None if follow else await self.last_sequence()
        if end is not None and end < start:
            return
        patience = None if follow else READ_PATIENCE_SECONDS
        feed = Feed(self._connection, self._stream, self._created, start=start, patience=patience)
        async with contextlib.aclosing(feed.batches()) as batches:
            async for batch in batches:
                for message in batch:
                    if end is not None and message.sequence > end:
                        return
                    yield restored(message) if self._imported else message
                if end is not None and (feed.next_sequence > end or feed.drained):
                    return

    async def last(self, subject: str) -> StoredMessage | None:
        """The newest message on a literal subject, asked of the stream's leader."""
        return self._found(await api.last_message(self._connection, self._stream, subject))

    async def at(self, sequence: int) -> StoredMessage | None:
        """The message of this sequence, asked of the stream's leader."""
        return self._found(await api.message_at(self._connection, self._stream, sequence))

    async def last_sequence(self) -> int:
        """The sequence of the newest message of the log; 0 where it is empty."""
        return (await self._info()).state.last_seq

    async def first_sequence(self) -> int:
        """The sequence of the oldest message of the log; 1 where it is empty."""
        state = (await self._info()).state
        return state.first_seq if state.messages else 1

    async def fill(self) -> float:
        """The share of the log's limit that is used; 0.0 where it has none."""
        info = await self._info()
        limits = (
            (info.state.bytes, info.config.get("max_bytes", -1)),
            (info.state.messages, info.config.get("max_msgs", -1)),
        )
        return max((used / limit for used, limit in limits if limit > 0), default=0.0)

    async def takes_signals(self) -> bool:
        """Whether the log is open for signals."""
        info = await self._info()
        return set(info.config["subjects"]) >= set(subjects.bound_subjects(self._cell))

    async def take_signals(self, *, enabled: bool) -> None:
        """Open or shut the log for signals."""
        info = await self._info()
        wanted = subjects.bound_subjects(self._cell, signals=enabled)
        if set(info.config["subjects"]) != set(wanted):
            await topology.update_stream(self._connection, info, {"subjects": wanted})

    def _found(self, found: api.FoundMessage | None) -> StoredMessage | None:
        if found is None:
            return None
        headers = parse_headers(found.hdrs)
        message = StoredMessage(found.seq, _moment(found.time), found.subject, found.data, headers)
        return restored(message) if self._imported else message

    async def _info(self) -> api.StreamInfo:
        info = await api.stream_info(self._connection, self._stream)
        if info is None:
            raise LogUnreachableError(f"the broker has no log of the cell {self._cell!r}")
        if info.created != self._created:
            raise LogUnreachableError(f"the log of the cell {self._cell!r} was deleted and made again")
        return info

    async def _why_nobody(self, subject: str) -> LogError:
        """Nobody took the record: the log may be shut, gone, or without such a subject."""
        bound = (await self._info()).config["subjects"]
        if not any(matches(pattern, subject) for pattern in bound):
            return not_taken(self._cell, subject)
        return LogUnreachableError(f"{subject}: the broker has no leader for the log at the moment")


def not_taken(cell: CellName, subject: str) -> LogError:
    """What to say to whoever wrote on a subject to which the log is not bound."""
    if any(matches(pattern, subject) for pattern in subjects.bound_subjects(cell)):
        return LogFullError(f"{subject}: the log takes no signals at the moment, it is nearly full")
    return LogUnreachableError(f"{subject}: the log of the cell {cell!r} takes no such subject")


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


async def store_together(connection: Client, records: Sequence[tuple[str, bytes, dict[str, str]]]) -> int:
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
        raise _refused(f"{len(records)} records up to {last}", 0, stored.error)
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


def parse_headers(block: bytes) -> dict[str, str] | None:
    """Read the headers of a stored message, as JetStream's API gives them."""
    if not block:
        return None
    lines = block.decode(errors="surrogateescape").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name: value.strip() for name, _, value in pairs} or None


def _moment(text: str) -> datetime:
    """Read RFC 3339 with nanoseconds, truncated to microseconds."""
    cut = _FRACTION.sub(lambda match: "." + match.group(1)[:6].ljust(6, "0"), text)
    return datetime.fromisoformat(cut.replace("Z", "+00:00")).astimezone(UTC)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject fits a pattern in which `*` stands for one word."""
    wanted, words = pattern.split("."), subject.split(".")
    return len(wanted) == len(words) and all(want in ("*", word) for want, word in zip(wanted, words, strict=True))
