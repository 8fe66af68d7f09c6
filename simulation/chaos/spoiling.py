"""A broker that comes back with a log that is not what it was, for a while: nobody may lead it.

Everything else goes on meanwhile: processes are killed, wake up and begin. Then the good store comes back."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.connection import Connection, connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError, stream_name
from remediation_orchestrator.events import StoredMessage, subjects
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.events.stored import export_line
from remediation_orchestrator.orchestrator.marks import read_mark

from .account import Account, Bad
from .cell import ChaosCell
from .driver import Driver
from .faults import Planned, Strike

# A mark follows the log by a tenth of a second while somebody leads; a busy machine is slower.
MARK_SECONDS, FRAME_SECONDS = 2.0, 10.0
# What no mark tells of is no older: the broker is away for half a second, and a leader is replaced within two.
UNTOLD_SECONDS = 5.0
REVIVE_SECONDS = 0.3
# A process starts slowly on a busy machine.
SAY_SECONDS = 20.0
# Nobody reads a hole further back, who goes on from a snapshot or from what an archive has left.
RECENT = 100
NOT_WHOLE = b"not whole"
BAIT = b'[{"name":"Bait","target":{"name":"bait-%d"},"workflow":{"id":"work"}}]'


class GoodStore(Struct, frozen=True):
    """What the good store was when a bad one came in its place."""

    last: int
    """Its newest record."""
    marked: int
    """How far the mark outside the log had come: what is lost up to there is told, and nothing else need be."""
    ages: dict[int, float]
    """Of the records behind that, in seconds."""


class Lived(Struct, frozen=True):
    """What came of one bad store."""

    strike: Strike
    cut: GoodStore
    read: list[StoredMessage]
    said: bool
    since: int
    until: int


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
        self._found: list[Lived] = []
        self.untold: list[float] = []
        """How old, in seconds, what was lost was at most, each time that the mark told of nothing of it."""

    async def strike(self, planned: Planned) -> bool:
        """Have a bad store in the place of the good one for a while. Counted when it is told: see `tell`."""
        async with self._driver.held():
            if planned.strike is Strike.LOG_OLDER and not await self._is_marked():
                return False
            await self._account.read_on(self._log)
            async with self._cell.server_lock:
                self._sizes = [one.said.stat().st_size for one in self._cell.orchestrators]
                cut = await self._cut()
                since = time.monotonic_ns()
                with self._spoilt(planned):
                    read = await self._live(planned)
                    if read and self._is_led(read, cut):  # The one to come is another than it.
                        for one in self._cell.orchestrators:
                            one.end()
                if read:
                    until = time.monotonic_ns()
                    self._found.append(Lived(planned.strike, cut, read, self._is_said(), since, until))
        return False

    def tell(self, broken: Counter[str], struck: Counter[Strike]) -> list[str]:
        """What was wrong with what was done on bad stores, now that the good log was read on."""
        wrong: list[str] = []
        for one in self._found:
            self._count += 1
            bad = self._account.differs_from(one.read, one.cut.last)
            struck[one.strike] += bool(bad.missing)
            behind = untold(one, bad)
            if behind is not None:
                self.untold.append(round(behind, 3))
            if (
                behind is not None or not bad.missing
            ):  # Nothing could tell, but that the good one came back as it was.
                self._account.spare(one.read, one.since, one.until)
                continue
            found = broken_on(one, bad)
            broken.update(found.keys())
            wrong += found.values()
            if found:
                name = f"bad-{self._count}-{one.strike.replace(' ', '-')}.jsonl"
                (self._cell.home / name).write_bytes(b"".join(export_line(each) + b"\n" for each in one.read))
        self._found.clear()
        return wrong

    def _is_led(self, read: list[StoredMessage], cut: GoodStore) -> bool:
        """Whether somebody has led it, or would have: it was whole, or nothing tells that it was not."""
        bad = self._account.differs_from(read, cut.last)
        return not bad.missing or bool(bad.frames)

    async def _cut(self) -> GoodStore:
        """Kill the broker, and look at what it has stored where nobody else can go on."""
        self._cell.stop_broker()
        at = time.time()
        with self._cell.aside() as url:
            async with connected(url, name="chaos") as connection:
                log = await JetStreamLog.open(connection, DEFAULT_CELL)
                last = await log.last_sequence()
                _, mark = await read_mark(log.marks)
                marked = max(mark.sequence, mark.read) if mark is not None else 0
                ages = {one.sequence: at - one.recorded_at.timestamp() async for one in log.read(marked + 1)}
        return GoodStore(last, marked, ages)

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
        """The broker, which stands still, on a bad store; afterwards on the good one."""
        cell, chance = self._cell, random.Random(f"store {planned.which}")
        if planned.strike is not Strike.LOG_OLDER:  # Who has read it all may know it still: let others begin.
            for one in cell.orchestrators:
                one.end()
        cell.store.keep()
        try:
            cell.store.spoil(planned.strike, chance)
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

    async def _bait(self, connection: Connection, log: JetStreamLog, planned: Planned) -> list[StoredMessage]:
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


def untold(lived: Lived, bad: Bad) -> float | None:
    """How old it is, in seconds, where a store lacks an end alone that is younger than the mark outside, and no
    older than a mark may be behind. Nothing can tell then; None where something can."""
    if not bad.missing or lived.strike is Strike.LOG_HOLED or bad.missing[0] <= lived.cut.marked:
        return None
    behind = lived.cut.ages[bad.missing[0]]
    return behind if behind <= UNTOLD_SECONDS else None


def broken_on(lived: Lived, bad: Bad) -> dict[str, str]:
    """The promises that were not kept on a store of which something could tell, each with what is wrong."""
    if not bad.missing:
        return {}
    lacks = (
        f"{lived.strike}: {len(bad.missing)} records missing from {bad.missing[0]} on, marked {lived.cut.marked}"
    )
    led = f"{lacks}, and frames were stored: {bad.frames[:5]}"
    return {
        **({"led_not_whole": led} if bad.frames else {}),
        **({} if lived.said else {"unsaid": f"{lacks}, and no orchestrator says so"}),
    }


async def _make_hole(connection: Connection, log: JetStreamLog, which: int) -> None:
    """Delete the newest frame, the newest record or one of the last hundred."""
    last = await log.last_sequence()
    frame = await log.last(subjects.decision(DEFAULT_CELL))
    newest = frame.sequence if frame is not None else last
    first = await log.first_sequence()
    sequence = (newest, last, max(first + 1, last - 1 - which % RECENT))[which % 3]
    body = {"seq": sequence, "no_erase": True}
    await api.call(connection, f"STREAM.MSG.DELETE.{stream_name(DEFAULT_CELL)}", body, api.Done)
