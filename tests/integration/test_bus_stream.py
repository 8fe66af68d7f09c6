"""The cell's stream on a real server: made, adopted, refused, and never taken for another life of its name."""

import asyncio
import json
from contextlib import aclosing

import pytest
from nats.aio.client import Client

from remediation_orchestrator.bus import api, topology
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.feed import read_reply, recorded_at
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError, LogUnreachableError, stream_name
from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.subjects import bound_subjects

PATIENCE = 20


async def drop(connection: Client, cell: CellName) -> None:
    """Delete the cell's stream."""
    await api.call(connection, f"STREAM.DELETE.{stream_name(cell)}", {}, api.Done)


async def consumers(connection: Client, cell: CellName) -> list[str]:
    """The names of the consumers of the cell's stream."""
    subject = f"$JS.API.CONSUMER.NAMES.{stream_name(cell)}"
    names: list[str] = json.loads((await connection.request(subject, b"{}", timeout=2)).data)["consumers"] or []
    return names


async def test_the_stream_is_as_the_design_says(connection: Client, log: JetStreamLog) -> None:
    """What the server keeps is what we asked for."""
    info = await api.stream_info(connection, stream_name(log.cell))
    assert info is not None
    asked = topology.stream_config(log.cell)
    assert {key: info.config[key] for key in asked} == asked


async def test_the_log_drops_no_record_of_its_own_accord(log: JetStreamLog, cell: CellName) -> None:
    """No age, no count, and at its limit it refuses what is new instead of forgetting what is old."""
    config = topology.stream_config(cell)
    assert (config["retention"], config["discard"]) == ("limits", "new")
    assert {config.get(key, -1) for key in ("max_msgs", "max_msgs_per_subject")} <= {-1}
    assert not config.get("max_age")


async def test_an_existing_stream_is_adopted(connection: Client, log: JetStreamLog) -> None:
    """With its records and its identity; only a limit above what is stored is new."""
    await log.append(f"ro.{log.cell}.decision", b"x" * 5_000)
    await log.take_signals(enabled=False)
    again = await JetStreamLog.ensure(connection, log.cell, max_bytes=1_000)
    assert (again.identity, await again.last_sequence(), (await again.room()).fill) == (log.identity, 1, 0.0)
    await JetStreamLog.ensure(connection, log.cell, max_bytes=100_000)
    assert 0.04 < (await again.room()).fill < 0.06
    info = await api.stream_info(connection, stream_name(log.cell))
    assert info is not None
    assert info.config["subjects"] == bound_subjects(log.cell, signals=False)


async def test_a_stream_of_an_earlier_version_learns_to_store_together(connection: Client, cell: CellName) -> None:
    """Adopted with its records; whoever opened it before goes on, and until then it says that it cannot."""
    config = {**topology.stream_config(cell), "allow_atomic": False}
    await api.call(connection, f"STREAM.CREATE.{config['name']}", config, api.StreamInfo)
    before = await JetStreamLog.open(connection, cell)
    assert await before.append(f"ro.{cell}.decision", b"x", expect=0) == 1
    records = [(f"ro.{cell}.command.workflow.{n}", b"x") for n in range(3)]
    with pytest.raises(LogError, match="atomic publish is disabled"):
        await before.append_together(records)
    adopted = await JetStreamLog.ensure(connection, cell)
    assert (adopted.identity, await adopted.last_sequence()) == (before.identity, 1)
    assert await before.append_together(records) == 4


async def test_the_log_is_not_read_directly(connection: Client, cell: CellName) -> None:
    """Who reads so chooses where the answer is written, and could write any record; an old stream, too."""
    config = {**topology.stream_config(cell), "allow_direct": True}
    await api.call(connection, f"STREAM.CREATE.{config['name']}", config, api.StreamInfo)
    log = await JetStreamLog.ensure(connection, cell)
    await log.append(f"ro.{cell}.signal.x", b"x")
    copied = f"ro.{cell}.operator.clear.ann"
    await connection.publish(f"$JS.API.DIRECT.GET.{config['name']}", b'{"seq":1}', reply=copied)
    await log.append(f"ro.{cell}.signal.x", b"y")
    assert await log.last(copied) is None


@pytest.mark.parametrize(
    "lossy", [{"discard": "old", "max_msgs": 5}, {"max_age": 3_600 * 10**9}, {"retention": "workqueue"}]
)
async def test_a_stream_that_drops_records_is_no_log(
    connection: Client, cell: CellName, lossy: dict[str, object]
) -> None:
    """It is refused in one line that says why, and left as it is."""
    config = {**topology.stream_config(cell), "duplicate_window": 10**9, **lossy}
    made = await api.call(connection, f"STREAM.CREATE.{config['name']}", config, api.StreamInfo)
    with pytest.raises(LogError, match=f"would lose records .*{next(iter(lossy))} is"):
        await JetStreamLog.ensure(connection, cell)
    left = await api.stream_info(connection, stream_name(cell))
    assert left is not None
    assert left.config == made.config


async def test_two_that_make_it_at_once_get_the_same(connection: Client, cell: CellName) -> None:
    """Also where they want different limits."""
    logs = await asyncio.gather(*(JetStreamLog.ensure(connection, cell, max_bytes=n * 10**6) for n in (1, 2, 3)))
    assert len({log.identity for log in logs}) == 1


async def test_a_cell_without_a_log_is_named(connection: Client, cell: CellName) -> None:
    """Reading makes nothing."""
    with pytest.raises(LogUnreachableError, match=f"no log of the cell '{cell}'"):
        await JetStreamLog.open(connection, cell)


async def test_a_missing_log_is_never_taken_for_an_empty_one(connection: Client, log: JetStreamLog) -> None:
    """No question of it is answered with "nothing there"."""
    await drop(connection, log.cell)
    for question in (log.last(f"ro.{log.cell}.decision"), log.last_sequence(), log.first_sequence(), log.room()):
        with pytest.raises(LogUnreachableError):
            await question
    with pytest.raises(LogUnreachableError):
        await log.append(f"ro.{log.cell}.decision", b"x", expect=0)


async def test_a_stream_made_again_is_another_log(connection: Client, log: JetStreamLog) -> None:
    """Its identity differs, and the old handle says that its own is gone for good."""
    await drop(connection, log.cell)
    again = await JetStreamLog.ensure(connection, log.cell)
    assert again.identity != log.identity
    with pytest.raises(LogError, match="deleted and made again") as told:
        await log.last_sequence()
    assert not isinstance(told.value, LogUnreachableError)


async def test_a_reader_stops_when_its_stream_is_made_again(connection: Client, log: JetStreamLog) -> None:
    """It must not go on with another log's records."""
    await log.append(f"ro.{log.cell}.decision", b"x")
    async with aclosing(log.read(follow=True)) as messages, asyncio.timeout(PATIENCE):
        await anext(messages)
        await drop(connection, log.cell)
        again = await JetStreamLog.ensure(connection, log.cell)
        for _ in range(2):
            await again.append(f"ro.{log.cell}.decision", b"y")
        with pytest.raises(LogError, match="made again"):
            await anext(messages)


async def test_a_reader_goes_on_when_its_consumer_is_deleted(connection: Client, log: JetStreamLog) -> None:
    """Somebody tidies up consumers: nothing is left out."""
    decision = f"ro.{log.cell}.decision"
    await log.append(decision, b"1")
    async with aclosing(log.read(follow=True)) as messages, asyncio.timeout(PATIENCE):
        assert (await anext(messages)).sequence == 1
        for name in await consumers(connection, log.cell):
            verb = f"CONSUMER.DELETE.{stream_name(log.cell)}.{name}"
            await api.call(connection, verb, {}, api.Done)
        await log.append(decision, b"2")
        assert (await anext(messages)).sequence == 2


async def test_a_reader_that_leaves_leaves_no_consumer(connection: Client, log: JetStreamLog) -> None:
    """Neither one that ended nor one that was left in the middle."""
    for _ in range(3):
        await log.append(f"ro.{log.cell}.decision", b"x")
    assert len([message async for message in log.read()]) == 3
    async with aclosing(log.read(follow=True)) as messages:
        await anext(messages)
    async with asyncio.timeout(PATIENCE):
        while await consumers(connection, log.cell):
            pass  # The server deletes beside answering.


async def test_reading_passes_over_deleted_records(connection: Client, log: JetStreamLog) -> None:
    """An operator may delete one, in the middle or at the end; the rest is read, and reading ends."""
    for number in range(5):
        await log.append(f"ro.{log.cell}.signal.x", b"%d" % number)
    for sequence in (2, 5):
        verb = f"STREAM.MSG.DELETE.{stream_name(log.cell)}"
        await api.call(connection, verb, {"seq": sequence}, api.Done)
    async with asyncio.timeout(PATIENCE):
        assert [message.sequence async for message in log.read()] == [1, 3, 4]


async def test_two_readers_do_not_share(log: JetStreamLog) -> None:
    """Each gets every message."""
    for _ in range(10):
        await log.append(f"ro.{log.cell}.decision", b"x")

    async def count() -> int:
        return len([message async for message in log.read()])

    assert list(await asyncio.gather(count(), count())) == [10, 10]


async def test_a_slow_reader_holds_a_bounded_number_of_messages(
    connection: Client, log: JetStreamLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server keeps the rest; slowly, but all of it is read."""
    monkeypatch.setattr("remediation_orchestrator.bus.feed.BATCH_MESSAGES", 10)
    await asyncio.gather(*(log.append(f"ro.{log.cell}.decision", b"x") for _ in range(200)))
    before = connection.stats["in_msgs"]
    async with aclosing(log.read()) as messages:
        assert (await anext(messages)).sequence == 1
        await connection.flush()
        await connection.flush()
        assert connection.stats["in_msgs"] - before < 40
        assert [message.sequence async for message in messages] == list(range(2, 201))


async def test_the_connection_may_be_anybody_s(server: EmbeddedServer, cell: CellName) -> None:
    """FastStream's, for one."""
    from faststream.nats import NatsBroker

    async with NatsBroker(server.url, pending_size=0) as broker:
        await broker.connect()
        log = await JetStreamLog.ensure(broker.connection, cell)
        assert await log.append(f"ro.{cell}.decision", b"x", expect=0) == 1
        assert [message.sequence async for message in log.read()] == [1]


def test_a_stamp_is_truncated_to_the_microsecond() -> None:
    """From the integer, never through a float."""
    assert recorded_at(1_790_000_000_123_456_999).isoformat() == "2026-09-21T14:13:20.123456+00:00"


def test_a_reply_subject_is_read_with_and_without_a_domain() -> None:
    """The short form of today, the long one, and the long one with its random end."""
    want = (41, 7, 1_790_000_000_123_456_789, 3)
    rest = "RO_main.ro-1.1.41.7.1790000000123456789.3"
    for reply in (f"$JS.ACK.{rest}", f"$JS.ACK.hub.aBcD.{rest}", f"$JS.ACK.hub.aBcD.{rest}.xyz"):
        assert read_reply(reply) == want
