"""A broker that comes back with a log that is not what it was, for a while: nobody may lead it.

Everything else goes on meanwhile: processes are killed, wake up and begin. Then the good store comes back."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.bus.topology import stream_name
from remediation_orchestrator.events import StoredMessage, subjects
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.events.stored import export_line

from .account import Account
from .cell import ChaosCell
from .driver import Driver
from .faults import Planned, Strike

# Whoever leads marks how far the log has come once in this while at least; what is younger is told by nothing.
MARK_SECONDS, FRAME_SECONDS = 2.0, 10.0
REVIVE_SECONDS = 0.3
# A process starts slowly on a busy machine.
SAY_SECONDS = 20.0
# Nobody reads a hole further back, who goes on from a snapshot or from what an archive has left.
RECENT = 100
NOT_WHOLE = b"not whole"
BAIT = b'[{"name":"Bait","target":{"name":"bait-%d"},"workflow":{"id":"work"}}]'


class Spoiling:
    """Spoils the store, and remembers what came of it until the good log can be held against it."""

    def __init__(self, cell: ChaosCell, log: JetStreamLog, driver: Driver, account: Account) -> None:
        self._cell = cell
        self._log = log
        self._driver = driver
        self._account = account
        self._copied = self._count = 0
        self._sizes: list[int] = []
        """How much the orchestrators had said before."""
        self._found: list[tuple[Strike, list[StoredMessage], bool]] = []

    async def strike(self, planned: Planned) -> bool:
        """Have a bad store in the place of the good one for a while. Counted when it is told: see `tell`."""
        async with self._driver.held():
            if planned.strike is Strike.LOG_OLDER and not await self._is_marked():
                return False
            await self._account.read_on(self._log)
            async with self._cell.server_lock:
                self._sizes = [one.said.stat().st_size for one in self._cell.orchestrators]
                with self._spoilt(planned):
                    read = await self._live(planned)
                    if read and not self._account.differs_from(read).missing:
                        for one in self._cell.orchestrators:  # It was whole, and the one to come is older than it.
                            one.end()
                if read:
                    self._found.append((planned.strike, read, self._is_said()))
        return False

    def tell(self, broken: Counter[str], struck: Counter[Strike]) -> list[str]:
        """What was wrong with what was done on bad stores, now that the good log was read on."""
        wrong = []
        for strike, read, said in self._found:
            self._count += 1
            bad = self._account.differs_from(read)
            struck[strike] += bool(bad.missing)
            if bad.missing and bad.frames:
                broken["led_not_whole"] += 1
                wrong.append(f"{strike}: {bad.missing} records missing, and frames were stored: {bad.frames[:5]}")
            if bad.missing and not said:
                broken["unsaid"] += 1
                wrong.append(f"{strike}: {bad.missing} records missing, and no orchestrator says so")
            if wrong:
                name = f"bad-{self._count}-{strike.replace(' ', '-')}.jsonl"
                (self._cell.home / name).write_bytes(b"".join(export_line(one) + b"\n" for one in read))
        self._found.clear()
        return wrong

    def _is_said(self) -> bool:
        """Whether an orchestrator has said since that the log is not whole."""
        pairs = zip(self._cell.orchestrators, self._sizes, strict=True)
        return any(NOT_WHOLE in one.said.read_bytes()[size:] for one, size in pairs)

    async def remember(self) -> None:
        """Keep the store as it is now, to come back to."""
        with suppress(LogError):
            self._copied = await self._log.last_sequence()
        await self._cell.remember_store()

    async def _is_marked(self) -> bool:
        """Wait until a frame behind the copy is surely known of outside the log; False where none comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FRAME_SECONDS):
                while not await self._has_frame_behind():  # noqa: ASYNC110 - the broker is asked, who tells nobody
                    await asyncio.sleep(REVIVE_SECONDS)
                await asyncio.sleep(MARK_SECONDS)
                return True
        return False

    async def _has_frame_behind(self) -> bool:
        with suppress(LogError):
            newest = await self._log.last(subjects.decision(DEFAULT_CELL))
            return newest is not None and newest.sequence > self._copied
        return False

    @contextmanager
    def _spoilt(self, planned: Planned) -> Iterator[None]:
        """The broker on a bad store; afterwards on the good one."""
        cell, chance = self._cell, random.Random(f"store {planned.which}")
        cell.stop_broker()
        if planned.strike is not Strike.LOG_OLDER:  # Who has read it all may know it still: let others begin.
            for one in cell.orchestrators:
                one.end()
        cell.store.spoil(planned.strike, chance)
        try:
            cell.start_broker()
            yield
        finally:
            cell.stop_broker()
            cell.store.restore(None)
            cell.start_broker()

    async def _live(self, planned: Planned) -> list[StoredMessage]:
        """Let everything live on the bad store for a while, and read what is there then."""
        with suppress(LogError):  # A log that cannot be read at all is not led either.
            async with connected(self._cell.true_url, name="chaos") as connection:
                return await self._bait(connection, await JetStreamLog.open(connection, DEFAULT_CELL), planned)
        return []

    async def _bait(self, connection: Client, log: JetStreamLog, planned: Planned) -> list[StoredMessage]:
        if planned.strike is Strike.LOG_HOLED:
            await _make_hole(connection, log, planned.which)
        for number in range(3):
            await log.append(subjects.signal(DEFAULT_CELL, "bait"), BAIT % number)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() < began + (planned.seconds if self._is_said() else SAY_SECONDS):
            self._cell.revive()
            await asyncio.sleep(REVIVE_SECONDS)
        return [message async for message in log.read()]


async def _make_hole(connection: Client, log: JetStreamLog, which: int) -> None:
    """Delete the newest frame, the newest record or one of the last hundred."""
    last = await log.last_sequence()
    frame = await log.last(subjects.decision(DEFAULT_CELL))
    newest = frame.sequence if frame is not None else last
    first = await log.first_sequence()
    sequence = (newest, last, max(first + 1, last - 1 - which % RECENT))[which % 3]
    body = {"seq": sequence, "no_erase": True}
    await api.call(connection, f"STREAM.MSG.DELETE.{stream_name(DEFAULT_CELL)}", body, api.Done)
