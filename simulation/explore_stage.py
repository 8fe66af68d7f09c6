"""One life of a small world: a schedule that somebody could guess, and the departures from it that were chosen.

The schedule: whoever went on last goes on, else the first of the cast who can; where nobody can, time passes."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.events import CellName, Target
from remediation_orchestrator.executor.catalog import Catalog

from . import clock
from .explore_cast import ExecutorRole, OrchestratorRole, Teller, catalog
from .explore_gate import WRITES, Actor, Call, CallKind, ChoosingLoop, Gate, How
from .explore_ports import ExploredDeliveries
from .world import is_at_rest

if TYPE_CHECKING:
    from .explore_worlds import SmallWorld

CELL = CellName("main")
# A world that is not at rest by then never will be: the longest wait in it is an hour after three failures.
STEPS_MAX = 2_000
SECONDS_MAX = 4 * 3_600.0
# Long enough for others to take over what was its, and to have decided meanwhile.
PAUSE_LEASES = 2.0
# Longer than the shortest time in which a run has to begin, shorter than any lease.
NAP_SECONDS = 7.0
# How far the broker's clock is set by a step of it.
CLOCK_STEP = timedelta(hours=1)


@dataclass(eq=False)
class ExploredTouch:
    """One run as it really was: from when to when it may have touched its target."""

    execution: str
    target: Target
    begun: float
    ended: float | None = None


@dataclass(frozen=True)
class ChoiceStep:
    """A place where something was chosen."""

    digest: bytes
    options: tuple[str, ...]
    """What could have been chosen; the first is what the schedule says."""
    says: str


@dataclass
class Life:
    """What a life of a world has left."""

    steps: list[ChoiceStep] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    known: bool = False
    """Whether it was left where an earlier life had been."""


class ExploredStage:
    """Everything that there is in one life of a small world."""

    def __init__(
        self, world: "SmallWorld", choices: Mapping[int, str], known: Callable[[int, bytes], bool]
    ) -> None:
        """`known` says whether what follows a state was seen by an earlier life."""
        self.world = world
        self.life = Life()
        self.gate = Gate()
        self.orchestrators: list[OrchestratorRole] = []
        self.tellers: list[Teller] = []
        self.accepted: list[tuple[int, bytes]] = []
        self.touches: list[ExploredTouch] = []
        self.drained = False
        self.failing = set(world.failing)
        self.choices = choices
        self._known = known
        self._actors: list[Actor] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._current: Actor | None = None
        self._offset = timedelta()
        self._log_digest = blake2b(digest_size=12)
        self.stored_at: list[float] = []
        """When each message was stored, whatever the broker's clock showed."""
        self._pending = 0
        """Timers that bring something back: a successor, a late record, whoever is paused."""

    def live(self) -> Life:
        """Live through it to its end, or to where it is known."""
        clock.run(self._live(), ChoosingLoop(self._idle))
        return self.life

    async def _live(self) -> None:
        self._over = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(self._unexpected)
        self.cell = MemoryCell(CELL, self.now)
        self.workflows = ExploredDeliveries(self.cell, self.gate, "workflow")
        self.analyses = ExploredDeliveries(self.cell, self.gate, "analyze")
        for number in range(self.world.orchestrators):
            OrchestratorRole(self, f"o{number + 1}").enter()
        for number in range(self.world.executors):
            ExecutorRole(self, f"e{number + 1}")
        for number, acts in enumerate(self.world.acts):
            self.tellers.append(Teller(self, f"p{number + 1}", acts))
        await self._over

    # -- what the cast asks for ------------------------------------------------------------------------

    def now(self) -> datetime:
        """What the broker's clock shows."""
        return clock.broker_now() + self._offset

    def enter(self, name: str, lapse: float, crash: Callable[[], None]) -> Actor:
        """Another process."""
        actor = Actor(name, len(self._actors), lapse, crash)
        self._actors.append(actor)
        return actor

    def another(self, letter: str) -> str:
        """A name that nobody has had."""
        return f"{letter}{sum(1 for one in self._actors if one.name.startswith(letter)) + 1}"

    def spawn(self, actor: Actor, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Let a process do something."""
        task = asyncio.create_task(coroutine)

        def ended(task: asyncio.Task[None]) -> None:
            if not actor.dead and not task.cancelled() and task.exception() is not None:
                self.life.wrong.append(f"{actor.name} died: {task.exception()!r}")

        task.add_done_callback(ended)
        self._tasks.append(task)
        return task

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen, and nobody be at rest before."""
        self._pending += 1

        def now() -> None:
            self._pending -= 1
            what()

        asyncio.get_running_loop().call_later(seconds, now)

    def catalog_of(self, executor: str) -> Catalog:
        """What an executor serves: where files differ, every second has others of the same names."""
        return catalog(others=self.world.files_differ and executor.endswith(("2", "4", "6", "8")))

    def fails(self, execution: str) -> bool:
        """Whether this run is to fail: so many of the first of a world do."""
        if execution in self.failing or len(self.failing) >= self.world.failures:
            return execution in self.failing
        self.failing.add(execution)
        return True

    @contextmanager
    def touching(self, environment: Mapping[str, str], grace: float) -> Iterator[None]:
        """A script touches its target; one whose executor dies is ended by its supervisor."""
        names = ("RO_TARGET_NAME", "RO_TARGET_CLUSTER", "RO_TARGET_NAMESPACE", "RO_TARGET_KIND")
        touch = ExploredTouch(environment["RO_EXECUTION"], Target(*(environment[name] for name in names)), _time())
        self.touches.append(touch)
        try:
            yield
        except BaseException:
            touch.ended = _time() + grace
            raise
        touch.ended = _time()

    # -- choosing --------------------------------------------------------------------------------------

    def _idle(self) -> bool:
        """Nobody can go on by himself: let somebody go on. False where time is to pass."""
        if self._over.done():
            return True
        calls = self.gate.possible()
        if not calls:
            return self._end_at_rest()
        calls.sort(key=lambda one: one.actor is not self._current)
        options = self._options(calls)
        place, digest = len(self.life.steps), self._digest()
        if self._known(place, digest):
            self.life.known = True
            return self._end()
        self.life.steps.append(ChoiceStep(digest, tuple(options), str(calls[0])))
        if place > STEPS_MAX:
            return self._end()
        chosen = self.choices.get(place, "")
        if chosen and chosen not in options:
            self.life.wrong.append(f"step {place} has no choice `{chosen}`: {', '.join(options)}")
            return self._end()
        options[chosen or next(iter(options))]()
        return True

    def _options(self, calls: list[Call]) -> dict[str, Callable[[], None]]:
        """What can happen now; first what the schedule says."""
        first = calls[0]
        options: dict[str, Callable[[], None]] = {"": lambda: self._let(first)}
        seen: dict[Actor, int] = {first.actor: 1}
        for call in calls[1:]:
            number = seen[call.actor] = seen.get(call.actor, 0) + 1
            # To read changes nothing for others: whoever could go before it goes as well behind it.
            if first.kind is not CallKind.READ or call.actor is first.actor:
                name = call.actor.name if number == 1 else f"{call.actor.name}/{number}"
                options[name] = lambda call=call: self._let(call)  # type: ignore[misc]
        for name, fault in self._faults(first):
            options[f"!{name}"] = fault
        return options

    def _let(self, call: Call, how: How = How.DONE) -> None:
        self._current = call.actor
        self.gate.let(call, how)

    def _faults(self, call: Call) -> Iterator[tuple[str, Callable[[], None]]]:
        """What can go wrong with the call that would be next. Others' are asked about when it is their turn."""
        actor = call.actor
        if self.world.naps and call.kind is CallKind.ASK and actor.name.startswith("e"):
            yield f"nap-{actor.name}", lambda: self._nap(actor)
        if call.kind not in WRITES:
            return
        if actor.crashes:
            yield f"crash-{actor.name}", lambda: self._crash(actor)
        if actor.stop is not None:
            yield f"stop-{actor.name}", actor.stop
        if self.world.naps and actor.name.startswith("e"):
            yield f"nap-{actor.name}", lambda: self._nap(actor)
        if actor.lapse:
            yield f"pause-{actor.name}", lambda: self._pause(actor)
        if call.kind in (CallKind.APPEND, CallKind.ACK):
            yield f"lose-{actor.name}", lambda: self._let(call, How.LOSE)
            yield f"drop-{actor.name}", lambda: self._let(call, How.DROP)
        if call.kind is CallKind.APPEND:
            yield f"late-{actor.name}", lambda: self._let(call, How.LATE)
        if actor.name.startswith("e") and self.workflows.has_given:
            yield "repeat", self._repeat
        if self.world.clock_steps and call.kind is CallKind.APPEND:
            yield "clock-back", lambda: self._step_clock(-CLOCK_STEP)
            yield "clock-ahead", lambda: self._step_clock(CLOCK_STEP)

    def _crash(self, actor: Actor) -> None:
        actor.dead = True
        actor.crash()

    def _pause(self, actor: Actor) -> None:
        actor.pause()
        self.later(actor.lapse * PAUSE_LEASES, actor.go_on)

    def _nap(self, actor: Actor) -> None:
        """It is stopped for a while that costs it no lease."""
        actor.pause()
        self.later(NAP_SECONDS, actor.go_on)

    def _repeat(self) -> None:
        self.workflows.repeat()

    def _step_clock(self, step: timedelta) -> None:
        self._offset += step

    # -- states ----------------------------------------------------------------------------------------

    def _digest(self) -> bytes:
        """The log, what each process was answered, and what goes on by itself."""
        for message in self.cell.messages[len(self.stored_at) :]:
            self.stored_at.append(_time())
            self._log_digest.update(repr((message.recorded_at, message.subject, message.payload)).encode())
        whole = self._log_digest.copy()
        for actor in self._actors:
            whole.update(actor.history.digest() + bytes((actor.dead, actor.paused, actor is self._current)))
        rest = (round(_time(), 6), self._offset, self.cell.leased.holder(), self._pending)
        whole.update(repr((rest, self.workflows.digest, self.analyses.digest)).encode())
        return whole.digest()

    def _end_at_rest(self) -> bool:
        done = not self._pending and not any(one.acting for one in self.tellers)
        if done and any(one.leads and is_at_rest(one.service.fold.view) for one in self.orchestrators):
            self.drained = True
            return self._end()
        return _time() > SECONDS_MAX and self._end()

    def _end(self) -> bool:
        self._over.set_result(None)
        return True

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        if context.get("exception") is not None:
            self.life.wrong.append(f"nobody took this exception: {context['exception']!r}")


def _time() -> float:
    return asyncio.get_running_loop().time()
