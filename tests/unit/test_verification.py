"""Whether a repair has helped, and what follows, at every boundary."""

from datetime import timedelta

import pytest
from story import CHECKOUT, STEADY, Story, minute

from remediation_orchestrator.events import (
    Block,
    BlockCleared,
    Cause,
    Duplicate,
    Outcome,
    Phase,
    PolicyAdopted,
    Proceed,
    Reason,
    Refuse,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    Target,
    Verification,
    VerificationEnded,
)
from remediation_orchestrator.orchestrator.routing.policy import PolicyError, policy_of

US = timedelta(microseconds=1)
QUIET = {"within": "30m", "settle": "1m", "chain": 3, "chain_window": "4h"}
PASSIVE = {**QUIET, "silence": "10m"}


def story(verification: dict[str, object] | None = None) -> Story:
    """A cell whose policy verifies."""
    return Story(policy_of({**STEADY, "verification": verification or QUIET}))


def repaired(one: Story, at: float = 0, *, resolves: bool = True) -> str:
    """A run begins, and completes two minutes after its signal; return its remediation."""
    signal = one.signal(at, resolves=resolves)
    one.started(at + 1, f"wfe-{signal}")
    one.completed(at + 2, f"wfe-{signal}")
    return f"rr-{signal}"


def results(one: Story) -> list[tuple[str, object]]:
    """What was found, and when."""
    return [(r.result, r.now) for r in one.decisions if isinstance(r, VerificationEnded)]


def test_a_completed_run_has_to_show_that_it_has_helped_and_its_target_is_free() -> None:
    """Its problem is not: what fires is counted on it."""
    one = story()
    of = repaired(one)
    assert one.phase(of) == Phase.VERIFYING
    assert one.holder() is None
    assert one.remediation(of).until == minute(32)
    assert (one.changes[-1].phase, one.changes[-1].because.kind) == (Phase.VERIFYING, Cause.COMPLETED)
    one.signal(5)
    assert one.verdict == Duplicate(RemediationId(of))
    one.signal(6, "Other", workflow="scale")
    assert one.verdict == Proceed()


def test_where_the_policy_verifies_nothing_a_completed_run_is_a_repair() -> None:
    """As with no section, or without its `within`."""
    for one in (Story(), story({"chain": 3})):
        of = repaired(one)
        assert one.phase(of) == Phase.COMPLETED
        assert results(one) == []


def test_what_its_source_says_in_time_makes_a_repair_effective() -> None:
    """Failures are forgiven then, and not before."""
    one = story()
    first = one.signal(0)
    one.started(0, f"wfe-{first}")
    one.failed(1, f"wfe-{first}")
    one.wait(2)
    one.started(2, f"wfe-{first}-r2")
    one.completed(3, f"wfe-{first}-r2")
    assert one.history().failures == 1
    one.resolved(10)
    assert one.remediation(f"rr-{first}").until == minute(11)
    one.wait(11)
    assert results(one) == [(Verification.EFFECTIVE, minute(11))]
    assert one.phase(f"rr-{first}") == Phase.COMPLETED
    assert (one.changes[-1].outcome, one.changes[-1].because.kind) == (Outcome.REMEDIATED, Cause.VERIFIED)
    assert one.history().failures == 0


def test_what_was_over_before_the_run_completed_settles_from_its_end() -> None:
    """What it was doing to its target may have silenced the alert."""
    one = story()
    signal = one.signal(0)
    one.started(1, f"wfe-{signal}")
    one.resolved(1.5)
    one.completed(2, f"wfe-{signal}")
    one.wait(3)
    assert results(one) == [(Verification.EFFECTIVE, minute(3))]


def test_at_exactly_the_end_of_settle_a_repair_has_helped() -> None:
    """A microsecond before, what fires begins it anew."""
    one = story()
    of = repaired(one)
    one.resolved(10)
    one.wait(minute(11) - US)
    assert one.phase(of) == Phase.VERIFYING
    one.wait(11)
    assert one.phase(of) == Phase.COMPLETED
    again = story()
    of = repaired(again)
    again.resolved(10)
    again.signal(minute(11) - US)
    again.wait(12)
    assert again.phase(of) == Phase.VERIFYING


def test_at_exactly_within_a_source_may_still_say_so() -> None:
    """A microsecond later it is too late."""
    one = story()
    repaired(one)
    one.resolved(32)
    one.wait(33)
    assert results(one) == [(Verification.EFFECTIVE, minute(33))]
    late = story()
    of = repaired(late)
    late.together(33, lambda: late.resolved(minute(32) + US))
    assert [result for result, _ in results(late)] == [Verification.INEFFECTIVE]
    assert late.phase(of) == Phase.FAILED  # Its problem is over: nobody waits for another run.
    assert late.changes[-1].outcome is Outcome.INCONCLUSIVE


def test_what_fires_again_before_within_begins_anew_and_after_it_has_not_helped() -> None:
    """So a source that flaps gets its time, and no more."""
    one = story()
    of = repaired(one)
    one.resolved(10)
    one.signal(10.5)
    one.resolved(12)
    one.wait(13)
    assert results(one) == [(Verification.EFFECTIVE, minute(13))]
    late = story()
    of = repaired(late)
    late.resolved(31.5)
    late.signal(32.25)
    assert results(late) == [(Verification.INEFFECTIVE, minute(32.25))]
    assert late.phase(of) == Phase.BLOCKED
    assert [r.because.kind for r in late.decisions if isinstance(r, RoutingDecided)][-2:] == [
        "ineffective",
        "signal",
    ]


def test_a_repair_that_has_not_helped_counts_and_leaves_no_cooldown() -> None:
    """It is judged again by the whole list, so it waits for its backoff, and for nothing else."""
    one = story()
    of = repaired(one)
    one.wait(minute(32) + US)
    assert results(one) == [(Verification.INEFFECTIVE, minute(32) + US)]
    assert one.last.because.kind is Cause.INEFFECTIVE
    assert (one.history().failures, one.history().completed_at) == (1, None)
    assert one.verdict == Block(Reason.EXPONENTIAL_BACKOFF, until=minute(33) + US)
    one.wait(minute(33) + US)
    assert one.verdict == Proceed()
    assert one.remediation(of).execution == f"wfe-{of.removeprefix('rr-')}-r2"


def test_a_signal_that_shows_that_a_repair_has_not_helped_is_judged_after_that() -> None:
    """So it is no duplicate of what is over, and opens another."""
    one = story()
    of = repaired(one, resolves=False)
    one.signal(3, resolves=False)
    assert one.verdict == Duplicate(RemediationId(of))  # At exactly the end of `settle` it may be an echo.
    again = one.signal(minute(3) + US, resolves=False)
    assert results(one) == [(Verification.INEFFECTIVE, minute(3) + US)]
    assert one.phase(of) == Phase.FAILED
    assert one.changes[-1].outcome is Outcome.INCONCLUSIVE
    assert one.last.remediation == f"rr-{again}"


def test_at_exactly_the_end_of_silence_a_repair_has_helped() -> None:
    """What fires then is another occurrence."""
    one = story(PASSIVE)
    of = repaired(one, resolves=False)
    assert one.remediation(of).until == minute(13)
    one.wait(minute(13) - US)
    assert one.phase(of) == Phase.VERIFYING
    again = one.signal(13, resolves=False)
    assert results(one) == [(Verification.EFFECTIVE, minute(13))]
    assert one.last.remediation == f"rr-{again}"


def test_without_silence_nobody_knows_whether_it_has_helped() -> None:
    """Its failures are forgiven all the same: so it is where nothing verifies."""
    one = story()
    of = repaired(one, resolves=False)
    one.wait(32)
    assert one.phase(of) == Phase.VERIFYING
    one.wait(minute(32) + US)
    assert results(one) == [(Verification.UNKNOWN, minute(32) + US)]
    assert one.changes[-1].outcome is Outcome.UNVERIFIED
    assert one.history().failures == 0


def test_what_time_has_settled_stays_so_whatever_comes_before_it_is_said() -> None:
    """As where nobody has led for a while."""
    one = story()
    of = repaired(one)
    one.together(20, lambda: one.resolved(10), lambda: one.signal(11.5), lambda: one.resolved(12))
    assert [result for result, _ in results(one)] == [Verification.EFFECTIVE]
    assert [c.outcome for c in one.changes if c.remediation == of][-1] == Outcome.REMEDIATED
    silent = story(PASSIVE)
    of = repaired(silent, resolves=False)
    silent.together(20, lambda: silent.signal(14, resolves=False))
    assert [result for result, _ in results(silent)] == [Verification.EFFECTIVE]
    assert [c.outcome for c in silent.changes if c.remediation == of][-1] == Outcome.REMEDIATED


def test_a_retry_says_nothing_about_whether_a_problem_is_over() -> None:
    """It is its own duplicate, and the verification goes on."""
    one = story()
    of = repaired(one)
    one.resolved(10)
    one.operator(10.5, RetryRequested(RemediationId(of)))
    assert one.verdict == Duplicate(RemediationId(of))
    one.wait(11)
    assert results(one) == [(Verification.EFFECTIVE, minute(11))]


def test_a_cancel_while_verifying_counts_nothing() -> None:
    """Neither a failure nor a repair that has helped; its cooldown stays."""
    one = story()
    of = repaired(one)
    one.operator(5, RemediationCancelled(RemediationId(of)))
    assert one.phase(of) == Phase.CANCELLED
    one.wait(60)
    assert results(one) == []
    assert (one.history().failures, one.history().completed_at) == (0, minute(2))


def in_vain(one: Story, at: float, name: str) -> None:
    """A problem is repaired, and fires again three minutes later; a person ends what that opens."""
    signal = one.signal(at, name, resolves=False, workflow=f"restart-{name}")
    one.started(at, f"wfe-{signal}")
    one.completed(at + 1, f"wfe-{signal}")
    again = one.signal(at + 3, name, resolves=False)
    one.operator(at + 3, RemediationCancelled(RemediationId(f"rr-{again}")))


def chained(one: Story) -> float:
    """Three problems of one target are repaired in vain, one after the other; return when that was known."""
    for at, name in ((0, "A"), (10, "B"), (20, "C")):
        in_vain(one, at, name)
    return 23


def test_a_chain_of_repairs_that_have_not_helped_refuses_a_target_a_further_one() -> None:
    """Whatever problem asks for it; another target is another matter."""
    one = story()
    known = chained(one)
    newest = [r for r in one.decisions if isinstance(r, VerificationEnded)][-1]
    one.signal(known + 1, "D")
    assert one.verdict == Refuse(Reason.INEFFECTIVE_CHAIN, of=newest.remediation)
    assert one.last.situation.ineffective == (minute(3), minute(13), minute(23))
    one.signal(known + 2, "D", target=Target("cart", namespace="shop"))
    assert one.verdict == Proceed()


def test_at_exactly_chain_window_a_chain_still_refuses() -> None:
    """A microsecond later the first of them is forgotten."""
    one = story()
    chained(one)
    one.signal(3 + 240, "D")
    assert isinstance(one.verdict, Refuse)
    one.signal(minute(3 + 240) + US, "E")
    assert one.verdict == Proceed()
    assert one.last.situation.ineffective == (minute(13), minute(23))


@pytest.mark.parametrize("workflow", [None, "restart", "other"])
def test_a_clear_of_its_target_forgets_a_chain(workflow: str | None) -> None:
    """With a workflow or without."""
    one = story()
    known = chained(one)
    one.operator(known + 1, BlockCleared(target=CHECKOUT, workflow=workflow))
    one.signal(known + 2, "D")
    assert one.verdict == Proceed()


def test_a_repair_that_has_helped_ends_a_chain() -> None:
    """One of which nobody knows does not."""
    one = story(PASSIVE)
    in_vain(one, 0, "A")
    repaired(one, 10, resolves=False)
    one.wait(30)
    in_vain(one, 40, "B")
    in_vain(one, 50, "C")
    one.signal(60, "D")
    assert one.verdict == Proceed()
    assert one.last.situation.ineffective == (minute(43), minute(53))


def test_a_chain_is_remembered_from_the_policy_that_has_it_on() -> None:
    """What was not remembered is not brought back."""
    one = story({"within": "30m", "settle": "1m"})
    chained(one)
    numbers = {**STEADY, "verification": QUIET}
    one.operator(30, PolicyAdopted(numbers))
    one.signal(31, "D")
    assert one.verdict == Proceed()
    assert one.last.situation.ineffective == ()


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        ({"within": "1m", "settle": "1m"}, "verification.settle"),
        ({"within": "10m", "settle": "1m", "silence": "9m1s"}, "verification.silence"),
        ({"within": "0s"}, "verification.within"),
        ({"within": "1m", "chain_window": "0s"}, "verification.chain_window"),
        ({"within": "1m", "chain": 0}, "chain"),
        ({"within": "1m", "patience": "1s"}, "patience"),
    ],
)
def test_nothing_settles_for_longer_than_it_is_looked_at(numbers: dict[str, object], wrong: str) -> None:
    """And no duration is 0 but those of which it makes sense."""
    with pytest.raises(PolicyError, match=wrong):
        policy_of({**STEADY, "verification": numbers})
    policy_of({**STEADY, "verification": {"within": "10m", "settle": "0s", "silence": "10m"}})
