"""A remediation's history as a test case: enough of its log to be judged again, and no more."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from cases import cut
from story import CHECKOUT, minute
from written import WrittenLog

from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.events import (
    PolicyShadowed,
    Recorded,
    RemediationId,
    RoutingDecided,
    ShadowDecided,
    StoredMessage,
    Target,
    decode,
)
from remediation_orchestrator.events.about import about
from remediation_orchestrator.events.stored import export_line, import_line
from remediation_orchestrator.orchestrator.queries.case import Links, read_case
from remediation_orchestrator.orchestrator.queries.findings import Drift

GOLDEN = Path(__file__).parents[1] / "golden"
LOGS = sorted(GOLDEN.glob("*.jsonl*"))
CART = Target("cart", "eu-1", "shop", "Deployment")


def verdicts(log: Iterable[StoredMessage]) -> list[RoutingDecided]:
    """The verdicts of a log."""
    records = [record for message in log for record in decode(message) if isinstance(record, Recorded)]
    return [record.event for record in records if isinstance(record.event, RoutingDecided)]


@pytest.mark.parametrize("path", LOGS, ids=[path.name for path in LOGS])
def test_every_remediation_of_a_golden_log_is_a_case_that_holds(path: Path) -> None:
    """All its verdicts are in it, and each is given again."""
    log = list(messages(path))
    everything = verdicts(log)
    for remediation in {one.remediation for one in everything}:
        case = cut(log, remediation)
        assert [one for one in verdicts(case.messages) if one.remediation == remediation] == [
            one for one in everything if one.remediation == remediation
        ]
        assert list(case.differences()) == []


def test_a_case_leaves_out_what_could_make_no_difference() -> None:
    """Another target's story, and what came after its own end."""
    log = WrittenLog()
    log.signal(0)
    log.signal(1, "HighLatency", target=CART)
    log.fails(2, "wfe-2")
    other = log.signal(2.5, "Unrelated", target=CART)
    case = cut(log.messages, "rr-2")
    assert {one.situation.target for one in verdicts(case.messages)} == {CHECKOUT}
    assert max(message.sequence for message in case.messages) < int(other)
    assert {one.attempt for one in verdicts(case.messages)} == {1, 2}


def test_a_case_holds_what_its_target_s_queue_depended_on() -> None:
    """Another problem's run on the same target was in the way."""
    log = WrittenLog()
    first = log.signal(0, "HighLatency")
    second = log.signal(1)
    log.fails(2, f"wfe-{first}")
    case = cut(log.messages, f"rr-{second}")
    assert [(one.signal, one.attempt) for one in verdicts(case.messages)] == [
        (first, 1),
        (second, 1),
        (first, 2),
        (second, 2),
    ]
    assert list(case.differences()) == []


def test_a_case_with_another_verdict_names_the_first_difference() -> None:
    """Whoever changes an expectation learns what the core says instead."""
    log = WrittenLog()
    log.signal(0)
    log.fails(2, "wfe-2")
    case = cut(log.messages, "rr-2")
    until = minute(3).isoformat().replace("+00:00", "Z").encode()
    changed = [
        import_line(export_line(message).replace(until, until.replace(b":03:", b":04:")))
        for message in case.messages
    ]
    first, *_ = read_case(changed).differences()
    assert first.drift is Drift.JUDGEMENT
    assert "ExponentialBackoff" in first.message


def test_a_log_without_the_mark_is_no_case() -> None:
    """An exported log says nothing of which remediation is meant."""
    log = WrittenLog()
    log.signal(0)
    with pytest.raises(ValueError, match="no test case"):
        read_case(log.messages)


def test_a_case_without_its_verdicts_is_no_case() -> None:
    """Facts alone expect nothing."""
    log = WrittenLog()
    log.signal(0)
    facts = [message for message in cut(log.messages, "rr-2").messages if "signal" in message.subject]
    with pytest.raises(ValueError, match="no test case"):
        read_case(facts)


def test_a_remediation_that_nobody_has_judged_has_no_case() -> None:
    """None: there is nothing to expect."""
    assert Links().excerpt(RemediationId("rr-7")) is None


def test_a_case_keeps_the_policy_in_shadow_and_what_it_said() -> None:
    """Judged again, it says the same of the same situations."""
    log = list(messages(GOLDEN / "shadow.jsonl"))
    records = [record for message in log for record in decode(message) if isinstance(record, Recorded)]
    said = [record.event for record in records if isinstance(record.event, ShadowDecided)]
    of = f"rr-{said[0].signal}"
    case = cut(log, of)
    kept = [record.event for one in case.messages for record in decode(one) if isinstance(record, Recorded)]
    assert [one for one in kept if isinstance(one, ShadowDecided) and about(one) == of]
    assert any(isinstance(one, PolicyShadowed) for one in kept)
    assert list(case.differences()) == []
