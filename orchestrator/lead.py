"""Leading a cell: round after round, fold what has come, judge what waits, store it, send what is owed.

One append is in flight at a time; load makes rounds larger instead of queues longer, up to a bound. Nothing here
keeps the event loop for long: between two short pieces of work everybody has a turn, and the lease is renewed."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.bus.port import (
    Clock,
    EventLog,
    NotWholeError,
    StaleWriteError,
)
from remediation_orchestrator.events import (
    Decision,
    ExecutionId,
    OrchestratorStarted,
    PhaseChanged,
    RoutingDecided,
    StoredMessage,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import event_source, head_of, join_frame
from remediation_orchestrator.events.stored import CLOCKS_DIFFER_MAX

from .appending import FencedError, FrameAppender
from .breath import Breath
from .dispatch import Dispatcher
from .frames import STORED_MAX, batches, decision_attributes
from .inbox import Inbox
from .routing.decisions import fold_decision
from .routing.fold import Fold
from .routing.judge import judgements
from .snapshots import Keeper

log = logging.getLogger(__name__)

Judgements = Iterator[tuple[Decision, ...] | ExecutionId]

ROUND_MESSAGES_MAX = 1_000
# What waits to be judged before no more is folded: a fifth of a second's work, and about what a frame holds.
ROUND_RECORDS_MAX = 4_000
# What is taken at a time of what has been read: thirty of the largest facts.
ROUND_BYTES_MAX = 8 * 1024 * 1024
# Folding ends after so long, whatever there is to fold: messages of nothing are dear, and others wait behind.
# On a machine that is short of time a smaller bound would make rounds smaller, and each costs a frame.
ROUND_SECONDS = 1.0
RETRY_SECONDS = 0.25


class LeaderSettings(Struct, frozen=True):
    """How often an orchestrator does what nothing has called for, in seconds where it does not say otherwise."""

    renew: float = 0.25
    """To renew its lease, which lasts four times as long: a lost answer or two cost nobody the lead."""
    look: float = 1.0
    """To see that the log it leads is whole. Each look is a few questions to the broker."""
    fill: float = 5.0
    """To see how full the log is."""
    snapshot: int = 10_000
    """To write a snapshot: messages of the log since the one before, at least."""
    records: int = ROUND_RECORDS_MAX
    """Of what waits to be judged, before no more is folded."""
    together: int = 16
    """To send commands together: so many of one round, which is what a batch costs the broker."""


PACE = LeaderSettings()


class Leader:
    """The active orchestrator, from its first append to its last."""

    def __init__(
        self,
        log: EventLog,
        clock: Clock,
        fold: Fold,
        inbox: Inbox,
        name: str,
        pace: LeaderSettings,
        keeper: Keeper,
    ) -> None:
        self._log = log
        self._clock = clock
        self._fold = fold
        self._inbox = inbox
        self._name = name
        self._pace = pace
        self._keeper = keeper
        self._source = event_source(log.cell, f"orchestrator/{name}")
        self._subject = subjects.decision(log.cell)
        self._dispatcher = Dispatcher(log, self._source, self._present, clock.reckoning, pace.together)
        self._own: dict[int, float] = {}
        """Frames stored and not read back yet, and when (monotonic seconds) their append was acknowledged."""
        self.moved = asyncio.Event()
        """Set when a frame was stored, or a record read."""
        self._resigned: str | None = None
        self._not_after = clock.reckoning() + CLOCKS_DIFFER_MAX
        """No fact of the frame under way has a later moment: one's own reckoning, and what clocks differ by."""
        self.frames = FrameAppender(log, fold.chain, inbox, self._check_resigned, pace.fill)
        self._breath = Breath()

    async def begin(self, first_record: Callable[[], OrchestratorStarted]) -> None:
        """Take the fence: from here on every append of an earlier orchestrator is refused."""
        while True:
            started = first_record()
            try:
                await self._store([started], self._now())
            except StaleWriteError:  # Another was faster. Only who starts tries again.
                await self._inbox.wait(RETRY_SECONDS)
                if self._resigned is not None:
                    raise FencedError(self._resigned) from None
                while (message := self._inbox.next()) is not None:
                    self._fold.take(message)
                    await self._breath.draw()
            else:
                fold_decision(self._fold.view, started, None)
                break
        while self._own:  # The clock is set by what is read back.
            await self._inbox.wait(RETRY_SECONDS)
            while self._own and (message := self._inbox.next()) is not None:
                self._take_one(message)
                await self._breath.draw()
            self.moved.set()
            self._check_resigned()

    async def lead(self, stopping: asyncio.Event) -> None:
        """Round after round, until told to stop. Raises FencedError when another orchestrator is active."""
        try:
            await self._round()  # What is still owed is judged first.
            while not stopping.is_set():
                await self._wait()
                await self._round()
                await self.frames.fill.watch(self._fold.chain.as_of)
        except StaleWriteError as conflict:
            raise FencedError(str(conflict)) from conflict

    def resign(self, why: str) -> None:
        """Stop leading at the next occasion."""
        self._resigned = why
        self._inbox.wake()

    async def close(self) -> None:
        """Let what is under way arrive."""
        await self._dispatcher.close()
        await self._keeper.close()

    async def _wait(self) -> None:
        """Until there is something to do: a message, a wake-up, or the end."""
        seconds = self._pace.fill
        due = self._fold.view.next_wakeup()
        if self._fold.facts:
            seconds = 0.0
        elif due is not None:
            seconds = min(seconds, self._until(due))
        await self._inbox.wait(seconds)
        await self._take()

    def _until(self, due: datetime) -> float:
        """How many seconds there are until a moment. Where the broker's clock is behind what was folded it has all
        of its way to go: else a leader would look again and again for as long as it is behind."""
        by_clock = min(self._clock.now(), self._bound())
        return 0.0 if due <= self._present() else (due - by_clock).total_seconds()

    async def _take(self) -> None:
        """Take what has been read, once all is folded that was taken before: what waits is bounded."""
        taken, facts = 0, self._fold.facts
        while (taken or not facts) and taken < ROUND_BYTES_MAX and len(facts) < ROUND_MESSAGES_MAX:
            message = self._inbox.next()
            if message is None:
                break
            self._take_one(message)
            size = len(message.payload)
            taken += size + 1
            if self._breath.is_due(size):
                await self._breath.draw()
        if taken:
            self.moved.set()
        self._check_resigned()

    def _check_resigned(self) -> None:
        if self._resigned is not None:
            raise FencedError(self._resigned)

    def _take_one(self, message: StoredMessage) -> None:
        if message.sequence in self._own:
            self._clock.observe(message.recorded_at, self._own.pop(message.sequence))
            self._fold.skip(message)
        elif message.subject == self._subject and head_of(message) is not None:
            raise FencedError(f"{self._subject} has a record at {message.sequence} that is not ours")
        else:
            self._fold.take(message, self._dispatcher.written)

    async def _round(self) -> None:
        # One bound for all that a frame takes. It only grows, so a fact within it is within every later one.
        self._not_after = self._bound()
        await self._fold_facts()
        fold, now = self._fold, self._now()
        judged = judgements(fold.view, now)
        overdue: list[ExecutionId] = []
        frame = b""
        while decisions := await self._judge(judged, overdue):
            frame = await self._store_all(decisions, now)
            self._dispatcher.dispatch(fold.view, now)
            await self._report(decisions)
        if frame:
            self._keeper.consider(fold, frame)
        if not frame and (fold.is_to_be_told or self._dispatcher.has_new_cancel(fold.view)):
            # What a fact alone asks for, or a moment that is not its stamp, must stand in the log before, and so
            # must it that an operator was heard, who waits to see that.
            await self._store([], now)
        for execution in overdue:
            self._dispatcher.revoke(execution, "nobody started it in time", now)
        if not frame:  # Else all that is owed was sent behind the last one.
            self._dispatcher.dispatch(fold.view, now)

    async def _fold_facts(self) -> None:
        """Fold facts until there is enough to judge, or it has taken long enough."""
        fold, loop = self._fold, asyncio.get_running_loop()
        until = loop.time() + ROUND_SECONDS
        for _ in range(ROUND_MESSAGES_MAX):
            waiting = len(fold.view.unjudged) + len(fold.view.tasks)
            if not fold.facts or waiting >= self._pace.records:
                break
            if self._breath.is_due(fold.fold_message(self._not_after)):
                await self._breath.draw()
                if loop.time() > until:
                    break

    async def _judge(self, judged: Judgements, overdue: list[ExecutionId]) -> list[Decision]:
        """The next decisions of a round, as many as are stored together; none when it is at its end."""
        decisions: list[Decision] = []
        for one in judged:
            if isinstance(one, str):
                overdue.append(one)
            else:
                decisions += one
            if len(decisions) >= STORED_MAX:
                break
            if self._breath.is_due(0):
                await self._breath.draw()
        return decisions

    async def _store_all(self, decisions: list[Decision], now: datetime) -> bytes:
        """Store decisions in as many frames as they need. Return the last one's bytes."""
        frame = b""
        for batch in batches(decisions, self._source, now):
            frame = await self._store(batch.decisions, now, batch.encoded)
            await self.frames.fill.watch(self._fold.chain.as_of, busy=True)
            await self._breath.draw()
        return frame

    def _bound(self) -> datetime:
        """Return what no moment of a frame that is begun now may be later than."""
        return max(self._not_after, self._clock.reckoning() + CLOCKS_DIFFER_MAX)

    def _present(self) -> datetime:
        """The broker's clock, not ahead of what one's own allows now, and never before any fact folded.

        A round's own `now` may lie back."""
        return max(min(self._clock.now(), self._bound()), self._fold.view.newest)

    def _now(self) -> datetime:
        """The broker's clock, never earlier than any fact folded, and not ahead of what one's own allows."""
        return max(min(self._clock.now(), self._not_after), self._fold.view.newest)

    async def _store(self, decisions: list[Decision], now: datetime, encoded: list[bytes] | None = None) -> bytes:
        """Store one frame and return its bytes. Raises StaleWriteError where it is not the next of the chain."""
        head = self._fold.head_of_next(self._name, self._not_after)
        items = encoded or [encode(one, decision_attributes(one, self._source, now)) for one in decisions]
        payload = join_frame([encode(head, decision_attributes(head, self._source, now)), *items])
        sequence = await self.frames.append(payload)
        if sequence <= self._fold.read:  # What was read there is gone: nothing that was decided counts.
            raise NotWholeError(f"a frame was stored at {sequence}, and {self._fold.read} was read already")
        self._own[sequence] = asyncio.get_running_loop().time()
        self._fold.stored(sequence, [head, *decisions], payload)
        self.moved.set()
        return payload

    async def _report(self, decisions: list[Decision]) -> None:
        """One line a decision, fields instead of prose."""
        if not log.isEnabledFor(logging.INFO):
            return
        for decision in decisions:
            if self._breath.is_due(0):
                await self._breath.draw()
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
