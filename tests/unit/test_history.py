"""What `ro show` gathers: the records about one remediation, and none of another's."""

import msgspec
from msgspec import Struct
from story import CELL, CHECKOUT
from tales import ONE, Log

from remediation_orchestrator.events import (
    BlockCleared,
    ExecutionId,
    Fingerprint,
    Position,
    RemediationId,
    RetryRequested,
    SignalReceived,
    Target,
    WorkflowCompleted,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.orchestrator.queries.history import History, run_views, says
from remediation_orchestrator.orchestrator.routing.fold import Fold

PROBLEM = fingerprint_of(CHECKOUT, "KubePodCrashLooping")


class Kept(Struct, frozen=True):
    """A record, in short."""

    position: Position
    type: str


def shown(log: Log, name: RemediationId = ONE) -> list[Kept]:
    """What is shown of a remediation."""
    return [Kept(one.position, one.type.removesuffix(".v1")) for one in history(log, name).entries]


def history(log: Log, name: RemediationId = ONE) -> History:
    """All that is gathered of it."""
    gathered = History(name)
    fold = Fold(gathered)
    for message in log.messages:
        fold.take(message)
    fold.fold_facts()
    return gathered


def signals(log: Log, name: RemediationId = ONE) -> list[Position]:
    """Which signals are shown of it."""
    return [one.position for one in shown(log, name) if one.type == "SignalReceived"]


def test_a_signal_is_shown_where_it_counts() -> None:
    """While it is at its problem; the next opens another, whose records are its own."""
    log = Log().fires(resolves=False).begins()
    again = log.signal(1.5, resolves=False)
    log.tell(2, WorkflowCompleted(ExecutionId("wfe-2")))
    after = log.signal(30, resolves=False)
    assert signals(log) == ["2", again]
    assert signals(log, RemediationId(f"rr-{after}")) == [after]


def test_a_signal_that_opened_another_while_this_one_ended_is_not_shown() -> None:
    """It came before the end was decided on, and its verdict says whose it is."""
    log = Log().fires(resolves=False).begins()
    log.leave(2, WorkflowCompleted(ExecutionId("wfe-2")))
    body = {"name": "KubePodCrashLooping", "target": CHECKOUT}
    other = log.store(2, subjects.signal(CELL, "test"), msgspec.json.encode(body))
    log.until(2)
    assert isinstance(history(log).entries[0].data, SignalReceived)
    assert signals(log) == ["2"]
    assert signals(log, RemediationId(f"rr-{other}")) == [other]


def test_a_clear_is_shown_of_the_newest_of_its_problem_alone() -> None:
    """Of one that is over and was followed by another it says nothing; nor does a clear of another target."""
    log = Log().fires(resolves=False).begins().fails()
    log.tell(3, BlockCleared(fingerprint=PROBLEM))
    second = RemediationId(f"rr-{log.signal(30, resolves=False)}")
    log.tell(31, BlockCleared(fingerprint=PROBLEM), BlockCleared(target=Target("cart")))
    assert [one.type for one in shown(log)].count("BlockCleared") == 1
    assert [one.type for one in shown(log, second)].count("BlockCleared") == 1


def test_a_retry_of_one_at_work_is_shown_of_it() -> None:
    """Its verdict is a duplicate of itself."""
    log = Log().fires().begins().tell(2, RetryRequested(ONE))
    gathered = history(log)
    assert gathered.counted_on is None
    assert [one.says for one in gathered.entries][-1].startswith("Duplicate DuplicateInProgress of rr-2")


def test_a_run_that_nobody_has_begun_is_shown_so() -> None:
    """Until a start of it is in the log; records stand in the order of the log."""
    log = Log().fires()
    assert [one.outcome for one in run_views(history(log).entries)] == ["not begun"]
    log.begins()
    assert [one.outcome for one in run_views(history(log).entries)] == ["running"]
    places = [one.position for one in shown(log)]
    assert places == sorted(places, key=lambda one: [int(part) for part in one.split("-")])


def test_an_operators_act_says_who_and_why_and_names_a_problem_as_it_is_typed() -> None:
    """Also where nothing was given for one of them."""
    assert (
        says(RetryRequested(RemediationId("rr-2"), "ann", "the registry is back"))
        == "by ann: the registry is back"
    )
    assert says(RetryRequested(RemediationId("rr-2"), "ann", "")) == "by ann"
    problem = Fingerprint("17e4ca64817f" + "0" * 52)
    assert says(BlockCleared(problem, by="ann", reason="seen")) == "17e4ca64817f by ann: seen"
