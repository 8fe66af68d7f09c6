"""Whose turn it was, where a log ends in the middle of a round."""

import msgspec
import pytest
from story import CELL
from written import InManyFrames

from remediation_orchestrator.events import subjects
from remediation_orchestrator.orchestrator.queries import audit as audit_module
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Drift


def test_a_log_that_ends_behind_as_many_decisions_as_are_stored_at_once_lacks_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They may stand in several frames, each with its head: the rest of the round was still to be judged."""
    monkeypatch.setattr(audit_module, "STORED_MAX", 6)
    written = InManyFrames()
    for number in range(5):
        signal = {"name": "S", "target": {"name": f"t{number}"}, "workflow": {"id": "restart"}}
        written.store(1, subjects.signal(CELL, "test"), msgspec.json.encode(signal))
    written.decide(1)
    of_the_round = [
        one.sequence for one in written.messages if one.subject.endswith(".decision") and one.sequence > 6
    ]
    assert len(of_the_round) == 5
    assert [one.drift for one in audit(written.messages[: of_the_round[2]])] == []
    assert Drift.UNANSWERED in {one.drift for one in audit(written.messages[: of_the_round[1]])}
