"""Histories: whatever a cell is told, near every boundary, no promise about its log is broken."""

import base64
import random

from remediation_orchestrator.simulation.explore_search import silently
from remediation_orchestrator.simulation.histories import tell

# The suite's share; `ro-sim fuzz --reader histories` goes on for as long as wanted.
HISTORIES = 120
BYTES = (60, 150, 300)


def test_whatever_the_history_no_promise_about_its_log_is_broken() -> None:
    """Facts in any order, boundaries to the millisecond, restarts, snapshots, junk, lost answers, an archive."""
    silently()
    dice = random.Random(1)
    for _ in range(HISTORIES):
        told = dice.randbytes(dice.choice(BYTES))
        assert list(tell(told)) == [], base64.b64encode(told).decode()


def test_a_snapshot_goes_on_where_frames_before_its_own_were_not_read_back() -> None:
    """The frame behind it still tells of them: who began from such a snapshot called a good log not whole."""
    silently()
    told = base64.b64decode(
        "hMLrhV554jJvWc65a4bf+ywCpo5FDDrpsSqhuMwaAb+eE1uj0HXu1UBZciAgMuIGpAvBpzpKVcPKEG18uARGHCh2tvekp1NjK/5L"
        "OYsxk319ztb0sHO/P4EIAZnoYLiLgJ4V//+gpHQDvCT0qlLNBzbaSBoQm5BJQ/3PusYSK4TG1Q33TmhbysHpPMQbHL25h+qBzZJG"
    )
    assert list(tell(told)) == []


def test_the_same_bytes_tell_the_same_history() -> None:
    """Else nothing that was found could be seen again."""
    silently()
    told = bytes(range(200))
    assert list(tell(told)) == list(tell(told))
