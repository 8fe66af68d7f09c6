"""Small worlds, by name: who is in them, what happens, and what can go wrong."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import (
    BlockCleared,
    ExecutionId,
    OperatorFact,
    RemediationCancelled,
    Target,
    WorkflowFailed,
    WorkflowStarted,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.identity import remediation_of

from .clock import MIDNIGHT
from .explore_cast import Teller
from .explore_stage import CELL

JUNK = b'{"stream":"RO_main","seq":7}'
RUN = re.compile(rb"wfe-[0-9-]+")
TARGET = {"namespace": "shop", "kind": "Deployment", "name": "checkout"}


@dataclass(frozen=True)
class SmallWorld:
    """One small world."""

    name: str
    says: str
    orchestrators: int
    executors: int
    acts: tuple[Callable[[Teller], Awaitable[None]], ...]
    failures: int = 0
    """So many runs fail, the first that there are."""
    clock_steps: bool = False
    failing: tuple[str, ...] = ()
    run_seconds: float = 8.0
    """How long a script touches its target; shorter than any lease, so that only a pause makes it too long."""
    starting: timedelta = timedelta(minutes=5)
    """The policy's time limit for a run to begin."""
    naps: bool = False
    """Whether executors may be stopped for a while that costs them no lease."""
    files_differ: bool = False
    """Whether the second executor has other files of the same names."""


def fires(
    name: str, *, workflow: str | None = "restart", resolves: bool = False
) -> Callable[[Teller], Awaitable[None]]:
    """A source says that a problem of the one target fires."""
    signal: dict[str, object] = {"name": name, "target": TARGET, "resolves": resolves}
    if workflow is not None:
        signal["workflow"] = {"id": workflow}
    return publishes(subjects.signal(CELL, name), msgspec.json.encode(signal))


def publishes(subject: str, payload: bytes) -> Callable[[Teller], Awaitable[None]]:
    """Publish something once."""

    async def act(teller: Teller) -> None:
        await teller.publish(subject, payload)

    return act


async def spoil(teller: Teller) -> None:
    """Somebody has junk stored: on the decision subject, and on those of a run's command and of the run itself."""
    await teller.publish(subjects.decision(CELL), JUNK)
    found = await teller.until('"execution":"wfe-')
    execution = ExecutionId(RUN.search(found.payload)[0].decode())  # type: ignore[index]
    for subject in (f"ro.{CELL}.command.workflow.{execution}", subjects.execution(CELL, execution)):
        await teller.publish(subject, JUNK)
    await teller.publish(subjects.decision(CELL), JUNK + b" ")


async def forge(teller: Teller) -> None:
    """Somebody who may publish there says that a run has ended that nobody has begun."""
    await _say_of_a_run(teller, ".command.workflow.", WorkflowFailed, expect=0)


async def pretend(teller: Teller) -> None:
    """Somebody says that he has begun a run, which another has begun already."""
    await _say_of_a_run(teller, ".execution.", WorkflowStarted, expect=None)


async def _say_of_a_run(
    teller: Teller, word: str, kind: type[WorkflowFailed | WorkflowStarted], *, expect: int | None
) -> None:
    found = await teller.until(word)
    execution = ExecutionId(found.subject.rpartition(".")[2])
    payload = encode(kind(execution), Attributes(id="forged", source="/forged", time=MIDNIGHT))
    with suppress(LogError):  # He has no more to say where somebody was faster.
        await teller.log.append(subjects.execution(CELL, execution), payload, expect=expect)


def tells(
    *plan: tuple[str, Callable[[str], OperatorFact]],
) -> Callable[[Teller], Awaitable[None]]:
    """Someone acts, each time as soon as a record has a word in it; told the last word of its subject."""

    async def act(teller: Teller) -> None:
        for number, (word, make) in enumerate(plan):
            found = await teller.until(word)
            fact = make(found.subject.rpartition(".")[2])
            payload = encode(fact, Attributes(id=f"act-{number}", source="/op", time=MIDNIGHT))
            await teller.publish(subjects.operator(CELL, fact), payload)

    return act


def cancel(execution: str) -> RemediationCancelled:
    """An operator has enough of the remediation of a run."""
    return RemediationCancelled(remediation_of(ExecutionId(execution)), by="op", reason="enough")


def clear_full(_word: str) -> BlockCleared:
    """An operator forgives the problem called Full."""
    return BlockCleared(fingerprint=fingerprint_of(Target(**TARGET), "Full"), by="op", reason="looked")


def clear(_word: str) -> BlockCleared:
    """An operator clears the target, whatever runs there."""
    return BlockCleared(target=Target(**TARGET), by="op", reason="looked")


WORLDS = (
    SmallWorld(
        *("pair", "two orchestrators, one executor, two problems of one target", 2, 1),
        (fires("Slow"), fires("Full", workflow="repair")),
    ),
    SmallWorld(
        *("executors", "one orchestrator, two executors, one problem, a workflow that is not idempotent", 1, 2),
        (fires("Slow", workflow="repair"),),
    ),
    SmallWorld(
        *("retry", "one orchestrator, one executor, a run that fails and is tried again, another behind it", 1, 1),
        (fires("Slow", resolves=True), fires("Full", workflow="repair")),
        failures=1,
    ),
    SmallWorld(
        *("cancel", "one orchestrator, one executor, and an operator who cancels what is commanded", 1, 1),
        (fires("Slow"), fires("Full", workflow="repair"), tells((".command.workflow.", cancel))),
    ),
    SmallWorld(
        *(
            "clear",
            "one orchestrator, one executor, and an operator who cancels a run and clears its target",
            1,
            1,
        ),
        (
            fires("Slow"),
            fires("Full", workflow="repair"),
            tells((".execution.", cancel), ("command.cancel", clear)),
        ),
    ),
    SmallWorld(
        *("lost", "one orchestrator, two executors, and an operator who clears the target of a lost run", 1, 2),
        (fires("Slow"), fires("Full", workflow="repair"), tells(("ExecutorLost", clear))),
    ),
    SmallWorld(
        *("line", "one orchestrator, one executor, three problems of one target, and one of them forgiven", 1, 1),
        (
            *(fires("Slow"), fires("Full", workflow="repair"), fires("Stuck", workflow="reload")),
            tells(('"queue_position":2', clear_full)),
        ),
    ),
    SmallWorld(
        *("analysis", "two orchestrators, one executor, a problem that names no workflow", 2, 1),
        (fires("Slow", workflow=None),),
    ),
    SmallWorld(
        *("junk", "two orchestrators, one executor, one problem, and junk on every subject of it", 2, 1),
        (fires("Slow"), spoil),
    ),
    SmallWorld(
        *("told", "one orchestrator, one executor, and somebody who tells the end of a run before it began", 1, 1),
        (fires("Slow"), fires("Full", workflow="repair"), forge),
    ),
    SmallWorld(
        *("pretended", "one orchestrator, two executors, and somebody who says that a run is his", 1, 2),
        (fires("Slow"), pretend),
    ),
    SmallWorld(
        *("hasty", "one orchestrator, one executor that naps, and five seconds for a run to begin", 1, 1),
        (fires("Slow"),),
        starting=timedelta(seconds=5),
        naps=True,
    ),
    SmallWorld(
        *("files", "one orchestrator, two executors with different files of the same names", 1, 2),
        (fires("Slow", workflow="repair"),),
        files_differ=True,
    ),
    SmallWorld(
        *("slow", "one orchestrator, two executors, and a run that has to be confirmed again and again", 1, 2),
        (fires("Slow"),),
        run_seconds=40.0,
        naps=True,
    ),
    SmallWorld(
        *("clock", "one orchestrator, one executor, and a broker whose clock is set", 1, 1),
        (fires("Slow"), fires("Full", workflow="repair")),
        clock_steps=True,
    ),
)
BY_NAME = {world.name: world for world in WORLDS}
