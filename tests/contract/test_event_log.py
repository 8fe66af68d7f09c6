"""One contract, two logs: what is promised of the event log holds in memory and on JetStream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC

import pytest

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.memory import MemoryLog
from remediation_orchestrator.bus.port import (
    TOGETHER_MAX,
    EventLog,
    Extent,
    LogError,
    LogFullError,
    LogUnreachableError,
    StaleWriteError,
)
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.stored import expectation

PATIENCE = 10
MakeLog = Callable[..., Awaitable[EventLog]]


def on(log: EventLog, rest: str = "signal.test") -> str:
    """A subject of the log."""
    return f"ro.{log.cell}.{rest}"


async def all_of(log: EventLog, start: int = 1) -> list[StoredMessage]:
    """Everything there is now."""
    async with asyncio.timeout(PATIENCE):
        return [message async for message in log.read(start)]


async def take(messages: AsyncIterator[StoredMessage], count: int) -> list[StoredMessage]:
    """The next few, as soon as they are there."""
    async with asyncio.timeout(PATIENCE):
        return [await anext(messages) for _ in range(count)]


async def attempt(append: Awaitable[int]) -> int | LogFullError:
    """What came of it."""
    try:
        return await append
    except LogFullError as full:
        return full


async def test_an_empty_log_has_nothing(log: EventLog) -> None:
    """Zero is the last sequence before there is one, and one the first."""
    assert await log.last_sequence() == 0
    assert await log.first_sequence() == 1
    assert await log.last(on(log)) is None
    assert (await log.room()).fill == 0.0
    assert await all_of(log) == []


async def test_what_was_appended_is_read_in_order(log: EventLog) -> None:
    """Sequences count from one, across subjects, and the bytes are those that were given."""
    payloads = [b'{"a":1}', b"\x00\xff not JSON", b""]
    given = [(on(log, "signal.a"), payloads[0]), (on(log, "decision"), payloads[1]), (on(log), payloads[2])]
    assert [await log.append(subject, payload) for subject, payload in given] == [1, 2, 3]
    stored = await all_of(log)
    assert [(m.sequence, m.subject, m.payload) for m in stored] == [
        (number, *one) for number, one in enumerate(given, start=1)
    ]
    assert [m.headers for m in stored] == [None] * 3
    assert await log.last_sequence() == 3


async def test_stamps_are_utc_and_never_go_back(log: EventLog) -> None:
    """Every message carries when it was stored."""
    for _ in range(5):
        await log.append(on(log), b"x")
    stamps = [message.recorded_at for message in await all_of(log)]
    assert stamps == sorted(stamps)
    assert all(stamp.tzinfo is UTC for stamp in stamps)


async def test_reading_starts_where_it_is_told(log: EventLog) -> None:
    """From the middle, from the last, and from beyond the end."""
    for number in range(5):
        await log.append(on(log), b"%d" % number)
    assert [m.sequence for m in await all_of(log, 3)] == [3, 4, 5]
    assert [m.sequence for m in await all_of(log, 5)] == [5]
    assert await all_of(log, 6) == []


async def test_reading_ends_at_what_was_the_last_when_it_began(log: EventLog) -> None:
    """What is appended during the reading is left for the next one."""
    for _ in range(3):
        await log.append(on(log), b"x")
    read = []
    async with asyncio.timeout(PATIENCE):
        async for message in log.read():
            read.append(message.sequence)
            await log.append(on(log), b"later")
    assert read == [1, 2, 3]


async def test_a_long_log_is_read_whole(log: EventLog) -> None:
    """More than fits in a few batches, in order, each once."""
    for _ in range(5):
        await asyncio.gather(*(log.append(on(log), b"x") for _ in range(500)))
    assert [m.sequence for m in await all_of(log)] == list(range(1, 2_501))


async def test_following_goes_on_with_what_comes(log: EventLog) -> None:
    """First what is there, then what is appended, also by another handle."""
    await log.append(on(log), b"there")
    async with aclosing(log.read(follow=True)) as messages:
        assert [m.payload for m in await take(messages, 1)] == [b"there"]
        waiting = asyncio.create_task(take(messages, 2))
        await log.append(on(log), b"came")
        await log.append(on(log), b"came too")
        assert [m.payload for m in await waiting] == [b"came", b"came too"]


async def test_following_from_beyond_the_end_waits_for_that_sequence(log: EventLog) -> None:
    """Earlier messages that come meanwhile are not for this reader."""
    await log.append(on(log), b"1")
    async with aclosing(log.read(4, follow=True)) as messages:
        waiting = asyncio.create_task(take(messages, 1))
        for _ in range(4):
            await log.append(on(log), b"x")
        assert [m.sequence for m in await waiting] == [4]


async def test_an_expectation_that_holds_is_stored_with_the_record(log: EventLog) -> None:
    """Zero for the first on a subject, then the sequence of the one before, whatever happens elsewhere."""
    decision = on(log, "decision")
    assert await log.append(decision, b"1", expect=0) == 1
    await log.append(on(log), b"elsewhere")
    assert await log.append(decision, b"2", expect=1) == 3
    last = await log.last(decision)
    assert last is not None
    assert last.headers == {"Nats-Expected-Last-Subject-Sequence": "1"}


async def test_an_expectation_that_fails_stores_nothing_and_says_what_is_there(log: EventLog) -> None:
    """The fence: whoever does not know the last record may not write."""
    decision = on(log, "decision")
    await log.append(decision, b"1", expect=0)
    for expected in (0, 7):
        with pytest.raises(StaleWriteError) as stale:
            await log.append(decision, b"2", expect=expected)
        assert stale.value.last == 1
    with pytest.raises(StaleWriteError):
        await log.append(on(log, "execution.wfe-1"), b"2", expect=1)
    assert await log.last_sequence() == 1


async def test_of_many_that_want_to_be_first_one_is(make_log: MakeLog) -> None:
    """Twenty claims on one subject, from two handles."""
    logs = [await make_log(), await make_log()]
    claim = on(logs[0], "execution.wfe-1")
    claims = (logs[number % 2].append(claim, b"%d" % number, expect=0) for number in range(20))
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, StaleWriteError)] == [1]


def commands(log: EventLog, first: int, count: int) -> list[tuple[str, bytes]]:
    """So many records, each on a subject of its own."""
    return [(on(log, f"command.workflow.wfe-{n}"), b"%d" % n) for n in range(first, first + count)]


async def test_what_is_appended_together_stands_together(log: EventLog) -> None:
    """In the order in which it was given, one right after the other, each with its own expectation."""
    await log.append(on(log), b"before")
    given = commands(log, 0, TOGETHER_MAX)
    assert await log.append_together(given) == 1 + TOGETHER_MAX
    stored = await all_of(log, 2)
    assert [(m.subject, m.payload) for m in stored] == given
    assert [m.sequence for m in stored] == list(range(2, 2 + TOGETHER_MAX))
    assert {(m.headers or {})["Nats-Expected-Last-Subject-Sequence"] for m in stored} == {"0"}
    assert await log.last(given[7][0]) == stored[7]


@pytest.mark.parametrize("taken", [0, 5, 9])
async def test_of_what_is_appended_together_nothing_is_stored_where_one_is_not_the_first(
    log: EventLog, taken: int
) -> None:
    """Whichever it is; the others can still be appended one by one, and again together."""
    given = commands(log, 0, 10)
    await log.append(given[taken][0], b"first", expect=0)
    with pytest.raises(StaleWriteError):
        await log.append_together(given)
    assert await log.last_sequence() == 1
    assert await log.append(given[taken - 1][0], b"x", expect=0) == 2
    assert await log.append_together(commands(log, 20, 3)) == 5


async def test_of_two_that_append_the_same_together_one_does(make_log: MakeLog) -> None:
    """As it is after a lost answer: the whole of one, and nothing of the other."""
    logs = [await make_log(), await make_log()]
    given = commands(logs[0], 0, 50)
    outcomes = await asyncio.gather(*(log.append_together(given) for log in logs), return_exceptions=True)
    assert sum(isinstance(one, LogError) for one in outcomes) == 1
    assert await logs[0].last_sequence() == max(one for one in outcomes if isinstance(one, int)) == 50


async def test_together_and_one_by_one_at_once_store_each_once(make_log: MakeLog) -> None:
    """A batch that is still under way while somebody has given it up."""
    together, single = await make_log(), await make_log()
    given = commands(together, 0, 30)
    await asyncio.gather(
        together.append_together(given),
        *(single.append(subject, payload, expect=0) for subject, payload in reversed(given)),
        return_exceptions=True,
    )
    assert sorted((m.subject, m.payload) for m in await all_of(single)) == sorted(given)


async def test_two_on_one_subject_are_not_appended_together(log: EventLog) -> None:
    """The second would not be the first there."""
    with pytest.raises(LogError):
        await log.append_together([*commands(log, 0, 3), *commands(log, 1, 1)])
    assert await log.last_sequence() == 0


async def test_a_repeated_message_id_is_answered_with_the_first(log: EventLog) -> None:
    """The second is dropped, also with other bytes; another id is another message."""
    assert await log.append(on(log), b"1", message_id="a") == 1
    assert await log.append(on(log), b"2", message_id="a") == 1
    assert await log.append(on(log), b"3", message_id="b") == 2
    assert [m.payload for m in await all_of(log)] == [b"1", b"3"]


async def test_what_expects_what_stood_before_it_is_stored_once_and_nothing_is_read(log: EventLog) -> None:
    """Behind whatever others have stored there, and where the same is said again, the first is found."""
    subject = on(log, "operator.clear.ann")
    assert await append_behind(log, subject, b"1", message_id="a") == 1
    assert await append_behind(log, subject, b"2", message_id="b") == 2
    assert await append_behind(log, subject, b"1", message_id="a") == 1
    assert [(m.payload, expectation(m)) for m in await all_of(log)] == [(b"1", 0), (b"2", 1)]


async def test_the_last_is_the_newest_of_its_subject_as_it_is_read(log: EventLog) -> None:
    """Both ways to read a message give the same, to the microsecond."""
    for subject in ("signal.a", "signal.b", "signal.a"):
        await log.append(on(log, subject), b"x", message_id=f"{subject}-{await log.last_sequence()}")
    stored = await all_of(log)
    assert await log.last(on(log, "signal.a")) == stored[2]
    assert await log.last(on(log, "signal.b")) == stored[1]
    assert await log.last(on(log, "signal.c")) is None


async def test_the_messages_of_a_subject_are_read_one_by_one_or_in_one_go(log: EventLog) -> None:
    """As they are read otherwise, in order, and no other's."""
    for subject in ("signal.a", "signal.b", "signal.a"):
        await log.append(on(log, subject), b"x", message_id=f"{subject}-{await log.last_sequence()}")
    stored = await all_of(log)
    assert await log.next_on(on(log, "signal.a"), 0) == stored[0]
    assert await log.next_on(on(log, "signal.a"), 1) == stored[2]
    assert await log.next_on(on(log, "signal.a"), 3) is None
    assert await log.next_on(on(log, "signal.b"), 2) is None
    assert await log.next_on(on(log, "signal.c"), 0) is None
    assert (await log.behind(on(log, "signal.a"), 0))[0] == stored[0]
    assert await log.behind(on(log, "signal.a"), 1) == [stored[2]]
    assert await log.behind(on(log, "signal.a"), 3) == []


@pytest.mark.parametrize("rest", ["signals.x", "signal", "signal.a.b", "decision.x", "command.workflow"])
async def test_a_misspelt_subject_is_refused(log: EventLog, rest: str) -> None:
    """In one line that names it, and at once."""
    async with asyncio.timeout(1):
        with pytest.raises(LogUnreachableError, match=f"{rest}: the log .* takes no such subject"):
            await log.append(on(log, rest), b"x")


async def test_a_full_log_refuses_and_keeps_what_it_has(make_log: MakeLog) -> None:
    """At its limit the newest is refused, never the oldest dropped."""
    log = await make_log(max_bytes=10_000)
    outcomes = [await attempt(log.append(on(log), b"x" * 1_000)) for _ in range(20)]
    assert isinstance(outcomes[-1], LogFullError)
    assert outcomes.index(1) == 0
    assert 0.85 < (await log.room()).fill <= 1.0
    assert (await all_of(log))[0].sequence == 1
    assert await log.first_sequence() == 1


async def test_what_does_not_fit_together_is_refused_whole(make_log: MakeLog) -> None:
    """Although some of it would fit; one by one, that is stored."""
    log = await make_log(max_bytes=10_000)
    given = [(subject, b"x" * 1_000) for subject, _ in commands(log, 0, 20)]
    with pytest.raises(LogFullError):
        await log.append_together(given)
    assert await log.last_sequence() == 0
    assert await log.append(*given[0], expect=0) == 1


async def test_shut_for_signals_the_rest_goes_on(log: EventLog) -> None:
    """Publishers of signals are refused, runs can end; and it can be opened again."""
    assert (await log.room()).takes_signals
    await log.take_signals(enabled=False)
    await log.take_signals(enabled=False)
    assert not (await log.room()).takes_signals
    with pytest.raises(LogFullError, match="takes no signals"):
        await log.append(on(log), b"x")
    assert await log.append(on(log, "execution.wfe-1"), b"x") == 1
    await log.take_signals(enabled=True)
    assert await log.append(on(log), b"x") == 2


async def test_handles_of_one_log_agree_on_its_identity(make_log: MakeLog) -> None:
    """Eight hex digits, the same for all of this life."""
    one, other = await make_log(), await make_log()
    assert one.identity == other.identity
    assert len(one.identity) == 8
    assert int(one.identity, 16) >= 0


async def test_the_extent_of_a_whole_log_is_from_its_first_to_its_last(log: EventLog) -> None:
    """Nothing is missing, from the beginning on and after a purge of what is oldest."""
    assert await log.extent() == Extent(1, 0)
    for _ in range(5):
        await log.append(on(log), b"{}")
    assert await log.extent() == Extent(1, 5)
    await log.purge(3)
    assert await log.extent() == Extent(3, 5)
    assert [one.sequence for one in await all_of(log)] == [3, 4, 5]
    assert await log.append(on(log), b"{}") == 6


async def test_what_was_taken_out_of_a_log_is_missing(make_log: MakeLog) -> None:
    """In the middle, at its end, and all of it: the log says where, and a reader comes to its end."""
    log = await make_log()
    for _ in range(5):
        await log.append(on(log), b"{}")
    for sequence in (3, 5):
        await lose(log, sequence)
    assert await log.extent() == Extent(1, 5, 2, (3, 5))
    assert [one.sequence for one in await all_of(log)] == [1, 2, 4]
    assert (await log.at(3), await log.at(5)) == (None, None)
    await log.purge(6)
    assert await log.extent() == Extent(1, 5, 5, (1, 2, 3, 4, 5))
    assert await all_of(log) == []


async def test_a_mark_takes_the_place_of_the_one_that_its_writer_has_read(make_log: MakeLog) -> None:
    """So one who was away for a while does not put an older mark in the place of a newer."""
    marks = (await make_log()).marks
    assert await marks.read() == (0, b"")
    first = await marks.write(b"1", 0)
    second = await marks.write(b"2", first)
    assert await marks.read() == (second, b"2")
    for late in (0, first):
        with pytest.raises(StaleWriteError):
            await marks.write(b"1", late)
    assert await marks.read() == (second, b"2")


async def test_of_two_who_keep_a_projection_in_the_place_of_the_same_one_is_refused(make_log: MakeLog) -> None:
    """What the other kept stays."""
    kept = (await make_log()).archive
    assert await kept.head() is None
    await kept.save([b"a"], lambda _digest: b'"a"', after=b"")
    await kept.save([b"b"], lambda _digest: b'"b"', after=b'"a"')
    for late in (b"", b'"a"'):
        with pytest.raises(StaleWriteError):
            await kept.save([b"c"], lambda _digest: b'"c"', after=late)
    newest = await kept.newest()
    assert newest is not None
    assert (await kept.head(), newest[0], list(newest[1])) == (b'"b"', b'"b"', [b"b"])


async def lose(log: EventLog, sequence: int) -> None:
    """Take one message out of a log, as whoever runs the broker may, and as a flipped bit does."""
    if isinstance(log, JetStreamLog):
        await api.call(log._connection, f"STREAM.MSG.DELETE.{log._stream}", {"seq": sequence}, api.Done)
    else:
        assert isinstance(log, MemoryLog)
        log._store.keep([one for one in log._store.messages if one.sequence != sequence])
