"""The story of `ro demo`, act by act. Each act does something to the stage, waits for what the log says to it,
shows that, and fails in one line where it is not what was promised."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import msgspec

from remediation_orchestrator.events import (
    Block,
    Duplicate,
    ExecutionId,
    PolicyAdopted,
    Position,
    Proceed,
    Reason,
    Recorded,
    Refuse,
    RoutingDecided,
    Verdict,
    WorkflowCompleted,
    WorkflowFailed,
)
from remediation_orchestrator.gateway.formats.alertmanager import items_of
from remediation_orchestrator.gateway.items import Found
from remediation_orchestrator.orchestrator.queries.audit import Auditor
from remediation_orchestrator.orchestrator.queries.backtest import backtest
from remediation_orchestrator.orchestrator.queries.explain import Answer, Explainer
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Report
from remediation_orchestrator.orchestrator.queries.present import present
from remediation_orchestrator.orchestrator.routing.backoff import backoff
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy

from .screen import Screen
from .stage import Stage
from .tape import PATIENCE_SECONDS, StoryError, Tape

# An hour in a sixth of a minute: the longest wait of the story is the block, twice; the shortest is a backoff.
FACTOR = 360
# What the backtest at the end tries in place of the default, so that no failure of the story blocks.
PATIENT_THRESHOLD = 5

HUNG, SLOW, FULL = "CheckoutHung", "SearchSlow", "SearchDiskFull"


def shortened(policy: Policy, factor: int) -> Policy:
    """The same policy with every duration of its checks divided; its time limits stay."""
    waits = {
        name: value / factor
        for name, value in msgspec.structs.asdict(policy.routing).items()
        if isinstance(value, timedelta)
    }
    return msgspec.structs.replace(policy, routing=msgspec.structs.replace(policy.routing, **waits))


def alertmanager_body(name: str, deployment: str, severity: str, status: str = "firing") -> bytes:
    """What Alertmanager would send to a webhook."""
    labels = {"alertname": name, "namespace": "shop", "deployment": deployment, "severity": severity}
    alert = {"status": status, "labels": labels, "annotations": {"summary": f"{deployment}: {name}"}}
    return msgspec.json.encode({"version": "4", "status": status, "alerts": [alert]})


class Story:
    """What the viewer sees."""

    def __init__(self, stage: Stage, tape: Tape, screen: Screen) -> None:
        self._stage = stage
        self._tape = tape
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
        await self._failing_probe(signal)
        await self._probe(signal, block, hung)
        await self._cool_down(signal)
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
        place = await self._tape.adopt(fact, datetime.now(UTC))
        self._screen.say(f"PolicyAdopted at position {place} of the log: {self._policy.digest[:12]}...")

    async def _break_checkout(self) -> int:
        self._screen.act("Something breaks")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._stage.service.ready.wait()
        self._promise(await self._stage.service.ask() is not None, "checkout answers at first")
        self._stage.service.lock.touch()
        hung = self._stage.service.hang()
        self._promise(await self._stage.service.ask() is None, "checkout hangs")
        self._screen.say(f"checkout, a web server of this demo (process {hung}), is stopped and answers no more.")
        self._screen.say("A deploy has left its lock behind, so the workflow that restarts checkout will fail.")
        return hung

    async def _alert(self) -> Position:
        self._screen.act("An alert comes in, as Alertmanager sends it")
        signal = await self._fire(HUNG, "checkout", "critical")
        record, first = await self._tape.verdict(signal, 1)
        self._promise(first.situation.policy == self._policy.digest, "the shortened policy is in force")
        self._show(record, first, "no check objects: which workflow? an analysis is asked for")
        await self._proceeds(signal, 2)
        return signal

    async def _fold_duplicates(self, signal: Position) -> None:
        self._screen.act("The same alert again, and again: folded")
        repeated = [await self._fire(HUNG, "checkout", "critical") for _ in range(3)]
        for place in repeated:
            record, decided = await self._tape.verdict(place, 1)
            duplicate = isinstance(decided.verdict, Duplicate) and decided.verdict.of == f"rr-{signal}"
            self._promise(duplicate, f"the signal at {place} is a duplicate of rr-{signal}")
            self._show(record, decided, f"one more occurrence of rr-{signal}")

    async def _climb(self, signal: Position) -> RoutingDecided:
        self._screen.act("Failures climb the ladder, and the third one blocks")
        threshold = DEFAULT.routing.consecutive_failure_threshold or 0
        for failures in range(1, threshold + 1):
            execution = ExecutionId(f"wfe-{signal}" if failures == 1 else f"wfe-{signal}-r{failures}")
            if failures > 1:
                await self._proceeds(signal, 2 * failures)
            await self._fails(execution)
            record, decided = await self._tape.verdict(signal, 2 * failures + 1)
            wanted = Reason.EXPONENTIAL_BACKOFF if failures < threshold else Reason.CONSECUTIVE_FAILURES
            self._promise(_reason(decided.verdict) == wanted, f"failure {failures} leads to {wanted}")
            self._show(record, decided, f"failure {failures}: {self._wait_of(decided, failures)}")
        return decided

    async def _explain(self, signal: Position, block: RoutingDecided) -> None:
        self._screen.act("Why is it blocked? What every check read, and the records that say so")
        explainer = Explainer(signal)
        async for message in self._stage.log.read():
            explainer.fold.take(message)
        explained = explainer.explanations[-1]
        for line in explained.lines:
            if line.answer is Answer.NOT_REACHED:
                break
            self._screen.check(line)
        waiting = explainer.about()
        self._promise(waiting is not None, "what is explained is known")
        if waiting is not None:
            now = datetime.now(UTC)
            self._screen.say(present(explainer.fold.view, explainer.chronicle, waiting, now).sentence(waiting.id))
        self._promise(explained.decided == block, "the explanation is of the block")
        objection = next(line for line in explained.lines if line.answer is Answer.OBJECTS)
        self._promise(len(objection.because) == block.situation.failures, "every failure is named by its record")
        self._promise(
            decide(block.situation, self._policy) == block.verdict, "its situation gives this verdict again"
        )
        self._screen.say("Deciding the recorded situation again gives the same verdict.")

    async def _queue(self) -> None:
        self._screen.act("Meanwhile: two different alerts for one target, one after the other")
        first = await self._fire(SLOW, "search", "warning")
        await self._tape.verdict(first, 1)
        await self._proceeds(first, 2)
        second = await self._fire(FULL, "search", "warning")
        record, waits = await self._tape.verdict(second, 1)
        self._promise(_reason(waits.verdict) == Reason.RESOURCE_BUSY, f"the signal at {second} waits in the queue")
        self._show(record, waits, f"rr-{first} holds shop/Deployment/search; it waits in the target's queue")
        ended, done = await self._tape.end(ExecutionId(f"wfe-{first}"))
        self._promise(isinstance(done, WorkflowCompleted), f"wfe-{first} completes")
        self._screen.event(ended, f"wfe-{first} has completed: the target is released, the queue is served")
        await self._tape.verdict(second, 2)
        begun = await self._proceeds(second, 3)
        self._promise(begun.recorded_at > ended.recorded_at, "the second run began after the first had ended")
        await self._fails(ExecutionId(f"wfe-{second}"))
        record, refused = await self._tape.verdict(second, 4)
        never = isinstance(refused.verdict, Refuse) and refused.verdict.reason is Reason.PREVIOUS_EXECUTION_FAILED
        self._promise(never, "a run that failed half-way is not repeated")
        self._show(
            record, refused, "it failed half-way and is not idempotent: never again until a person has looked"
        )

    async def _failing_probe(self, signal: Position) -> None:
        self._screen.act("The hour ends: one probe may run, and fails")
        await self._half_open(signal, 8)
        await self._fails(ExecutionId(f"wfe-{signal}-r4"))
        record, again = await self._tape.verdict(signal, 9)
        self._promise(_reason(again.verdict) is Reason.CONSECUTIVE_FAILURES, "a failed probe blocks again")
        self._show(record, again, f"failure 4: {self._wait_of(again, 4)}")
        self._stage.service.lock.unlink()
        self._screen.say("The deploy has ended, and its lock is gone. Nobody tells the orchestrator.")

    async def _half_open(self, signal: Position, attempt: int) -> None:
        """Wait for the probe that may run when a block ends, and not before."""
        _, block = await self._tape.verdict(signal, attempt - 1)
        assert isinstance(block.verdict, Block)
        assert block.verdict.until is not None
        remaining = (block.verdict.until - datetime.now(UTC)).total_seconds()
        self._screen.say(f"{max(remaining, 0):.0f} s of it are left.")
        with self._screen.waiting("the hour passes"):
            await self._tape.verdict(signal, attempt)
        begun = await self._proceeds(signal, attempt)
        self._promise(begun.recorded_at >= block.verdict.until, "the probe does not run before the block's end")

    async def _probe(self, signal: Position, block: RoutingDecided, hung: int) -> None:
        self._screen.act("The next hour ends: another probe, and the repair")
        await self._half_open(signal, 10)
        record, done = await self._tape.end(ExecutionId(f"wfe-{signal}-r5"))
        self._promise(isinstance(done, WorkflowCompleted), "the probe repairs checkout")
        assert isinstance(done, WorkflowCompleted)
        self._screen.event(record, done.output.strip())
        _, change = await self._tape.change(block.remediation, "Completed")
        answered = await self._stage.service.ask()
        self._promise(answered not in (None, str(hung)), "checkout answers, as a new process")
        self._screen.say(f"checkout answers: process {answered}. {change.remediation} is {change.phase}.")

    async def _cool_down(self, signal: Position) -> None:
        self._screen.act("It fires once more: the cooldown")
        again = await self._fire(HUNG, "checkout", "critical")
        record, waits = await self._tape.verdict(again, 1)
        cooling = _reason(waits.verdict) is Reason.RECENTLY_REMEDIATED
        self._promise(cooling, "a repair gets time to show")
        assert isinstance(waits.verdict, Block)
        assert waits.verdict.remaining is not None
        self._show(
            record, waits, f"{waits.verdict.of} has just repaired it; {waits.verdict.remaining:.2f} s remain"
        )
        await self._fire(HUNG, "checkout", "critical", "resolved")
        record, change = await self._tape.change(waits.remediation, "Cancelled")
        self._screen.event(record, f"{change.remediation} {change.phase}: its source says that it is resolved")

    async def _audit(self) -> None:
        self._screen.act("Audit: derive every decision of this log again, as `ro audit` does")
        report = Report()
        auditor = Auditor(report)
        findings = [finding async for message in self._stage.log.read() for finding in auditor.take(message)]
        drifts = [one for one in [*findings, *auditor.end()] if one.drift not in HARMLESS]
        self._screen.say(
            f"{report.messages} messages: {report.facts} facts, {report.decisions} decisions,"
            f" {report.commands} commands; drift: {len(drifts)}."
        )
        first = f": {drifts[0].message} at {drifts[0].position}" if drifts else ""
        self._promise(not drifts, f"an audit without drift{first}")

    async def _what_if(self, signal: Position) -> None:
        self._screen.act(f"What if the threshold were {PATIENT_THRESHOLD}? A backtest of this log")
        messages = [message async for message in self._stage.log.read()]
        patient = msgspec.structs.replace(self._policy.routing, consecutive_failure_threshold=PATIENT_THRESHOLD)
        rows = backtest(lambda: messages, msgspec.structs.replace(self._policy, routing=patient))
        blocked = [row for row in rows if row.position == signal and isinstance(row.verdict, Block)]
        climbs = [_reason(row.verdict) for row in blocked] == [Reason.EXPONENTIAL_BACKOFF] * 4
        self._promise(climbs, "under the higher threshold the ladder climbs on")
        for failures, row in enumerate(blocked, start=1):
            wait = backoff(DEFAULT.routing, row.fingerprint, failures)
            was = _reason(row.recorded) if row.recorded else None
            full, short = wait.total_seconds() / 60, wait.total_seconds() / FACTOR
            self._screen.say(f"failure {failures}: wait {short:.2f} s ({full:.1f} min at full length), was {was}")

    # -- what several acts do --------------------------------------------------------------------------

    async def _fire(self, name: str, deployment: str, severity: str, status: str = "firing") -> Position:
        (item,) = items_of(alertmanager_body(name, deployment, severity, status), datetime.now(UTC))
        assert isinstance(item, Found)
        place = await self._tape.publish(item.signal)
        self._screen.say(f"signal at {place}: {name} {status}, {item.signal.target}")
        return place

    async def _proceeds(self, signal: Position, attempt: int) -> Recorded:
        """A run is allowed and begins. Return the fact that it has."""
        record, decided = await self._tape.verdict(signal, attempt)
        allowed = isinstance(decided.verdict, Proceed) and decided.workflow is not None
        self._promise(allowed, f"verdict {attempt} on the signal at {signal} lets a workflow run")
        assert decided.workflow is not None
        self._show(record, decided, f"{decided.workflow.id} may run as {decided.execution}")
        return await self._tape.start(ExecutionId(decided.execution or ""))

    async def _fails(self, execution: ExecutionId) -> None:
        record, failed = await self._tape.end(execution)
        self._promise(isinstance(failed, WorkflowFailed), f"{execution} fails")
        assert isinstance(failed, WorkflowFailed)
        self._screen.event(record, f"{execution} failed: {failed.message.strip().splitlines()[-1]}")

    def _wait_of(self, decided: RoutingDecided, failures: int) -> str:
        situation, verdict = decided.situation, decided.verdict
        assert isinstance(verdict, Block)
        assert verdict.until is not None
        assert situation.last_failure_at is not None
        wait = (verdict.until - situation.last_failure_at).total_seconds()
        if verdict.reason is Reason.CONSECUTIVE_FAILURES:
            return f"blocked for {wait:.0f} s ({wait * FACTOR / 3600:.0f} h at full length), then one probe"
        full = backoff(DEFAULT.routing, situation.fingerprint, failures).total_seconds()
        return f"wait {wait:.2f} s ({full:.0f} s at full length)"

    def _show(self, record: Recorded, decided: RoutingDecided, text: str) -> None:
        self._screen.verdict(record, decided, text)

    def _promise(self, kept: bool, what: str) -> None:
        if not kept:
            raise StoryError(f"the demo promised, and did not show: {what}")


def _reason(verdict: Verdict) -> Reason | None:
    return None if isinstance(verdict, Proceed) else verdict.reason
