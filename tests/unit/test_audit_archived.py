"""An audit that begins behind an archive asks no more of what is archived than is known of it."""

from collections.abc import Sequence
from datetime import datetime

from story import CELL
from written import SOURCE, WrittenLog

from remediation_orchestrator.events import Decision, StoredMessage, encode, subjects
from remediation_orchestrator.events.codec import join_frame
from remediation_orchestrator.orchestrator.archive import base_of
from remediation_orchestrator.orchestrator.frames import decision_attributes
from remediation_orchestrator.orchestrator.queries.audit import Auditor
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Finding, Report
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.snapshot import Origin, restore
from remediation_orchestrator.orchestrator.snapshots import read_head

COPIED = {"Nats-Stream": "OTHER", "Nats-Sequence": "1"}


class Overtaken(WrittenLog):
    """A cell in which junk on a command's subject is stored while its frame is under way, unread."""

    def __init__(self, run: str) -> None:
        """It is the subject of this run's command."""
        self._run = run
        super().__init__()

    def _store_frame(self, now: datetime, decisions: Sequence[Decision], encoded: list[bytes]) -> None:
        if not self.messages:
            super()._store_frame(now, decisions, encoded)
            return
        head = self._fold.head("o1", now)
        payload = join_frame([encode(head, decision_attributes(head, SOURCE, now)), *encoded])
        spoilt = f"ro.{CELL}.command.workflow.{self._run}"
        junk = StoredMessage(len(self.messages) + 1, now, spoilt, b"{}", COPIED)
        self.messages.append(junk)
        subject = subjects.decision(CELL)
        frame = StoredMessage(len(self.messages) + 1, now, subject, payload, self._expecting(subject))
        self.messages.append(frame)
        self._fold.stored(frame.sequence, [head, *decisions], payload)
        self._fold.take(junk)
        self._fold.skip(frame)


def behind(log: Sequence[StoredMessage], frame: StoredMessage) -> list[Finding]:
    """What an audit finds that begins where everything up to a frame is archived."""
    fold = Fold()
    for message in log[: frame.sequence]:
        fold.take(message)
    base = base_of(fold, frame)
    head = read_head(base.head)
    auditor = Auditor(Report())
    restore(auditor.fold, head, frame, base.parts)
    auditor.resume(Origin(head, base.digest))
    found = [one for message in log if message.sequence > head.through for one in auditor.take(message)]
    return [*found, *auditor.end()]


def test_junk_between_what_a_frame_has_read_and_the_frame_is_known_behind_an_archive() -> None:
    """The command behind it expects it, as the server demands; nobody archives it, and it is no fault."""
    log = Overtaken("wfe-2")
    log.signal(0)
    junk, frame, command = log.messages[2:5]
    assert (junk.headers, command.subject) == (COPIED, junk.subject)
    told = [one for one in behind(log.messages, frame) if one.drift not in HARMLESS]
    assert [one.message for one in told if "in the chain" not in one.message] == []  # No archive was asked for.
