"""The processes of a cell's runs, as the kernel tells of them: of what has ended nobody's word is believed.

A run is a script with whatever it has started, a supervisor above it, and a guard above that one. Here they are
found, struck, and looked for where none of them may be any more."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from .catalog import TIMEOUT_SECONDS
from .faults import Planned, Strike

# A run may be asked to end at its limit, and killed a moment later; a busy machine, and a process that was frozen
# meanwhile, are slower than that.
AGE_SECONDS = TIMEOUT_SECONDS + 8.0
# Of a run whose executor is gone everything is ended by its supervisor, which gives it a third of a second.
ORPHAN_SECONDS = 3.0
# Whoever has told the end of a run has nothing more to do, but to leave.
LEAVE_SECONDS = 10.0
# Something runs almost always, as long as signals come in.
RUNNING_SECONDS = 2.0
LOOK_SECONDS = 0.02
_SUPERVISOR = b"supervisor.py"
_TICKS = os.sysconf("SC_CLK_TCK")


class RunProcess(Struct, frozen=True):
    """One process of a run, or of those above it, which have no execution."""

    pid: int
    parent: int
    age: float
    """In seconds."""
    execution: str = ""


class Runs:
    """All processes of a cell's runs."""

    def __init__(self, diary: Path, url: str, executors: Callable[[], Collection[int | None]]) -> None:
        """The scripts name the diary on their command line; who is above them inherits the broker's address.

        `executors` are those that live now."""
        self._executors = executors
        self._diary = os.fsencode(diary)
        self._url = b"NATS_URL=" + url.encode()
        self._bare: dict[str, int] = {}
        """The executors of runs whose supervisor and guard were both killed: they are to end what those have left.
        Where one is killed as well, before or after, nobody is: then we do, as whoever looks after a machine."""
        self._told: set[int] = set()
        self._orphaned: dict[int, float] = {}
        """Since when a process was seen without its executor."""
        self._asleep = False

    def all(self) -> list[RunProcess]:
        """Every one that there is now."""
        return [found for pid in _pids() if (found := self._find(pid)) is not None]

    def look(self, ended: Collection[str]) -> list[str]:
        """What may not be there: a process of a run that had ended before, is too old, or has no executor."""
        if self._asleep:
            return []
        found = {one.pid: one for one in self.all()}
        wrong = []
        for one in found.values():
            if self._is_nobodys(one):
                _signal(signal.SIGKILL, one.pid)
            elif one.execution and one.pid not in self._told and (why := self._why_not(one, found, ended)):
                self._told.add(one.pid)
                wrong.append(f"process {one.pid} of {one.execution} goes on {why}")
        return wrong

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """For as long as this is entered nothing of a run can end: its time to do so begins behind it."""
        self._asleep = True
        try:
            yield
        finally:
            self._asleep = False
            self._orphaned.clear()

    def _why_not(self, one: RunProcess, found: Mapping[int, RunProcess], ended: Collection[str]) -> str | None:
        """Why it may not be there; None where it may."""
        if one.execution in ended:
            return "although its end was told"
        if one.age > AGE_SECONDS:
            return f"after {one.age:.1f} s"
        top = one
        while top.parent in found:
            top = found[top.parent]
        if top.parent in self._executors() or one.execution in self._bare:
            return None
        now = time.monotonic()
        alone = now - self._orphaned.setdefault(one.pid, now)
        return f"{alone:.1f} s after its executor" if alone > ORPHAN_SECONDS else None

    async def left(self) -> list[str]:
        """What is still there although every run has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                while self.all():  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(LOOK_SECONDS)
        return [f"process {one.pid} of {one.execution or 'a supervisor'} is left behind" for one in self.all()]

    async def strike(self, planned: Planned) -> bool:
        """Strike who is above one of the scripts that run; False where none does for a while."""
        above = await self._await_one(planned.which)
        if above is None:
            return False
        supervisor, guard, execution = above
        match planned.strike:
            case Strike.SUPERVISOR_KILLED:
                _signal(signal.SIGKILL, supervisor.pid)
            case Strike.SUPERVISOR_FROZEN:  # Its guard has it go on.
                _signal(signal.SIGSTOP, supervisor.pid)
            case Strike.GUARD_KILLED:
                _signal(signal.SIGKILL, guard.pid)
            case Strike.GUARD_FROZEN:
                _signal(signal.SIGSTOP, guard.pid)
                await asyncio.sleep(planned.seconds)
                _signal(signal.SIGCONT, guard.pid)
            case _:
                self._bare[execution] = guard.parent
                _signal(signal.SIGKILL, guard.pid, supervisor.pid)
        return True

    async def _await_one(self, which: int) -> tuple[RunProcess, RunProcess, str] | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(RUNNING_SECONDS):
                while not (above := self._above()):  # noqa: ASYNC110 - the kernel tells nobody
                    await asyncio.sleep(LOOK_SECONDS)
                return above[which % len(above)]
        return None

    def _above(self) -> list[tuple[RunProcess, RunProcess, str]]:
        """The supervisor and the guard of each script that both has."""
        found = {one.pid: one for one in self.all()}
        pairs = [
            (found.get(one.parent), found.get(found[one.parent].parent), one.execution)
            for one in found.values()
            if one.execution and one.parent in found and not found[one.parent].execution
        ]
        return [(one, other, name) for one, other, name in pairs if one is not None and other is not None]

    def _is_nobodys(self, one: RunProcess) -> bool:
        """Whether supervisor, guard and executor of a run were all killed, so that nobody is there to end it."""
        return one.execution in self._bare and self._bare[one.execution] not in self._executors()

    def _find(self, pid: int) -> RunProcess | None:
        folder = Path(f"/proc/{pid}")
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            is_script = self._diary in words
            if not is_script and not any(word.endswith(_SUPERVISOR) for word in words):
                return None
            environment = (folder / "environ").read_bytes().split(b"\0")
            if not is_script and self._url not in environment:
                return None
            stat = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # It has ended meanwhile.
            return None
        names = [word for word in environment if word.startswith(b"RO_EXECUTION=")]
        execution = names[0].partition(b"=")[2].decode() if is_script and names else ""
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / _TICKS
        return RunProcess(pid, int(stat[1]), age, execution)


def _pids() -> Iterator[int]:
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            yield int(entry)


def _signal(number: int, *processes: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
