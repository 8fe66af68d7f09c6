"""The proxy of chaos before a real broker: without a step it changes nothing, and a step is the same for all."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta

import pytest
from cell import bare, findings, orchestrator, running, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.events import CellName, Event, Position, RoutingDecided, StoredMessage, subjects
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.simulation.chaos.proxy import Proxy
from remediation_orchestrator.simulation.chaos.steps import ClockStep

BACK, YEARS = -3 * 3_600, 5 * 365 * 24 * 3_600


@pytest.fixture
def proxy(server: EmbeddedServer, cell: CellName) -> Iterator[Proxy]:
    """A proxy before the server, for this test's cell."""
    found = Proxy(server.port, stream_name(cell))
    yield found
    found.stop()


@pytest.fixture
async def through(server: EmbeddedServer, proxy: Proxy) -> AsyncIterator[Client]:
    """A connection through it."""
    async with connected(server.url.replace(f":{server.port}", f":{proxy.port}")) as client:
        yield client


async def read(log: JetStreamLog) -> list[StoredMessage]:
    """The whole log."""
    return [message async for message in log.read()]


def judges(signal: Position) -> Callable[[Event], bool]:
    """Ask of an event whether it is a verdict on this signal."""
    return lambda event: isinstance(event, RoutingDecided) and event.signal == signal


async def test_without_a_step_a_log_is_the_same_through_the_proxy_and_so_is_its_audit(
    connection: Client, through: Client, cell: CellName
) -> None:
    """Decided through it, read past it: record by record, and each of them alone."""
    log, direct = await JetStreamLog.ensure(through, cell), await JetStreamLog.ensure(connection, cell)
    async with running(await orchestrator(through, cell)):
        for name in ("one", "two", "three"):
            place = position(await log.append(subjects.signal(cell, "test"), bare(name)))
            await wait_for(log, judges(place))
    records = await read(direct)
    assert await read(log) == records
    assert [await log.at(one.sequence) for one in records] == records
    assert await findings(log) == await findings(direct) == []


async def test_a_step_of_the_clock_is_the_same_for_every_reader_for_ever(
    connection: Client, through: Client, cell: CellName, proxy: Proxy
) -> None:
    """Also for one that comes later, and for who looks at one record alone; what is stored stays as it is."""
    log, direct = await JetStreamLog.ensure(through, cell), await JetStreamLog.ensure(connection, cell)
    ahead = []
    for seconds, once in ((0, False), (BACK, False), (YEARS, True), (0, False)):
        proxy.step(ClockStep(time.time_ns(), seconds, once=once))
        for _ in range(2):
            sequence = await log.append(subjects.signal(cell, "test"), bare())
            ahead.append([message.recorded_at async for message in log.read(sequence)])
    told, true = await read(log), await read(direct)
    moved = [(one.recorded_at - other.recorded_at).total_seconds() for one, other in zip(told, true, strict=True)]
    assert moved == [0, 0, BACK, BACK, YEARS, BACK, 0, 0]
    assert [[one.recorded_at] for one in told] == ahead
    assert [await log.at(one.sequence) for one in told] == told == await read(log)
    assert list(proxy.ask().values()) == [YEARS]
    assert all(one.recorded_at - true[0].recorded_at < timedelta(minutes=1) for one in true)


async def test_many_who_have_the_clock_step_at_once_are_all_answered(proxy: Proxy) -> None:
    """Each from a thread of its own, as strikes are; the answer of one is not dropped by another."""
    async with asyncio.timeout(60):
        for _ in range(100):
            steps = (asyncio.to_thread(proxy.step, ClockStep(0, number)) for number in range(8))
            await asyncio.gather(*steps)
    assert len(proxy.steps) == 800
