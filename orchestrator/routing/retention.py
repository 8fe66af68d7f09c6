"""What a cell remembers of what is over, and for how long: no longer than it can change a verdict.

Everything here can be asked for at any moment as if it had been forgotten to the microsecond; when it really
goes is a matter of room, and is spread over the records that follow."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import ExecutionId, Fingerprint, RemediationId, Target
from remediation_orchestrator.events.durations import EPOCH, ZERO, later

from .alerts import Alerts
from .policy import DEFAULT, Policy
from .schedule import ExpiryQueue, Memo
from .state import FingerprintHistory, HeldRun, Remediation, WorkflowHistory
from .verification import Ineffective, IneffectiveChain, IneffectiveChains

NOTHING = FingerprintHistory()
# What one record may have to pay for.
LOOKS = 8


class RetentionPeriods(Struct, frozen=True, gc=False):
    """How long after it a failure, a completion, and a workflow's completion on a target can change a verdict."""

    failure: timedelta | None
    """None: for ever."""
    completion: timedelta
    workflow: timedelta
    chain: timedelta
    """A repair that has not helped, and how many of them in a row."""
    links: int

    @classmethod
    def of(cls, policy: Policy, shadow: Policy | None) -> "RetentionPeriods":
        """The longer windows of the policy in force and of the one in shadow: both judge every situation."""
        judging = [one.routing for one in (policy, shadow) if one is not None]
        verifying = [
            one.verification for one in (policy, shadow) if one is not None and one.verification is not None
        ]
        memories = [one.failure_memory for one in judging]
        return cls(
            failure=None if None in memories else max(one for one in memories if one is not None),
            completion=max(one.signal_cooldown or ZERO for one in judging),
            workflow=max(one.workflow_cooldown or ZERO for one in judging),
            chain=max((one.chain_window or ZERO for one in verifying), default=ZERO),
            links=max((one.chain or 0 for one in verifying), default=0),
        )

    def remembered(self, history: FingerprintHistory, now: datetime) -> FingerprintHistory:
        """A history without what can change no verdict from now on."""
        if history.last_failure_at is not None and _over(history.last_failure_at, self.failure, now):
            history = history.forgiven()
        if history.completed_at is not None and _over(history.completed_at, self.completion, now):
            history = replace(history, completed_at=None, completed_by=None)
        return history

    def remembers(self, done: WorkflowHistory, now: datetime) -> bool:
        """Whether a workflow's completion can still change a verdict."""
        return not _over(done.completed_at, self.workflow, now)

    def remembered_chain(self, chain: IneffectiveChain, now: datetime) -> IneffectiveChain:
        """The newest of a target's repairs that have not helped, as far as they can change a verdict."""
        known = chain[-self.links :] if self.links else ()
        return tuple(one for one in known if not _over(one.at, self.chain, now))


def _over(at: datetime, window: timedelta | None, now: datetime) -> bool:
    return window is not None and now - at > window


class Retention:
    """The tables of what has been, and the policy that says for how long it is known."""

    def __init__(
        self, spoken_of: Callable[[RemediationId], bool], forgotten: Callable[[Remediation], None] | None
    ) -> None:
        """`spoken_of` says whether something of one that has ended is still to be judged or told, and `forgotten`
        is told of each that is let go."""
        self.policy: Policy = DEFAULT
        self.adopted = False
        self._pinned = False
        self.shadow: Policy | None = None
        """What judges beside the policy in force, without effect."""
        self.newest = EPOCH
        """The latest moment of any record folded: a fact's, a decision's `now`."""
        self.histories: dict[Fingerprint, FingerprintHistory] = {}
        self.workflows: dict[tuple[Target, str], WorkflowHistory] = {}
        self.remediations: dict[RemediationId, Remediation] = {}
        """All that have not ended, and of each fingerprint the last that has."""
        self.spoilt: dict[RemediationId, set[ExecutionId]] = {}
        """Runs that were spoken of before there was such a run: nobody could ever claim them."""
        self.alerts = Alerts()
        self.chains = IneffectiveChains()
        self._periods = RetentionPeriods.of(self.policy, None)
        self._expiring = ExpiryQueue()
        self._spoken_of = spoken_of
        self._forgotten = forgotten

    # -- reading ---------------------------------------------------------------------------------------

    def history(self, fingerprint: Fingerprint) -> FingerprintHistory:
        """Return what a fingerprint has been through; nothing, if it was never heard of."""
        return self.histories.get(fingerprint, NOTHING)

    def moment_of(self, stamp: datetime, not_after: datetime | None) -> datetime:
        """The moment of a fact: what the broker stamped, but no later than `not_after` and never before a moment
        that was folded. So neither a clock that steps back undoes a wait, nor one that leaps stops all timers."""
        bounded = stamp if not_after is None or stamp <= not_after else not_after
        return bounded if bounded >= self.newest else self.newest

    def remembered(self, fingerprint: Fingerprint, now: datetime) -> FingerprintHistory:
        """Return what of it can change a verdict now."""
        return self._periods.remembered(self.history(fingerprint), now)

    def remembered_of(self, key: tuple[Target, str], now: datetime) -> WorkflowHistory | None:
        """Return what a workflow last did on a target, as far as it can change a verdict now."""
        done = self.workflows.get(key)
        return done if done is None or self._periods.remembers(done, now) else None

    def remembered_chain(self, target: Target, now: datetime) -> IneffectiveChain:
        """The repairs in a row of a target that have not helped, as far as they can change a verdict now."""
        return self._periods.remembered_chain(self.chains.known.get(target, ()), now)

    def firing_of(self, fingerprint: Fingerprint, now: datetime) -> list[str]:
        """The alerts that are known to fire for a problem, what was heard of longest ago first."""
        return list(self.alerts.known(fingerprint, now, self.policy.routing.alert_memory))

    # -- policy ----------------------------------------------------------------------------------------

    def adopt(self, policy: Policy) -> None:
        """Put a policy in force; what is in force casts no shadow."""
        self.adopted = True
        if self._pinned:
            return
        shadow = None if self.shadow is not None and self.shadow.digest == policy.digest else self.shadow
        self._judge_by(policy, shadow)

    def pin(self, policy: Policy) -> None:
        """Judge by this policy whatever is adopted: to see what another than the log's would have decided."""
        self._judge_by(policy, self.shadow)
        self._pinned = True

    def put_in_shadow(self, shadow: Policy | None) -> None:
        """Put a policy in shadow, or take it away."""
        self._judge_by(self.policy, shadow)

    @property
    def reads_signal(self) -> bool:
        """Whether one of the policies that judge asks for what a signal says besides where its problem is."""
        return self.policy.reads_signal or (self.shadow is not None and self.shadow.reads_signal)

    def put_in_force(self, policy: Policy, shadow: Policy | None, *, adopted: bool) -> None:
        """Judge by what was in force when the rest of this was written down."""
        self.policy, self.shadow, self.adopted = policy, shadow, adopted

    def _judge_by(self, policy: Policy, shadow: Policy | None) -> None:
        """What nobody has remembered until now, a policy that remembers longer does not bring back."""
        self.forget()
        self.policy, self.shadow = policy, shadow
        self.plan_forgetting()

    # -- what is over ----------------------------------------------------------------------------------

    def reach(self, moment: datetime) -> None:
        """A record of this moment is being folded: let go what can change no verdict after it."""
        if moment > self.newest:
            self.newest = moment
        if self._expiring.next_at is not None and self._expiring.next_at <= self.newest:
            self._look_up(LOOKS)
        self.alerts.let_go(self.newest, self.policy.routing.alert_memory, LOOKS)

    def restore(
        self,
        *,
        histories: Iterable[tuple[Fingerprint, FingerprintHistory]] = (),
        workflows: Iterable[tuple[tuple[Target, str], WorkflowHistory]] = (),
        spoilt: Iterable[tuple[RemediationId, set[ExecutionId]]] = (),
    ) -> None:
        """Know some of what was written down."""
        self.histories.update(histories)
        self.workflows.update(workflows)
        self.spoilt.update(spoilt)

    def resume(self, newest: datetime) -> None:
        """All that was written down is known: plan when it is forgotten."""
        self.newest = newest
        self.alerts.sort()
        self.plan_forgetting()

    def know(self, remediation: Remediation) -> None:
        """Know this of a remediation from now on."""
        self.remediations[remediation.id] = remediation

    def fire(self, fingerprint: Fingerprint, alert: str, at: datetime) -> None:
        """An alert fires for a problem."""
        self.alerts.fire(fingerprint, alert, at, self.policy.routing.alert_memory)

    def resolve(self, fingerprint: Fingerprint, alert: str, at: datetime) -> bool:
        """An alert has resolved, or "" all of them; whether its problem is over."""
        return self.alerts.resolve(fingerprint, alert, at, self.policy.routing.alert_memory)

    def begin(self, remediation: Remediation) -> None:
        """A remediation is at its problem from now on."""
        history = self.history(remediation.fingerprint)
        self.histories[remediation.fingerprint] = replace(history, active=remediation.id)

    def spoil(self, of: RemediationId, run: ExecutionId) -> None:
        """A run was spoken of before there was such a run."""
        self.spoilt.setdefault(of, set()).add(run)

    def unspoil(self, runs: Collection[str]) -> None:
        """These runs are early here, and nobody took their names: where a log is judged by another policy."""
        for spoilt in self.spoilt.values():
            spoilt.difference_update(runs)

    def record(self, fingerprint: Fingerprint, history: FingerprintHistory) -> None:
        """Know this of a fingerprint from now on; where it is nothing, the fingerprint is not known any more."""
        if history == NOTHING:
            self.histories.pop(fingerprint, None)
            return
        before = self.history(fingerprint)
        self.histories[fingerprint] = history
        if history.last_failure_at is not before.last_failure_at:
            self._note(history.last_failure_at, self._periods.failure, fingerprint)
        if history.completed_at is not before.completed_at:
            self._note(history.completed_at, self._periods.completion, fingerprint)

    def complete(self, run: HeldRun, at: datetime) -> None:
        """A workflow has completed on its target."""
        self.workflows[run.target, run.workflow] = WorkflowHistory(at, run.remediation)
        self._note(at, self._periods.workflow, (run.target, run.workflow))

    def forget_completion(self, remediation: Remediation, since: datetime, now: datetime) -> None:
        """A repair that completed at a moment has not helped: it gives no time to show itself any more."""
        history = self.history(remediation.fingerprint)
        if (history.completed_at, history.completed_by) == (since, remediation.id):
            self.record(remediation.fingerprint, replace(history, completed_at=None, completed_by=None))
        key = (remediation.target, remediation.workflow.id if remediation.workflow else "")
        if self.workflows.get(key) == WorkflowHistory(since, remediation.id):
            del self.workflows[key]
        self.chains.lengthen(remediation.target, Ineffective(now, remediation.id), self._periods.links)
        self._note(now, self._periods.chain, remediation.target)

    def retire(self, remediation: Remediation) -> None:
        """A remediation has ended: it may be retried until it is too old, or the next of its fingerprint has."""
        history = self.history(remediation.fingerprint)
        self.remediations[remediation.id] = remediation
        if history.active == remediation.id:
            history = replace(history, active=None)
            self.record(remediation.fingerprint, history)
        self.record(remediation.fingerprint, replace(history, ended=remediation.id))
        self._note(remediation.due, ZERO, remediation.id)
        if history.ended is not None and history.ended != remediation.id:
            self._let_go(history.ended)

    def has_forgotten(self, remediation: Remediation, now: datetime) -> bool:
        """Whether a remediation has ended too long ago to be retried, or another of its fingerprint has since."""
        if not remediation.phase.ended:
            return False
        old = remediation.due is not None and remediation.due <= now
        return old or self.history(remediation.fingerprint).ended not in (None, remediation.id)

    def forget(self) -> None:
        """Let go all that can change no verdict any more, to the last."""
        self.alerts.forget(self.newest, self.policy.routing.alert_memory)
        self._look_up(None)
        keys: list[Memo] = [*self.chains.known, *self.workflows, *self.histories, *self.remediations]
        for key in keys:
            self._look_at(key)

    def plan_forgetting(self) -> None:
        """Write down anew when everything that is known is to be looked at."""
        self._periods, self._expiring = RetentionPeriods.of(self.policy, self.shadow), ExpiryQueue()
        self.alerts.plan(self.policy.routing.alert_memory)
        for fingerprint, history in self.histories.items():
            self._note(history.last_failure_at, self._periods.failure, fingerprint)
            self._note(history.completed_at, self._periods.completion, fingerprint)
        for key, done in self.workflows.items():
            self._note(done.completed_at, self._periods.workflow, key)
        for target, chain in self.chains.known.items():
            self._note(chain[0].at, self._periods.chain, target)
        for remediation in self.remediations.values():
            if remediation.phase.ended:  # Of one that is let go late, the time is over already.
                over = self.has_forgotten(remediation, self.newest)
                self._note(self.newest if over else remediation.due, ZERO, remediation.id)

    def _note(self, at: datetime | None, window: timedelta | None, key: Memo) -> None:
        if at is not None and window is not None:
            self._expiring.add(later(at, window), key)

    def _look_up(self, most: int | None) -> None:
        for key in self._expiring.due(self.newest, most):
            self._look_at(key)

    def _look_at(self, key: Memo) -> None:
        """Let go of what has this key. Somebody's fingerprint may look like a remediation's id."""
        if isinstance(key, Target):
            self.chains.renew(key, self.remembered_chain(key, self.newest))
            return
        if isinstance(key, tuple):
            done = self.workflows.get(key)
            if done is not None and not self._periods.remembers(done, self.newest):
                del self.workflows[key]
            return
        remediation = self.remediations.get(RemediationId(key))
        if remediation is not None and self.has_forgotten(remediation, self.newest):
            self._let_go(remediation.id)
        history = self.histories.get(Fingerprint(key))
        if history is not None:
            self.record(Fingerprint(key), self._periods.remembered(history, self.newest))

    def _let_go(self, name: RemediationId) -> None:
        """Forget a remediation that has ended, unless something of it is still to be said."""
        remediation = self.remediations.get(name)
        if remediation is None or not remediation.phase.ended:
            return
        if self._spoken_of(name):
            self._expiring.add(self.newest, name)
            return
        del self.remediations[name]
        self.spoilt.pop(name, None)
        history = self.history(remediation.fingerprint)
        if history.ended == name:
            self.record(remediation.fingerprint, replace(history, ended=None))
        if self._forgotten is not None:
            self._forgotten(remediation)
