"""Duplicates in a row are stored as one record; whoever reads the log sees each of them as if it stood alone."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec
import pytest
from cases import cut
from story import CELL, CHECKOUT, STEADY, minute
from written import SOURCE, WrittenLog

from remediation_orchestrator.events import (
    Decision,
    Duplicate,
    Fingerprint,
    PolicyShadowed,
    Position,
    Recorded,
    RemediationId,
    RoutingDecided,
    ShadowDecided,
    Stage,
    StoredMessage,
    Target,
    Undecodable,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.duplicates import (
    PROBLEMS_BYTES_MAX,
    SIGNALS_MAX,
    DuplicatesDecided,
    Problem,
)
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.frames import FRAME_BYTES_MAX, Batch, batches, decision_attributes
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.backtest import backtest
from remediation_orchestrator.orchestrator.queries.explain import explanations
from remediation_orchestrator.orchestrator.queries.findings import Drift, Report
from remediation_orchestrator.orchestrator.queries.fold_digest import digest_fold
from remediation_orchestrator.orchestrator.routing.fold import Fold

AROUND = Attributes(id="1", source="/test", time=minute(0))
CART = Target("cart", "eu-1", "shop", "Deployment")
PROBLEM = Problem(Fingerprint("f"), CHECKOUT, RemediationId("rr-2"), Stage.WORKFLOW)


class Singly(WrittenLog):
    """A log as it was written before: each verdict a record."""

    def batches(self, decisions: Sequence[Decision], now: datetime) -> Iterator[Batch]:
        """Every decision by itself, all in one frame."""
        if decisions:
            yield Batch(list(decisions), [encode(one, decision_attributes(one, SOURCE, now)) for one in decisions])


def storm(log: WrittenLog) -> list[StoredMessage]:
    """2 opens a remediation; of 4 and 5 most are duplicates, of two problems, and two begin something new."""
    log.signal(0)
    crash, slow, cart = "KubePodCrashLooping", "HighLatency", {"target": CART, "resolves": True}
    whole = {"target": CHECKOUT, "resolves": True, "workflow": {"id": "restart"}}
    several = [{"name": name, **whole} for name in (crash, crash, slow, slow, crash, slow)]
    first = [*several, {"name": crash, **cart}]
    for bodies in (first, several):
        log.store(1, subjects.signal(CELL, "test"), msgspec.json.encode(bodies))
    log.decide(1)
    log.fails(2, "wfe-2")
    log.signal(30, "Late")
    return log.messages


def verdicts(log: list[StoredMessage]) -> list[Recorded]:
    """The verdicts of a log, each with its position."""
    records = [record for message in log for record in decode(message) if isinstance(record, Recorded)]
    return [record for record in records if isinstance(record.event, RoutingDecided)]


def gathered(log: list[StoredMessage]) -> list[DuplicatesDecided]:
    """The records that say several verdicts."""
    frames = [message.payload for message in log if message.subject == subjects.decision(CELL)]
    items = [item for frame in frames for item in msgspec.json.decode(frame)]
    found = [item["data"] for item in items if item["type"] == "DuplicatesDecided.v1"]
    return [msgspec.convert(one, DuplicatesDecided) for one in found]


def read(*items: bytes) -> Sequence[Recorded | Undecodable]:
    """What stands in a frame of these."""
    return decode(StoredMessage(9, minute(0), subjects.decision(CELL), join_frame(items), {EXPECTED: "8"}))


def duplicate(signal: str, problem: Problem = PROBLEM) -> RoutingDecided:
    """One verdict, as the core makes it."""
    (made,) = DuplicatesDecided(minute(1), "digest", [problem], [(Position(signal), 0)]).singly()
    return made


# -- nobody who asks the log sees it -------------------------------------------------------------------


def test_a_storm_is_read_as_if_every_verdict_stood_alone() -> None:
    """Folded, audited, explained and judged by another policy: all the same."""
    now, before = storm(WrittenLog()), storm(Singly())
    assert len(gathered(now)) == 3
    assert gathered(before) == []
    assert [one.event for one in verdicts(now)] == [one.event for one in verdicts(before)]
    reports = Report(), Report()
    assert [list(audit(log, report)) for log, report in zip((now, before), reports, strict=True)] == [[], []]
    assert reports[0] == reports[1]
    assert folded(now) == folded(before)
    assert list(backtest(lambda: now)) == list(backtest(lambda: before))
    for one in verdicts(now):
        assert isinstance(one.event, RoutingDecided)
        assert explained(now, one.event.signal) == explained(before, one.event.signal)


def explained(log: list[StoredMessage], signal: Position) -> list[object]:
    """Why a signal was judged as it was: each check, what it read, and what stands where that came from."""
    at = {record.position: record for message in log for record in decode(message)}
    found = explanations(log, signal)
    sources = [getattr(at[place], "event", None) for one in found for line in one.lines for place in line.because]
    return [*sources, *((one.decided, line.check, line.answer, line.read) for one in found for line in one.lines)]


def folded(log: list[StoredMessage]) -> dict[str, str]:
    """What is known at the end of a log."""
    fold = Fold()
    for message in log:
        fold.take(message)
    return digest_fold(fold).tables


def test_a_storm_takes_a_small_part_of_the_bytes() -> None:
    """Of the frame that answers it, a thousand signals of ten problems."""
    row = [duplicate(f"41-{n}", msgspec.structs.replace(PROBLEM, of=f"rr-{n % 10}")) for n in range(SIGNALS_MAX)]
    (batch,) = batches(row, SOURCE, minute(1))
    singly = sum(len(encode(one, decision_attributes(one, SOURCE, minute(1)))) for one in row)
    assert len(batch.encoded) == 1
    assert len(batch.encoded[0]) * 20 < singly


# -- how it is written ---------------------------------------------------------------------------------


def test_one_duplicate_alone_is_written_as_before() -> None:
    """There is nothing to gather."""
    (batch,) = batches([duplicate("41")], SOURCE, minute(1))
    assert b'"RoutingDecided.v1"' in batch.encoded[0]


def test_what_stands_behind_duplicates_has_the_index_of_its_record() -> None:
    """So a command says truly where it was decided, and what is owed stands where it stands."""
    log = WrittenLog()
    log.signal(0)
    again = {"name": "KubePodCrashLooping", "target": CHECKOUT, "resolves": True, "workflow": {"id": "restart"}}
    other = {**again, "target": CART}
    log.store(1, subjects.signal(CELL, "test"), msgspec.json.encode([again, again, again, other]))
    log.decide(1)
    assert [one.position for one in verdicts(log.messages)][1:] == ["6-1", "6-1", "6-1", "6-2"]
    assert b'"decided_at":"6-2"' in log.messages[-1].payload
    assert list(audit(log.messages)) == []


def test_a_policy_in_shadow_stands_right_behind_its_verdict() -> None:
    """Its verdict is the last of a row, and the next opens another."""
    log = WrittenLog()
    log.signal(0)
    shadow = PolicyShadowed({**STEADY, "scope": {"exclude": [{"target": {"name": "checkout"}}]}}, by="ann")
    log.fact(0, subjects.operator(CELL, shadow), shadow)
    again = {"name": "KubePodCrashLooping", "target": CHECKOUT, "resolves": True}
    log.store(1, subjects.signal(CELL, "test"), msgspec.json.encode([again, again]))
    log.decide(1)
    records = [record.event for record in decode(log.messages[-1]) if isinstance(record, Recorded)]
    assert [type(one) for one in records[1:]] == [RoutingDecided, ShadowDecided] * 2
    assert list(audit(log.messages)) == []


def test_a_row_ends_where_a_record_is_full() -> None:
    """By signals, and by the bytes of its problems: what is decided always fits into a frame."""
    (batch,) = batches([duplicate(f"41-{n}") for n in range(SIGNALS_MAX + 2)], SOURCE, minute(1))
    assert [one.signal for one in batch.decisions if isinstance(one, RoutingDecided)] == ["41-0", "41-1000"]
    long = "\x01" * 1_024
    problems = [
        Problem(Fingerprint(long), Target(f"{n}", long, long, long), RemediationId("rr-2"), Stage.SIGNAL)
        for n in range(50)
    ]
    row = [duplicate(f"9223372036854775807-{n}", one) for n in range(200, 300) for one in problems]
    several = list(batches(row, SOURCE, minute(1)))
    items = [item for batch in several for item in batch.encoded]
    assert max(len(item) for item in items) < 2 * PROBLEMS_BYTES_MAX < FRAME_BYTES_MAX // 2
    assert [one.event for item in items for one in read(item) if isinstance(one, Recorded)] == row


def test_a_case_takes_its_own_out_of_duplicates_in_a_row() -> None:
    """Each written by itself, so that a person can read it."""
    log = storm(WrittenLog())
    case = cut(log, "rr-2")
    own = [one.event for one in verdicts(log) if getattr(one.event, "remediation", "") == "rr-2"]
    assert sum(isinstance(getattr(one, "verdict", None), Duplicate) for one in own) == 6
    assert [one.event for one in verdicts(case.messages) if one.event in own] == own
    assert gathered(case.messages) == []
    assert list(case.differences()) == []


# -- what does not hold is found -----------------------------------------------------------------------

Signals = list[list[object]]
WRONG: dict[str, tuple[Callable[[Signals], object], Drift]] = {
    "one is missing": (lambda signals: signals[:-1], Drift.UNANSWERED),
    "one stands there twice": (lambda signals: [*signals, signals[0]], Drift.CAUSE),
    "one too many": (lambda signals: [*signals, ["77", 0]], Drift.CAUSE),
    "no position": (lambda signals: [*signals[:-1], ["no position", 0]], Drift.CAUSE),
    "of each other's problem": (lambda signals: [[at, 1 - index] for at, index in signals], Drift.PROJECTION),  # type: ignore[operator]
    "of no problem": (lambda signals: [*signals[:-1], [signals[-1][0], 2]], Drift.UNREADABLE),
    "counted from behind": (lambda signals: [*signals[:-1], [signals[-1][0], -1]], Drift.UNREADABLE),
    "none": (lambda _: [], Drift.UNREADABLE),
    "a million": (lambda signals: signals[:1] * 1_000_000, Drift.JUNK),  # Larger than any frame that is one.
    "no list": (lambda _: "41", Drift.UNREADABLE),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_signals_that_do_not_hold_are_found(wrong: str) -> None:
    """By audit, at the record that says so; a signal that is missing, at the signal."""
    change, drift = WRONG[wrong]
    log = storm(WrittenLog())
    at = next(one.sequence for one in log if b'"DuplicatesDecided.v1"' in one.payload)
    items = msgspec.json.decode(log[at - 1].payload)
    record = next(item["data"] for item in reversed(items) if item["type"] == "DuplicatesDecided.v1")
    assert len(record["problems"]) == 2
    record["signals"] = change(record["signals"])
    edited = msgspec.structs.replace(log[at - 1], payload=msgspec.json.encode(items))
    found = [one for one in audit([*log[: at - 1], edited, *log[at:]]) if one.drift is not Drift.CHAIN]
    assert found[0].drift is drift


@pytest.mark.parametrize(
    ("signals", "problems", "said"),
    [
        ([["41", 1]], [PROBLEM], "a signal names a problem that is not there"),
        ([["41", 0]], [], "a signal names a problem that is not there"),
        ([["41", -1]], [PROBLEM], "Expected `int` >= 0 - at `data.signals[0][1]`"),
        ([], [PROBLEM], "Expected `array` of length >= 1 - at `data.signals`"),
        ([["41", 0]] * (SIGNALS_MAX + 1), [PROBLEM], "Expected `array` of length <= 1000 - at `data.signals`"),
        ([["41", 0]], [PROBLEM] * (SIGNALS_MAX + 1), "Expected `array` of length <= 1000 - at `data.problems`"),
        ([["41"]], [PROBLEM], "Expected `array` of length 2 - at `data.signals[0]`"),
    ],
)
def test_a_record_of_duplicates_that_does_not_fit_is_unreadable(
    signals: list[object], problems: list[Problem], said: str
) -> None:
    """As a whole, saying why; what stands beside it is read."""
    data = {"now": minute(1), "policy": "digest", "problems": problems, "signals": signals}
    record = {"specversion": "1.0", "type": "DuplicatesDecided.v1", "data": data}
    wrong, beside = read(msgspec.json.encode(record), encode(duplicate("41"), AROUND))
    assert isinstance(wrong, Undecodable)
    assert (wrong.position, wrong.message) == ("9-0", said)
    assert isinstance(beside, Recorded)
    assert (beside.position, beside.event) == ("9-1", duplicate("41"))


def test_nobody_says_duplicates_where_facts_are_said() -> None:
    """Only the active orchestrator decides."""
    record = encode(DuplicatesDecided(minute(1), "digest", [PROBLEM], [(Position("41"), 0)]), AROUND)
    (refused,) = decode(StoredMessage(9, minute(0), subjects.signal(CELL, "test"), record))
    assert isinstance(refused, Undecodable)
    assert "DuplicatesDecided.v1 does not belong" in refused.message
