"""Sending what is owed: each command and revocation on its own subject, where it must be the first that counts.

So it can be sent again by anyone at any time, and stands in the log once. Many commands are stored together,
under one sync; where that fails, for whatever reason, each is sent by itself, safe for the same reason."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime

from msgspec import Struct

from remediation_orchestrator.bus.port import TOGETHER_MAX, EventLog, LogError, StaleWriteError
from remediation_orchestrator.events import (
    ExecutionId,
    PhaseChanged,
    RoutingDecided,
    WorkflowRevoked,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import is_valid

from .frames import command_attributes, revocation_attributes
from .routing.outbox import Errand, OwedKey, command_of, revocation_of
from .routing.projection import Projection
from .routing.state import Owed

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.25
# Who is refused so often in a row does not meet an accident: it is said, and tried more slowly.
FLOOD_TRIES = 20
# What a stopping orchestrator waits for its last commands; what is not sent by then stays owed.
CLOSE_SECONDS = 2.0


class Dispatcher:
    """What is under way to the log, besides frames."""

    def __init__(
        self,
        log: EventLog,
        source: str,
        now: Callable[[], datetime],
        reckoning: Callable[[], datetime],
        together: int = 16,
    ) -> None:
        """From `together` commands on they go as a batch, which costs the broker about as much as so many.

        `now` may stand still, where others' clocks were ahead; `reckoning` is one's own, which goes on."""
        self._log = log
        self._now = now
        self._reckoning = reckoning
        self._together = together
        self._source = source
        self._sent: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.written: dict[tuple[str, str], bytes] = {}
        """What was tried last of all that is under way or owed: whoever reads it back need not look what it is."""
        self._batch = asyncio.Lock()
        """Held by the one batch that is under way."""

    def dispatch(self, view: Projection, now: datetime) -> None:
        """Send all that is owed and not under way, all at once: many commands together, the rest one by one."""
        for key in [key for key, task in self._sent.items() if task.done() and key not in view.owed]:
            del self._sent[key]
            self.written.pop(key, None)
        due = [
            (key, owed)
            for key, owed in view.owed.items()
            if key not in self._sent and owed.position is not None and _still_wanted(owed, key.errand, now)
        ]
        commands = [(key, self._command(key, owed, now)) for key, owed in due if key.errand is not Errand.REVOKE]
        while len(commands) >= self._together:
            together, commands = commands[:TOGETHER_MAX], commands[TOGETHER_MAX:]
            self._send([key for key, _ in together], self._store_together([record for _, record in together]))
        for key, record in commands:
            self._send([key], self._store(record))
        for key, owed in due:
            if key.errand is Errand.REVOKE:
                assert isinstance(owed.decision, PhaseChanged)
                self._send([key], self._store_revocation(revocation_of(owed.decision), now))

    def has_new_cancel(self, view: Projection) -> bool:
        """Whether a run is to be cancelled that has not been sent its cancel."""
        return any(key.errand is Errand.CANCEL and key not in self._sent for key in view.owed)

    def revoke(self, execution: ExecutionId, reason: str, now: datetime) -> None:
        """End a run that has not begun, if nobody has begun it meanwhile."""
        if OwedKey(Errand.REVOKE, execution) not in self._sent:
            fact = WorkflowRevoked(execution, reason=reason)
            self._send([OwedKey(Errand.REVOKE, execution)], self._store_revocation(fact, now))

    async def close(self) -> None:
        """Let what is under way arrive, for a little while."""
        under_way = {task for task in self._sent.values() if not task.done()}
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _send(self, keys: list[tuple[str, str]], sending: Coroutine[None, None, None]) -> None:
        self._sent.update(dict.fromkeys(keys, asyncio.create_task(sending)))

    def _command(self, key: OwedKey, owed: Owed, begun: datetime) -> "_Record":
        """The command that is owed, as it is stored."""
        assert owed.position is not None
        command = command_of(key.errand, owed.decision, owed.position)
        reckoned = self._reckoning()

        def present() -> datetime:
            return max(self._now(), begun + (self._reckoning() - reckoned))

        def written(now: datetime) -> bytes:
            payload = self.written[key] = encode(command, command_attributes(command, self._source, now))
            return payload

        return _Record(subjects.command(self._log.cell, command), written, present, _until(owed, key.errand))

    async def _store_revocation(self, fact: WorkflowRevoked, now: datetime) -> None:
        payload = encode(fact, revocation_attributes(fact, self._source, now))
        subject = subjects.execution(self._log.cell, fact.execution)
        await self._store(_Record(subject, lambda _now: payload, lambda: now))

    async def _store_together(self, records: Sequence["_Record"]) -> None:
        async with self._batch:
            # Another batch may have taken long.
            timely = [(one, now) for one in records if one.is_timely(now := one.present())]
            if not timely:
                return
            try:
                await self._log.append_together([(one.subject, one.written(now)) for one, now in timely])
            except LogError as error:  # One by one is safe, whatever has become of the batch.
                log.warning("not sent together", extra={"commands": len(timely), "why": str(error)})
            else:
                return
        await asyncio.gather(*(self._store(record) for record, _ in timely))

    async def _store(self, record: "_Record") -> None:
        """Store what is to be the first that counts on its subject, behind junk that may stand there.

        It takes as long as it takes, or until it is too late for it."""
        behind: int | None = 0
        tries, said = 0, ""
        while behind is not None and record.is_timely(now := record.present()):
            try:
                await self._log.append(record.subject, record.written(now), expect=behind)
            except StaleWriteError:
                tries += 1
                behind = await self._junk_up_to(record.subject, behind)
                if behind is not None and tries % FLOOD_TRIES == 0:
                    flooded = {"subject": record.subject, "tries": tries}
                    log.warning("others write where a command is to stand", extra=flooded)
                    await asyncio.sleep(RETRY_SECONDS)
            except LogError as error:
                if said != str(error):  # Where it stays so it is said once.
                    said = str(error)
                    log.warning("not sent yet", extra={"subject": record.subject, "why": said})
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _junk_up_to(self, subject: str, behind: int) -> int | None:
        """How far nothing counts on a subject; None where it stands already, or an executor was first.

        Where the first that stands there is junk the rest is read at once: a flood of it is to be overtaken."""
        while True:
            try:
                first = await self._log.next_on(subject, behind)
                if first is None:
                    return behind
                messages = [first] if is_valid(first) else await self._log.behind(subject, behind)
            except LogError as error:
                log.warning("not sent yet", extra={"subject": subject, "why": str(error)})
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if any(is_valid(message) for message in messages):
                return None
            behind = max((message.sequence for message in messages), default=behind)


class _Record(Struct, frozen=True):
    """What is to be the first on its subject. After `until` it is not sent any more.

    It is written anew for each try: by its `time` and its stamp executors tell how the clocks differ."""

    subject: str
    written: Callable[[datetime], bytes]
    present: Callable[[], datetime]
    """What time it is: never before its verdict's, and it goes on although moments may stand still."""
    until: datetime | None = None

    def is_timely(self, now: datetime) -> bool:
        """Whether it may still be sent."""
        return self.until is None or now <= self.until


def _until(owed: Owed, kind: Errand) -> datetime | None:
    """A run whose time to start has passed is revoked instead, which its timer sees to."""
    if kind is not Errand.WORKFLOW or not isinstance(owed.decision, RoutingDecided):
        return None
    return owed.decision.start_before


def _still_wanted(owed: Owed, kind: Errand, now: datetime) -> bool:
    until = _until(owed, kind)
    return until is None or now <= until
