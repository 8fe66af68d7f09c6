"""Chaos counts right: the rules by which its scripts and its log are added up, tried without processes."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cell import bare

from remediation_orchestrator.bus.memory import MemoryCell, MemoryLog
from remediation_orchestrator.cli.chaos import say_how_again
from remediation_orchestrator.events import (
    DecisionFrame,
    ExecutionId,
    StoredMessage,
    WorkflowFailed,
    WorkflowStarted,
    encode,
)
from remediation_orchestrator.events.codec import Attributes, join_frame
from remediation_orchestrator.events.identity import DEFAULT_CELL
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.queries.fold_digest import digest_fold
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.simulation.chaos.account import Account, Bad, ChaosTally, overlapping
from remediation_orchestrator.simulation.chaos.archives import differs, path
from remediation_orchestrator.simulation.chaos.bursts import PIECES, is_thrown
from remediation_orchestrator.simulation.chaos.catalog import DiaryLine, read_diary, write_catalog
from remediation_orchestrator.simulation.chaos.faults import ALWAYS, FaultFamily, Strike, plan
from remediation_orchestrator.simulation.chaos.rounds import ChaosRound
from remediation_orchestrator.simulation.chaos.spoiling import GoodStore, Lived, broken_on, untold

EPOCH = datetime.fromtimestamp(0, UTC)


def encode_claim(execution: str) -> bytes:
    """An executor's record that it has begun."""
    attributes = Attributes(id="claim-1-1", source="/test", time=EPOCH)
    return encode(WorkflowStarted(ExecutionId(execution), executor="e"), attributes)


def begin(execution: str, at: int, *, target: str = "t", alone: bool = True) -> DiaryLine:
    """A run began."""
    return DiaryLine("begin", execution, target, 1, alone, at)


def end(execution: str, at: int, *, target: str = "t") -> DiaryLine:
    """A run wrote its end."""
    return DiaryLine("end", execution, target, 1, True, at)


def test_two_runs_that_overlap_on_a_target_are_two_at_once() -> None:
    """By the times that they wrote themselves."""
    lines = [begin("a", 1), begin("b", 5), end("a", 6), end("b", 9)]
    assert overlapping(lines) == {("b", 1)}


def test_one_after_the_other_is_not_two_at_once() -> None:
    """At the same instant, on another target, and after one that was killed too."""
    lines = [begin("a", 1), end("a", 5), begin("b", 5), begin("c", 6, target="u"), begin("d", 7), end("d", 8)]
    assert overlapping(lines) == set()


def test_a_long_run_covers_all_that_begin_within_it() -> None:
    """Not only the next one."""
    lines = [begin("a", 1), end("a", 10), begin("b", 2), end("b", 3), begin("c", 4), end("c", 5)]
    assert overlapping(lines) == {("b", 1), ("c", 1)}


def test_a_run_that_wrote_no_end_is_told_by_its_lock() -> None:
    """Of a killed run nobody knows the end; the kernel knows whether it is still there."""
    assert overlapping([begin("a", 1), begin("b", 2, alone=False)]) == {("b", 1)}


def test_a_plan_is_its_seeds_and_strikes_every_kind_of_process() -> None:
    """The same again from the same seed, and another from another."""
    assert plan(7, 3, 2.0) == plan(7, 3, 2.0) != plan(8, 3, 2.0)
    for number in range(1, 101):
        planned = plan(0, number, 2.0)
        assert {one.strike for one in planned} >= set(ALWAYS)
        assert all(0 < one.at <= 2.0 for one in planned)


def test_what_a_family_does_is_the_same_without_the_others() -> None:
    """So that what was found with all of them can be looked for with one."""
    whole = plan(7, 3, 2.0)
    parts = [one for family in FaultFamily for one in plan(7, 3, 2.0, [family])]
    assert sorted(parts, key=lambda one: one.at) == whole


def test_what_a_burst_has_thrown_is_told_from_a_record_that_is_wrong() -> None:
    """Known bytes, copies and the broker's own answers; nothing that a service could have written."""
    subject = "ro.main.decision"
    thrown = [
        *(StoredMessage(1, EPOCH, subject, piece) for piece in PIECES),
        StoredMessage(1, EPOCH, subject, bare(), {"Nats-Stream": "RO_main", "Nats-Sequence": "7"}),
        StoredMessage(1, EPOCH, subject, b'{"stream":"RO_main","seq":12}'),
    ]
    assert all(is_thrown(one) for one in thrown)
    assert not is_thrown(StoredMessage(1, EPOCH, subject, bare(), {"Nats-Msg-Id": "x"}))


def test_a_round_is_what_has_come_since_the_last() -> None:
    """And clean only without any broken promise."""
    earlier, later = ChaosTally(accepted=3, decided=3, run=2), ChaosTally(accepted=5, decided=5, run=4, lost=1)
    assert later.minus(earlier) == ChaosTally(accepted=2, decided=2, run=2, lost=1)
    assert later.minus(earlier).plus(earlier) == later
    assert (earlier.is_clean, later.is_clean) == (True, False)


def test_a_diary_that_nobody_wrote_is_empty(tmp_path: Path) -> None:
    """No run, no file."""
    write_catalog(tmp_path / "workflows", tmp_path / "diary")
    assert read_diary(tmp_path / "diary") == []


def test_equal_folds_have_equal_digests_and_a_forgetful_one_is_found() -> None:
    """By the name of what it forgot."""
    folds = [Fold(), Fold()]
    for fold in folds:
        fold.take(StoredMessage(1, EPOCH, "ro.main.signal.test", bare()))
        fold.fold_facts()
    one, other = (digest_fold(fold) for fold in folds)
    assert one.differs_in(other) == []
    folds[1].view.occurrences.unjudged.clear()
    assert one.differs_in(digest_fold(folds[1])) == ["unjudged"]


def stored(*sequences: int) -> list[StoredMessage]:
    """Records of a log."""
    return [StoredMessage(one, EPOCH, "ro.main.signal.test", bare()) for one in sequences]


def test_segments_lead_to_a_log_only_where_each_goes_on_from_the_one_before() -> None:
    """Others may lie there, of archives that were refused or killed."""
    first, second, other = Path("first"), Path("second"), Path("other")
    spans = {1: [(9, other), (4, first)], 5: [(7, second)]}
    assert path(spans, 1, 8) == [first, second]
    assert path(spans, 1, 10) == [other]
    assert path(spans, 8, 8) == []
    assert path(spans, 1, 6) is None


def test_records_that_are_kept_nowhere_or_otherwise_are_found() -> None:
    """By their sequences; what came after the look is nobody's fault."""
    assert differs(stored(1, 2, 3, 4), stored(1, 2, 3)) == []
    assert differs(stored(1, 3), stored(1, 2, 3)) == [
        "1 records are neither in the log nor in a segment, first [2]"
    ]
    other = [*stored(1, 2), StoredMessage(3, EPOCH, "ro.main.signal.other", bare())]
    assert differs(other, stored(1, 2, 3)) == ["1 records are not what they were, first [3]"]


FENCED = {EXPECTED: "0"}


def test_a_frame_that_only_a_bad_store_has_is_found(tmp_path: Path) -> None:
    """Junk on the decision subject is no frame, and what the good log has as well was stored before."""
    head = DecisionFrame(as_of=1, read=1, orchestrator="o", previous="", not_after=EPOCH)
    attributes = Attributes(id="1", source="/test", time=EPOCH)
    frame = join_frame([encode(head, attributes)])
    account = Account(tmp_path / "diary")
    account.messages += [*stored(1), StoredMessage(2, EPOCH, "ro.main.decision", frame, FENCED), *stored(3, 4)]
    bad = [
        *account.messages[:2],
        *(StoredMessage(n, EPOCH, "ro.main.decision", b, FENCED) for n, b in ((3, b"{"), (5, frame))),
    ]
    assert account.differs_from(bad, 4) == Bad(missing=[3, 4], frames=[5])


def test_a_broken_promise_is_named_and_can_be_seen_again(tmp_path: Path) -> None:
    """By the same strikes, and by the log as it was."""
    tally = ChaosTally(accepted=1, run_twice=2)
    assert tally.broken == ["no command is run twice"]
    say_how_again(tmp_path, 3, 7, 2.0, ("kills", "clock"), [ChaosRound(3, 1.0, tally, {}, ["wfe-1 began twice"])])
    told = (tmp_path / "again").read_text()
    assert told.startswith("ro chaos --rounds 3 --seed 7 --seconds 2 --faults kills --faults clock  #")
    assert f"ro audit --log {tmp_path}/log.jsonl" in told
    assert told.endswith("round 3: wfe-1 began twice\n")


def test_a_lost_end_is_missed_although_others_stand_at_its_sequences(tmp_path: Path) -> None:
    """A bad store goes on from where it was cut."""
    account = Account(tmp_path / "diary")
    account.messages += stored(1, 2, 3)
    others = [StoredMessage(n, EPOCH, "ro.main.signal.bait", bare(target="bait")) for n in (2, 3, 4)]
    assert account.differs_from([*stored(1), *others], 3) == Bad(missing=[2, 3], frames=[])


def lived(strike: Strike, *, marked: int, age: float, said: bool = False) -> Lived:
    """A bad store in the place of one that had come to 9, with a mark at `marked`."""
    ages = dict.fromkeys(range(marked + 1, 10), age)
    return Lived(strike, GoodStore(9, marked, ages), [], said, 0, 1)


def test_only_an_end_that_is_younger_than_the_mark_may_be_lost_unsaid() -> None:
    """Nothing that the mark tells of, nothing older than a mark may be behind, and no hole."""
    lost = Bad(missing=[8, 9], frames=[10])
    flipped, holed = Strike.LOG_FLIPPED, Strike.LOG_HOLED
    assert untold(lived(flipped, marked=7, age=0.02), lost) == 0.02
    assert untold(lived(flipped, marked=7, age=60), lost) is None
    assert untold(lived(flipped, marked=8, age=0.02), lost) is None
    assert untold(lived(holed, marked=7, age=0.02), lost) is None


def test_a_bad_store_that_is_led_or_not_called_so_breaks_a_promise() -> None:
    """Each by itself; one that was whole breaks none."""
    lost = Bad(missing=[8, 9], frames=[10])
    assert broken_on(lived(Strike.LOG_OLDER, marked=9, age=0), lost).keys() == {"led_not_whole", "unsaid"}
    assert broken_on(lived(Strike.LOG_OLDER, marked=9, age=0, said=True), lost).keys() == {"led_not_whole"}
    assert broken_on(lived(Strike.LOG_OLDER, marked=9, age=0), Bad([8], [])).keys() == {"unsaid"}
    assert broken_on(lived(Strike.LOG_OLDER, marked=9, age=0), Bad([], [10])) == {}


def test_a_run_is_spared_only_on_a_store_of_which_nothing_told(tmp_path: Path) -> None:
    """Begun there, by a claim that the log does not have; begun twice before or after that it is begun twice."""
    account = Account(tmp_path / "diary")
    account.messages += stored(1)
    claim = StoredMessage(2, EPOCH, "ro.main.execution.wfe-1-a1", encode_claim("wfe-1-a1"))
    again = [begin("wfe-1-a1", at) for at in (5, 15, 25)]
    each = [msgspec.structs.replace(one, pid=number) for number, one in enumerate(again)]
    (tmp_path / "diary").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in each))
    assert account.tally({}, {}).run_twice == 2
    account.spare([*stored(1), claim], 10, 20)
    assert account.tally({}, {}).run_twice == 1
    account.spare(stored(1), 20, 30)
    assert account.tally({}, {}).run_twice == 1


async def test_a_run_has_ended_when_whoever_had_it_says_so(tmp_path: Path) -> None:
    """Another, who calls it lost, does not know what is left of it."""
    account = Account(tmp_path / "diary")
    log = MemoryLog(MemoryCell(DEFAULT_CELL, lambda: EPOCH))
    lost = WorkflowFailed(ExecutionId("wfe-1-a1"), "ExecutorLost")
    ends = [encode(lost, Attributes("end", f"/ro/main/executor/{by}", EPOCH)) for by in ("another", "e")]
    known = []
    for payload in (encode_claim("wfe-1-a1"), *ends):
        await log.append("ro.main.execution.wfe-1-a1", payload)
        await account.read_on(log)
        known.append(sorted(account.ended))
    assert known == [[], [], ["wfe-1-a1"]]
