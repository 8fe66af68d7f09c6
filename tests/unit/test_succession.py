"""When whoever stands by takes the lead: of one that is silent, and of nobody that works."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from remediation_orchestrator.bus.port import Holding, LeaseState
from remediation_orchestrator.orchestrator.succession import BACK, GRACE, LATE, SILENT, STUCK, Succession

RENEW = 0.25
AT = datetime(2026, 11, 21, 10, tzinfo=UTC)
HELD = Holding(LeaseState.HELD, "a", AT)
LAPSED = Holding(LeaseState.LAPSED, since=AT)
GIVEN_BACK = Holding(LeaseState.FREE, since=AT)
GONE = Holding(LeaseState.FREE)


@pytest.fixture
def standby() -> Succession:
    """One that stands by while another leads."""
    succession = Succession("b", RENEW)
    assert not asked(succession, HELD, 0.0)
    return succession


def asked(succession: Succession, holding: Holding, at: float, took: float = 0.001) -> bool:
    """Whether it is due by an answer to a question that was asked at a moment."""
    return succession.is_due(holding, at, at + took)


def first_due(succession: Succession, holding: Holding, start: float) -> float:
    """When it is due, asking at every renewal from a moment on."""
    at = start
    while not asked(succession, holding, at):
        at += RENEW
        assert at < start + 20
    return at


def test_what_was_given_back_or_never_had_is_taken_at_once(standby: Succession) -> None:
    """Nobody waits for anything."""
    assert asked(standby, GIVEN_BACK, RENEW)
    assert asked(Succession("b", RENEW), GONE, 0.0)


def test_a_lapsed_lease_is_its_holders_for_one_more_renewal(standby: Succession) -> None:
    """And then whoever asks may have it: well within a second of the lapse."""
    assert RENEW < first_due(standby, LAPSED, RENEW) - RENEW <= (GRACE + 1) * RENEW


def test_a_holder_that_comes_back_keeps_it(standby: Succession) -> None:
    """The next lapse is another one."""
    assert not asked(standby, LAPSED, 0.25)
    assert not asked(standby, HELD, 0.5)
    assert not asked(standby, LAPSED, 0.75)
    assert asked(standby, LAPSED, 1.25)


def test_a_leader_whose_frames_still_come_is_not_replaced(standby: Succession) -> None:
    """However long its lease has lapsed; a second behind its last frame it is."""
    at = first_due(standby, LAPSED, RENEW)
    assert not standby.is_silent(LAPSED, 7, AT + timedelta(seconds=at), at)
    assert not standby.is_silent(LAPSED, 7, AT, RENEW)
    assert standby.is_silent(LAPSED, 7, AT, RENEW + SILENT * RENEW + 0.01)
    assert standby.is_silent(LAPSED, 7, AT - timedelta(seconds=SILENT * RENEW), at)
    assert standby.is_silent(LAPSED, 0, None, at) is False, "the frame was seen already"
    assert Succession("c", RENEW).is_silent(LAPSED, 0, None, at)


def test_a_silent_leader_whose_frame_is_of_another_year_is_replaced_as_soon(standby: Succession) -> None:
    """A broker's clock that stepped back between a frame and the lapse costs a second, not five years."""
    lapsed = first_due(standby, LAPSED, RENEW)
    ahead = AT + timedelta(days=5 * 365)
    assert not standby.is_silent(LAPSED, 7, ahead, lapsed)
    assert not standby.is_silent(LAPSED, 7, ahead, lapsed + (SILENT - 1) * RENEW)
    assert standby.is_silent(LAPSED, 7, ahead, lapsed + SILENT * RENEW)
    assert not standby.is_silent(LAPSED, 8, ahead + timedelta(seconds=1), lapsed + SILENT * RENEW), (
        "it still stores"
    )


def test_a_frame_behind_which_junk_stands_keeps_its_leader(standby: Succession) -> None:
    """Junk has no say in who leads: what was read of the leader counts for as long as a lease lasts."""
    standby.heard(7, RENEW)
    lapsed = first_due(standby, LAPSED, RENEW)
    assert not standby.is_silent(LAPSED, 7, None, lapsed)
    standby.heard(9, lapsed)
    assert not standby.is_silent(LAPSED, 9, None, lapsed + (SILENT - 1) * RENEW)
    assert standby.is_silent(LAPSED, 9, None, lapsed + SILENT * RENEW)


def test_a_lease_that_nobody_renews_has_lapsed_whatever_the_brokers_clock_says(standby: Succession) -> None:
    """The clock was set back by hours: who stands by waits as long as its own clock says, and no longer."""
    standby.heard(7, 0.0)
    assert first_due(standby, HELD, RENEW) == pytest.approx(STUCK * RENEW, abs=RENEW)
    assert standby.is_silent(HELD, 7, AT, STUCK * RENEW)


def test_a_lease_that_is_renewed_is_held_for_ever(standby: Succession) -> None:
    """A holder that renews is never replaced, nor one that renews late and whose frames come."""
    for number in range(1, 10 * STUCK):
        assert not asked(standby, msgspec.structs.replace(HELD, revision=number), number * RENEW)
    at = first_due(standby, msgspec.structs.replace(HELD, revision=10 * STUCK), 10 * STUCK * RENEW)
    assert not standby.is_silent(HELD, 8, AT, at), "it still stores"


def test_a_broker_that_answered_nobody_makes_no_lease_lapse(standby: Succession) -> None:
    """Nobody could renew meanwhile: its holder has its time to come back first."""
    for number in range(1, 3 * STUCK):
        standby.unanswered(number * RENEW)
    back = 3 * STUCK * RENEW
    assert first_due(standby, HELD, back) >= back - RENEW + BACK * RENEW


@pytest.mark.parametrize("outage", ["a late answer", "no answer", "a sleep of one's own"])
def test_a_lease_that_lapsed_while_the_broker_answered_nobody_is_its_former_holders_first(
    standby: Succession, outage: str
) -> None:
    """The time to come back counts from when the broker answers again, and so it does for who slept himself."""
    back = RENEW + 2 * LATE * RENEW
    if outage == "a late answer":
        assert not asked(standby, LAPSED, RENEW, took=back - RENEW)
    elif outage == "no answer":
        for number in range(1, 1 + round(back / RENEW)):
            standby.unanswered(number * RENEW)
    else:
        assert not asked(standby, LAPSED, back)
    wait = SILENT if outage == "a sleep of one's own" else BACK
    assert first_due(standby, LAPSED, back + RENEW) >= back + wait * RENEW


def test_a_lease_that_is_gone_was_given_back_by_nobody(standby: Succession) -> None:
    """Its bucket was deleted: its holder has its time to make it again."""
    assert first_due(standby, GONE, RENEW) >= RENEW + BACK * RENEW


def test_who_holds_it_already_goes_on(standby: Succession) -> None:
    """One's own lease is no other's."""
    assert asked(standby, Holding(LeaseState.HELD, "b", AT), RENEW)
