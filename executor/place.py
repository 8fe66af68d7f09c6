"""An execution's subject, read record by record and written behind what was read. Whoever may publish anything
can have junk stored there: it is stepped over, and keeps nobody from claiming a run or from telling its end."""

from remediation_orchestrator.bus.port import EventLog
from remediation_orchestrator.events import ExecutionId, StoredMessage, subjects

from .claim import ClaimState, Free, standing_after


class ExecutionSubject:
    """What stands on an execution's subject, as far as it was read."""

    def __init__(self, log: EventLog, execution: ExecutionId) -> None:
        self._log = log
        self._subject = subjects.execution(log.cell, execution)
        self.last = 0
        self.standing: ClaimState = Free()

    async def look(self, until: int | None = None) -> None:
        """Read on to the newest record, or to the one of this sequence. Raises LogError."""
        while until is None or self.last < until:
            message = await self._log.next_on(self._subject, self.last)
            if message is None:
                return
            self._take(message)
            if isinstance(self.standing, Free):  # Junk: whoever floods the subject is to be overtaken.
                for one in await self._log.behind(self._subject, self.last):
                    self._take(one)

    def _take(self, message: StoredMessage) -> None:
        if message.sequence > self.last:  # Two may look at once.
            self.last = message.sequence
            self.standing = standing_after(self.standing, message)

    async def append(self, payload: bytes) -> int:
        """Store a record right behind the last one that was read. Raises as the log's `append` does."""
        return await self._log.append(self._subject, payload, expect=self.last)
