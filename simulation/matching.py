"""Matchers once more, by hand: read as they are written, each text held against its pattern sign by sign."""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal

from remediation_orchestrator.events import Situation, Target

WORDS = ("name", "severity", "environment", "priority", "team")


def fits(written: Mapping[str, object], situation: Situation, *, within: Sequence[Target] = ()) -> bool:
    """Whether a matcher, as a document has it, matches what a situation says."""
    if situation.workflow is None and '"workflow"' in str(written).replace("'", '"'):
        return False
    return all(_holds(key, wanted, situation, within) for key, wanted in written.items())


def _holds(key: str, wanted: object, situation: Situation, within: Sequence[Target]) -> bool:
    match key, wanted:
        case "everything", _:
            return True
        case "share", float() | int():
            word = hashlib.sha256(f"share:{situation.fingerprint}".encode()).hexdigest()[:16]
            return int(word, 16) < Decimal(repr(wanted)) * 2**64
        case "not", Mapping():
            return not all(_holds(inner, one, situation, ()) for inner, one in wanted.items())
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
