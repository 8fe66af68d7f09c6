"""Snapshots beside the log, on the broker in a stream of their own.

Parts come first and the head last, so what has a head is whole. Nothing here knows what a snapshot says."""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
import zstandard
from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.stored import EXPECTED

from . import api, topology
from .feed import Feed
from .marks import HEADERS, newest_kept
from .packing import unpacked_lines
from .port import LogError, StaleWriteError
from .storing import store

# The server takes messages of up to 1 MiB.
CHUNK_BYTES = 256 * 1024
# Writing works for so long at a time, and for so much of the time, so that deciding has the rest.
SLICE_SECONDS = 0.001
SHARE = 0.25
READ_PATIENCE_SECONDS = 5.0

_PACKING_LEVEL = 1
_NONE: dict[str, str] = {}


class _Newest(Struct):
    """The head as it is stored: where its parts stand."""

    head: msgspec.Raw
    subject: str
    first: int
    messages: int
    log: str = ""
    """Of whose life: another log's is none of this one."""


class JetStreamSnapshots:
    """What a cell keeps in one of the broker's side streams."""

    def __init__(
        self,
        connection: Client,
        cell: CellName,
        side: topology.SideStream = topology.SNAPSHOTS,
        *,
        log: str = "",
        replicas: int = 1,
    ) -> None:
        """`log` is the identity of the log: what is kept of another one of the same name is not seen."""
        self._connection = connection
        self._cell = cell
        self._stream = side
        self._log = log
        self._replicas = replicas

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The newest whole snapshot; None where there is none. Raises LogError where it cannot be read."""
        info = await api.stream_info(self._connection, self._stream.stream)
        place, found = (0, None) if info is None else await self._newest()
        while info is not None and found is not None:
            packed = await self._chunks(found, place, info.created)
            if len(packed) == found.messages:
                return bytes(found.head), unpacked_lines(packed)
            before = place
            place, newer = await self._newest()
            if place == before:
                raise LogError(f"of the snapshot's {found.messages} messages {len(packed)} are there")
            found = newer  # It took the place of the one that was read, which was taken away meanwhile.
        return None

    async def head(self) -> bytes | None:
        """The head of the newest snapshot alone; None where there is none. Raises LogError."""
        if await api.stream_info(self._connection, self._stream.stream) is None:
            return None
        found = (await self._newest())[1]
        return None if found is None else bytes(found.head)

    async def save(
        self, parts: Iterable[bytes], head: Callable[[str], bytes], *, after: bytes | None = None
    ) -> None:
        """Keep a snapshot in place of those before it, at a pace that leaves most of the time to others."""
        await topology.ensure_side_stream(self._connection, self._stream, replicas=self._replicas)
        expect = None if after is None else await self._expected(after)
        subject = self._stream.subject(self._cell, secrets.token_hex(8))
        digest = hashlib.sha256()
        first = messages = 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        for chunk in _packed(parts, digest.update):
            if chunk:
                sequence = await self._store(subject, chunk)
                first, messages = first or sequence, messages + 1
            if loop.time() - began > SLICE_SECONDS:
                await asyncio.sleep((loop.time() - began) * (1 / SHARE - 1))
                began = loop.time()
        newest = _Newest(msgspec.Raw(head(digest.hexdigest())), subject, first, messages, self._log)
        place = self._stream.subject(self._cell, "newest")
        last = await self._store(place, msgspec.json.encode(newest), expect, HEADERS)
        await self._purge(first or last)

    async def _newest(self) -> tuple[int, _Newest | None]:
        """What stands where the newest is to be found, and its sequence; None where it is none of this log."""
        subject = self._stream.subject(self._cell, "newest")
        found = await newest_kept(self._connection, self._stream.stream, subject)
        if found.payload is None:
            return found.last, None
        try:
            newest = msgspec.json.decode(found.payload, type=_Newest)
        except msgspec.DecodeError as error:
            raise LogError(f"{subject}: this is no snapshot: {error}") from error
        theirs = self._log and newest.log and self._log != newest.log
        return found.last, None if theirs else newest

    async def _expected(self, after: bytes) -> int:
        """The sequence of the newest one, which has this head. Raises StaleWriteError where it has another."""
        sequence, found = await self._newest()
        if after != (b"" if found is None else bytes(found.head)):
            raise StaleWriteError(self._stream.subject(self._cell, "newest"), 0, sequence)
        return sequence

    async def _store(
        self, subject: str, payload: bytes, expect: int | None = None, own: Mapping[str, str] = _NONE
    ) -> int:
        headers = {**own} if expect is None else {EXPECTED: str(expect), **own}
        return await store(self._connection, subject, payload, headers=headers, expect=expect)

    async def _purge(self, before: int) -> None:
        """Take away what is older: nobody's newest any more."""
        body = {"filter": self._stream.subject(self._cell, "*"), "seq": before}
        await api.call(self._connection, f"STREAM.PURGE.{self._stream.stream}", body, api.Done)

    async def _chunks(self, newest: _Newest, place: int, created: str) -> list[bytes]:
        """Its parts, as many as are there; `place` is where its head stands."""
        found: list[bytes] = []
        if not newest.messages:
            return found
        feed = Feed(
            self._connection,
            self._stream.stream,
            created,
            start=newest.first,
            subject=newest.subject,
            seconds=READ_PATIENCE_SECONDS,
        )
        async with contextlib.aclosing(feed.batches()) as batches:
            async for batch in batches:
                found += [message.payload for message in batch]
                if len(found) >= newest.messages or feed.drained:
                    break
                if not batch and (await self._newest())[0] != place:
                    break  # What was still to come is taken away when another is in its place.
        return found


def _packed(parts: Iterable[bytes], seen: Callable[[bytes], object]) -> Iterator[bytes]:
    """Pack parts, a line each, and cut what comes out; empty where nothing has come out yet."""
    chunker = zstandard.ZstdCompressor(level=_PACKING_LEVEL).chunker(chunk_size=CHUNK_BYTES)
    for part in parts:
        seen(part)
        yield from chunker.compress(part + b"\n")
        yield b""
    yield from chunker.finish()  # type: ignore[no-untyped-call]
