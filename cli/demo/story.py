"""The story of `ro demo`, act by act. Each act does something to the stage, waits for what the log says to it,
shows that, and fails in one line where it is not what was promised."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.events import (
    Block,
    Duplicate,
    Event,
    ExecutionId,
    Phase,
    PhaseChanged,
    PolicyAdopted,
    Position,
    Proceed,
    Reason,
    Recorded,
    RoutingDecided,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, event_source
from remediation_orchestrator.events.identity import execution_id, position, remediation_id
from remediation_orchestrator.gateway.formats.alertmanager import items_of
from remediation_orchestrator.gateway.items import Found
from remediation_orchestrator.orchestrator.queries.audit import Auditor
from remediation_orchestrator.orchestrator.queries.backtest import backtest
from remediation_orchestrator.orchestrator.queries.explain import CheckAnswer, Explainer
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Report
from remediation_orchestrator.orchestrator.queries.present import present
from remediation_orchestrator.orchestrator.routing.backoff import backoff
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy

from .screen import Screen
from .stage import DemoStage

# An hour in a sixth of a minute: the longest wait of the story is the block, twice; the shortest is a backoff.
FACTOR = 360
# What the backtest at the end tries in place of the default, so that no failure of the story blocks.
PATIENT_THRESHOLD = 5
# A block takes ten seconds, everything else less than one; a busy machine gets more.
PATIENCE_SECONDS = 30.0

HUNG, SLOW, FULL = "CheckoutHung", "SearchSlow", "SearchDiskFull"


class StoryError(Exception):
    """Something that the demo promises was not seen. The message is one line."""


def shortened(policy: Policy, factor: int) -> Policy:
    """The same policy with every duration of its checks divided; its time limits stay."""
    routing = msgspec.structs.asdict(policy.routing)
    waits = {name: value / factor for name, value in routing.items() if isinstance(value, timedelta)}
    return msgspec.structs.replace(policy, routing=msgspec.structs.replace(policy.routing, **waits))


class DemoStory:
    """What the viewer sees."""

    def __init__(self, stage: DemoStage, screen: Screen) -> None:
        self._stage = stage
        self._log = stage.log
        self._screen = screen
        self._policy = shortened(DEFAULT, FACTOR)

    async def tell(self) -> None:
        """Every act, in order. Raises StoryError where a promise is not kept."""
        await self._shorten_time()
        hung = await self._break_checkout()
        signal = await self._alert()
        await self._fold_duplicates(signal)
        block = await self._climb(signal)
        await self._explain(signal, block)
        await self._queue()
        block = await self._failing_probe(block)
        await self._probe(block, hung)
        await self._cool_down()
        await self._audit()
        await self._what_if(signal)

    # -- acts ------------------------------------------------------------------------------------------

    async def _shorten_time(self) -> None:
        self._screen.act("Shortened time")
        self._screen.say(
            f"Every wait of the default policy is divided by {FACTOR}: an hour passes in"
            f" {3600 / FACTOR:.0f} s, five minutes in {300 / FACTOR:.2f} s, one in {60 / FACTOR:.2f} s."
        )
        fact = PolicyAdopted(self._policy.document(), replaces=DEFAULT.digest, by="demo")
        around = Attributes(
            id="adopt", source=event_source(self._log.cell, "operator/demo"), time=datetime.now(UTC)
        )
        subject = subjects.operator(self._log.cell, fact)
        place = await append_behind(self._log, subject, encode(fact, around), message_id=around.id)
        self._screen.say(f"PolicyAdopted at position {place} of the log: {self._policy.digest[:12]}...")

    async def _break_checkout(self) -> int:
        self._screen.act("Something breaks")
        self._promise(await self._stage.ask() is not None, "checkout answers at first")
        self._stage.lock.touch()
        hung = self._stage.hang()
        self._promise(await self._stage.ask() is None, "checkout hangs")
        self._screen.say(f"checkout, a web server of this demo (process {hung}), is stopped and answers no more.")
        self._screen.say("A deploy has left its lock behind, so the workflow that restarts checkout will fail.")
        return hung

    async def _alert(self) -> Position:
        self._screen.act("An alert comes in, as Alertmanager sends it")
        signal = await self._fire(HUNG, "checkout", "critical")
        first = await self._verdict(signal, 1, None, "no check objects: which workflow? an analysis is asked for")
        self._promise(first.situation.policy == self._policy.digest, "the shortened policy is in force")
        await self._proceeds(signal, 2)
        return signal

    async def _fold_duplicates(self, signal: Position) -> None:
        self._screen.act("The same alert again, and again: folded")
        one = remediation_id(signal)
        for place in [await self._fire(HUNG, "checkout", "critical") for _ in range(3)]:
            again = await self._verdict(place, 1, Reason.DUPLICATE_IN_PROGRESS, f"one more occurrence of {one}")
            self._promise(again.verdict == Duplicate(one), f"the signal at {place} is a duplicate of {one}")

    async def _climb(self, signal: Position) -> RoutingDecided:
        self._screen.act("Failures climb the ladder, and the third one blocks")
        for failures in (1, 2):
            await self._fails(execution_id(signal, failures))
            await self._verdict(signal, 2 * failures + 1, Reason.EXPONENTIAL_BACKOFF, f"failure {failures}")
            await self._proceeds(signal, 2 * failures + 2)
        await self._fails(execution_id(signal, 3))
        return await self._verdict(signal, 7, Reason.CONSECUTIVE_FAILURES, "failure 3")

    async def _explain(self, signal: Position, block: RoutingDecided) -> None:
        self._screen.act("Why is it blocked? What every check read, and the records that say so")
        explainer = Explainer(signal)
        async for message in self._log.read():
            explainer.fold.take(message)
        explained = explainer.explanations[-1]
        for line in explained.lines:
            if line.answer is CheckAnswer.NOT_REACHED:
                break
            self._screen.check(line)
        waiting = explainer.about()
        self._promise(waiting is not None, "what is explained is known")
        if waiting is not None:
            now = datetime.now(UTC)
            self._screen.say(present(explainer.fold.view, explainer.chronicle, waiting, now).sentence(waiting.id))
        self._promise(explained.decided == block, "the explanation is of the block")
        objection = next(line for line in explained.lines if line.answer is CheckAnswer.OBJECTS)
        self._promise(len(objection.because) == block.situation.failures, "every failure is named by its record")
        same = decide(block.situation, self._policy) == block.verdict
        self._promise(same, "its situation gives this verdict again")
        self._screen.say("Deciding the recorded situation again gives the same verdict.")

    async def _queue(self) -> None:
        self._screen.act("Meanwhile: two different alerts for one target, one after the other")
        first = await self._fire(SLOW, "search", "warning")
        await self._proceeds(first, 2)
        second = await self._fire(FULL, "search", "warning")
        waits = f"{remediation_id(first)} holds shop/Deployment/search; it waits in the target's queue"
        await self._verdict(second, 1, Reason.RESOURCE_BUSY, waits)
        ended, output = await self._completes(execution_id(first, 1))
        self._screen.record(ended, f"{output}: the target is released, the queue is served")
        begun = await self._proceeds(second, 3)
        self._promise(begun.recorded_at > ended.recorded_at, "the second run began after the first had ended")
        await self._fails(execution_id(second, 1))
        never = "it failed half-way and is not idempotent: never again until a person has looked"
        await self._verdict(second, 4, Reason.PREVIOUS_EXECUTION_FAILED, never)

    async def _failing_probe(self, block: RoutingDecided) -> RoutingDecided:
        self._screen.act("The hour ends: one probe may run, and fails")
        await self._half_open(block)
        await self._fails(execution_id(block.signal, 4))
        again = await self._verdict(block.signal, block.attempt + 2, Reason.CONSECUTIVE_FAILURES, "failure 4")
        self._stage.lock.unlink()
        self._screen.say("The deploy has ended, and its lock is gone. Nobody tells the orchestrator.")
        return again

    async def _probe(self, block: RoutingDecided, hung: int) -> None:
        self._screen.act("The next hour ends: another probe, and the repair")
        await self._half_open(block)
        self._screen.record(*await self._completes(execution_id(block.signal, 5)))
        await self._changes(block.signal, Phase.COMPLETED)
        answered = await self._stage.ask()
        self._promise(answered not in (None, str(hung)), "checkout answers, as a new process")
        self._screen.say(f"checkout answers: process {answered}.")

    async def _cool_down(self) -> None:
        self._screen.act("It fires once more: the cooldown")
        again = await self._fire(HUNG, "checkout", "critical")
        await self._verdict(again, 1, Reason.RECENTLY_REMEDIATED, "a repair gets time to show")
        await self._fire(HUNG, "checkout", "critical", "resolved")
        await self._changes(again, Phase.CANCELLED)

    async def _audit(self) -> None:
        self._screen.act("Audit: derive every decision of this log again, as `ro audit` does")
        report = Report()
        auditor = Auditor(report)
        findings = [finding async for message in self._log.read() for finding in auditor.take(message)]
        drifts = [one for one in [*findings, *auditor.end()] if one.drift not in HARMLESS]
        self._screen.say(
            f"{report.messages} messages: {report.facts} facts, {report.decisions} decisions,"
            f" {report.commands} commands; drift: {len(drifts)}."
        )
        first = f": {drifts[0].message} at {drifts[0].position}" if drifts else ""
        self._promise(not drifts, f"an audit without drift{first}")

    async def _what_if(self, signal: Position) -> None:
        self._screen.act(f"What if the threshold were {PATIENT_THRESHOLD}? A backtest of this log")
        messages = [message async for message in self._log.read()]
        patient = msgspec.structs.replace(self._policy.routing, consecutive_failure_threshold=PATIENT_THRESHOLD)
        rows = backtest(lambda: messages, msgspec.structs.replace(self._policy, routing=patient))
        blocked = [row for row in rows if row.position == signal and isinstance(row.verdict, Block)]
        climbs = [getattr(row.verdict, "reason", None) for row in blocked] == [Reason.EXPONENTIAL_BACKOFF] * 4
        self._promise(climbs, "under the higher threshold the ladder climbs on")
        for failures, row in enumerate(blocked, start=1):
            wait = backoff(DEFAULT.routing, row.fingerprint, failures)
            was = getattr(row.recorded, "reason", None)
            self._screen.say(f"failure {failures}: {_told(wait / FACTOR)}, was {was}")

    # -- what several acts do --------------------------------------------------------------------------

    async def _fire(self, name: str, deployment: str, severity: str, status: str = "firing") -> Position:
        """Send what Alertmanager would send to the door."""
        labels = {"alertname": name, "namespace": "shop", "deployment": deployment, "severity": severity}
        alert = {"status": status, "labels": labels, "annotations": {"summary": f"{deployment}: {name}"}}
        body = msgspec.json.encode({"version": "4", "status": status, "alerts": [alert]})
        (item,) = items_of(body, datetime.now(UTC))
        assert isinstance(item, Found)
        subject = subjects.signal(self._log.cell, "alertmanager")
        place = position(await self._log.append(subject, msgspec.json.encode(item.signal)))
        self._screen.say(f"signal at {place}: {name} {status}, {item.signal.target}")
        return place

    async def _verdict(self, signal: Position, attempt: int, wanted: Reason | None, text: str) -> RoutingDecided:
        """Wait for a verdict with this reason, or with none for Proceed, and show it."""
        what = f"verdict {attempt} on the signal at {signal}"
        record = await self._seen(
            lambda one: isinstance(one, RoutingDecided) and (one.signal, one.attempt) == (signal, attempt), what
        )
        decided = record.event
        assert isinstance(decided, RoutingDecided)
        self._promise(getattr(decided.verdict, "reason", None) == wanted, f"{what}: {wanted or 'Proceed'}")
        if decided.workflow is not None and isinstance(decided.verdict, Proceed):
            text = f"{decided.workflow.id} may run as {decided.execution}"
        elif isinstance(decided.verdict, Block) and decided.verdict.until is not None:
            text = f"{text}: {_told(decided.verdict.until - decided.situation.now)}"
        self._screen.record(record, text, decided.verdict)
        return decided

    async def _proceeds(self, signal: Position, attempt: int) -> Recorded:
        """A run is allowed and begins. Return the fact that it has."""
        decided = await self._verdict(signal, attempt, None, "")
        run = decided.execution
        self._promise(run is not None, f"verdict {attempt} on the signal at {signal} lets a workflow run")
        return await self._seen(
            lambda one: isinstance(one, WorkflowStarted) and one.execution == run, f"the start of {run}"
        )

    async def _half_open(self, block: RoutingDecided) -> None:
        """Wait for the probe that may run when a block ends, and not before."""
        assert isinstance(block.verdict, Block)
        assert block.verdict.until is not None
        remaining = (block.verdict.until - datetime.now(UTC)).total_seconds()
        self._screen.say(f"{max(remaining, 0):.0f} s of it are left.")
        with self._screen.waiting("the hour passes"):
            begun = await self._proceeds(block.signal, block.attempt + 1)
        self._promise(begun.recorded_at >= block.verdict.until, "the probe does not run before the block's end")

    async def _fails(self, run: ExecutionId) -> None:
        record = await self._ends(run, WorkflowFailed)
        assert isinstance(record.event, WorkflowFailed)
        self._screen.record(record, f"{run} failed: {record.event.message.strip().splitlines()[-1]}")

    async def _completes(self, run: ExecutionId) -> tuple[Recorded, str]:
        record = await self._ends(run, WorkflowCompleted)
        assert isinstance(record.event, WorkflowCompleted)
        return record, record.event.output.strip()

    async def _ends(self, run: ExecutionId, how: type[Event]) -> Recorded:
        record = await self._seen(
            lambda one: isinstance(one, WorkflowCompleted | WorkflowFailed) and one.execution == run,
            f"the end of {run}",
        )
        self._promise(isinstance(record.event, how), f"{how.__name__} of {run}")
        return record

    async def _changes(self, signal: Position, phase: Phase) -> None:
        one = remediation_id(signal)
        record = await self._seen(
            lambda change: isinstance(change, PhaseChanged) and (change.remediation, change.phase) == (one, phase),
            f"{one} {phase}",
        )
        self._screen.record(record, f"{one} is {phase}")

    async def _seen(self, wanted: Callable[[Event], bool], what: str) -> Recorded:
        """Wait for the first record of the log that is wanted."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for message in self._log.read(follow=True):
                    for record in decode(message):
                        if isinstance(record, Recorded) and wanted(record.event):
                            return record
        except TimeoutError:
            raise StoryError(f"not seen within {PATIENCE_SECONDS:.0f} s: {what}") from None
        raise AssertionError("a log that is followed has no end")

    def _promise(self, kept: bool, what: str) -> None:
        if not kept:
            raise StoryError(f"the demo promised, and did not show: {what}")


def _told(wait: timedelta) -> str:
    return f"wait {wait.total_seconds():.2f} s ({wait * FACTOR / timedelta(minutes=1):.1f} min at full length)"
