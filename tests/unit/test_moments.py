"""The moment of a fact: its stamp, unless the broker's clock steps back or leaps ahead."""

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace
from story import CELL, minute
from written import WrittenLog

from remediation_orchestrator.events import Recorded, StoredMessage, Target, Undecodable, decode, subjects
from remediation_orchestrator.orchestrator.queries.moments import LogEnd, Moments
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer

SIGNAL = b'{"name":"x","target":{"name":"t"},"workflow":{"id":"w"}}'


class Seen(Observer):
    """The moments at which facts were folded."""

    def __init__(self) -> None:
        self.moments: list[datetime] = []

    def fact(self, record: Recorded | Undecodable, *, fits: bool) -> None:
        """Another."""
        self.moments.append(record.recorded_at)


def taken(*stamps: float, not_after: float | None = None) -> list[datetime]:
    """The moments of facts that are stamped so, under one bound."""
    seen = Seen()
    fold = Fold(seen)
    for number, stamp in enumerate(stamps):
        fold.take(StoredMessage(number + 1, minute(stamp), subjects.signal(CELL, "s"), SIGNAL))
    fold.fold_facts(not_after=None if not_after is None else minute(not_after))
    return seen.moments


def test_a_stamp_is_taken_as_it_is_where_clocks_agree() -> None:
    """Nearly always."""
    assert taken(0, 1, 2, not_after=3) == [minute(0), minute(1), minute(2)]


def test_a_stamp_that_steps_back_is_taken_for_the_newest_moment() -> None:
    """So nothing becomes older by it, and no wait ends."""
    assert taken(60, 1, 61) == [minute(60), minute(60), minute(61)]


def test_a_stamp_from_another_decade_is_no_later_than_its_frame_allows() -> None:
    """And what comes after it is not held up."""
    assert taken(0, 10_000_000, 2, not_after=1.5) == [minute(0), minute(1.5), minute(1.5)]


def test_a_bound_that_is_behind_takes_no_moment_back() -> None:
    """Another's machine is slow: time stands still with it, and never runs backwards."""
    fold = Fold()
    fold.take(StoredMessage(1, minute(60), subjects.signal(CELL, "s"), SIGNAL))
    fold.fold_facts(not_after=minute(61))
    fold.take(StoredMessage(2, minute(62), subjects.signal(CELL, "s"), SIGNAL))
    fold.fold_facts(not_after=minute(5))
    assert [one.recorded_at for one in fold.view.unjudged.values()] == [minute(60), minute(60)]


def test_facts_alone_have_no_bound() -> None:
    """Nobody reckoned there."""
    assert taken(0, 10_000_000) == [minute(0), minute(10_000_000)]


def test_a_second_reader_gets_the_moments_without_a_fold() -> None:
    """They are the fold's."""
    written = WrittenLog()
    written.signal(0)
    written.fails(1, "wfe-2")
    written.signal(2, "Other", target=Target("elsewhere"))
    log = [
        replace(one, recorded_at=one.recorded_at + timedelta(minutes=(-1) ** one.sequence * one.sequence))
        for one in written.messages
    ]
    seen, moments = Seen(), Moments()
    fold = Fold(seen)
    for message in log:
        fold.take(message)
        moments.take(message, decode(message))
    fold.fold_facts()
    moments.end()
    facts = [one for one in log if not one.subject.startswith(("ro.main.decision", "ro.main.command"))]
    assert [moments.of(one).recorded_at for one in facts] == seen.moments
    assert [one.recorded_at for one in facts] != seen.moments


def test_a_fact_that_had_to_be_bounded_is_known_until_a_frame_says_so() -> None:
    """The leader stores one for it."""
    fold = Fold()
    fold.take(StoredMessage(1, minute(60), subjects.signal(CELL, "s"), SIGNAL))
    fold.fold_facts(not_after=minute(1))
    assert fold.bounded
    head = fold.head_of_next("o1", minute(1))
    fold.stored(2, [head], msgspec.json.encode([]))
    assert not fold.bounded


def test_a_log_is_cut_by_moments_and_not_by_stamps() -> None:
    """What a leap of the clock has stamped is where its frame lets it be; what it steps back to is no earlier."""
    written = WrittenLog()
    written.signal(0)
    written.signal(1, "Second", target=Target("second"))
    written.signal(2, "Third", target=Target("third"))
    leaps, back = (
        next(one.sequence for one in written.messages if word in one.payload and b"command" not in one.payload)
        for word in (b'"Second"', b'"Third"')
    )
    wrong = {leaps: minute(10_000_000), back: minute(-60)}
    log = [replace(one, recorded_at=wrong.get(one.sequence, one.recorded_at)) for one in written.messages]
    for until, last in ((0.5, leaps - 1), (1, back), (1.5, back), (2, len(log)), (60, len(log))):
        cut = LogEnd.of(log, minute(until))
        assert [one.sequence for one in log if cut.holds(one.sequence)] == list(range(1, last + 1)), until
    bound = LogEnd.of(log, leaps).moments.of(log[leaps - 1])
    assert bound.recorded_at == minute(1)
