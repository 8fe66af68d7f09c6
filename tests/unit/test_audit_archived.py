"""An audit that begins behind an archive asks no more of what is archived than is known of it."""

from collections.abc import Sequence
from datetime import datetime

from story import CELL
from written import WrittenLog

from remediation_orchestrator.events import (
    ArchiveRequested,
    Decision,
    ExecutionId,
    StoredMessage,
    WorkflowStarted,
    subjects,
)
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.archive import base_of
from remediation_orchestrator.orchestrator.queries.audit import Auditor, audit
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift, Finding, Report
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

    def frame(
        self, now: datetime, decisions: Sequence[Decision], encoded: Sequence[bytes] | None = None
    ) -> StoredMessage:
        """Store the junk, and then the frame that knows nothing of it."""
        if not self.messages:
            return super().frame(now, decisions, encoded)
        head, payload = self.written(now, decisions, encoded)
        junk = self.message(now, f"ro.{CELL}.command.workflow.{self._run}", b"{}", COPIED)
        subject = subjects.decision(CELL)
        frame = self.message(now, subject, payload, self.expecting(subject))
        self.fold.stored(frame.sequence, [head, *decisions], payload)
        self.fold.take(junk)
        self.fold.skip(frame)
        return frame


class Archived(WrittenLog):
    """A cell of whose log the beginning was taken off: what expects a record knows nothing of that."""

    def __init__(self) -> None:
        self.gone = 0
        super().__init__()

    def archive(self, at: float) -> None:
        """All that stands there is archived, as the chain says."""
        through, digest = len(self.messages), "0" * 64
        asked = ArchiveRequested(through, digest, digest, by="op", reason="full")
        self.fact(at, subjects.operator(CELL, asked), asked)
        self.gone = through

    def expecting(self, subject: str) -> dict[str, str]:
        """Nothing of what is gone."""
        expected = super().expecting(subject)
        return expected if int(expected[EXPECTED]) > self.gone else {EXPECTED: "0"}


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


def test_what_expects_nothing_where_all_is_archived_that_stood_there_is_fenced() -> None:
    """Found by full seed 89, with junk on the subject of a run that was still to come."""
    log, run = Archived(), ExecutionId("wfe-6")
    claims, commands = subjects.execution(CELL, run), f"ro.{CELL}.command.workflow.{run}"
    junk = [log.store(0, subject, b"{}") for subject in (claims, commands)]
    log.archive(1)
    assert f"wfe-{log.signal(2)}" == run
    log.fact(3, claims, WorkflowStarted(run, executor="e1"))
    by_subject = {message.subject: message.headers for message in log.messages}
    assert by_subject[claims] == by_subject[commands] == {EXPECTED: "0"}
    assert [one for one in audit(log.messages) if one.position not in junk] == []


def test_what_expects_nothing_where_something_stands_that_is_not_archived_is_found() -> None:
    """The server would have refused it."""
    log, run = Archived(), ExecutionId("wfe-5")
    claims = subjects.execution(CELL, run)
    log.archive(0)
    log.store(1, claims, b"{}")
    assert f"wfe-{log.signal(2)}" == run
    log.gone = len(log.messages)  # Taken off, and the chain does not say so.
    log.fact(3, claims, WorkflowStarted(run, executor="e1"))
    assert [one.drift for one in audit(log.messages)] == [Drift.UNFENCED]
