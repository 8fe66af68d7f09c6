"""Laws of the small functions, for every policy, count, name and message that hypothesis can think of."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Fingerprint,
    Recorded,
    RemediationId,
    SignalReceived,
    Situation,
    StoredMessage,
    Target,
    Words,
    WorkflowRef,
    decode,
    encode,
    fingerprint_of,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.durations import LONGEST, format_duration, parse_duration
from remediation_orchestrator.events.matchers import Matched, Matcher, faults, matches
from remediation_orchestrator.events.stored import EXPECTED, export_line, import_line
from remediation_orchestrator.orchestrator.routing.backoff import backoff, next_allowed_execution
from remediation_orchestrator.orchestrator.routing.checks import CHECKS
from remediation_orchestrator.orchestrator.routing.policy import (
    Policy,
    RoutingPolicy,
    Scope,
    Timeouts,
    VerificationPolicy,
    policy_of,
)
from remediation_orchestrator.simulation.matching import fits

US = timedelta(microseconds=1)
START = datetime(2026, 11, 21, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = texts.filter(bool)
targets = st.builds(Target, names, texts, texts, texts)
durations = st.timedeltas(min_value=timedelta(0), max_value=LONGEST)
lengths = st.timedeltas(min_value=US, max_value=LONGEST)
counts = st.integers(min_value=1, max_value=1_000_000)
shares = st.floats(min_value=0, max_value=1)
stamps = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """A value, or none."""
    return st.none() | strategy


routings = st.builds(
    RoutingPolicy,
    consecutive_failure_threshold=maybe(counts),
    consecutive_failure_cooldown=maybe(lengths),
    retry_limit=maybe(counts),
    failure_memory=maybe(lengths),
    backoff_base=lengths,
    backoff_cap=lengths,
    jitter=maybe(shares),
    signal_cooldown=maybe(durations),
    workflow_cooldown=maybe(durations),
    signal_max_age=maybe(lengths),
    alert_memory=lengths,
)
short = st.text("ab", max_size=4)
patterns = st.text("ab*?", max_size=6)
listed = patterns | st.lists(patterns, min_size=1, max_size=3)
asked = st.dictionaries(st.sampled_from(["name", "severity", "team", "workflow"]), listed, max_size=3)
sought = st.dictionaries(st.sampled_from(["cluster", "namespace", "kind", "name"]), listed, min_size=1, max_size=2)
matchers = st.recursive(
    st.tuples(asked, st.none() | sought, st.none() | st.floats(0, 1)).map(
        lambda said: {
            **said[0],
            **({"target": said[1]} if said[1] else {}),
            **({"share": said[2]} if said[2] is not None else {}),
        }
    ),
    lambda inner: st.tuples(asked, inner).map(lambda said: {**said[0], "not": said[1]}),
    max_leaves=3,
)
written = matchers.filter(lambda said: not list(faults(msgspec.convert(said, Matcher), ())))
policies = st.builds(
    Policy,
    routings,
    st.builds(Timeouts, **dict.fromkeys(Timeouts.__struct_fields__, lengths)),
    st.builds(Scope, st.lists(written.map(lambda said: msgspec.convert(said, Matcher)), max_size=3).map(tuple)),
    verification=maybe(st.builds(VerificationPolicy, chain=maybe(counts), chain_window=maybe(lengths))),
)
jsons = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


remediations = maybe(st.sampled_from([RemediationId("rr-1"), RemediationId("rr-2")]))
situations = st.builds(
    Situation,
    now=stamps,
    policy=st.just(""),
    fingerprint=st.builds(Fingerprint, names),
    target=targets,
    workflow=maybe(names),
    active=remediations,
    resolves=st.booleans(),
    occurred_at=maybe(stamps),
    queued=durations,
    previous_failure=remediations,
    ineffective=st.lists(stamps, max_size=4).map(sorted).map(tuple),
    ineffective_of=remediations,
    failures=st.integers(min_value=0, max_value=12),
    last_failure_at=maybe(stamps),
    completed_at=maybe(stamps),
    completed_by=remediations,
    workflow_completed_at=maybe(stamps),
    workflow_completed_by=remediations,
    held_by=remediations,
    queue_first=remediations,
    queue_ahead=st.integers(min_value=0, max_value=9),
)


@given(situations, situations, policies, policies)
def test_a_check_answers_by_what_it_says_that_it_reads(
    one: Situation, other: Situation, policy: Policy, another: Policy
) -> None:
    """And speaks of nothing else: every other value, and every other number, may be anybody's."""
    for check in CHECKS:
        same = {name: getattr(one, name) for name in ("now", *check.reads)}
        ours, theirs = getattr(policy, check.section), getattr(another, check.section)
        if ours is not None and theirs is not None:
            theirs = replace(theirs, **{key: getattr(ours, key) for key in check.numbers})
        elif check.numbers:
            theirs = ours
        as_well = replace(another, scope=policy.scope, **{check.section: theirs})
        assert check.objection(replace(other, **same), as_well) == check.objection(one, policy)
        assert check.sentence(replace(other, **same), as_well) == check.sentence(one, policy)


@given(written, situations, st.builds(Words, short, short, team=short), st.builds(Target, short, short, short))
def test_a_matcher_matches_what_it_matches_by_hand(
    said: dict[str, object], situation: Situation, words: Words, target: Target
) -> None:
    """Whatever it says and whatever is known."""
    situation = replace(situation, words=words, target=target)
    known = Matched(situation.fingerprint, target, words, situation.workflow)
    assert matches(msgspec.convert(said, Matcher), known) is fits(said, situation)


@given(routings, texts, st.integers(min_value=1, max_value=10_000))
def test_backoff_is_its_formula_exactly(routing: RoutingPolicy, fingerprint: str, failures: int) -> None:
    """Computed again in fractions, from the contract's sentence."""
    assert routing.backoff_base is not None
    assert routing.backoff_cap is not None
    promised = min(routing.backoff_base // US * 2 ** (failures - 1), routing.backoff_cap // US)
    digest = hashlib.sha256(f"{fingerprint}:{failures}".encode()).digest()
    u = Fraction(int.from_bytes(digest[:8], "big"), 2**64)
    exact = promised * (1 + Fraction(str(routing.jitter or 0.0)) * u)
    found = backoff(routing, Fingerprint(fingerprint), failures)
    assert found == timedelta(microseconds=int(exact))
    assert promised * US <= found <= (routing.backoff_cap // US) * 2 * US


@given(routings, texts, st.integers(min_value=0, max_value=10_000), stamps)
def test_the_next_allowed_execution_is_the_last_failure_and_backoff(
    routing: RoutingPolicy, fingerprint: str, failures: int, at: datetime
) -> None:
    """Only between no failure and the threshold."""
    found = next_allowed_execution(routing, Fingerprint(fingerprint), failures, at)
    threshold = routing.consecutive_failure_threshold
    if failures == 0 or (threshold is not None and failures >= threshold):
        assert found is None
    else:
        assert found == at + backoff(routing, Fingerprint(fingerprint), failures)


@given(durations)
def test_a_duration_is_read_back_as_it_was_written(duration: timedelta) -> None:
    """Exact to the microsecond."""
    assert parse_duration(format_duration(duration)) == duration


@given(policies)
def test_a_policy_is_read_back_from_its_document(policy: Policy) -> None:
    """Through JSON, with the same digest."""
    again = policy_of(json.loads(json.dumps(policy.document())))
    assert again == policy
    assert again.digest == policy.digest


@given(targets, names)
def test_a_fingerprint_is_what_anybody_can_compute(target: Target, name: str) -> None:
    """With hashlib and json alone."""
    written = json.dumps([target.cluster, target.namespace, target.kind, target.name, name], ensure_ascii=False,
                         separators=(",", ":"))  # fmt: skip
    assert fingerprint_of(target, name) == hashlib.sha256(written.encode()).hexdigest()


@given(
    targets,
    names,
    st.dictionaries(texts, texts, max_size=3),
    st.booleans(),
    st.dictionaries(texts, jsons, max_size=3),
)
def test_a_signal_is_read_back_bare_and_as_a_cloud_event(
    target: Target, name: str, labels: dict[str, str], resolves: bool, parameters: dict[str, object]
) -> None:
    """Both say the same; and in a batch, too."""
    signal = SignalReceived(
        name,
        target,
        labels=labels,
        resolves=resolves,
        fingerprint=fingerprint_of(target, name),
        workflow=WorkflowRef("w", parameters),
    )
    bare = msgspec.json.encode(signal)
    event = encode(signal, Attributes(id="1", source="/t", time=START))
    stored = StoredMessage(1, START, "ro.main.signal.t", b"[" + bare + b"," + event + b"]")
    assert [record.event for record in decode(stored) if isinstance(record, Recorded)] == [signal, signal]


@given(st.binary(max_size=200) | jsons.map(lambda value: json.dumps(value).encode()))
def test_decoding_never_raises(payload: bytes) -> None:
    """Whatever was stored, on whichever subject."""
    for family in (
        "signal.x",
        "analysis.rr-1",
        "execution.wfe-1",
        "operator.clear.ann",
        "decision",
        "command.workflow.wfe-1",
    ):
        for record in decode(StoredMessage(1, START, f"ro.main.{family}", payload, {EXPECTED: "0"})):
            assert record.position in ("1", *(f"1-{index}" for index in range(len(payload))))


@given(
    st.integers(min_value=1, max_value=2**63),
    stamps,
    names,
    st.binary(max_size=100) | jsons.map(lambda value: json.dumps(value).encode()) | jsons.map(msgspec.json.encode),
    st.none() | st.dictionaries(names, texts, min_size=1, max_size=3),
)
def test_a_stored_message_is_read_back_from_its_line(
    sequence: int, at: datetime, subject: str, payload: bytes, headers: dict[str, str] | None
) -> None:
    """The same bytes, and `message` exactly where encoding again gives them."""
    message = StoredMessage(sequence, at, subject, payload, headers)
    line = export_line(message)
    assert import_line(line) == message
    written = json.loads(line)
    if "base64" in written:
        assert base64.b64decode(written["base64"]) == payload
    else:
        assert msgspec.json.encode(msgspec.json.decode(payload)) == payload
