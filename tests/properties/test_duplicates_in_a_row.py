"""However decisions follow one another: what is written together is read singly, in order and exactly."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from remediation_orchestrator.events import (
    Because,
    Block,
    Cause,
    Decision,
    Duplicate,
    Fingerprint,
    Phase,
    PhaseChanged,
    Position,
    Reason,
    Recorded,
    RemediationId,
    RoutingDecided,
    ShadowDecided,
    Situation,
    Stage,
    StoredMessage,
    Target,
    decode,
)
from remediation_orchestrator.events.codec import join_frame
from remediation_orchestrator.events.identity import position_key
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.frames import batches

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RR = RemediationId("rr-1")
positions = st.sampled_from(["1", "2-0", "2-1", "3", "no position", ""]).map(Position)


@st.composite
def duplicates(draw: st.DrawFn) -> RoutingDecided:
    """A verdict as the core makes it on a signal whose problem another remediation is at."""
    signal, of = draw(positions), draw(st.sampled_from([RR, RemediationId("rr-2"), RemediationId("")]))
    return RoutingDecided(
        signal=signal,
        remediation=of,
        attempt=1,
        because=Because(Cause.SIGNAL, signal),
        stage=draw(st.sampled_from(Stage)),
        verdict=Duplicate(of),
        situation=Situation(
            now=NOW + draw(st.sampled_from([timedelta(0), timedelta(microseconds=1)])),
            policy=draw(st.sampled_from(["one", "another"])),
            fingerprint=draw(st.sampled_from([Fingerprint("f"), Fingerprint("g"), Fingerprint("")])),
            target=draw(st.sampled_from([Target("a"), Target("b", "c", "d", "e")])),
            active=of,
        ),
    )


@st.composite
def almost_duplicates(draw: st.DrawFn) -> RoutingDecided:
    """One that differs in something that a record of several does not say."""
    made = draw(duplicates())
    return draw(
        st.sampled_from(
            [
                replace(made, attempt=2),
                replace(made, remediation=RemediationId("rr-9")),
                replace(made, because=Because(Cause.RETRY, made.signal)),
                replace(made, because=Because(Cause.SIGNAL, Position("9"))),
                replace(made, because=Because(Cause.SIGNAL)),
                replace(made, verdict=Duplicate(made.remediation, Reason.RESOURCE_BUSY)),
                replace(made, verdict=Duplicate(RemediationId("rr-9"))),
                replace(made, verdict=Block(Reason.DUPLICATE_IN_PROGRESS, of=made.remediation)),
                replace(made, situation=replace(made.situation, active=None)),
                replace(made, situation=replace(made.situation, active=RemediationId("rr-9"))),
                replace(made, situation=replace(made.situation, failures=1)),
                replace(made, situation=replace(made.situation, occurred_at=NOW)),
                replace(made, situation=replace(made.situation, queued=timedelta(seconds=1))),
                replace(made, name="Crash"),
                replace(made, severity="critical"),
                replace(made, deadline=NOW),
            ]
        )
    )


others: st.SearchStrategy[Decision] = st.sampled_from(
    [
        ShadowDecided(Position("1"), 1, "another", Duplicate(RR)),
        PhaseChanged(
            remediation=RR,
            fingerprint=Fingerprint("f"),
            phase=Phase.COMPLETED,
            because=Because(Cause.COMPLETED, Position("1")),
            now=NOW,
            attempt=1,
        ),
    ]
)


@given(st.lists(duplicates() | almost_duplicates() | others, max_size=30))
def test_what_was_written_together_is_read_singly_in_order_and_exactly(decisions: list[Decision]) -> None:
    """And the first of what stands at each place is what its writer takes to stand there."""
    for batch in batches(decisions, "/test", NOW):
        records = decode(StoredMessage(7, NOW, "ro.main.decision", join_frame(batch.encoded), {EXPECTED: "6"}))
        assert all(isinstance(one, Recorded) for one in records)
        found = [one for one in records if isinstance(one, Recorded)]
        assert [one.event for one in found] == decisions
        places = [position_key(one.position)[1] for one in found]
        assert places == sorted(places)
        firsts = {place: one.event for place, one in zip(reversed(places), reversed(found), strict=True)}
        assert [firsts[place] for place in range(len(firsts))] == batch.decisions


@given(st.lists(duplicates(), min_size=2, max_size=30))
def test_duplicates_of_one_moment_are_one_record_in_any_order(decisions: list[RoutingDecided]) -> None:
    """Of however many problems, and however those are mixed."""
    together = [replace(one, situation=replace(one.situation, now=NOW, policy="one")) for one in decisions]
    (batch,) = batches(together, "/test", NOW)
    assert len(batch.encoded) == 1
