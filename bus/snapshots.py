"""Snapshots beside the log: on the broker in a stream of their own, in a file next to an exported log, in memory.

Parts come first and the head last, so what has a head is whole. Nothing here knows what a snapshot says."""

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import zstandard
from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.events import CellName

from . import api, topology
from .feed import Feed
from .packing import UnreadableLogError, read_lines, unpacked_lines, write_packed
from .port import LogError
from .storing import store

SNAPSHOT_ENDING, BEFORE_ENDING, AFTER_ENDING = ".snapshot.zst", ".before.zst", ".after.zst"
"""What may stand beside an exported log: a cache, what it goes on from, and where it leads."""
# The server takes messages of up to 1 MiB.
CHUNK_BYTES = 256 * 1024
# Writing works for so long at a time, and for so much of the time, so that deciding has the rest.
SLICE_SECONDS = 0.001
SHARE = 0.25
READ_PATIENCE_SECONDS = 5.0

_PACKING_LEVEL = 1


class _Newest(Struct):
    """The head as it is stored: where its parts stand."""

    head: msgspec.Raw
    subject: str
    first: int
    messages: int


class JetStreamSnapshots:
    """What a cell keeps on one of the broker's shelves."""

    def __init__(
        self,
        connection: Client,
        cell: CellName,
        shelf: topology.Shelf = topology.SNAPSHOTS,
        *,
        replicas: int = 1,
    ) -> None:
        self._connection = connection
        self._cell = cell
        self._shelf = shelf
        self._replicas = replicas

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The newest whole snapshot; None where there is none. Raises LogError where it cannot be read."""
        info = await api.stream_info(self._connection, self._shelf.stream)
        if info is None:
            return None
        subject = self._shelf.subject(self._cell, "newest")
        found = await api.last_message(self._connection, self._shelf.stream, subject)
        if found is None:
            return None
        try:
            newest = msgspec.json.decode(found.data, type=_Newest)
        except msgspec.DecodeError as error:
            raise LogError(f"{subject}: this is no snapshot: {error}") from error
        packed = [] if not newest.messages else await self._chunks(newest, info.created)
        return bytes(newest.head), unpacked_lines(packed)

    async def save(self, parts: Iterable[bytes], head: Callable[[str], bytes]) -> None:
        """Keep a snapshot in place of those before it, at a pace that leaves most of the time to others."""
        await topology.ensure_shelf(self._connection, self._shelf, replicas=self._replicas)
        subject = self._shelf.subject(self._cell, secrets.token_hex(8))
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
        newest = _Newest(msgspec.Raw(head(digest.hexdigest())), subject, first, messages)
        last = await self._store(self._shelf.subject(self._cell, "newest"), msgspec.json.encode(newest))
        await self._purge(first or last)

    async def _store(self, subject: str, payload: bytes) -> int:
        return await store(self._connection, subject, payload, headers={}, expect=None)

    async def _purge(self, before: int) -> None:
        """Take away what is older: nobody's newest any more."""
        body = {"filter": self._shelf.subject(self._cell, "*"), "seq": before}
        await api.call(self._connection, f"STREAM.PURGE.{self._shelf.stream}", body, api.Done)

    async def _chunks(self, newest: _Newest, created: str) -> list[bytes]:
        feed = Feed(
            self._connection,
            self._shelf.stream,
            created,
            start=newest.first,
            subject=newest.subject,
            patience=READ_PATIENCE_SECONDS,
        )
        found: list[bytes] = []
        async with contextlib.aclosing(feed.batches()) as batches:
            async for batch in batches:
                found += [message.payload for message in batch]
                if len(found) >= newest.messages or feed.drained:
                    break
        if len(found) != newest.messages:
            raise LogError(f"of the snapshot's {newest.messages} messages {len(found)} are there")
        return found


class MemorySnapshots:
    """The snapshots of a cell in memory."""

    def __init__(self) -> None:
        self._newest: tuple[bytes, list[bytes]] | None = None

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The newest whole snapshot."""
        return self._newest

    async def save(self, parts: Iterable[bytes], head: Callable[[str], bytes]) -> None:
        """Keep a snapshot in place of the one before it."""
        digest, kept = hashlib.sha256(), []
        for part in parts:
            digest.update(part)
            kept.append(part)
            await asyncio.sleep(0)
        self._newest = head(digest.hexdigest()), kept


class FileSnapshots:
    """A snapshot beside an exported log: its head a line, and each of its parts."""

    def __init__(self, log: Path, ending: str = SNAPSHOT_ENDING) -> None:
        self.path = log.with_name(log.name + ending)

    async def newest(self) -> tuple[bytes, Iterable[bytes]] | None:
        """The snapshot; None where there is none. Raises LogError where it cannot be read."""
        lines = self._lines()
        try:
            head = next(lines)
        except FileNotFoundError:
            return None
        except StopIteration:
            raise UnreadableLogError(f"{self.path}: an empty file is no snapshot") from None
        except OSError as error:
            raise UnreadableLogError(f"{self.path}: {error.strerror or error}") from error
        return head, lines

    def _lines(self) -> Iterator[bytes]:
        """Read on only as far as somebody takes: whoever looks at the head needs no memory for what follows."""
        for line in read_lines(self.path):
            yield line.removesuffix(b"\n")

    async def save(self, parts: Iterable[bytes], head: Callable[[str], bytes]) -> None:
        """Write a snapshot, whole or not at all."""
        digest, kept = hashlib.sha256(), []
        for part in parts:
            digest.update(part)
            kept.append(part)
        fresh = self.path.with_name(self.path.name + ".new")
        with write_packed(fresh, self.path.suffix) as file:
            for line in (head(digest.hexdigest()), *kept):
                file.write(line + b"\n")
        with fresh.open("rb+") as written:
            os.fsync(written.fileno())
        fresh.replace(self.path)

    def remove(self) -> None:
        """Take it away, if it is there."""
        self.path.unlink(missing_ok=True)


def _packed(parts: Iterable[bytes], seen: Callable[[bytes], object]) -> Iterator[bytes]:
    """Pack parts, a line each, and cut what comes out; empty where nothing has come out yet."""
    chunker = zstandard.ZstdCompressor(level=_PACKING_LEVEL).chunker(chunk_size=CHUNK_BYTES)
    for part in parts:
        seen(part)
        yield from chunker.compress(part + b"\n")
        yield b""
    yield from chunker.finish()  # type: ignore[no-untyped-call]
