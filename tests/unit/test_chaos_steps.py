"""A clock that steps, on the wire: nothing is changed but stamps, and each stamp always alike."""

import itertools
from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from remediation_orchestrator.bus.feed import read_reply
from remediation_orchestrator.simulation.chaos.steps import NANOSECONDS, ClockStep, Steps, Wire

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
STAMP = int(NOON.timestamp()) * NANOSECONDS + 123_456_780
HOUR = 3_600


def delivery(stamp: int = STAMP, *, stream: str = "RO_main", payload: bytes = b"{}") -> bytes:
    """What the server sends for a message of a stream."""
    reply = f"$JS.ACK.{stream}.ro-1.1.7.3.{stamp}.0"
    return b"MSG ro.main.signal.x 5 %s %d\r\n%s\r\n" % (reply.encode(), len(payload), payload)


def answer(kind: str, body: bytes) -> bytes:
    """An answer of JetStream's API."""
    payload = b'{"type":"io.nats.jetstream.api.v1.%s",%s}' % (kind.encode(), body)
    return b"MSG _INBOX.a.b 1 %d\r\n%s\r\n" % (len(payload), payload)


FOUND = answer("stream_msg_get_response", b'"message":{"seq":7,"data":"","time":"2026-11-30T12:00:00.12345678Z"}')
INFO = answer(
    "stream_info_response",
    b'"created":"2026-11-30T11:00:00Z","state":{"first_ts":"0001-01-01T00:00:00Z","last_ts":"2026-11-30T12:00:00Z"}',
)
HEAD = b"NATS/1.0\r\nNats-Time-Stamp: 2026-11-30T12:00:00.12345678Z\r\nNats-Sequence: 7\r\n\r\n"
DIRECT = b"HMSG _INBOX.a.b 1 %d %d\r\n%s{}\r\n" % (len(HEAD), len(HEAD) + 2, HEAD)
TRAFFIC = b"".join(
    (b'INFO {"port":1}\r\nPING\r\n', delivery(), FOUND, INFO, DIRECT, b"+OK\r\n", delivery(payload=FOUND))
)


def passed(data: bytes, steps: Steps, *, cuts: tuple[int, ...] = ()) -> bytes:
    """What comes out, the bytes having come in as many pieces."""
    wire = Wire(steps, "RO_main")
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return b"".join(wire.feed(data[a:b]) for a, b in itertools.pairwise(edges))


def stepped(seconds: int, *, at: int = STAMP, once: bool = False) -> Steps:
    """A clock that has stepped once."""
    steps = Steps()
    steps.add(ClockStep(at, seconds, once=once))
    return steps


@given(st.lists(st.integers(min_value=0, max_value=10_000), max_size=6))
def test_without_a_step_every_byte_passes_as_it_came(cuts: list[int]) -> None:
    """In however many pieces."""
    assert passed(TRAFFIC, Steps(), cuts=tuple(cuts)) == TRAFFIC


@given(st.lists(st.integers(min_value=0, max_value=10_000), max_size=6), st.integers(-9_000, 200_000_000))
def test_a_step_moves_stamps_alone_and_every_length_stays(cuts: list[int], seconds: int) -> None:
    """Also in an answer of a direct get; what is stored in a message is nobody's stamp."""
    told = passed(TRAFFIC, stepped(seconds, at=STAMP - HOUR * NANOSECONDS), cuts=tuple(cuts))
    assert len(told) == len(TRAFFIC)
    assert told.endswith(FOUND + b"\r\n")
    assert b'"created":"2026-11-30T11:00:00Z"' in told
    assert told.replace(b"12:00:00", b"").count(b"Nats-Sequence: 7") == 1


def test_every_way_of_telling_a_stamp_agrees() -> None:
    """A delivery, a look at the message, the stream's state, a direct get."""
    steps = stepped(-2 * HOUR)
    reply = passed(delivery(), steps).split(b" ")[3].decode()
    assert read_reply(reply)[2] == STAMP - 2 * HOUR * NANOSECONDS
    for told in (FOUND, DIRECT):
        assert b"2026-11-30T10:00:00.12345678Z" in passed(told, steps)
    assert b'"last_ts":"2026-11-30T12:00:00Z"' in passed(INFO, steps)  # That one is a fraction before the step.


def test_a_stamp_before_a_step_stays_what_it_was() -> None:
    """And after a second step it is the second's."""
    steps = stepped(-HOUR)
    steps.add(ClockStep(STAMP + 10, 0))
    assert [steps.seconds(stamp) for stamp in (STAMP - 1, STAMP, STAMP + 9, STAMP + 10)] == [0, -HOUR, -HOUR, 0]


def test_no_step_changes_what_was_told_already() -> None:
    """However late it is known."""
    steps = Steps()
    assert steps.tell(STAMP + 5) == 0
    steps.add(ClockStep(STAMP, -HOUR))
    assert [steps.seconds(stamp) for stamp in (STAMP, STAMP + 5, STAMP + 6)] == [0, 0, -HOUR]


def test_one_single_stamp_of_another_year_is_told_to_everybody() -> None:
    """The first of the log after the instant, for ever; neither a lease's nor any later one."""
    steps = stepped(5 * 365 * 24 * HOUR, at=STAMP - 10, once=True)
    lease = delivery(STAMP - 5, stream="KV_RO_LEASES")
    assert passed(lease, steps) == lease
    assert passed(delivery(STAMP - 11), steps) == delivery(STAMP - 11)
    moved = passed(delivery(), steps)
    assert moved != delivery()
    assert passed(delivery(STAMP + 1), steps) == delivery(STAMP + 1)
    assert passed(delivery(), steps) == moved
    assert b'"time":"2031-11-29T12:00:00.12345678Z"' in passed(FOUND, steps)
    assert list(steps.singled) == [STAMP]


def test_a_step_is_told_as_json() -> None:
    """As the proxy takes it."""
    step = ClockStep(STAMP, -HOUR, once=True)
    assert msgspec.json.decode(msgspec.json.encode(step), type=ClockStep) == step
