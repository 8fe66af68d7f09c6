"""Where a log may be cut: between two rounds."""

import msgspec
from story import CELL
from written import InManyFrames

from remediation_orchestrator.events import subjects
from remediation_orchestrator.orchestrator.archive import is_between_rounds
from remediation_orchestrator.orchestrator.routing.fold import Fold


def test_a_log_is_cut_behind_no_frame_with_which_its_round_is_not_over() -> None:
    """What was folded still waits for its verdict there, and no projection that is kept has it."""
    written = InManyFrames()
    for number in range(3):
        signal = {"name": "S", "target": {"name": f"t{number}"}, "workflow": {"id": "restart"}}
        written.store(1, subjects.signal(CELL, "test"), msgspec.json.encode(signal))
    written.decide(1)
    fold, between = Fold(), []
    for message in written.messages:
        fold.take(message)
        if message.subject.endswith(".decision"):
            between.append(is_between_rounds(fold))
    assert between == [True, False, False, True]
