"""Histories: whatever a cell is told, near every boundary, no promise about its log is broken."""

import base64
import random

from remediation_orchestrator.simulation.catalogs import refresh
from remediation_orchestrator.simulation.explore_search import silently
from remediation_orchestrator.simulation.histories import tell
from remediation_orchestrator.simulation.leads import lead_on

# The suite's share; `ro-sim fuzz --reader histories` goes on for as long as wanted.
HISTORIES = 80
CATALOGS = 40
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


def test_whatever_becomes_of_two_orchestrators_the_one_leads_that_should() -> None:
    """A nap no longer than a lease and its grace costs nobody the lead; a death is seen whatever clocks say."""
    silently()
    dice = random.Random(1)
    for _ in range(HISTORIES):
        told = dice.randbytes(dice.choice((12, 30)))
        assert list(lead_on(told)) == [], base64.b64encode(told).decode()


def test_however_its_files_change_a_catalog_serves_what_its_folder_has() -> None:
    """Also where a file is replaced by another of its age and size; and rules fit just what they say."""
    silently()
    dice = random.Random(1)
    for _ in range(CATALOGS):
        told = dice.randbytes(60)
        assert list(refresh(told)) == [], base64.b64encode(told).decode()


def test_the_same_bytes_tell_the_same_history() -> None:
    """Else nothing that was found could be seen again."""
    silently()
    told = bytes(range(200))
    assert list(tell(told)) == list(tell(told))
