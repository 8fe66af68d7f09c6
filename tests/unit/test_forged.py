"""Records that no orchestrator of ours writes, in a log whose every digest is right: audit names each."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from forged import Forged, by, newest, start
from msgspec.structs import replace
from story import CELL, STEADY, minute
from tampered import ELSEWHERE, Items, data, drifts, found, rewritten

from remediation_orchestrator.events import (
    Decision,
    StoredMessage,
    encode,
)
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.frames import decision_attributes
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift


@pytest.fixture
def log() -> Forged:
    """1 start, 2 signal, 3 its frame, 4 its command."""
    log = Forged()
    log.signal(0)
    return log


def changed(log: Forged, sequence: int, change: Callable[[Any], None]) -> list[StoredMessage]:
    """The log with one record changed, and every digest computed anew."""
    message = log.messages[sequence - 1]
    said = msgspec.json.decode(message.payload)
    change(said)
    other = replace(message, payload=msgspec.json.encode(said))
    return rewritten([*log.messages[: sequence - 1], other, *log.messages[sequence:]], lambda _, items: items)


# -- who leads -----------------------------------------------------------------------------------------


def test_who_leads_after_another_is_no_fault_of_the_log(log: Forged) -> None:
    """It begins with its start, and only then writes."""
    log.forge(1, "o2", start("o2"))
    log.forge(1, "o1", start("o1"))
    log.signal(2, "Other", target=ELSEWHERE)
    assert found(log.messages) == []


def test_a_frame_behind_the_start_of_another_is_found(log: Forged) -> None:
    """Whoever was fenced out can have stored no more."""
    log.forge(1, "o2", start("o2"))
    log.signal(2, "Other", target=ELSEWHERE)
    assert drifts(log.messages) == [(f"{newest(log)}-0", Drift.LEADER)]


def test_a_frame_of_one_that_has_never_started_is_found(log: Forged) -> None:
    """Nor has whoever wrote the first of a log."""

    def never(sequence: int, items: Items) -> Items:
        return [items[0]] if sequence == 1 else items

    assert ("3-0", Drift.LEADER) in drifts(rewritten(log.messages, never))
    log.forge(1, "evil")
    assert (f"{newest(log)}-0", Drift.LEADER) in drifts(log.messages)


@pytest.mark.parametrize(
    ("decisions", "place"),
    [([start("evil")], 1), ([start("o1"), start("o1")], 2)],
    ids=["another's", "twice"],
)
def test_a_frame_has_one_start_at_most_which_is_its_writers(
    log: Forged, decisions: list[Decision], place: int
) -> None:
    """A start of another than the frame's, or more than one."""
    at = log.forge(1, "o1", *decisions)
    assert drifts(log.messages) == [(f"{at}-{place}", Drift.LEADER)]


def test_a_head_or_a_start_behind_other_decisions_is_found(log: Forged) -> None:
    """One head, then a start where there is one, and then what was decided."""
    log.signal(1, "Other", target=ELSEWHERE)
    frame = newest(log)
    around = decision_attributes(start("o1"), by("o1"), minute(1))
    begun = msgspec.json.decode(encode(start("o1"), around))
    for last in (begun, msgspec.json.decode(log.messages[frame - 1].payload)[0]):
        behind = changed(log, frame, lambda items, last=last: items.append(last))  # type: ignore[misc]
        assert (f"{frame}-2", Drift.LEADER) in drifts(behind)


@pytest.mark.parametrize(("field", "value"), [("policy", STEADY), ("policy_digest", None)])
def test_a_start_carries_no_policy_where_one_is_in_force_and_names_that_one(
    log: Forged, field: str, value: object
) -> None:
    """Live, nobody takes it; and nobody of ours writes it."""
    at = log.forge(1, "o2", replace(start("o2"), **{field: value}))
    assert drifts(log.messages) == [(f"{at}-1", Drift.RECORD)]


def test_a_frame_without_a_decision_is_found_where_nothing_asks_for_one(log: Forged) -> None:
    """It would cover facts for nobody."""
    at = log.forge(1, "o1")
    assert drifts(log.messages) == [(f"{at}-0", Drift.ORDER)]


def test_a_frame_covers_facts_up_to_one_that_is_there(log: Forged) -> None:
    """And not up to any other record."""
    log.signal(1, "Other", target=ELSEWHERE)
    frame = newest(log)
    as_of = data(msgspec.json.decode(log.messages[frame - 1].payload)[0])["as_of"]
    store = changed(log, 3, lambda items: data(items[0]).update(as_of=1))
    assert as_of == frame - 1
    assert ("3-0", Drift.CHAIN) in drifts(store)


# -- what was expected ---------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [".decision", ".command."])
def test_a_frame_or_a_command_that_expects_another_record_is_found(log: Forged, part: str) -> None:
    """The server would have refused it."""
    log.signal(1, "Other", target=ELSEWHERE)
    at = newest(log, part)
    other = replace(log.messages[at - 1], headers={EXPECTED: "2"})
    place = f"{at}-0" if part == ".decision" else str(at)
    log.messages[at - 1] = other
    assert drifts(rewritten(log.messages, lambda _, items: items)) == [(place, Drift.FENCE)]


def test_a_frame_that_expects_nothing_decides_nothing(log: Forged) -> None:
    """Nobody counts it, live or in audit, so what it says was never decided."""
    log.messages[2] = replace(log.messages[2], headers=None)
    said = drifts(log.messages)
    assert said[0] == ("3-0", Drift.JUNK)
    assert ("4", Drift.COMMAND) in said


def test_a_command_behind_junk_expects_it(log: Forged) -> None:
    """As whoever leads does."""
    log.store(1, f"ro.{CELL}.command.workflow.wfe-6", b"+OK")
    log.signal(1, "Other", target=ELSEWHERE)
    at = newest(log, ".command.")
    assert log.messages[at - 1].headers == {EXPECTED: "5"}
    assert drifts(log.messages) == [("5", Drift.JUNK)]


# -- runs that are ended -------------------------------------------------------------------------------


def test_a_revocation_for_nothing_is_found(log: Forged) -> None:
    """Nothing was decided about the run, and its time is not up: whether a frame covers it or not."""
    at = log.revoked(1, "wfe-2")
    assert drifts(log.messages) == [(str(at), Drift.CAUSE)]
    log.decide(1)
    assert drifts(log.messages) == [(str(at), Drift.CAUSE)]


def test_a_revocation_of_what_nobody_has_begun_in_time_is_not(log: Forged) -> None:
    """Nobody may begin it any more."""
    log.revoked(6, "wfe-2")
    log.decide(6)
    assert found(log.messages) == []


def test_a_revocation_by_one_that_has_never_led_is_found(log: Forged) -> None:
    """An executor may write there, and only who leads does."""
    at = log.revoked(6, "wfe-2", orchestrator="evil")
    log.decide(6)
    assert drifts(log.messages) == [(str(at), Drift.ENVELOPE)]


def test_a_revocation_that_expects_another_record_is_found(log: Forged) -> None:
    """It is folded all the same, and who leads would have expected what stood there."""
    at = log.revoked(6, "wfe-2")
    log.messages[at - 1] = replace(log.messages[at - 1], headers=None)
    assert drifts(log.messages) == [(str(at), Drift.FENCE)]


# -- what stands around --------------------------------------------------------------------------------

LIES = {"id": "x", "source": "/evil", "subject": "other", "causationid": "1", "correlationid": "rr-99"}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("index", [None, 0, 1], ids=["command", "head", "verdict"])
def test_an_envelope_that_does_not_follow_from_what_is_in_it_is_found(
    log: Forged, name: str, index: int | None
) -> None:
    """Its id, who wrote it, what it is about and what has caused it."""
    sequence = 4 if index is None else 3

    def lie(said: Any) -> None:
        (said if index is None else said[index])[name] = LIES[name]

    place = "4" if index is None else f"3-{index}"
    assert (place, Drift.ENVELOPE) in drifts(changed(log, sequence, lie))


@pytest.mark.parametrize("index", [0, 1])
def test_what_is_stored_together_has_the_time_at_which_it_was_judged(log: Forged, index: int) -> None:
    """The head, and every decision behind it."""
    wrong = drifts(changed(log, 3, lambda items: items[index].update(time="1999-01-01T00:00:00Z")))
    assert wrong
    assert {drift for _, drift in wrong} <= {Drift.ENVELOPE, Drift.RECORD}


def test_the_envelope_of_duplicates_in_a_row_is_found_too(log: Forged) -> None:
    """It is named after the first of its signals."""
    log.together(1, lambda: log.signal(1), lambda: log.signal(1))
    frame = newest(log)
    assert found(log.messages) == []
    assert b"DuplicatesDecided" in log.messages[frame - 1].payload
    assert (f"{frame}-1", Drift.ENVELOPE) in drifts(changed(log, frame, lambda items: items[1].update(id="x")))


# -- clocks --------------------------------------------------------------------------------------------


def test_a_bound_that_goes_back_is_found(log: Forged) -> None:
    """It only grows while one leads: so a single one of another year is found at the frame behind it."""
    log.signal(1, "Other", target=ELSEWHERE)
    far = changed(log, 3, lambda items: data(items[0]).update(not_after="2999-01-01T00:00:00Z"))
    assert [one for one in drifts(far) if one[1] not in HARMLESS] == [(f"{newest(log)}-0", Drift.RECORD)]


def test_a_bound_far_beyond_its_stamp_is_told_once_of_who_leads_and_is_no_fault_of_the_log(log: Forged) -> None:
    """The clocks may have differed: more than ten seconds cannot come of those that agree."""
    log.signal(1, "Other", target=ELSEWHERE)

    def ahead(seconds: float) -> list[tuple[str, Drift]]:
        def later(_: int, items: Items) -> Items:
            bound = msgspec.convert(items[0]["time"], type=type(minute(0))) + timedelta(seconds=seconds)
            data(items[0])["not_after"] = bound.isoformat().replace("+00:00", "Z")
            return items

        return drifts(rewritten(log.messages, later))

    assert ahead(10) == []
    assert ahead(10.5) == [("1-0", Drift.CLOCKS)]
    assert {Drift.CLOCKS, Drift.DELAYED} <= HARMLESS


@pytest.mark.parametrize("seconds", [-6, 6])
def test_a_command_sent_before_its_decision_or_after_its_stamp_is_told(log: Forged, seconds: int) -> None:
    """By more than five seconds; a broker's clock that was set back makes such a one of an honest one."""
    time = (minute(0) + timedelta(seconds=seconds)).isoformat()
    assert drifts(changed(log, 4, lambda said: said.update(time=time))) == [("4", Drift.CLOCKS)]


def test_a_command_that_was_stored_after_its_start_before_is_told(log: Forged) -> None:
    """It was sent in time, and its append took long: that is no fault of the log."""
    log.messages[3] = replace(log.messages[3], recorded_at=minute(30))
    assert drifts(log.messages) == [("4", Drift.DELAYED)]
