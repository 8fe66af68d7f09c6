"""The server dies without a word and comes back: nothing acknowledged is lost, and a reader leaves nothing out."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.lease import JetStreamLease
from remediation_orchestrator.bus.port import LogError, LogUnreachableError, StaleWriteError, UnknownOutcomeError
from remediation_orchestrator.events import CellName

PATIENCE = 30
TTL = timedelta(seconds=2)
CELL = CellName("main")
SUBJECT = "ro.main.decision"


def kill(server: EmbeddedServer) -> None:
    """As a power cut would, for the process."""
    os.kill(server.pid, signal.SIGKILL)
    server.stop()


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a fact that nobody announces."""
    async with asyncio.timeout(PATIENCE):
        while not fact():  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0.001)


async def until_as_many(count: Callable[[], int], enough: float) -> None:
    """Wait until what is counted is so much."""
    await until(lambda: count() >= enough)


async def append_surely(log: JetStreamLog, payload: bytes, expect: int) -> int:
    """What the orchestrator does: after an unknown outcome, look at the head, else try again."""
    while True:
        try:
            return await log.append(SUBJECT, payload, expect=expect)
        except StaleWriteError:
            return await _own(log, payload)
        except (UnknownOutcomeError, LogUnreachableError):
            await asyncio.sleep(0.02)


async def _own(log: JetStreamLog, payload: bytes) -> int:
    """The sequence of our own record, which an append without an answer had stored."""
    while True:
        try:
            head = await log.last(SUBJECT)
        except LogUnreachableError:
            await asyncio.sleep(0.02)
            continue
        assert head is not None
        assert head.payload == payload
        return head.sequence


@pytest.mark.parametrize("seed", range(2))
async def test_a_server_killed_three_times_while_it_is_read_and_written(tmp_path: Path, seed: int) -> None:
    """A chain of appends by expectation, a follower beside it; the follower sees the chain, each link once."""
    server = EmbeddedServer(tmp_path).start()
    port, links = server.port, 600
    seen: list[bytes] = []
    try:
        async with connected(server.url) as writing, connected(server.url) as reading:
            log = await JetStreamLog.ensure(writing, CELL)
            follower = await JetStreamLog.open(reading, CELL)

            async def follow() -> None:
                async with aclosing(follower.read(follow=True)) as messages:
                    async for message in messages:
                        assert message.sequence == len(seen) + 1
                        seen.append(message.payload)
                        if len(seen) == links:
                            return

            async def write() -> None:
                last = 0
                for link in range(links):
                    last = await append_surely(log, b"%d" % link, last)

            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                group.create_task(follow())
                group.create_task(write())
                for part in (0.2, 0.5, 0.8):
                    await until_as_many(lambda: len(seen), part * links + seed)
                    kill(server)
                    server = EmbeddedServer(tmp_path, port=port).start()
        async with connected(server.url) as client:
            assert await (await JetStreamLog.open(client, CELL)).last_sequence() == links
    finally:
        server.stop()
    assert seen == [b"%d" % link for link in range(links)]


async def test_many_appends_in_flight_when_the_server_dies(tmp_path: Path) -> None:
    """Every sequence that was acknowledged holds its own bytes afterwards."""
    server = EmbeddedServer(tmp_path).start()
    port = server.port
    acknowledged: dict[int, bytes] = {}
    try:
        async with connected(server.url) as client:
            log = await JetStreamLog.ensure(client, CELL)

            async def publish(name: int) -> None:
                for number in range(1_000):
                    payload = b"%d-%d" % (name, number)
                    acknowledged[await log.append("ro.main.signal.test", payload)] = payload

            async def until_it_breaks(name: int) -> None:
                with pytest.raises((UnknownOutcomeError, LogUnreachableError)):
                    await publish(name)

            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for name in range(50):
                    group.create_task(until_it_breaks(name))
                await until(lambda: len(acknowledged) >= 500)
                kill(server)
                server = EmbeddedServer(tmp_path, port=port).start()
            await until(lambda: client.is_connected)
            async with asyncio.timeout(PATIENCE):
                stored = {message.sequence: message.payload async for message in log.read()}
    finally:
        server.stop()
    assert stored.items() >= acknowledged.items()
    assert list(stored) == list(range(1, len(stored) + 1))


async def test_what_was_under_way_together_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed five times in the middle of batches; an answer that was lost may have been a yes."""
    server = EmbeddedServer(tmp_path).start()
    port, size, acknowledged, batches = server.port, 100, 0, 0
    try:
        async with connected(server.url) as client, asyncio.timeout(PATIENCE):
            log = await JetStreamLog.ensure(client, CELL)

            async def append() -> None:
                nonlocal acknowledged, batches
                while True:
                    batches += 1
                    subject = f"ro.main.command.workflow.wfe-{batches}"
                    await log.append_together([(f"{subject}-{n}", b"x" * 500) for n in range(size)])
                    acknowledged += 1

            for kills in range(5):
                appending = asyncio.create_task(append())
                await until_as_many(lambda: acknowledged, 3 * kills + 3)
                kill(server)
                with pytest.raises((UnknownOutcomeError, LogUnreachableError)):
                    await appending
                server = EmbeddedServer(tmp_path, port=port).start()
                await until(lambda: client.is_connected)
            stored = [message.subject.rpartition("-")[0] async for message in log.read()]
    finally:
        server.stop()
    assert {stored.count(batch) for batch in set(stored)} == {size}
    assert acknowledged <= len(set(stored)) <= batches


async def test_a_standby_still_hears_of_the_lapse_after_a_restart(tmp_path: Path) -> None:
    """The active one and the server die together; the standby takes over."""
    server = EmbeddedServer(tmp_path).start()
    port = server.port
    try:
        async with connected(server.url) as client:
            active, standby = [await JetStreamLease.open(client, CELL, ttl=TTL) for _ in range(2)]
            assert await active.acquire("a")
            await standby.changed()
            kill(server)
            server = EmbeddedServer(tmp_path, port=port).start()
            async with asyncio.timeout(PATIENCE):
                await standby.changed()
                assert await standby.acquire("b")
            await standby.close()
    finally:
        server.stop()


async def test_a_reader_says_that_its_log_has_become_shorter(tmp_path: Path) -> None:
    """An old copy was put back: what was read is not there any more, and must not be read past."""
    async with EmbeddedServer(tmp_path) as server:
        port = server.port
        async with connected(server.url) as client:
            log = await JetStreamLog.ensure(client, CELL)
            await log.append(SUBJECT, b"1")
    shutil.copytree(tmp_path / "nats" / "store", tmp_path / "old")
    server = EmbeddedServer(tmp_path, port=port).start()
    try:
        async with connected(server.url) as client, asyncio.timeout(PATIENCE):
            log = await JetStreamLog.open(client, CELL)
            for payload in (b"2", b"3"):
                await log.append(SUBJECT, payload)
            async with aclosing(log.read(follow=True)) as messages:
                assert [(await anext(messages)).sequence for _ in range(3)] == [1, 2, 3]
                kill(server)
                shutil.rmtree(tmp_path / "nats" / "store")
                shutil.copytree(tmp_path / "old", tmp_path / "nats" / "store")
                server = EmbeddedServer(tmp_path, port=port).start()
                with pytest.raises(LogError, match="has lost records: it ends at 1, and 3 was read already"):
                    await anext(messages)
    finally:
        server.stop()


async def test_a_broker_that_is_down_is_said_to_be_down(tmp_path: Path) -> None:
    """At once, and nothing is kept to be sent later."""
    server = EmbeddedServer(tmp_path).start()
    port = server.port
    try:
        async with connected(server.url) as client:
            log = await JetStreamLog.ensure(client, CELL)
            kill(server)
            await until(lambda: not client.is_connected)
            with pytest.raises(LogUnreachableError):
                await log.append(SUBJECT, b"never", expect=0)
            with pytest.raises(LogUnreachableError):
                await log.last_sequence()
            server = EmbeddedServer(tmp_path, port=port).start()
            await until(lambda: client.is_connected)
            assert await log.last_sequence() == 0
    finally:
        server.stop()
