"""The ten checks, each asked directly: it acts, it does not, it stays quiet; and at equality the way is free."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Block,
    Duplicate,
    Fingerprint,
    Proceed,
    Reason,
    Refuse,
    RemediationId,
    Situation,
    Skip,
    Target,
    Verdict,
)
from remediation_orchestrator.orchestrator.routing import checks
from remediation_orchestrator.orchestrator.routing.backoff import backoff
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, RoutingPolicy, policy_of

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
US = timedelta(microseconds=1)
RR = RemediationId("rr-7")
SHOP = Target("checkout", "eu-1", "shop", "Deployment")
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

CLEAN = Situation(
    now=NOW,
    policy="",
    fingerprint=Fingerprint("F"),
    target=SHOP,
    workflow="restart",
    resolves=True,
    occurred_at=NOW,
)
"""Nothing objects."""
SILENT = Policy(RoutingPolicy(alert_memory=HOUR))
"""A policy without a key that a check reads."""


def verdict(policy: Policy = DEFAULT, /, **known: object) -> Verdict:
    """Decide the clean situation, but for what is known."""
    return decide(replace(CLEAN, **known), policy)


def without(*keys: str) -> Policy:
    """The default policy, some keys absent."""
    return replace(DEFAULT, routing=replace(DEFAULT.routing, **dict.fromkeys(keys)))


def test_the_order_of_the_checks_is_the_contracts() -> None:
    """Permanent refusals stand before waits."""
    assert [check.name for check in checks.CHECKS] == [
        "unmanaged_resource",
        "duplicate_in_progress",
        "stale_signal",
        "previous_execution_failed",
        "exhausted_retries",
        "ineffective_chain",
        "consecutive_failures",
        "exponential_backoff",
        "recently_remediated",
        "workflow_recently_completed",
        "resource_busy",
    ]


OBJECTIONS: list[tuple[dict[str, object], Reason]] = [
    ({"target": Target("dns", namespace="kube-system")}, Reason.UNMANAGED_RESOURCE),
    ({"active": RR}, Reason.DUPLICATE_IN_PROGRESS),
    ({"resolves": False, "occurred_at": NOW - HOUR}, Reason.STALE_SIGNAL),
    ({"previous_failure": RR}, Reason.PREVIOUS_EXECUTION_FAILED),
    ({"failures": 5, "last_failure_at": NOW}, Reason.EXHAUSTED_RETRIES),
    ({"failures": 3, "last_failure_at": NOW}, Reason.CONSECUTIVE_FAILURES),
    ({"failures": 1, "last_failure_at": NOW}, Reason.EXPONENTIAL_BACKOFF),
    ({"completed_at": NOW, "completed_by": RemediationId("rr-1")}, Reason.RECENTLY_REMEDIATED),
    ({"workflow_completed_at": NOW, "workflow_completed_by": RemediationId("rr-2")}, Reason.RECENTLY_REMEDIATED),
    ({"held_by": RR}, Reason.RESOURCE_BUSY),
]
MANAGED = policy_of({**DEFAULT.document(), "scope": {"exclude": [{"target": {"namespace": "kube-system"}}]}})


@pytest.mark.parametrize("first", range(10))
def test_the_first_objection_is_the_verdict(first: int) -> None:
    """Each check objects although every later one would, too."""
    known: dict[str, object] = {}
    for values, _ in reversed(OBJECTIONS[first:]):
        known.update(values)
    objection = verdict(MANAGED, **known)
    assert not isinstance(objection, Proceed)
    assert objection.reason is OBJECTIONS[first][1]
    if first == 7:
        assert objection.of == "rr-1"


def test_nothing_objects_to_a_clean_situation() -> None:
    """Proceed, and it says nothing else."""
    assert verdict() == Proceed()
    assert verdict(SILENT) == Proceed()
    assert msgspec.json.encode(verdict()) == b'{"kind":"Proceed"}'


# -- 1 UnmanagedResource ----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["cluster", "namespace", "kind", "name"])
def test_an_excluded_target_is_skipped_by_any_of_its_parts(part: str) -> None:
    """Compared exactly."""
    policy = policy_of(
        {"routing": {"alert_memory": "24h"}, "scope": {"exclude": [{"target": {part: getattr(SHOP, part)}}]}}
    )
    assert verdict(policy) == Skip(Reason.UNMANAGED_RESOURCE)
    other = policy_of(
        {
            "routing": {"alert_memory": "24h"},
            "scope": {"exclude": [{"target": {part: getattr(SHOP, part).upper()}}]},
        }
    )
    assert verdict(other) == Proceed()


def test_a_pattern_excludes_only_what_fits_it_whole() -> None:
    """Parts are joined by and, patterns by or."""
    both = policy_of(
        {
            "routing": {"alert_memory": "24h"},
            "scope": {
                "exclude": [{"target": {"namespace": "shop", "kind": "StatefulSet"}}, {"target": {"name": "x"}}]
            },
        }
    )
    assert verdict(both) == Proceed()
    assert verdict(both, target=replace(SHOP, kind="StatefulSet")) == Skip(Reason.UNMANAGED_RESOURCE)
    assert verdict(both, target=Target("x")) == Skip(Reason.UNMANAGED_RESOURCE)


def test_a_pattern_of_an_empty_part_excludes_what_has_none() -> None:
    """Absent parts of a target are empty ones."""
    policy = policy_of({"routing": {"alert_memory": "24h"}, "scope": {"exclude": [{"target": {"cluster": ""}}]}})
    assert verdict(policy) == Proceed()
    assert verdict(policy, target=Target("x")) == Skip(Reason.UNMANAGED_RESOURCE)


def test_by_default_nothing_is_excluded() -> None:
    """Not even kube-system."""
    assert verdict(target=Target("dns", namespace="kube-system")) == Proceed()


# -- 2 DuplicateInProgress --------------------------------------------------------------------------------


def test_a_second_occurrence_is_a_duplicate_of_the_active_remediation() -> None:
    """Whatever the policy says."""
    assert verdict(active=RR) == Duplicate(RR)
    assert verdict(SILENT, active=RR) == Duplicate(RR)
    assert Duplicate(RR).reason is Reason.DUPLICATE_IN_PROGRESS


# -- 3 StaleSignal ----------------------------------------------------------------------------------------

AGE = timedelta(minutes=15)


def test_a_signal_older_than_its_age_is_skipped_where_nobody_would_have_told() -> None:
    """At exactly the age the way is free."""
    assert verdict(resolves=False, occurred_at=NOW - AGE - US) == Skip(Reason.STALE_SIGNAL)
    assert verdict(resolves=False, occurred_at=NOW - AGE) == Proceed()


def test_time_in_a_queue_does_not_age() -> None:
    """To the microsecond."""
    occurred = NOW - AGE - HOUR
    assert verdict(resolves=False, occurred_at=occurred, queued=HOUR) == Proceed()
    assert verdict(resolves=False, occurred_at=occurred, queued=HOUR - US) == Skip(Reason.STALE_SIGNAL)


def test_a_source_that_resolves_never_goes_stale() -> None:
    """It would have said so."""
    assert verdict(resolves=True, occurred_at=NOW - 100 * HOUR) == Proceed()


def test_staleness_is_silent_without_its_key_or_its_value() -> None:
    """No `signal_max_age`, or no occurrence recorded."""
    assert verdict(without("signal_max_age"), resolves=False, occurred_at=NOW - 100 * HOUR) == Proceed()
    assert verdict(resolves=False, occurred_at=None) == Proceed()


# -- 4 PreviousExecutionFailed ----------------------------------------------------------------------------


def test_a_half_changed_target_is_refused() -> None:
    """Of that remediation, and with no until: a person has to look."""
    assert verdict(previous_failure=RR) == Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=RR)
    assert verdict(SILENT, previous_failure=RR) == Refuse(Reason.PREVIOUS_EXECUTION_FAILED, of=RR)
    assert verdict(previous_failure=None) == Proceed()


# -- 5 ExhaustedRetries -----------------------------------------------------------------------------------

MEMORY = timedelta(hours=24)


def test_as_many_failures_as_the_limit_are_refused() -> None:
    """At the limit, not after it; and it says neither until nor of."""
    assert verdict(failures=5, last_failure_at=NOW - HOUR) == Refuse(Reason.EXHAUSTED_RETRIES)
    assert verdict(failures=6, last_failure_at=NOW - HOUR) == Refuse(Reason.EXHAUSTED_RETRIES)
    assert verdict(failures=4, last_failure_at=NOW - HOUR) == Proceed()


def test_failures_count_at_exactly_their_memory_and_no_longer() -> None:
    """Refused until forgotten."""
    assert verdict(failures=5, last_failure_at=NOW - MEMORY) == Refuse(Reason.EXHAUSTED_RETRIES)
    assert verdict(failures=5, last_failure_at=NOW - MEMORY - US) == Proceed()


def test_without_a_memory_failures_count_for_ever() -> None:
    """Only a clear helps."""
    assert verdict(without("failure_memory"), failures=5, last_failure_at=NOW - 1_000 * MEMORY) == Refuse(
        Reason.EXHAUSTED_RETRIES
    )


def test_exhaustion_is_silent_without_its_key_or_its_value() -> None:
    """No `retry_limit`, or no failure recorded."""
    assert verdict(without("retry_limit"), failures=99, last_failure_at=NOW - HOUR) == Proceed()
    assert verdict(failures=99, last_failure_at=None) == Proceed()


# -- 6 ConsecutiveFailures --------------------------------------------------------------------------------


def test_three_failures_block_until_the_end_of_the_cooldown() -> None:
    """At exactly `until` one probe may run."""
    last = NOW - HOUR + US
    assert verdict(failures=3, last_failure_at=last) == Block(Reason.CONSECUTIVE_FAILURES, until=last + HOUR)
    assert verdict(failures=3, last_failure_at=NOW - HOUR) == Proceed()
    assert verdict(failures=4, last_failure_at=NOW) == Block(Reason.CONSECUTIVE_FAILURES, until=NOW + HOUR)


def test_fewer_failures_than_the_threshold_do_not() -> None:
    """Two wait for their backoff only."""
    assert verdict(without("backoff_base"), failures=2, last_failure_at=NOW) == Proceed()


def test_a_forgotten_row_of_failures_does_not_block() -> None:
    """A memory shorter than the cooldown wins."""
    short = replace(DEFAULT, routing=replace(DEFAULT.routing, failure_memory=MINUTE))
    assert isinstance(verdict(short, failures=3, last_failure_at=NOW - MINUTE), Block)
    assert verdict(short, failures=3, last_failure_at=NOW - MINUTE - US) == Proceed()


@pytest.mark.parametrize("key", ["consecutive_failure_threshold", "consecutive_failure_cooldown"])
def test_consecutive_failures_is_silent_without_its_keys_or_its_value(key: str) -> None:
    """Either key missing, or no failure recorded."""
    silent = verdict(without(key), failures=3, last_failure_at=NOW)
    assert not isinstance(silent, Block) or silent.reason is Reason.EXPONENTIAL_BACKOFF
    assert verdict(failures=3, last_failure_at=None) == Proceed()


# -- 7 ExponentialBackoff ---------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [1, 2])
def test_a_failure_waits_for_its_backoff(failures: int) -> None:
    """At exactly `NextAllowedExecution` the way is free."""
    wait = backoff(DEFAULT.routing, Fingerprint("F"), failures)
    assert verdict(failures=failures, last_failure_at=NOW - wait + US) == Block(
        Reason.EXPONENTIAL_BACKOFF, until=NOW + US
    )
    assert verdict(failures=failures, last_failure_at=NOW - wait) == Proceed()


def test_at_the_threshold_backoff_gives_way_to_the_cooldown() -> None:
    """0 < n < threshold."""
    policy = replace(DEFAULT, routing=replace(DEFAULT.routing, consecutive_failure_cooldown=None))
    assert verdict(policy, failures=3, last_failure_at=NOW) == Proceed()
    assert verdict(failures=0, last_failure_at=NOW) == Proceed()


@pytest.mark.parametrize("key", ["backoff_base", "backoff_cap"])
def test_backoff_is_silent_without_its_keys_or_its_value(key: str) -> None:
    """Either key missing, or no failure recorded."""
    assert verdict(without(key), failures=1, last_failure_at=NOW) == Proceed()
    assert verdict(failures=1, last_failure_at=None) == Proceed()


# -- 8 and 9 RecentlyRemediated ---------------------------------------------------------------------------

COOLDOWN = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("at", "by"), [("completed_at", "completed_by"), ("workflow_completed_at", "workflow_completed_by")]
)
class TestRecentlyRemediated:
    """The fingerprint's cooldown and the workflow's, word for word the same."""

    def test_where_the_source_resolves_it_waits_until_the_end(self, at: str, by: str) -> None:
        """Of that remediation, with what remains in seconds."""
        found = verdict(**{at: NOW - COOLDOWN + timedelta(seconds=1.5), by: RR})
        end = NOW + timedelta(seconds=1.5)
        assert found == Block(Reason.RECENTLY_REMEDIATED, until=end, of=RR, remaining=1.5)

    def test_elsewhere_it_is_skipped(self, at: str, by: str) -> None:
        """Of that remediation, with what remains, and no until."""
        found = verdict(resolves=False, **{at: NOW, by: RR})
        assert found == Skip(Reason.RECENTLY_REMEDIATED, of=RR, remaining=300.0)
        assert msgspec.json.decode(msgspec.json.encode(found)) == {
            "kind": "Skip",
            "reason": "RecentlyRemediated",
            "of": "rr-7",
            "remaining": 300.0,
        }

    @pytest.mark.parametrize("resolves", [True, False])
    def test_at_exactly_its_length_the_way_is_free(self, at: str, by: str, resolves: bool) -> None:
        """To the microsecond."""
        assert verdict(resolves=resolves, **{at: NOW - COOLDOWN, by: RR}) == Proceed()
        assert verdict(resolves=resolves, **{at: NOW - COOLDOWN + US, by: RR}) != Proceed()

    def test_it_is_silent_without_its_key_or_its_value(self, at: str, by: str) -> None:
        """No cooldown in the policy, or no completion recorded."""
        key = "signal_cooldown" if at == "completed_at" else "workflow_cooldown"
        assert verdict(without(key), **{at: NOW, by: RR}) == Proceed()
        assert verdict(**{at: None, by: None}) == Proceed()


# -- 10 ResourceBusy --------------------------------------------------------------------------------------


def test_a_held_target_blocks_without_an_until() -> None:
    """Of the remediation whose run holds it, in the first place of the queue."""
    assert verdict(held_by=RR) == Block(Reason.RESOURCE_BUSY, of=RR, queue_position=1)
    assert verdict(SILENT, held_by=RR) == Block(Reason.RESOURCE_BUSY, of=RR, queue_position=1)


def test_who_holds_the_target_is_named_before_who_waits_for_it() -> None:
    """And the place counts those who are ahead."""
    known = {"held_by": RR, "queue_first": RemediationId("rr-8"), "queue_ahead": 2}
    assert verdict(**known) == Block(Reason.RESOURCE_BUSY, of=RR, queue_position=3)


def test_a_free_target_with_somebody_ahead_blocks_too() -> None:
    """Of the first in the queue: nobody overtakes."""
    known = {"queue_first": RemediationId("rr-8"), "queue_ahead": 2}
    assert verdict(**known) == Block(Reason.RESOURCE_BUSY, of=RemediationId("rr-8"), queue_position=3)


def test_a_free_target_with_nobody_ahead_does_not() -> None:
    """Nor does a missing value."""
    assert verdict(held_by=None, queue_first=None, queue_ahead=0) == Proceed()


# -- keys and the wire ------------------------------------------------------------------------------------


def test_a_check_whose_key_is_not_known_yet_does_not_apply() -> None:
    """Without a workflow, what is recorded of workflows is not there to be read."""
    assert verdict(workflow=None) == Proceed()


@pytest.mark.parametrize(("values", "reason"), OBJECTIONS, ids=lambda value: str(value)[:40])
def test_a_recorded_situation_gives_its_verdict_again(values: dict[str, object], reason: Reason) -> None:
    """After a round trip through JSON, which is what audit does."""
    situation = replace(CLEAN, **values)
    read = msgspec.json.decode(msgspec.json.encode(situation), type=Situation)
    assert read == situation
    found = decide(situation, MANAGED)
    assert decide(read, MANAGED) == found
    assert msgspec.json.decode(msgspec.json.encode(found), type=Verdict) == found
    assert not isinstance(found, Proceed)
    assert found.reason is reason
    assert ("until" in msgspec.to_builtins(found)) <= isinstance(found, Block)


def test_decide_reads_no_clock_and_no_chance() -> None:
    """The same question has the same answer, however often it is asked."""
    known = {"failures": 2, "last_failure_at": NOW}
    assert len({msgspec.json.encode(verdict(**known)) for _ in range(100)}) == 1
