"""Matchers: which problems a rule is about. One shape wherever people say "those": a scope, a rule, a hold.

A matcher says what must be so, and whoever asks what is known; nothing here knows who asks. What it costs to match
grows with the length of the text and of the pattern and with nothing else, because anybody may send the text."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, NamedTuple, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from .identity import NAME_LENGTH_MAX, Target, Words
from .places import Place

Pattern: TypeAlias = Annotated[str, Meta(max_length=NAME_LENGTH_MAX)]
"""A text in which `*` stands for any characters and `?` for one."""
Texts: TypeAlias = Pattern | tuple[Pattern, ...]
"""A pattern, or several of which one must match."""

NOT_EVERYTHING = "would match everything: write {everything: true} where that is meant"
_ANY = re.compile(r"[*?]")
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class TargetMatcher(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Targets by some of their parts."""

    cluster: Texts | UnsetType = UNSET
    namespace: Texts | UnsetType = UNSET
    kind: Texts | UnsetType = UNSET
    name: Texts | UnsetType = UNSET


class Matcher(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every key that is given must match."""

    name: Texts | UnsetType = UNSET
    severity: Texts | UnsetType = UNSET
    environment: Texts | UnsetType = UNSET
    priority: Texts | UnsetType = UNSET
    team: Texts | UnsetType = UNSET
    workflow: Texts | UnsetType = UNSET
    target: TargetMatcher | UnsetType = UNSET
    labels: dict[str, Texts] | UnsetType = UNSET
    """Of the signal; only who classifies it knows them."""
    share: Annotated[float, Meta(ge=0.0, le=1.0)] | UnsetType = UNSET
    """Of all problems the same part in every rollout: the smaller share lies within the larger."""
    negated: "Matcher | UnsetType" = field(default=UNSET, name="not")
    """What must not match."""
    everything: bool | UnsetType = UNSET


class Matched(NamedTuple):
    """What is known of what is to be matched."""

    fingerprint: str
    target: Target
    words: Words
    workflow: str | None = None
    labels: Mapping[str, str] = _NO_LABELS


WORDS = Words.__struct_fields__
PARTS = TargetMatcher.__struct_fields__


def matches(matcher: Matcher, known: Matched, within: Iterable[Target] = ()) -> bool:
    """Whether all that a matcher says is so. One that reads the workflow matches nothing while none is known.

    Its `target` may also be one of those `within` which the known one stands, but not within a `not`."""
    if known.workflow is None and any(one.workflow is not UNSET for one in _nested(matcher)):
        return False
    return _fits(matcher, known, within)


def reads_signal(matcher: Matcher) -> bool:
    """Whether it asks for anything that a signal says besides where its problem is."""
    asked = (*WORDS, "workflow")
    return any(getattr(one, key) is not UNSET for one in _nested(matcher) for key in asked)


def is_about_targets_alone(matcher: Matcher) -> bool:
    """Whether it asks for nothing but the target, so that of every problem there the same is so."""
    asked = {key for one in _nested(matcher) for key in one.__struct_fields__ if getattr(one, key) is not UNSET}
    return asked <= {"target", "negated", "everything"}


def faults(matcher: Matcher, place: Place, *, labels: bool = False) -> Iterator[tuple[Place, str]]:
    """What is wrong with a matcher that can be read, and where: it would match what nobody means.

    `labels`: whether they are known where it stands."""
    said = [key for key in matcher.__struct_fields__ if getattr(matcher, key) is not UNSET]
    if not said:
        yield place, f"an empty matcher {NOT_EVERYTHING}"
    if matcher.everything is not UNSET and (not matcher.everything or said != ["everything"]):
        yield (*place, "everything"), "is true, and stands alone"
    for key in (*WORDS, "workflow"):
        yield from _listing_nothing((*place, key), getattr(matcher, key))
    if matcher.target is not UNSET:
        yield from _target_faults(matcher.target, (*place, "target"))
    if matcher.labels is not UNSET:
        yield from _label_faults(matcher.labels, (*place, "labels"), known=labels)
    if matcher.negated is not UNSET:
        yield from faults(matcher.negated, (*place, "not"), labels=labels)


def _target_faults(target: TargetMatcher, place: Place) -> Iterator[tuple[Place, str]]:
    if target == TargetMatcher():
        yield place, f"no part of a target {NOT_EVERYTHING}; the parts are {', '.join(PARTS)}"
    for part in PARTS:
        yield from _listing_nothing((*place, part), getattr(target, part))


def _label_faults(labels: Mapping[str, Texts], place: Place, *, known: bool) -> Iterator[tuple[Place, str]]:
    if not known:
        yield (
            place,
            "labels are known to `classify` alone, which may set a team, an environment or a priority by them",
        )
    elif not labels:
        yield place, f"no label {NOT_EVERYTHING}"
    for key, texts in labels.items():
        yield from _listing_nothing((*place, key), texts)


def _listing_nothing(place: Place, texts: Texts | UnsetType) -> Iterator[tuple[Place, str]]:
    if texts == ():
        yield place, "an empty list would match nothing"


def _nested(matcher: Matcher) -> Iterator[Matcher]:
    yield matcher
    while matcher.negated is not UNSET:
        matcher = matcher.negated
        yield matcher


def _fits(matcher: Matcher, known: Matched, within: Iterable[Target]) -> bool:
    words = known.words
    return (
        _says(matcher.name, words.name)
        and _says(_lowered(matcher.severity), words.severity.lower())
        and _says(matcher.environment, words.environment)
        and _says(matcher.priority, words.priority)
        and _says(matcher.team, words.team)
        and _says(matcher.workflow, known.workflow or "")
        and (matcher.target is UNSET or any(_covers(matcher.target, one) for one in (known.target, *within)))
        and (matcher.labels is UNSET or _has_all(matcher.labels, known.labels))
        and (matcher.share is UNSET or _is_among(matcher.share, known.fingerprint))
        and (matcher.negated is UNSET or not _fits(matcher.negated, known, ()))
    )


def _covers(wanted: TargetMatcher, target: Target) -> bool:
    return (
        _says(wanted.name, target.name)
        and _says(wanted.namespace, target.namespace)
        and _says(wanted.kind, target.kind)
        and _says(wanted.cluster, target.cluster)
    )


def _has_all(wanted: Mapping[str, Texts], labels: Mapping[str, str]) -> bool:
    """A label that a signal does not have is empty."""
    return all(_says(texts, labels.get(key, "")) for key, texts in wanted.items())


def _says(wanted: Texts | UnsetType, text: str) -> bool:
    if wanted is UNSET:
        return True
    if isinstance(wanted, str):
        return _is_like(wanted, text)
    return any(_is_like(one, text) for one in wanted)


def _lowered(texts: Texts | UnsetType) -> Texts | UnsetType:
    if texts is UNSET:
        return UNSET
    return texts.lower() if isinstance(texts, str) else tuple(one.lower() for one in texts)


def _is_like(pattern: str, text: str) -> bool:
    if _ANY.search(pattern) is None:
        return pattern == text
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4_096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """What stands between two `*` is looked for once, as early as it comes, and never again further on: that
    finds a match where there is one, and a text made to be searched over and over costs no more than another."""
    first, *others = [
        "".join("." if one == "?" else re.escape(one) for one in part) for part in pattern.split("*")
    ]
    if not others:
        return re.compile(first, re.DOTALL)
    *between, last = others
    sought = "".join(f"(?>.*?{part})" for part in between if part)
    return re.compile(f"{first}{sought}.*{last}", re.DOTALL)


def _is_among(share: float, fingerprint: str) -> bool:
    """Whether u < share, in whole numbers, so that no float can differ: the share is the decimal as written."""
    word = hashlib.sha256(f"share:{fingerprint}".encode()).digest()[:8]
    exact = Fraction(repr(share))
    return int.from_bytes(word, "big") * exact.denominator < exact.numerator << 64
