"""A check is one record: whoever adds one over known values touches the list, and the reason if it is new."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Because,
    Cause,
    Fingerprint,
    Position,
    Proceed,
    Reason,
    RemediationId,
    RoutingDecided,
    Situation,
    Skip,
    Stage,
    Target,
    Verdict,
)
from remediation_orchestrator.orchestrator.queries.explain import CheckAnswer, CheckLine, explain
from remediation_orchestrator.orchestrator.routing import checks
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, RoutingPolicy, VerificationPolicy

WAITS = Situation(
    now=datetime(2026, 11, 21, 10, tzinfo=UTC),
    policy="",
    fingerprint=Fingerprint("F"),
    target=Target("checkout"),
    workflow="restart",
    resolves=True,
    queue_ahead=5,
)


BY_OTHERS = ("alert_memory", "runs_per_analysis", "within", "settle", "silence")
"""What no check reads, and the fold does, or whoever judges again."""


def test_every_number_of_the_policy_is_a_check_s() -> None:
    """But for those that the fold and whoever judges again read; and no check reads one that there is not."""
    numbers = {key for check in checks.CHECKS for key in check.numbers}
    assert numbers | set(BY_OTHERS) == {
        *RoutingPolicy.__struct_fields__,
        *VerificationPolicy.__struct_fields__,
    }


def test_a_new_check_is_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason, if it is new, stands in events/decisions.py; judging and explaining follow from the record."""

    def objection(situation: Situation, policy: Policy) -> Verdict | None:
        limit = policy.routing.retry_limit
        return Skip(Reason.RESOURCE_BUSY) if limit is not None and situation.queue_ahead >= limit else None

    check = checks.Check(
        name="long_queue",
        reason=Reason.RESOURCE_BUSY,
        keys=("T",),
        reads=("held_by", "queue_ahead"),
        numbers=("retry_limit",),
        objection=objection,
        sentence=lambda situation, policy: f"{situation.queue_ahead} wait before it",
        when="too many wait for T",
        then="Skip",
    )
    monkeypatch.setattr(checks, "CHECKS", (check, *checks.CHECKS))
    assert decide(WAITS, DEFAULT) == Skip(Reason.RESOURCE_BUSY)
    assert decide(replace(WAITS, queue_ahead=4), DEFAULT) == Proceed()
    decided = RoutingDecided(
        signal=Position("7"),
        remediation=RemediationId("rr-7"),
        attempt=1,
        because=Because(Cause.SIGNAL, Position("7")),
        stage=Stage.WORKFLOW,
        verdict=decide(WAITS, DEFAULT),
        situation=WAITS,
    )
    first = explain(Position("8-1"), decided, DEFAULT, {"held_by": [Position("3")]}).lines[0]
    assert first == CheckLine("long_queue", "T", CheckAnswer.OBJECTS, "5 wait before it", [Position("3")])
