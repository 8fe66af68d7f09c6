"""Every kind of manipulation of a good log has its finding, although every digest was computed anew."""

import msgspec
import pytest
from msgspec.structs import replace
from story import CELL, minute
from tampered import ELSEWHERE, Items, Odd, data, drifts, found, rewritten

from remediation_orchestrator.events import (
    BlockCleared,
    ExecutionId,
    Fingerprint,
    RemediationId,
    RetryRequested,
    Target,
    WorkflowFailed,
    WorkflowStarted,
    subjects,
)
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift


def test_a_log_that_is_rewritten_as_it_was_is_equal() -> None:
    """So what is found below is what was changed."""
    log = Odd()
    log.signal(0)
    log.fails(1, "wfe-2")
    assert found(rewritten(log.messages, lambda _, items: items)) == []


def test_signals_judged_in_another_order_are_found() -> None:
    """Each verdict is right in itself, and was made before its turn."""
    log = Odd()
    log.together(
        0, lambda: log.signal(0, "First", target=ELSEWHERE), lambda: log.signal(0, "Second", target=Target("x"))
    )
    honest = log.messages
    assert found(honest) == []
    frame = next(one.sequence for one in honest if one.sequence > 3 and one.subject.endswith("decision"))
    swapped = rewritten(
        honest, lambda sequence, items: [items[0], items[2], items[1]] if sequence == frame else items
    )
    finding = next(one for one in found(swapped) if one.drift is Drift.ORDER)
    assert (finding.position, finding.message) == (f"{frame}-1", "the verdict on 2 had to come before it")


def test_a_signal_without_its_verdict_is_found_before_further_facts() -> None:
    """Its verdict was cut out of the frame."""
    log = Odd()
    log.together(
        0, lambda: log.signal(0, "First", target=ELSEWHERE), lambda: log.signal(0, "Second", target=Target("x"))
    )
    log.signal(1, "Third", target=Target("y"))
    frame = next(one.sequence for one in log.messages if one.sequence > 3 and one.subject.endswith("decision"))
    cut = rewritten(log.messages, lambda sequence, items: items[:2] if sequence == frame else items)
    assert ("3", Drift.UNANSWERED) in drifts(cut)


def test_a_signal_answered_by_another_s_retry_is_found() -> None:
    """The retry's verdict names the signal as its cause, which never gets one of its own."""
    log = Odd()
    place = log.signal(0)
    log.fails(1, f"wfe-{place}")
    retry = RetryRequested(RemediationId(f"rr-{place}"), by="me", reason="again")
    log.together(
        2,
        lambda: log.signal(2, "Other", target=ELSEWHERE),
        lambda: log.fact(2, subjects.operator(CELL, retry), retry),
    )
    assert found(log.messages) == []
    frame = max(one.sequence for one in log.messages if one.subject.endswith("decision"))
    other = next(one.sequence for one in log.messages if b'"Other"' in one.payload)

    def answer(sequence: int, items: Items) -> Items:
        if sequence != frame:
            return items
        verdict = next(one for one in items if data(one).get("because", {}).get("kind") == "retry")
        data(verdict)["because"]["position"] = str(other)
        return [items[0], verdict]

    wrong = drifts(rewritten(log.messages, answer))
    assert (f"{frame}-1", Drift.CAUSE) in wrong
    assert (str(other), Drift.UNANSWERED) in wrong


def lost(log: Odd) -> str:
    """A run whose executor was lost, and whose target is released when its time is over."""
    run = ExecutionId(f"wfe-{log.signal(0)}")
    subject = subjects.execution(CELL, run)
    log.fact(0.1, subject, WorkflowStarted(run, executor="e1"))
    log.fact(0.2, subject, WorkflowFailed(run, reason="ExecutorLost", idempotent=False))
    return run


def test_a_release_that_names_another_target_is_found() -> None:
    """The run is the lost one, and the target is not what it held."""
    log = Odd()
    lost(log)
    log.decide(40)
    assert found(log.messages) == []
    frame = max(one.sequence for one in log.messages if b"TargetReleased" in one.payload)

    def elsewhere(sequence: int, items: Items) -> Items:
        if sequence == frame:
            data(items[1])["target"]["name"] = "elsewhere"
        return items

    assert (f"{frame}-1", Drift.RECORD) in drifts(rewritten(log.messages, elsewhere))


def test_a_line_formed_in_reverse_is_found() -> None:
    """Who came second was blocked first, and says that it is first in the queue."""
    log = Odd()
    run = log.signal(0)

    def waiting() -> None:
        log.store(1, subjects.signal(CELL, "t"), _signal("A"))
        log.store(1, subjects.signal(CELL, "t"), _signal("B"))
        log.fold.fold_facts(not_after=minute(1))
        log.reversed_signals()

    log.together(1, waiting)
    log.fails(2, f"wfe-{run}")
    first, *_ = [one for one in found(log.messages) if one.drift is not Drift.STRAY]
    assert first.drift is Drift.ORDER


def test_a_line_served_in_reverse_is_found() -> None:
    """The target is given to who came second."""
    log = Odd()
    run = log.signal(0)
    log.signal(1, "A")
    log.signal(1.5, "B")
    assert found(log.messages) == []
    for queue in log.fold.view.targets.queues.values():
        queue[next(iter(queue))] = queue.pop(next(iter(queue)))
    log.fails(2, f"wfe-{run}")
    wrong = {one.drift for one in found(log.messages)}
    assert wrong & {Drift.ORDER, Drift.PROJECTION}


def test_a_waiter_that_has_lost_its_place_is_found() -> None:
    """It is judged again, still blocked, and says that it is behind who came after it."""
    log = Odd()
    log.signal(0)
    second = log.signal(1, "A")
    log.signal(1.5, "B")
    honest = list(log.messages)
    fingerprint = next(one.fingerprint for one in log.fold.view.remediations.values() if one.signal == second)
    for queue in log.fold.view.targets.queues.values():
        queue[RemediationId(f"rr-{second}")] = queue.pop(RemediationId(f"rr-{second}"))
    clear = BlockCleared(fingerprint=Fingerprint(fingerprint), by="me", reason="look")
    log.fact(2, subjects.operator(CELL, clear), clear)
    assert found(honest) == []
    assert Drift.PROJECTION in {one.drift for one in found(log.messages)}


def test_what_is_due_judged_in_another_order_is_found() -> None:
    """Two blocks end; the later one was judged first."""
    log = Odd()
    first = log.signal(0, "A")
    log.fails(0.5, f"wfe-{first}")
    second = log.signal(0.6, "B", target=ELSEWHERE)
    log.fails(0.7, f"wfe-{second}")
    log.decide(30)
    assert found(log.messages) == []
    frame = max(one.sequence for one in log.messages if one.subject.endswith("decision"))
    swapped = rewritten(
        log.messages,
        lambda sequence, items: [items[0], items[2], items[1], *items[3:]] if sequence == frame else items,
    )
    assert Drift.ORDER in {one.drift for one in found(swapped)}


def test_a_verdict_at_another_moment_than_its_frame_is_found() -> None:
    """One verdict of a round that says a later moment, and is right by it."""
    log = Odd()
    log.together(
        0, lambda: log.signal(0, "First", target=ELSEWHERE), lambda: log.signal(0, "Second", target=Target("x"))
    )
    frame = next(one.sequence for one in log.messages if one.sequence > 3 and one.subject.endswith("decision"))

    def later(sequence: int, items: Items) -> Items:
        if sequence == frame:
            said = data(items[2])
            said["situation"]["now"] = "2026-11-21T10:00:01Z"
            for limit in ("start_before", "deadline"):
                said[limit] = said[limit].replace(":00Z", ":01Z")
        return items

    assert (f"{frame}-2", Drift.ORDER) in drifts(rewritten(log.messages, later))


def test_a_round_judged_later_than_its_frame_allows_is_found() -> None:
    """Its orchestrator did not believe its own clock."""
    log = Odd()
    log.signal(0)

    def behind(_: int, items: Items) -> Items:
        data(items[0])["not_after"] = "2026-11-21T09:59:00Z"
        return items

    assert Drift.RECORD in {one.drift for one in found(rewritten(log.messages, behind))}


@pytest.mark.parametrize(("field", "value"), [("as_of", 99), ("read", 99), ("read", 0)])
def test_a_frame_that_says_more_than_its_writer_can_have_read_is_found(field: str, value: int) -> None:
    """Or less than the one before it."""
    log = Odd()
    log.signal(0)
    log.signal(1, "Other", target=ELSEWHERE)
    frame = max(one.sequence for one in log.messages if one.subject.endswith("decision"))

    def lie(sequence: int, items: Items) -> Items:
        if sequence == frame:
            data(items[0])[field] = value
        return items

    assert Drift.CHAIN in {one.drift for one in found(rewritten(log.messages, lie))}


def test_a_rejection_with_another_reason_is_found() -> None:
    """It was undecodable, and is called too large."""
    log = Odd()
    log.store(0, subjects.signal(CELL, "t"), b"{")
    log.decide(0)
    assert found(log.messages) == []
    frame = max(one.sequence for one in log.messages if one.subject.endswith("decision"))

    def another(sequence: int, items: Items) -> Items:
        if sequence == frame:
            data(items[1])["reason"] = "TooLarge"
        return items

    assert (f"{frame}-1", Drift.CAUSE) in drifts(rewritten(log.messages, another))


def _signal(name: str) -> bytes:
    target = {"name": "checkout", "cluster": "eu-1", "namespace": "shop", "kind": "Deployment"}
    return msgspec.json.encode({"name": name, "target": target, "resolves": True, "workflow": {"id": "restart"}})


def test_the_target_of_the_stories_is_one() -> None:
    """Else nobody would wait for it."""
    assert msgspec.json.decode(_signal("A"))["target"] == msgspec.to_builtins(
        Target("checkout", "eu-1", "shop", "Deployment")
    )


def test_a_command_that_was_sent_after_its_start_before_is_found() -> None:
    """Its own envelope says when: by then nobody may begin."""
    log = Odd()
    log.signal(0)
    log.signal(60, "Other", target=ELSEWHERE)
    place = next(one.sequence for one in log.messages if ".command." in one.subject)
    command = log.messages[place - 1]
    late = replace(
        command, payload=command.payload.replace(b'"time":"2026-11-21T10:00', b'"time":"2026-11-21T10:59')
    )
    assert late.payload != command.payload
    assert (str(place), Drift.LATE) in drifts([*log.messages[: place - 1], late, *log.messages[place:]])


def test_an_end_that_is_not_fenced_by_its_start_is_found_and_no_fault_of_the_log() -> None:
    """It expects nothing, or something else than the start."""
    log = Odd()
    log.fails(1, f"wfe-{log.signal(0)}")
    end = max(one.sequence for one in log.messages if ".execution." in one.subject)
    for headers in (None, {EXPECTED: "0"}):
        loose = [replace(one, headers=headers) if one.sequence == end else one for one in log.messages]
        assert drifts(rewritten(loose, lambda _, items: items)) == [(str(end), Drift.UNFENCED)]


def test_junk_where_a_frame_or_a_command_may_come_is_shown_and_is_no_fault_of_the_log() -> None:
    """Anybody may have the server store it; what is owed stays owed."""
    log = Odd()
    log.store(0, subjects.decision(CELL), b"{}")
    log.store(0, f"ro.{CELL}.command.workflow.wfe-3", b"+OK")
    log.signal(0)
    found_here = found(log.messages)
    assert {one.drift for one in found_here} == {Drift.JUNK} <= HARMLESS
    assert len(found_here) == 2
