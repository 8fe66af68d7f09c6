"""The shell around the core: it moves bytes between the log and the fold, and has no opinions.

At any moment at most one orchestrator of a cell is active: the others fold along and stand by. The lease says
who should try; the expectation of every append on the decision subject says who succeeds."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from msgspec import Struct

from remediation_orchestrator.bus.clock import ComparedClock
from remediation_orchestrator.bus.port import (
    ArchivedError,
    Clock,
    EventLog,
    Holding,
    Lease,
    LeaseState,
    LogError,
    LogUnreachableError,
    NotWholeError,
)
from remediation_orchestrator.events import OrchestratorStarted, subjects
from remediation_orchestrator.events.codec import head_of

from .appending import FencedError
from .breath import SLICE_SECONDS, beside
from .inbox import Inbox
from .lead import PACE, Leader, LeaderSettings
from .routing.fold import Fold
from .routing.policy import DEFAULT, Policy
from .snapshots import Keeper, begin
from .succession import Succession
from .watch import Watch

log = logging.getLogger(__name__)

# Whoever follows is behind by milliseconds; whoever still folds the past is not ready.
TAIL_SECONDS = 1.0
LOOK_SECONDS = 0.01


class Identity(Struct, frozen=True):
    """Who this orchestrator is."""

    name: str
    version: str


class Orchestrator:
    """One orchestrator of a cell."""

    def __init__(
        self,
        log: EventLog,
        lease: Lease,
        clock: Clock,
        identity: Identity,
        policy: Policy | None = None,
        pace: LeaderSettings = PACE,
    ) -> None:
        self._log = log
        self._lease = lease
        self.clock = ComparedClock(clock)
        self._identity = identity
        self._policy = policy or DEFAULT
        self._given = policy is not None
        """Whether somebody has named this policy: then it is said where it is not the one in force."""
        self._pace = pace
        self._stopping = asyncio.Event()
        self._leader: Leader | None = None
        self._unfit: str | None = None
        """Why this version must not become active here."""
        self.active = asyncio.Event()
        """Set while this orchestrator decides."""
        self.inbox = Inbox()
        self.fold = Fold()
        self._begun_at = 0
        """Where the snapshot stands that it went on from; 0 where it was none."""
        self._ask_at = 0.0
        """When to ask for the lease again, in the event loop's seconds."""
        self._succession = Succession(identity.name, pace.renew)
        self._settled = False
        """Whether what was folded first has been laid aside for good."""
        self._watch = Watch(log, clock, pace.look)

    def stop(self) -> None:
        """Ask it to end cleanly: it finishes its round and gives the lease back."""
        self._stopping.set()
        self.inbox.wake()
        if self._leader is not None and not self.active.is_set():
            self._leader.resign("told to stop")  # It may be trying to take the fence in vain.

    async def run(self) -> None:
        """Stand by, lead, and stand by again when another has taken over, until told to stop.

        Raises LogError where the log is gone for good."""
        while not self._stopping.is_set():
            try:
                await self._take_part()
            except NotWholeError as error:
                with suppress(LogError):
                    await self._lease.release(self._identity.name)
                await self._watch.rest(error, self._stopping)
            except ArchivedError as error:  # It stood still for longer than what it was to read has lasted.
                log.warning("beginning anew", extra={"why": str(error)})

    async def _take_part(self) -> None:
        """Stand by, and lead once."""
        async with self._reading():
            # Who leads renews its lease, and would hear of nothing but that.
            async with beside(self._watch_lease(self.inbox)):
                due = await self._stand_by()
            if not due:
                return
            try:
                await self._lead()
            except FencedError as conflict:
                log.warning("standing by", extra={"why": str(conflict)})
            finally:
                self.active.clear()

    async def why_not_ready(self) -> str | None:
        """Why it neither decides nor could take over, or takes no signals; None where all is well.

        Ready is: folded to the tail as it was when asked, and holding the lease, or following whoever holds it."""
        unfit = self._unfit or self._watch.why
        if unfit is not None:
            return unfit
        try:
            tail = await self._log.last_sequence()
            async with asyncio.timeout(TAIL_SECONDS):
                while self.fold.read < tail:  # noqa: ASYNC110 - a probe is rare, and an event would cost every message
                    await asyncio.sleep(LOOK_SECONDS)
            if self._leader is not None and self._leader.frames.unstored is not None:
                return f"the broker stores nothing: {self._leader.frames.unstored}"
            if await self._lease.holder() is None:
                return "nobody is active"
            if not (room := await self._log.room()).takes_signals:
                return f"the log is {room.fill:.0%} full: it takes no signals until there is room"
        except TimeoutError:
            return f"it has folded {self.fold.read:,} of {tail:,} messages"
        except LogError as error:
            return str(error)
        return None

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        """Read the log into a fresh fold, from a snapshot on if there is one, as long as the context lasts."""
        self.inbox, self._ask_at = Inbox(), 0.0
        self._succession = Succession(self._identity.name, self._pace.renew)
        self.fold = await self._begin()
        self._begun_at = self.fold.chain.last
        async with beside(self._read(self.inbox)):
            yield
        self._watch.remember(self.fold)  # What was found not to be whole is no measure of what is.

    async def _begin(self) -> Fold:
        """Begin as soon as the log can be asked. Raises LogError where that can never be."""
        while not self._stopping.is_set():
            try:
                await self._watch.check()
                fold = await begin(self._log)
                self._watch.begun()
                return fold
            except LogUnreachableError as error:
                await self._watch.rest(error, self._stopping)
        return Fold()

    async def _read(self, inbox: Inbox) -> None:
        following = self.fold.read + 1
        try:
            async for message in self._log.read(following, follow=True):
                if message.sequence != following:
                    await self._watch.check_gap(following, message.sequence - 1)
                following = message.sequence + 1
                await inbox.put(message)
        except LogError as error:
            inbox.fail(error)

    async def _watch_lease(self, inbox: Inbox) -> None:
        """Wake whoever stands by when the lease is free."""
        while True:
            try:
                await self._lease.changed()
            except LogError:
                await asyncio.sleep(self._pace.renew)
            self._ask_at = 0.0
            inbox.wake()

    async def _stand_by(self) -> bool:
        """Fold along until the lease is ours and the fold is at the tail; False when told to stop."""
        while not self._stopping.is_set():
            await self._take()
            self._settle()
            if self.fold.unknown is None and not await self._may_lead():
                continue
            unknown = self.fold.needs_another(self._identity.version)
            if unknown is not None:
                await self._refuse_to_lead(unknown)
            elif await self._is_whole():
                return not self._stopping.is_set()
        return False

    async def _is_whole(self) -> bool:
        """Whether nothing of the log is missing; False where nobody can be asked. Raises NotWholeError."""
        try:
            await self._watch.check(self.fold)
        except LogUnreachableError:
            return False
        return True

    async def _take(self) -> None:
        """Take of what has been read, for a short while, waiting for as long as a renewal if that is nothing."""
        await self.inbox.wait(self._pace.renew)
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE_SECONDS
        while loop.time() < until and (message := self.inbox.next()) is not None:
            self.fold.take(message)

    def _settle(self) -> None:
        """Have the collector leave alone what was folded first: a walk over it would be a pause of a leader."""
        if not self._settled and not self.inbox.waiting:
            self._settled = True
            gc.collect()
            gc.freeze()

    async def _refuse_to_lead(self, unknown: str) -> None:
        log.error(
            "not becoming active",
            extra={"unknown": unknown, "needs_version": self.fold.version, "version": self._identity.version},
        )
        self._unfit = f"{unknown} needs version {self.fold.version} or newer, this is {self._identity.version}"
        with suppress(LogError):
            await self._lease.release(self._identity.name)
        await self._stopping.wait()

    async def _may_lead(self) -> bool:
        """Ask for the lease: when it may have become free, and now and then, but not for every message."""
        now = asyncio.get_running_loop().time()
        if now < self._ask_at:
            return False
        self._ask_at = now + self._pace.renew
        try:
            free = await self._is_free(now)
        except LogError:
            self._succession.unanswered(asyncio.get_running_loop().time())
            return False
        return free is not None and await self._has_lease(free.revision) and await self._at_tail()

    async def _is_free(self, asked: float) -> Holding | None:
        """The lease as it may be taken: nobody has it, or whoever had it neither renews nor stores.

        Where nothing is there its bucket may have gone, and its holder may work, never seen by who is new."""
        holding = await self._lease.look()
        now = asyncio.get_running_loop().time()
        self.clock.looked(holding, now)
        self._succession.heard(self.fold.chain.newest, now)
        if not self._succession.is_due(holding, asked, now):
            return None
        given_back = holding.standing is LeaseState.FREE and holding.since is not None
        if given_back or holding.holder == self._identity.name:
            return holding
        newest = await self._log.last(subjects.decision(self._log.cell))
        frame, stamp = self.fold.chain.newest, None
        if newest is not None and head_of(newest) is not None:
            frame, stamp = newest.sequence, newest.recorded_at
        return holding if self._succession.is_silent(holding, frame, stamp, now) else None

    async def _has_lease(self, over: int | None = None) -> bool:
        """Become the holder; `over` is the revision at which it may be taken from another."""
        try:
            return await self._lease.acquire(self._identity.name, over=over)
        except LogError:
            return False

    async def _at_tail(self) -> bool:
        try:
            tail = await self._log.last_sequence()
        except LogError:
            return False
        renewed = 0.0
        while (read := self.fold.read) < tail and not self._stopping.is_set():
            await self._take()
            if (now := asyncio.get_running_loop().time()) >= renewed + self._pace.renew:
                renewed = now
                await self._renew()
            if self.fold.read == read:  # Nothing has come: it may be gone.
                with suppress(LogUnreachableError):
                    await self._watch.check()
        return True

    async def _renew(self) -> bool:
        """Hold the lease; True while nobody else is known to have it."""
        try:
            return await self._lease.renew(self._identity.name) or await self._has_lease()
        except LogError:
            return True  # Nobody can be asked: the fence keeps this safe.

    async def _lead(self) -> None:
        gc.freeze()  # The tables are for good: to walk over them would cost more the more is known.
        keeper = Keeper(self._log.snapshots, self._begun_at, self._pace.snapshot)
        leader = Leader(self._log, self.clock, self.fold, self.inbox, self._identity.name, self._pace, keeper)
        self._leader = leader
        guard = self._watch.guard(self.fold, leader.resign)
        try:
            async with beside(self._keep_lease(leader), guard):
                await leader.begin(self._first_record)
                if not await self._is_whole():  # It may have stood still since it looked, and others have led on.
                    raise FencedError("nobody can say whether the log is whole")
                self.active.set()
                log.info("active", extra={"orchestrator": self._identity.name, "read": self.fold.read})
                async with beside(self._watch.mark(self.fold, leader.moved)):
                    await leader.lead(self._stopping)
        finally:
            self._leader = None
            await leader.close()
            with suppress(LogError):
                await self._lease.release(self._identity.name)
            if self.active.is_set():
                await self._watch.leave(self.fold)

    async def _keep_lease(self, leader: Leader) -> None:
        held = True
        while held:
            await asyncio.sleep(self._pace.renew)
            held = await self._renew()
        leader.resign("the lease is another's")

    def _first_record(self) -> OrchestratorStarted:
        unknown = self.fold.needs_another(self._identity.version)
        if unknown is not None:  # A newer one was faster, and has said what we do not know.
            raise FencedError(unknown)
        view = self.fold.view
        policy = None if view.adopted else self._policy.document()
        in_force = view.policy if view.adopted else self._policy
        if self._given and in_force.digest != self._policy.digest:
            log.warning(
                "the policy file given is not the policy in force; `ro policy adopt` is the way to change it",
                extra={"given": self._policy.digest, "in_force": in_force.digest},
            )
        return OrchestratorStarted(
            orchestrator=self._identity.name,
            version=self._identity.version,
            log=self._log.identity,
            policy=policy,
            policy_digest=in_force.digest,
        )
