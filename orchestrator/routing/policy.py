"""The policy: the numbers that the checks read. It comes from the log and is named by its digest.

A check exists only for a policy that has its keys, so a check added later is silent in old logs."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from remediation_orchestrator.events import Target, Words
from remediation_orchestrator.events.decisions import TRIED_MAX
from remediation_orchestrator.events.durations import format_duration, parse_duration
from remediation_orchestrator.events.facts import Severity
from remediation_orchestrator.events.identity import Part
from remediation_orchestrator.events.matchers import (
    Matched,
    Matcher,
    faults,
    is_about_targets_alone,
    matches,
    reads_signal,
)
from remediation_orchestrator.events.places import Place, path_of

Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


RULES = ("classify",)
"""The sections that are rules in an order; one without a rule is absent."""
# Far more than anybody keeps in mind, and few enough to be asked of every signal.
RULES_MAX = 64
# Cooldowns after success, and how long its effect is waited for: at once is a policy that somebody may want.
MAY_BE_ZERO = frozenset({"signal_cooldown", "workflow_cooldown", "settle", "silence"})


class PolicyError(ValueError):
    """A policy that cannot be adopted: what is wrong, and where."""


class RoutingPolicy(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The numbers of the checks; a key that is absent silences its check.

    `alert_memory` is read by the fold, and is never absent: an alert never forgotten might hold for ever."""

    consecutive_failure_threshold: Count | None = None
    consecutive_failure_cooldown: timedelta | None = None
    retry_limit: Count | None = None
    failure_memory: timedelta | None = None
    backoff_base: timedelta | None = None
    backoff_cap: timedelta | None = None
    jitter: Share | None = None
    signal_cooldown: timedelta | None = None
    workflow_cooldown: timedelta | None = None
    signal_max_age: timedelta | None = None
    alert_memory: timedelta
    runs_per_analysis: Annotated[int, Meta(ge=1, le=TRIED_MAX)] | None = None


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a remediation may stay in a phase; at exactly its limit it still lives."""

    starting: timedelta = timedelta(minutes=5)
    analyzing: timedelta = timedelta(minutes=10)
    executing: timedelta = timedelta(minutes=30)
    approval: timedelta = timedelta(minutes=15)


class VerificationPolicy(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How a completed run has to show that it has helped; without `within` it has not."""

    within: timedelta | None = None
    settle: timedelta | None = None
    silence: timedelta | None = None
    chain: Count | None = None
    chain_window: timedelta | None = None


class Scope(Struct, frozen=True, forbid_unknown_fields=True):
    """What is not ours to touch."""

    exclude: tuple[Matcher, ...] = ()


class ClassifiedAs(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a problem is classified as."""

    severity: Part | UnsetType = UNSET
    environment: Part | UnsetType = UNSET
    priority: Part | UnsetType = UNSET
    team: Part | UnsetType = UNSET


class ClassificationRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a signal that opens a remediation says of its problem, whatever it says itself."""

    when: Matcher = Matcher()
    assigned: ClassifiedAs = field(default=ClassifiedAs(), name="set")


class Policy(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A whole policy, as the contract writes it."""

    routing: RoutingPolicy
    timeouts: Timeouts = Timeouts()
    scope: Scope = Scope()
    classify: tuple[ClassificationRule, ...] = ()
    verification: VerificationPolicy | None = None
    """None: nothing verifies."""

    def excluding(self, known: Matched, within: tuple[Target, ...]) -> int | None:
        """Which matcher of the scope keeps us away from a problem, by its target or by what that stands within."""
        excluded = (place for place, one in enumerate(self.scope.exclude) if matches(one, known, within))
        return next(excluded, None)

    def excludes_target(self, target: Target) -> bool:
        """Whether the scope keeps us away from a target, whatever its problem."""
        known = Matched("", target, Words(""))
        return any(is_about_targets_alone(one) and matches(one, known) for one in self.scope.exclude)

    @cached_property
    def reads_signal(self) -> bool:
        """Whether any of its matchers asks for what a signal says besides where its problem is."""
        return any(map(reads_signal, self.scope.exclude))

    def document(self) -> dict[str, Any]:
        """Return the policy as plain JSON data with durations as people write them."""
        document: dict[str, Any] = _plain(msgspec.to_builtins(self, builtin_types=(timedelta,)))
        absent = [section for section, said in document.items() if said is None or (section in RULES and not said)]
        return {section: said for section, said in document.items() if section not in absent}

    @cached_property
    def memory(self) -> timedelta:
        """The longest of its durations: what is older can neither be waited for nor count."""
        return max(
            duration
            for section in (self.routing, self.timeouts)
            for duration in msgspec.structs.astuple(section)
            if isinstance(duration, timedelta)
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the document as compact JSON with sorted keys: the name of its meaning."""
        return hashlib.sha256(msgspec.json.encode(self.document(), order="sorted")).hexdigest()


def policy_of(document: object) -> Policy:
    """Read a policy from plain JSON data. Raises PolicyError naming what is wrong and where."""
    try:
        policy = msgspec.convert(_with_durations(document), Policy)
    except (msgspec.ValidationError, ValueError) as error:
        raise PolicyError(str(error).replace("`$.", "`").replace(" - at `$`", "")) from error
    wrong = [f"{path_of(place)}: {message}" for place, message in objections(policy)]
    if wrong:
        raise PolicyError("; ".join(wrong))
    return policy


def objections(policy: Policy) -> Iterator[tuple[Place, str]]:
    """Why a policy cannot be adopted although each of its values could be, and where."""
    yield from _disarmed(policy)
    if policy.verification is not None:
        yield from _impatient(policy.verification)
    for number, matcher in enumerate(policy.scope.exclude):
        yield from faults(matcher, ("scope", "exclude", number))
    for number, rule in enumerate(policy.classify):
        yield from faults(rule.when, ("classify", number, "when"), labels=True)
        yield from _misassigned(rule.assigned, ("classify", number, "set"))
    for name in RULES:
        if len(getattr(policy, name)) > RULES_MAX:
            yield (name,), f"at most {RULES_MAX} rules"


def _misassigned(assigned: ClassifiedAs, place: Place) -> Iterator[tuple[Place, str]]:
    if assigned == ClassifiedAs():
        yield place, f"sets nothing: name one of {', '.join(ClassifiedAs.__struct_fields__)}"
    elif assigned.severity is not UNSET and assigned.severity.lower() not in list(Severity):
        yield (*place, "severity"), f"must be one of {', '.join(Severity)}"


def _disarmed(policy: Policy) -> Iterator[tuple[Place, str]]:
    """A duration of 0 disarms its check, or ends a phase as it begins. After success alone it means: at once."""
    sections = (("routing", policy.routing), ("timeouts", policy.timeouts), ("verification", policy.verification))
    for name, section in sections:
        for key in () if section is None else section.__struct_fields__:
            if getattr(section, key) == timedelta(0) and key not in MAY_BE_ZERO:
                yield (name, key), "must be longer than 0"


def _impatient(verification: VerificationPolicy) -> Iterator[tuple[Place, str]]:
    """Nothing can settle, or be silent, for longer than it is looked at."""
    within, settle = verification.within, verification.settle or timedelta(0)
    if within is None:
        return
    if settle >= within:
        yield ("verification", "settle"), "must be less than `within`"
    elif verification.silence is not None and settle + verification.silence > within:
        yield ("verification", "silence"), "must be at most `within` less `settle`"


def _with_durations(document: object) -> object:
    """Turn the durations of a document into timedeltas; what is no duration is left to the types."""
    if not isinstance(document, dict):
        return document
    sections: dict[object, object] = dict(document)
    for section, keys in _DURATIONS.items():
        given = sections.get(section)
        if isinstance(given, dict):
            sections[section] = {
                key: _duration(f"{section}.{key}", value) if key in keys else value
                for key, value in given.items()
                if value is not None
            }
    return sections


def _duration(where: str, value: object) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _plain(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return format_duration(value) if isinstance(value, timedelta) else value


def _duration_keys(section: type[Struct]) -> frozenset[str]:
    return frozenset(
        field.name for field in msgspec.structs.fields(section) if field.type in (timedelta, timedelta | None)
    )


_DURATIONS: dict[Literal["routing", "timeouts", "verification"], frozenset[str]] = {
    "routing": _duration_keys(RoutingPolicy),
    "timeouts": _duration_keys(Timeouts),
    "verification": _duration_keys(VerificationPolicy),
}

DEFAULT = Policy(
    RoutingPolicy(
        consecutive_failure_threshold=3,
        consecutive_failure_cooldown=timedelta(hours=1),
        retry_limit=5,
        failure_memory=timedelta(hours=24),
        backoff_base=timedelta(minutes=1),
        backoff_cap=timedelta(minutes=10),
        jitter=0.1,
        signal_cooldown=timedelta(minutes=5),
        workflow_cooldown=timedelta(minutes=5),
        signal_max_age=timedelta(minutes=15),
        alert_memory=timedelta(hours=24),
    )
)

VERIFICATION = VerificationPolicy(
    within=timedelta(minutes=30), settle=timedelta(minutes=1), chain=3, chain_window=timedelta(hours=4)
)
"""What a file means whose section leaves everything out."""
