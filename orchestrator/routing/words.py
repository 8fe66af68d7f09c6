"""How moments, durations, counts and verdicts stand in a sentence. Nothing is decided by them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from remediation_orchestrator.events import Block, RoutingDecided, TriedRun, Verdict
from remediation_orchestrator.events.durations import MICROSECOND, format_duration

_SECOND = timedelta(seconds=1)


def span(duration: timedelta | None) -> str:
    """A duration of a policy, as it is written there; nobody writes, or reads, a fraction of a millisecond."""
    if duration is None:
        return "not set"
    return spoken(duration) if duration % timedelta(milliseconds=1) else format_duration(duration)


def spoken(duration: timedelta) -> str:
    """A duration that was measured, as a person would say it: `340ms`, `41s`, `5m12s`, `3h05m`, `2d04h`."""
    if MICROSECOND <= duration < _SECOND:
        return f"{duration // timedelta(milliseconds=1)}ms"
    seconds = max(duration // _SECOND, 0)
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if not minutes:
        return f"{seconds}s"
    if not hours:
        return f"{minutes}m{seconds % 60:02}s"
    return f"{hours}h{minutes % 60:02}m" if not days else f"{days}d{hours % 24:02}h"


def written(moment: datetime) -> str:
    """A moment as a record has it, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def said(moment: datetime) -> str:
    """A moment to the second, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def name(verdict: Verdict) -> str:
    """Which verdict it is, and its reason: what verdicts are counted by."""
    return f"{type(verdict).__name__} {getattr(verdict, 'reason', '')}".rstrip()


def describe(verdict: Verdict, moment: Callable[[datetime], str] = said) -> str:
    """A verdict as it was given: which, of what, and until when, with `moment` to write that."""
    of = getattr(verdict, "of", None)
    parts = [name(verdict), of and f"of {of}"]
    if isinstance(verdict, Block):
        parts.append(verdict.until and f"until {moment(verdict.until)}")
        parts.append(verdict.queue_position and f"place {verdict.queue_position} in the queue")
    return " ".join(part for part in parts if part)


def describe_decided(decided: RoutingDecided) -> str:
    """A verdict as it was given, and what it lets happen."""
    if decided.execution is not None:
        workflow = decided.workflow.id if decided.workflow else "a workflow"
        return f"Proceed: {workflow} is to be run as {decided.execution}"
    if decided.analysis is not None:
        tried = describe_tried(decided.tried)
        return f"Proceed: an analysis is asked which workflow fits{tried and f', {tried}'}"
    return describe(decided.verdict)


def describe_tried(runs: Sequence[TriedRun]) -> str:
    """What has not helped: `after restart failed: TaskFailed`; nothing where nothing was tried."""
    how = {"Failed": "failed", "TimedOut": "took too long", "Ineffective": "did not help"}
    told = [f"{run.workflow} {how[run.end]}{f': {run.reason}' if run.reason else ''}" for run in runs]
    return f"after {', '.join(told)}" if told else ""


def times(count: int, what: str) -> str:
    """So many of something: `1 failure`, `2 failures`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
