"""The incremental projection against a naive recount of the whole log, whatever happens in whichever order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from happenings import (
    COOLDOWN,
    MEMORY,
    POLICIES,
    alerts,
    fingerprints,
    minutes,
    names,
    picks,
    targets,
    withins,
    workflows,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace
from recorder import AROUND, MAIN, START, Recorder

from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    ApprovalGranted,
    ApprovalRejected,
    Because,
    BlockCleared,
    Cause,
    Decision,
    ExecutionId,
    Fact,
    Fingerprint,
    OperatorFact,
    PolicyAdopted,
    PolicyShadowed,
    Recorded,
    RemediationCancelled,
    RemediationId,
    RetryRequested,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    Target,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRef,
    WorkflowStarted,
    decode,
    encode,
    fingerprint_of,
    subjects,
)
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.queries.dry_run import DryRun
from remediation_orchestrator.orchestrator.routing.checks import decide
from remediation_orchestrator.orchestrator.routing.effects import asked_plan
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.orchestrator.routing.snapshot import Image, Manifest, SnapshotError, restore
from remediation_orchestrator.simulation.course import recount
from remediation_orchestrator.testing.publishing import signed

JUDGES = (PolicyAdopted, PolicyShadowed)


class Cell(RuleBasedStateMachine):
    """A cell to which anything may happen."""

    def __init__(self) -> None:
        super().__init__()
        policy = policy_of(POLICIES[0])
        self.cell = Recorder(policy)
        self.plain = DryRun(policy)
        self.now = START
        self.policies = {policy_of(one).digest: policy_of(one) for one in POLICIES[:-1]}
        self.expected: list[Decision] = []

    # -- what may happen ----------------------------------------------------------------------------------

    def publish(self, subject: str, payload: bytes) -> None:
        """Store a fact now, and let both cells decide."""
        self.wait(0.0)
        message = self.cell.store(self.now, subject, payload)
        self.cell.decided += self.cell.tell(message)
        self.expected += self.plain.tell(message)

    def fact(self, fact: Fact, subject: str) -> None:
        """Publish a fact as a CloudEvent."""
        self.publish(subject, encode(fact, AROUND))

    def operator(self, fact: OperatorFact) -> None:
        """Let an operator act."""
        fact = signed(fact)
        self.fact(fact, subjects.operator(MAIN, fact))

    def run(self, back: int) -> ExecutionId:
        """A run that goes on, else one that is over, or none that was ever heard of."""
        decided = [one for one in self.cell.decided if isinstance(one, RoutingDecided)]
        known = list(self.cell.fold.view.runs) or [one.execution for one in decided if one.execution]
        return known[-1 - back % len(known)] if known and back < 5 else ExecutionId("wfe-404")

    def remediation(self, back: int) -> RemediationId:
        """One of the newest remediations, or none that was ever heard of."""
        known = list(self.cell.fold.view.remediations)
        return known[-1 - back % len(known)] if known and back < 5 else RemediationId("rr-404")

    @rule(at=minutes)
    def wait(self, at: float) -> None:
        """Let time pass."""
        self.now += timedelta(minutes=at)
        self.cell.decided += self.cell.wait(self.now)
        self.expected += self.plain.wait(self.now)

    @rule(back=st.sampled_from([0.0, 2.0, 40.0, 300.0]))
    def step_back(self, back: float) -> None:
        """The broker's clock is set back: nothing that has happened is undone, and no wait is over by it."""
        self.now -= timedelta(minutes=back)

    @rule(name=names, place=targets, fingerprint=fingerprints, workflow=workflows, resolves=st.booleans(),
          twice=st.sampled_from([False, False, True]), alert=alerts, within=withins)  # fmt: skip
    def signal(
        self,
        name: str,
        place: Target,
        fingerprint: str,
        workflow: str | None,
        resolves: bool,
        twice: bool,
        alert: str,
        within: tuple[Target, ...],
    ) -> None:
        """A source fires, perhaps twice in one message."""
        signal = SignalReceived(
            name,
            place,
            severity="critical" if name == "M" else "info",
            fingerprint=fingerprint,
            resolves=resolves,
            alert=alert,
            within=within,
            workflow=WorkflowRef(workflow) if workflow else None,
        )
        body = signal if not twice else [signal, replace(signal, name="N")]
        self.publish(subjects.signal(MAIN, "t"), msgspec.json.encode(body))

    @rule(name=names, place=targets, fingerprint=fingerprints, alert=alerts)
    def resolve(self, name: str, place: Target, fingerprint: str, alert: str) -> None:
        """A source says that it is over, or that one alert of it is."""
        self.fact(SignalResolved(name, place, fingerprint=fingerprint, alert=alert), subjects.signal(MAIN, "t"))

    @rule(back=picks)
    def start(self, back: int) -> None:
        """An executor claims a run."""
        execution = self.run(back)
        self.fact(WorkflowStarted(execution), subjects.execution(MAIN, execution))

    @rule(back=picks)
    def complete(self, back: int) -> None:
        """A run ends well."""
        execution = self.run(back)
        self.fact(WorkflowCompleted(execution), subjects.execution(MAIN, execution))

    @rule(back=picks, during=st.booleans(), idempotent=st.booleans(), lost=st.sampled_from([False, False, True]))
    def fail(self, back: int, during: bool, idempotent: bool, lost: bool) -> None:
        """A run ends badly."""
        execution = self.run(back)
        reason = "ExecutorLost" if lost else "TaskFailed"
        fact = WorkflowFailed(execution, reason, was_execution_failure=during, idempotent=idempotent)
        self.fact(fact, subjects.execution(MAIN, execution))

    @rule(back=picks, place=st.none() | targets, workflow=workflows, approval=st.booleans(),
          within=st.none() | withins)  # fmt: skip
    def analyse(
        self,
        back: int,
        place: Target | None,
        workflow: str | None,
        approval: bool,
        within: tuple[Target, ...] | None,
    ) -> None:
        """An analyser answers."""
        name = self.remediation(back)
        chosen = WorkflowRef(workflow) if workflow else None
        fact = AnalysisCompleted(name, place, chosen, approval_required=approval, within=within)
        self.fact(fact, subjects.analysis(MAIN, name))

    @rule(back=picks)
    def fail_analysis(self, back: int) -> None:
        """An analyser cannot answer."""
        name = self.remediation(back)
        self.fact(AnalysisFailed(name), subjects.analysis(MAIN, name))

    @rule(back=picks, act=st.sampled_from([ApprovalRejected, RemediationCancelled, RetryRequested]))
    def operate(self, back: int, act: type[ApprovalRejected]) -> None:
        """An operator acts on a remediation."""
        self.operator(act(self.remediation(back)))

    @rule(back=picks, seen=st.booleans())
    def grant(self, back: int, seen: bool) -> None:
        """An operator allows what a remediation asks for, or what it does not."""
        known = self.cell.fold.view.remediations.get(self.remediation(back))
        plan = asked_plan(known) if known is not None and seen else "another"
        self.operator(ApprovalGranted(self.remediation(back), plan))

    @rule(name=names, place=targets, workflow=workflows, by=st.sampled_from(["F", "T", "both", "shared"]))
    def clear(self, name: str, place: Target, workflow: str | None, by: str) -> None:
        """An operator forgives."""
        fingerprint = Fingerprint("shared") if by == "shared" else fingerprint_of(place, name)
        fact = BlockCleared(None if by == "T" else fingerprint, place if by in ("T", "both") else None, workflow)
        self.operator(fact)

    @rule(policy=st.sampled_from(POLICIES))
    def adopt(self, policy: dict[str, object]) -> None:
        """An operator adopts a policy."""
        self.operator(PolicyAdopted(policy))

    @rule(policy=st.sampled_from([None, *POLICIES]))
    def cast_shadow(self, policy: dict[str, object] | None) -> None:
        """An operator puts a policy in shadow, or takes it away: nothing else follows."""
        self.operator(PolicyShadowed(policy))

    # -- what must hold after each ------------------------------------------------------------------------

    def records(self) -> Iterator[Recorded]:
        """Every event of the log, in the order of being folded, at its moment: no clock takes one back."""
        newest = datetime.min.replace(tzinfo=UTC)  # The clock may be set back before the first of them.
        for message in self.cell.log:
            newest = max(newest, message.recorded_at)
            for record in decode(message):
                assert isinstance(record, Recorded), record
                yield replace(record, recorded_at=newest)

    @invariant()
    def the_view_is_what_the_log_counts_to(self) -> None:
        """Counts, active ones, holders, queues, stamps, half-done runs and phases."""
        naive, wrong = recount(self.cell.log, policy_of(POLICIES[0]))
        assert wrong == []
        view = self.cell.fold.view
        memory = view.policy.routing.alert_memory
        firing = {(of, alert): at for of, alerts in view.firing.items() for alert, at in alerts.items()}
        firing = {key: at for key, at in firing.items() if view.newest - at <= memory}
        assert firing == naive.firing.remembered(view.newest)
        histories, counted = view.histories.items(), naive.failures.counted()
        failed = {key: (one.failures, one.last_failure_at) for key, one in histories if one.failures}
        assert failed.items() <= counted.items()
        assert all(view.newest - at > MEMORY for key, (_, at) in counted.items() if key not in failed)
        active = [(one.fingerprint, name) for name, one in naive.known.items() if not one.ended]
        assert sorted((key, one.active) for key, one in histories if one.active) == sorted(active)
        completed = {key: (one.completed_at, one.completed_by) for key, one in histories if one.completed_at}
        assert completed.items() <= naive.completed.items()
        assert all(self.is_over(at) for key, (at, _) in naive.completed.items() if key not in completed)
        held = [(run.target, name) for name, run in naive.runs.items()]
        assert sorted(view.holders.items()) == sorted(held)
        going_on = {name: (run.started, run.lost) for name, run in naive.runs.items()}
        assert {name: (run.started or run.lost, run.lost) for name, run in view.runs.items()} == going_on
        assert {target: list(queue) for target, queue in view.queues.items()} == naive.queues()
        worked = {key: (one.completed_at, one.completed_by) for key, one in view.workflows.items()}
        assert worked.items() <= naive.worked.items()
        assert all(self.is_over(at) for key, (at, _) in naive.worked.items() if key not in worked)
        left = {key: run.remediation for key, run in naive.half_done.items()}
        assert {key: one.remediation for key, one in view.half_done.items()} == left
        phases = {name: one.phase for name, one in view.remediations.items()}
        said = {name: one.phase for name, one in naive.known.items()}
        assert phases.items() <= said.items()
        last = {history.ended for history in view.histories.values()}
        assert all(phase.ended and name not in last for name, phase in said.items() if name not in phases)

    def is_over(self, at: datetime) -> bool:
        """Whether the cooldowns after this moment have passed, if there are any, or other policies came since."""
        view = self.cell.fold.view
        judging = [one for one in (view.policy, view.shadow) if one is not None]
        cooldown = COOLDOWN if any(one.routing.signal_cooldown for one in judging) else timedelta(0)
        adopted = (record.recorded_at for record in self.records() if isinstance(record.event, JUDGES))
        return view.newest - at > cooldown or any(moment >= at for moment in adopted)

    @invariant()
    def nothing_is_left_to_say_and_nobody_waits_for_a_free_target(self) -> None:
        """A queue exists only behind a run, and what is blocked or running has a moment to be looked at."""
        view = self.cell.fold.view
        assert not view.tasks
        assert not view.unjudged
        assert set(view.queues) <= set(view.holders)
        wakeup = view.next_wakeup()
        assert wakeup is None or wakeup > self.now
        looked_after = {about for _, _, about in view.timers.heap}
        for one in view.remediations.values():
            if one.until is not None and not one.phase.ended:
                assert one.id in looked_after
            if one.phase == "Executing":
                assert one.execution in looked_after

    @invariant()
    def every_signal_has_one_first_verdict(self) -> None:
        """And (signal, attempt) is unique."""
        records = list(self.records())
        fired = sorted(one.position for one in records if type(one.event) is SignalReceived)
        verdicts = [one.event for one in records if isinstance(one.event, RoutingDecided)]
        assert sorted(one.signal for one in verdicts if one.attempt == 1) == fired
        places = [(one.signal, one.attempt) for one in verdicts]
        assert len(set(places)) == len(places)

    def teardown(self) -> None:
        """Audit the whole log, and replay it."""
        self.decisions_are_those_of_a_plain_dry_run()
        self.every_verdict_can_be_derived_again()
        self.a_replay_gives_the_same_view()
        self.a_snapshot_gives_the_same_view()

    def decisions_are_those_of_a_plain_dry_run(self) -> None:
        """Whose revocations have no position, because they are not stored."""
        assert [_unplaced(one) for one in self.cell.decided] == [_unplaced(one) for one in self.expected]

    def every_verdict_can_be_derived_again(self) -> None:
        """From the situation in its record, read back from JSON, by the policy that it names."""
        for record in self.records():
            if isinstance(record.event, RoutingDecided):
                situation = record.event.situation
                assert decide(situation, self.policies[situation.policy]) == record.event.verdict

    def a_replay_gives_the_same_view(self) -> None:
        """The log alone, read by another fold: every table, the chain and the next wake-up."""
        replay = Fold()
        replay.view.retention.adopt(policy_of(POLICIES[0]))
        for message in self.cell.log:
            replay.take(message)
        replay.fold_facts()
        self.is_the_same(replay)

    def a_snapshot_gives_the_same_view(self) -> None:
        """Taken behind a frame somewhere in the log, written down, read again, and gone on from."""
        frames = [one for one in self.cell.log if parse(one.subject).family is Family.DECISION]
        if not frames:
            return
        frame = frames[len(self.cell.log) % len(frames)]
        fold = Fold()
        fold.view.retention.adopt(policy_of(POLICIES[0]))
        for message in self.cell.log[: frame.sequence]:
            fold.take(message)
        try:
            image = Image(fold, frame.payload, self.now, code="x")
        except SnapshotError:  # Of a round in several frames this is not the last.
            return
        parts = list(image.parts())
        head = replace(image.head, digest=sha256(b"".join(parts)).hexdigest())
        head = msgspec.json.decode(msgspec.json.encode(head), type=Manifest)
        resumed = Fold()
        restore(resumed, head, frame, parts)
        for message in self.cell.log[head.through :]:
            resumed.take(message)
        resumed.fold_facts()
        self.is_the_same(resumed)

    def is_the_same(self, replay: Fold) -> None:
        """A fold that has read all of the log knows what the live one does."""
        live = self.cell.fold
        replayed, lived = replay.view.tables(), live.view.tables()
        for name in lived:
            assert replayed[name] == lived[name], name
        assert [list(queue) for queue in replay.view.queues.values()] == [
            list(queue) for queue in live.view.queues.values()
        ]
        assert replay.view.newest == live.view.newest
        assert replay.view.next_wakeup() == live.view.next_wakeup()
        assert replay.chain.previous(replay.read) == live.chain.previous(live.read)


def _unplaced(decision: Decision) -> Decision:
    """A decision without the position of a revocation."""
    if isinstance(decision, RoutingDecided) and decision.because.kind is Cause.RELEASED:
        return replace(decision, because=Because(Cause.RELEASED))
    return decision


TestCell = Cell.TestCase
TestCell.settings = settings(max_examples=150, stateful_step_count=50)
