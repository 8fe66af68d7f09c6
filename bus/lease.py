"""Who is active in a cell: a key with a time-to-live in a bucket on JetStream.

For liveness alone. Every change expects the key's last revision, so of two that try one wins; a holder that
stops renewing is dropped by the server, which writes a marker in its place. What stands there and is none of these
is junk, which anybody can have the server write: it is nobody's, and is written over."""

import logging
import re
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from nats.aio.client import Client

from remediation_orchestrator.events import CellName, StoredMessage
from remediation_orchestrator.events.stored import EXPECTED

from . import api, topology
from .connection import parse_headers
from .feed import Feed
from .jetstream import moment_of
from .port import TTL, Holding, LeaseState, LogError, LogUnreachableError, StaleWriteError
from .storing import store

log = logging.getLogger(__name__)

# Who is written over by junk writes again. So many times in a row it is no accident, and worth a word.
TRIES = 20

_OPERATION, _DELETED = "KV-Operation", "DEL"
_MARKER = "Nats-Marker-Reason"
_TTL = "Nats-TTL"
_NAME = re.compile(r"[\x21-\x7e]{1,256}")


class JetStreamLease:
    """A cell's lease, as one process sees it."""

    def __init__(
        self, connection: Client, cell: CellName, created: str, *, ttl: timedelta = TTL, replicas: int = 1
    ) -> None:
        assert ttl.total_seconds() in range(1, 3_600), "JetStream counts in whole seconds"
        self._connection = connection
        self._subject = topology.lease_subject(cell)
        self._created = created
        self._ttl = ttl
        self._replicas = replicas
        self._revision = 0
        """Of what was written here last."""
        self._seen: str | None = None
        self._changes: AsyncGenerator[list[StoredMessage], None] | None = None

    @classmethod
    async def open(
        cls, connection: Client, cell: CellName, *, ttl: timedelta = TTL, replicas: int = 1
    ) -> "JetStreamLease":
        """Open the lease of a cell, and make the bucket first if there is none."""
        info = await topology.ensure_leases(connection, replicas=replicas)
        return cls(connection, cell, info.created, ttl=ttl, replicas=replicas)

    async def look(self) -> Holding:
        """How it stands with it now. Raises LogError, also where it had to be made again."""
        return (await self._read())[1]

    async def acquire(self, holder: str, *, over: int | None = None) -> bool:
        """Become the holder if nobody is, lapsed or not; True where `holder` has it now.

        With `over` also where another holds it, as long as that is still this revision: of two one wins."""
        for _ in range(TRIES):
            revision, found = await self._read()
            if found.holder not in (None, holder) and revision != over:
                return False
            if await self._write(holder, revision):
                return True
        raise LogError(f"{self._subject}: others write there without end")

    async def renew(self, holder: str) -> bool:
        """Hold it for its time-to-live again; False where it was lost."""
        if self._revision and await self._write(holder, self._revision):
            return True
        revision, found = await self._read()
        return found.holder == holder and await self._write(holder, revision)

    async def release(self, holder: str) -> None:
        """Give it back, so that another can take over at once."""
        revision, found = await self._read()
        if found.holder == holder:
            await self._write("", revision)

    async def holder(self) -> str | None:
        """Who holds it now."""
        return (await self.look()).holder

    async def changed(self) -> None:
        """Return when the holder may have changed since the last call here; the first call returns at once."""
        if self._changes is None:
            self._seen = await self.holder()
            feed = Feed(self._connection, topology.LEASE_STREAM, self._created, subject=self._subject)
            self._changes = feed.batches()
            return
        try:
            await self._next_change(self._changes)
        except BaseException:  # A generator that was left by an error or a cancel is over.
            self._changes = None
            raise

    async def _next_change(self, changes: AsyncGenerator[list[StoredMessage], None]) -> None:
        async for batch in changes:
            before = self._seen
            held_by = [
                _holding(one.payload, one.headers or {}, one.recorded_at, one.sequence).holder for one in batch
            ]
            self._seen = held_by[-1] if held_by else before
            if any(holder != before for holder in held_by):
                return

    async def close(self) -> None:
        """Stop watching for changes."""
        if self._changes is not None:
            await self._changes.aclose()
            self._changes = None

    async def _read(self) -> tuple[int, Holding]:
        """The key's last revision, and how it stands with it."""
        try:
            found = await api.last_message(self._connection, topology.LEASE_STREAM, self._subject)
        except api.NoStreamError as error:
            raise await self._made_again() from error
        if found is None:
            return 0, Holding(LeaseState.FREE)
        headers = parse_headers(found.hdrs) or {}
        return found.seq, _holding(found.data, headers, moment_of(found.time), found.seq)

    async def _write(self, holder: str, revision: int) -> bool:
        """Put a holder, or nobody, in the place of the revision read; False where another was faster."""
        headers = {EXPECTED: str(revision)}
        headers |= {_TTL: f"{self._ttl.total_seconds():g}s"} if holder else {_OPERATION: _DELETED}
        self._revision = 0
        try:
            written = await store(
                self._connection, self._subject, holder.encode(), headers=headers, expect=revision
            )
        except StaleWriteError:
            return False
        except api.NobodyThereError as error:
            raise await self._made_again() from error
        self._revision = written if holder else 0
        return True

    async def _made_again(self) -> LogError:
        """The bucket is gone: make another, for everybody, and tell that nothing is known of who held it."""
        self._created = (await topology.ensure_leases(self._connection, replicas=self._replicas)).created
        log.warning("the bucket of leases was gone", extra={"made": self._created})
        return LogUnreachableError("the bucket of leases was gone: it has been made again")


def _holding(payload: bytes, headers: dict[str, str], at: datetime, revision: int) -> Holding:
    """Return what a revision says. One that is neither ours nor the server's marker says nothing."""
    if _MARKER in headers or EXPECTED not in headers:
        return Holding(LeaseState.LAPSED, None, at, revision)
    if headers.get(_OPERATION) == _DELETED and not payload:
        return Holding(LeaseState.FREE, None, at, revision)
    name = payload.decode(errors="replace")
    if _TTL not in headers or _NAME.fullmatch(name) is None:
        return Holding(LeaseState.LAPSED, None, at, revision)
    return Holding(LeaseState.HELD, name, at, revision)
