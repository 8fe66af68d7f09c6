"""Every question that a verb asks of a log, asked of one: by the functions behind the verbs, without a process."""

from remediation_orchestrator.events import Position, RemediationId, StoredMessage, decode
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.backtest import Backtest
from remediation_orchestrator.orchestrator.queries.case import Links
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.explain import explanations, why_not
from remediation_orchestrator.orchestrator.queries.history import History, Locator, run_views
from remediation_orchestrator.orchestrator.queries.known import Known
from remediation_orchestrator.orchestrator.queries.place import target_present
from remediation_orchestrator.orchestrator.queries.rejected import rejected
from remediation_orchestrator.orchestrator.queries.replay import state
from remediation_orchestrator.orchestrator.queries.shadow import Shadows
from remediation_orchestrator.orchestrator.queries.tally import Tally
from remediation_orchestrator.orchestrator.queries.timeline import Timeline, bars
from remediation_orchestrator.orchestrator.queries.views import (
    fingerprint_view,
    fingerprints,
    remediations,
)
from remediation_orchestrator.orchestrator.routing.fold import Fold, Observer


def read_by_every_verb(messages: list[StoredMessage]) -> None:
    """Raises what a verb would die of."""
    list(audit(messages))
    for message in messages:
        list(rejected(message))
    newest = messages[-1].recorded_at
    chronicle = Chronicle()
    fold = _folded(messages, chronicle)
    known = remediations(fold.view, chronicle, newest)
    state(fold.view, chronicle, fold.read, newest)
    for fingerprint in fingerprints(fold.view, chronicle):
        fingerprint_view(fold.view, chronicle, fingerprint, newest)
    for one in {view.target for view in known}:
        why_not(fold.view, chronicle, one)
        target_present(fold.view, one, newest)
    for view in known[:3]:
        _about(messages, view.id)
    shown = Timeline(fold.view.remediations.values())
    _folded(messages, shown)
    list(bars(shown.steps))
    _folded(messages, Shadows())
    _judge_again(messages)


def _folded(messages: list[StoredMessage], observer: Observer) -> Fold:
    fold = Fold(observer)
    for message in messages:
        fold.take(message)
    fold.fold_facts()
    return fold


def _about(messages: list[StoredMessage], remediation: RemediationId) -> None:
    """`ro show`, `ro explain`, `ro export --case`."""
    history = History(remediation)
    _folded(messages, history)
    run_views(history.entries)
    signal = Position(remediation.removeprefix("rr-").partition("-")[0])
    _folded(messages, Locator(signal))
    explanations(messages, signal)
    links = Links()
    for message in messages:
        links.take(message)
    excerpt = links.excerpt(remediation)
    if excerpt is not None:
        for message in messages:
            part = excerpt.part(message)
            if part is not None:
                decode(part)


def _judge_again(messages: list[StoredMessage]) -> None:
    """`ro backtest`."""
    known, tally = Known(), Tally()
    for message in messages:
        known.take(message)
    again = Backtest(known)
    for message in messages:
        for row in again.take(message):
            tally.add(row)
    for row in again.finish(None):
        tally.add(row)
    tally.close(known)
