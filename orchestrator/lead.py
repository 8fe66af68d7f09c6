"""Leading a cell: round after round, fold what has come, judge what waits, store it, send what is owed.

One append is in flight at a time; load makes rounds larger instead of queues longer."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from remediation_orchestrator.bus.port import Clock, EventLog, LogError, StaleWriteError
from remediation_orchestrator.events import (
    Decision,
    OrchestratorStarted,
    PhaseChanged,
    RoutingDecided,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import join_frame, source

from .dispatch import Dispatcher
from .frames import batches, decision_attributes
from .inbox import Inbox
from .routing.decisions import fold_decision
from .routing.fold import Fold
from .routing.judge import judge
from .snapshots import Keeper

log = logging.getLogger(__name__)

ROUND_MESSAGES_MAX = 1_000
# Beyond what machines whose clocks are kept differ by, and within what nobody waits for in vain.
CLOCKS_DIFFER_MAX = timedelta(seconds=5)
RETRY_SECONDS = 0.25
FULL, ROOM = 0.90, 0.80
"""At which share of its limit the log stops taking signals, and takes them again."""


class Pace(Struct, frozen=True):
    """How often an orchestrator does what nothing has called for, in seconds where it does not say otherwise."""

    renew: float = 1.0
    """To renew its lease, which lasts five: a lost answer or two cost nobody the lead."""
    fill: float = 5.0
    """To see how full the log is."""
    snapshot: int = 10_000
    """To write a snapshot: messages of the log since the one before, at least."""
    together: int = 16
    """To send commands together: so many of one round, which is what a batch costs the broker."""


PACE = Pace()


class FencedError(Exception):
    """Another orchestrator is active, or is about to be: stand by."""


class Leader:
    """The active orchestrator, from its first append to its last."""

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        fold: Fold,
        inbox: Inbox,
        name: str,
        pace: Pace = PACE,
        keeper: Keeper | None = None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._fold = fold
        self._inbox = inbox
        self._name = name
        self._pace = pace
        self._keeper = keeper
        self._source = source(log.cell, f"orchestrator/{name}")
        self._subject = subjects.decision(log.cell)
        self._dispatcher = Dispatcher(log, self._source, pace.together)
        self._own: dict[int, float] = {}
        """Frames stored and not read back yet, and when (monotonic seconds) their append was acknowledged."""
        self.unstored: str | None = None
        """Why the frame under way is not stored yet."""
        self._resigned: str | None = None
        self._not_after = clock.reckoning() + CLOCKS_DIFFER_MAX
        """No fact of the frame under way has a later moment: one's own reckoning, and what clocks differ by."""
        self._fill_due = 0.0

    async def begin(self, first_record: Callable[[], OrchestratorStarted]) -> None:
        """Take the fence: from here on every append of an earlier orchestrator is refused."""
        while True:
            started = first_record()
            try:
                await self._store([started], self._now())
            except StaleWriteError:  # Another was faster. Only who starts tries again.
                await self._inbox.wait(RETRY_SECONDS)
                for message in self._inbox.take(ROUND_MESSAGES_MAX):
                    self._fold.take(message)
            else:
                fold_decision(self._fold.view, started, None)
                break
        while self._own:  # The clock is set by what is read back.
            await self._inbox.wait(RETRY_SECONDS)
            self._take()

    async def lead(self, stopping: asyncio.Event) -> None:
        """Round after round, until told to stop. Raises FencedError when another orchestrator is active."""
        try:
            await self._round()  # What is still owed is judged first.
            while not stopping.is_set():
                await self._wait()
                await self._round()
                await self._watch_fill()
        except StaleWriteError as conflict:
            raise FencedError(str(conflict)) from conflict

    def resign(self, why: str) -> None:
        """Stop leading at the next occasion."""
        self._resigned = why
        self._inbox.wake()

    async def close(self) -> None:
        """Let what is under way arrive."""
        await self._dispatcher.close()
        if self._keeper is not None:
            await self._keeper.close()

    async def _wait(self) -> None:
        """Until there is something to do: a message, a wake-up, or the end."""
        seconds = self._pace.fill
        due = self._fold.view.next_wakeup()
        if self._fold.facts:
            seconds = 0.0
        elif due is not None:
            by_now = min(self._clock.now(), self._bound())
            seconds = min(seconds, (due - by_now).total_seconds())
        await self._inbox.wait(seconds)
        self._take()

    def _take(self) -> None:
        for message in self._inbox.take(ROUND_MESSAGES_MAX):
            if message.sequence in self._own:
                self._clock.observe(message.recorded_at, self._own.pop(message.sequence))
                self._fold.skip(message)
            elif message.subject == self._subject:
                raise FencedError(f"{self._subject} has a record at {message.sequence} that is not ours")
            else:
                self._fold.take(message)
        if self._resigned is not None:
            raise FencedError(self._resigned)

    async def _round(self) -> None:
        fold = self._fold
        # One bound for all that a frame takes. It only grows, so a fact within it is within every later one.
        self._not_after = self._bound()
        fold.fold_facts(most=ROUND_MESSAGES_MAX, not_after=self._not_after)
        now = self._now()
        result = judge(fold.view, now)
        frame = b""
        for batch in batches(result.decisions, self._source, now):
            frame = await self._store(batch.decisions, now, batch.encoded)
        if frame and self._keeper is not None:
            self._keeper.consider(fold, frame)
        if fold.bounded or (not result.decisions and self._dispatcher.has_new_cancel(fold.view)):
            # What a fact alone asks for, or a moment that is not its stamp, must stand in the log before.
            await self._store([], now)
        for execution in result.overdue:
            self._dispatcher.revoke(execution, "nobody started it in time", now)
        self._dispatcher.dispatch(fold.view, now)
        self._report(result.decisions)

    def _bound(self) -> datetime:
        """What no moment of a frame that is begun now may be later than."""
        return max(self._not_after, self._clock.reckoning() + CLOCKS_DIFFER_MAX)

    def _now(self) -> datetime:
        """The broker's clock, never earlier than any fact folded, and not ahead of what one's own allows."""
        return max(min(self._clock.now(), self._not_after), self._fold.view.newest)

    async def _store(self, decisions: list[Decision], now: datetime, encoded: list[bytes] | None = None) -> bytes:
        """Store one frame and return its bytes. Raises StaleWriteError where it is not the next of the chain."""
        head = self._fold.head(self._name, self._not_after)
        items = encoded or [encode(one, decision_attributes(one, self._source, now)) for one in decisions]
        payload = join_frame([encode(head, decision_attributes(head, self._source, now)), *items])
        sequence = await self._append(payload, expect=self._fold.chain.head)
        self.unstored = None
        self._own[sequence] = asyncio.get_running_loop().time()
        self._fold.stored(sequence, [head, *decisions], payload)
        return payload

    async def _append(self, payload: bytes, *, expect: int) -> int:
        """Append a frame, whatever becomes of the answers: the same expectation admits it once."""
        while True:
            try:
                return await self._log.append(self._subject, payload, expect=expect)
            except StaleWriteError:
                sequence = await self._find(payload)
                if sequence is None:
                    raise
                return sequence
            except LogError as error:
                self.unstored = str(error)
                log.warning("a frame is not stored yet", extra={"why": self.unstored})
                await asyncio.sleep(RETRY_SECONDS)

    async def _find(self, payload: bytes) -> int | None:
        """The sequence of a frame that was stored although its append was not answered."""
        while True:
            try:
                newest = await self._log.last(self._subject)
            except LogError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return newest.sequence if newest is not None and newest.payload == payload else None

    async def _watch_fill(self) -> None:
        """Shut the log for signals before it is full, so that what runs can still end and be recorded."""
        moment = asyncio.get_running_loop().time()
        if moment < self._fill_due:
            return
        self._fill_due = moment + self._pace.fill
        try:
            fill, takes = await self._log.fill(), await self._log.takes_signals()
            wanted = fill < (FULL if takes else ROOM)
            if wanted != takes:
                await self._log.take_signals(enabled=wanted)
                log.warning("the log takes signals" if wanted else "the log is full", extra={"fill": fill})
        except LogError as error:
            log.warning("the log's fill is not known", extra={"why": str(error)})

    def _report(self, decisions: list[Decision]) -> None:
        """One line a decision, fields instead of prose."""
        if not log.isEnabledFor(logging.INFO):
            return
        for decision in decisions:
            if isinstance(decision, RoutingDecided):
                log.info("decided", extra=_fields(decision, self._fold.chain.as_of))
            elif isinstance(decision, PhaseChanged):
                log.info("changed", extra={"remediation": decision.remediation, "phase": decision.phase})


def _fields(decision: RoutingDecided, as_of: int) -> dict[str, object]:
    verdict = decision.verdict
    return {
        "remediation": decision.remediation,
        "attempt": decision.attempt,
        "fingerprint": decision.situation.fingerprint,
        "verdict": type(verdict).__name__,
        "reason": getattr(verdict, "reason", None),
        "as_of": as_of,
    }
