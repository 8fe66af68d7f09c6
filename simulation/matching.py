"""Matchers once more, by hand: read as they are written, each text held against its pattern sign by sign."""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from remediation_orchestrator.events import Fingerprint, Severity, SignalReceived, Situation, Target, Words
from remediation_orchestrator.events.durations import EPOCH

NO_LABELS: Mapping[str, str] = MappingProxyType({})
WORDS = ("name", "severity", "environment", "priority", "team")


def classify_by_hand(document: Mapping[str, Any], signal: SignalReceived) -> Words:
    """Return what a policy, as a document, makes of what a signal says."""
    severity = signal.severity if signal.severity in list(Severity) else "unknown"
    words = Words(signal.name, severity, signal.environment, signal.priority, signal.team)
    for rule in document.get("classify", ()):
        situation = Situation(
            now=EPOCH,
            policy="",
            fingerprint=Fingerprint(signal.fingerprint),
            target=signal.target,
            words=words,
            workflow=signal.workflow.id if signal.workflow is not None else None,
        )
        if fits(rule["when"], situation, labels=signal.labels):
            words = replace(
                words, **{key: _lower(one) if key == "severity" else one for key, one in rule["set"].items()}
            )
    return words


def fits(
    written: Mapping[str, object],
    situation: Situation,
    *,
    within: Sequence[Target] = (),
    labels: Mapping[str, str] = NO_LABELS,
) -> bool:
    """Whether a matcher, as a document has it, matches what a situation says."""
    if situation.workflow is None and _reads_workflow(written):
        return False
    return all(_holds(key, wanted, situation, within, labels) for key, wanted in written.items())


def _reads_workflow(written: object) -> bool:
    return isinstance(written, Mapping) and ("workflow" in written or _reads_workflow(written.get("not")))


def _holds(
    key: str, wanted: object, situation: Situation, within: Sequence[Target], labels: Mapping[str, str]
) -> bool:
    match key, wanted:
        case "everything", _:
            return True
        case "share", float() | int():
            word = hashlib.sha256(f"share:{situation.fingerprint}".encode()).hexdigest()[:16]
            return int(word, 16) < Decimal(repr(wanted)) * 2**64
        case "not", Mapping():
            return not all(_holds(inner, one, situation, (), labels) for inner, one in wanted.items())
        case "labels", Mapping():
            return all(_any(one, labels.get(label, "")) for label, one in wanted.items())
        case "target", Mapping():
            targets = [situation.target, *within]
            return any(all(_any(one, getattr(it, part)) for part, one in wanted.items()) for it in targets)
        case "workflow", _:
            return _any(wanted, situation.workflow or "")
        case word, _ if word in WORDS:
            said = str(getattr(situation.words, word))
            return _any(_lower(wanted), said.lower()) if word == "severity" else _any(wanted, said)
        case _:
            raise AssertionError(f"nobody has matched {key} by hand")


def _lower(wanted: object) -> object:
    return wanted.lower() if isinstance(wanted, str) else [str(one).lower() for one in _listed(wanted)]


def _listed(wanted: object) -> list[object]:
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def _any(wanted: object, text: str) -> bool:
    return any(like(str(one), text) for one in _listed(wanted))


def like(pattern: str, text: str) -> bool:
    """Whether a text is as a pattern says: which beginnings of the text its beginnings can be, sign by sign."""
    ends = {0}
    for sign in pattern:
        if sign == "*":
            ends = set(range(min(ends, default=len(text) + 1), len(text) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(text) and sign in ("?", text[end])}
    return len(text) in ends
