"""One contract, two leases: who is active, for liveness."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.memory import MemoryCell
from remediation_orchestrator.bus.memory_lease import MemoryLease
from remediation_orchestrator.events import CellName

LONG = timedelta(seconds=30)
SHORT = timedelta(seconds=1)
PATIENCE = 10
MakeLease = Callable[[timedelta], Awaitable[JetStreamLease | MemoryLease]]


@pytest.fixture(params=["memory", "jetstream"])
async def make_lease(request: pytest.FixtureRequest, cell: CellName) -> AsyncIterator[MakeLease]:
    """Makes handles on the lease of one cell."""
    if request.param == "memory":
        memory = MemoryCell(cell, lambda: datetime.now(UTC))

        async def in_memory(ttl: timedelta) -> MemoryLease:
            return memory.lease(ttl)

        yield in_memory
        return
    server: EmbeddedServer = request.getfixturevalue("server")
    made = []
    async with connected(server.url, name="contract") as client:

        async def on_jetstream(ttl: timedelta) -> JetStreamLease:
            made.append(await JetStreamLease.open(client, cell, ttl=ttl))
            return made[-1]

        yield on_jetstream
        for lease in made:
            await lease.close()


async def test_one_holds_it_and_the_other_does_not(make_lease: MakeLease) -> None:
    """The first to ask; asking again is no loss."""
    one, other = await make_lease(LONG), await make_lease(LONG)
    assert await one.holder() is None
    assert await one.acquire("a")
    assert not await other.acquire("b")
    assert await one.acquire("a")
    assert await one.renew("a")
    assert await other.holder() == "a"


async def test_who_does_not_hold_it_cannot_renew_or_release(make_lease: MakeLease) -> None:
    """Neither before anybody has it nor while another does."""
    one, other = await make_lease(LONG), await make_lease(LONG)
    assert not await one.renew("a")
    assert await one.acquire("a")
    assert not await other.renew("b")
    await other.release("b")
    assert await other.holder() == "a"


async def test_a_released_lease_is_free_at_once(make_lease: MakeLease) -> None:
    """No waiting for its time-to-live."""
    one, other = await make_lease(LONG), await make_lease(LONG)
    assert await one.acquire("a")
    await one.release("a")
    assert await other.holder() is None
    assert await other.acquire("b")
    assert not await one.renew("a")


async def test_of_many_that_ask_at_once_one_gets_it(make_lease: MakeLease) -> None:
    """Ten at a free lease."""
    leases = [await make_lease(LONG) for _ in range(10)]
    got = await asyncio.gather(*(lease.acquire(f"h{number}") for number, lease in enumerate(leases)))
    assert got.count(True) == 1


async def test_a_holder_that_falls_silent_loses_it_and_the_standby_hears_of_it(make_lease: MakeLease) -> None:
    """It lapses by itself, wakes whoever waits, and can be taken over."""
    one, other = await make_lease(SHORT), await make_lease(SHORT)
    assert await one.acquire("a")
    await other.changed()
    async with asyncio.timeout(PATIENCE):
        while not await other.acquire("b"):
            await other.changed()
    assert await other.holder() == "b"
    assert not await one.renew("a")


async def test_a_release_wakes_whoever_waits(make_lease: MakeLease) -> None:
    """The first call says where it stands, the next waits for a change."""
    one, other = await make_lease(LONG), await make_lease(LONG)
    assert await one.acquire("a")
    await other.changed()
    waiting = asyncio.create_task(other.changed())
    await one.release("a")
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert await other.holder() is None


async def test_a_change_between_two_calls_is_not_missed(make_lease: MakeLease) -> None:
    """Nobody was waiting when it happened."""
    one, other = await make_lease(LONG), await make_lease(LONG)
    assert await one.acquire("a")
    await other.changed()
    await one.release("a")
    async with asyncio.timeout(PATIENCE):
        await other.changed()


async def test_renewing_keeps_it_beyond_its_time_to_live(make_lease: MakeLease) -> None:
    """The standby is not woken by renewals alone, and nobody else gets it."""
    one, other = await make_lease(SHORT), await make_lease(SHORT)
    assert await one.acquire("a")
    await other.changed()
    waiting = asyncio.create_task(other.changed())
    until = asyncio.get_running_loop().time() + 1.5 * SHORT.total_seconds()
    while asyncio.get_running_loop().time() < until:
        assert await one.renew("a")
        await asyncio.wait({waiting}, timeout=0.2)
    assert not await other.acquire("b")
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_what_is_held_can_be_taken_over_as_it_was_looked_at_and_by_one_alone(make_lease: MakeLease) -> None:
    """Where the broker's clock was set back, nothing lapses: of two that have seen the same silence one wins."""
    one, other, third = await make_lease(LONG), await make_lease(LONG), await make_lease(LONG)
    assert await one.acquire("a")
    seen = (await other.look()).revision
    assert await one.renew("a")
    assert not await other.acquire("b", over=seen), "it was renewed meanwhile"
    seen = (await other.look()).revision
    got = await asyncio.gather(other.acquire("b", over=seen), third.acquire("c", over=seen))
    assert sorted(got) == [False, True]
    assert not await one.renew("a")
