"""Who is active in a cell: a key with a time-to-live in a bucket on JetStream.

For liveness alone. Every change expects the key's last revision, so of two that try one wins; a holder that
stops renewing is dropped by the server, which writes a marker in its place."""

from collections.abc import AsyncGenerator
from datetime import timedelta

from nats.aio.client import Client

from remediation_orchestrator.events import CellName, StoredMessage

from . import api, topology
from .feed import Feed
from .headers import parse as parse_headers
from .port import StaleWriteError
from .storing import EXPECTED, store

TTL = timedelta(seconds=5)
TTL_MIN = timedelta(seconds=1)

_OPERATION = "KV-Operation"
_MARKER = "Nats-Marker-Reason"
_TTL = "Nats-TTL"


class JetStreamLease:
    """A cell's lease, as one process sees it."""

    def __init__(self, connection: Client, cell: CellName, created: str, *, ttl: timedelta = TTL) -> None:
        assert ttl >= TTL_MIN, "JetStream drops nothing before it is a second old"
        self._connection = connection
        self._subject = topology.lease_subject(cell)
        self._created = created
        self._ttl = ttl
        self._seen: str | None = None
        self._changes: AsyncGenerator[list[StoredMessage], None] | None = None

    @classmethod
    async def open(
        cls, connection: Client, cell: CellName, *, ttl: timedelta = TTL, replicas: int = 1
    ) -> "JetStreamLease":
        """Open the lease of a cell, and make the bucket first if there is none."""
        info = await topology.ensure_leases(connection, replicas=replicas)
        return cls(connection, cell, info.created, ttl=ttl)

    async def acquire(self, holder: str) -> bool:
        """Become the holder if nobody is; True where `holder` has it now."""
        revision, held_by = await self._read()
        if held_by not in (None, holder):
            return False
        return await self._write(holder, revision)

    async def renew(self, holder: str) -> bool:
        """Hold it for its time-to-live again; False where it was lost."""
        revision, held_by = await self._read()
        return held_by == holder and await self._write(holder, revision)

    async def release(self, holder: str) -> None:
        """Give it back, so that another can take over at once."""
        revision, held_by = await self._read()
        if held_by == holder:
            await self._write("", revision)

    async def holder(self) -> str | None:
        """Who holds it now."""
        return (await self._read())[1]

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
            held_by = [_holder(message.payload, message.headers) for message in batch]
            self._seen = held_by[-1] if held_by else before
            if any(holder != before for holder in held_by):
                return

    async def close(self) -> None:
        """Stop watching for changes."""
        if self._changes is not None:
            await self._changes.aclose()
            self._changes = None

    async def _read(self) -> tuple[int, str | None]:
        """The key's last revision, and who holds it."""
        found = await api.last_message(self._connection, topology.LEASE_STREAM, self._subject)
        if found is None:
            return 0, None
        return found.seq, _holder(found.data, parse_headers(found.hdrs))

    async def _write(self, holder: str, revision: int) -> bool:
        """Put a holder, or nobody, in the place of the revision read; False where another was faster."""
        headers = {EXPECTED: str(revision), _TTL: f"{self._ttl.total_seconds():g}s"}
        if not holder:
            headers[_OPERATION] = "DEL"
        try:
            await store(self._connection, self._subject, holder.encode(), headers=headers, expect=revision)
        except StaleWriteError:
            return False
        return True


def _holder(payload: bytes, headers: dict[str, str] | None) -> str | None:
    """Who a revision says holds the lease: nobody after a release, or where the server left its marker."""
    if headers and (_OPERATION in headers or _MARKER in headers):
        return None
    return payload.decode(errors="replace") or None
