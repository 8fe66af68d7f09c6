"""Executors as real processes on the real server: killed, frozen, doubled, cancelled."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from executors import PATIENCE, all_facts, cancel, create, executor, facts, publish, reaches, script
from nats.aio.client import Client
from processes import Word, gone, is_alive

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.pulling import PullBroker
from remediation_orchestrator.events import (
    CellName,
    ExecutionId,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.executor.service import ExecutorSettings, run_executor

COUNTED = 'echo "$RO_EXECUTION" >> "$(dirname "$0")/ran"'


def ran(folder: Path) -> list[str]:
    """Every execution that a script was really begun for, once each time."""
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


async def test_a_command_is_run_and_answered(server: EmbeddedServer, log: JetStreamLog, tmp_path: Path) -> None:
    """The whole way, through a process."""
    script(tmp_path, "w", 'echo "hello $1"')
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path):
        started, ended = await reaches(log, 1, 2)
    assert isinstance(started, WorkflowStarted)
    assert ended == WorkflowCompleted(ExecutionId("wfe-1"), "hello checkout\n")


async def test_a_killed_executors_run_dies_is_reported_lost_and_never_runs_again(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a script: the script is dead within seconds, before anybody is asked again."""
    pid = Word(tmp_path / "pid")
    script(tmp_path, "w", f'{COUNTED}; echo $$ > "$(dirname "$0")/pid"; sleep 60')
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path) as first:
        process = int(await pid.said())
        first.kill()
        await first.wait()
        async with asyncio.timeout(3):
            await gone(process)
        async with executor(server.url, log.cell, tmp_path):
            ended = (await reaches(log, 1, 2))[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("ExecutorLost", True)
    assert ran(tmp_path) == ["wfe-1"]


async def test_a_frozen_executors_run_dies_and_its_report_is_refused(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """SIGSTOP for longer than `ack_wait`: another reports it lost; awake again, the first changes nothing."""
    pid = Word(tmp_path / "pid")
    script(tmp_path, "w", f'{COUNTED}; echo $$ > "$(dirname "$0")/pid"; sleep 60')
    script(tmp_path, "next", "true")
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path) as first:
        process = int(await pid.said())
        first.send_signal(signal.SIGSTOP)
        async with executor(server.url, log.cell, tmp_path) as second:
            ended = (await reaches(log, 1, 2))[1]
            assert not is_alive(process)
            second.terminate()
            await second.wait()
        first.send_signal(signal.SIGCONT)
        await publish(log, create(2, "next"))
        await reaches(log, 2, 2)
    assert isinstance(ended, WorkflowFailed)
    assert ended.reason == "ExecutorLost"
    assert len(await facts(log, 1)) == 2
    assert ran(tmp_path) == ["wfe-1"]


async def test_a_slow_start_makes_no_first_delivery_late(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease counts from its question; it is begun at once, and not by the second delivery."""
    settings = ExecutorSettings(tmp_path, slots=1, ack_wait=2.0, grace=0.5)
    start = PullBroker.start

    async def slowly(broker: PullBroker) -> None:
        await asyncio.sleep(settings.ack_wait)  # All of a lease, and more.
        await start(broker)

    monkeypatch.setattr(PullBroker, "start", slowly)
    script(tmp_path, "w", "true")
    command = await publish(log, create(1, "w"))
    stop = asyncio.Event()
    running = asyncio.create_task(run_executor(server.url, log.cell, settings, stop))
    await reaches(log, 1, 2)
    stop.set()
    await running
    started = await log.next_on(subjects.execution(log.cell, ExecutionId("wfe-1")), 0)
    assert started is not None
    assert f"claim-{command}-1".encode() in started.payload


async def test_two_executors_take_long_and_short_commands_each_once(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """Ten long ones, longer than `ack_wait`, and a hundred short ones."""
    script(tmp_path, "long", f"{COUNTED}; sleep 4")
    script(tmp_path, "short", COUNTED)
    numbers = range(1, 111)
    for number in numbers:
        await publish(log, create(number, "long" if number <= 10 else "short"))
    async with (
        executor(server.url, log.cell, tmp_path, slots=7),
        executor(server.url, log.cell, tmp_path, slots=7),
    ):
        for number in numbers:
            await reaches(log, number, 2)
    assert sorted(ran(tmp_path)) == sorted(f"wfe-{number}" for number in numbers)
    assert all(told == ["WorkflowStarted", "WorkflowCompleted"] for told in (await all_facts(log)).values())


async def test_a_cancelled_run_is_killed_and_reported(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """Whichever executor has it."""
    pid = Word(tmp_path / "pid")
    script(tmp_path, "w", 'echo $$ > "$(dirname "$0")/pid"; sleep 60')
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path), executor(server.url, log.cell, tmp_path):
        process = int(await pid.said())
        await publish(log, cancel(1))
        ended = (await reaches(log, 1, 2))[1]
        await gone(process)
    assert isinstance(ended, WorkflowFailed)
    assert (ended.message, ended.was_execution_failure) == ("cancelled: resolved", True)


async def test_a_revoked_execution_never_runs(server: EmbeddedServer, log: JetStreamLog, tmp_path: Path) -> None:
    """The orchestrator was first; the command behind it is answered."""
    script(tmp_path, "w", COUNTED)
    await revoke(log, 1)
    await publish(log, create(1, "w"))
    await publish(log, create(2, "w"))
    async with executor(server.url, log.cell, tmp_path, slots=1):
        await reaches(log, 2, 2)
    assert ran(tmp_path) == ["wfe-2"]
    assert len(await facts(log, 1)) == 1


async def test_a_command_stored_three_times_runs_once(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """While it runs, longer than `ack_wait`, and after it."""
    script(tmp_path, "w", f"{COUNTED}; sleep 5")
    for _ in range(3):
        await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path), executor(server.url, log.cell, tmp_path):
        ended = (await reaches(log, 1, 2))[1]
    assert isinstance(ended, WorkflowCompleted)
    assert ran(tmp_path) == ["wfe-1"]


async def test_junk_where_commands_stand_is_acknowledged_and_stops_nothing(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, tmp_path: Path
) -> None:
    """Undecodable, nested without end, or nothing: the command behind them runs, and nothing comes again."""
    script(tmp_path, "w", COUNTED)
    poison = (b"\xff", b"[" * 100_000, b"{}")
    for number, payload in enumerate(poison, 1):
        await log.append(f"ro.{log.cell}.command.workflow.wfe-{number}", payload, expect=0)
    await log.append(f"ro.{log.cell}.command.workflow.wfe-5", b"junk")
    await publish(log, create(5, "w"))
    async with executor(server.url, log.cell, tmp_path, slots=1):
        await reaches(log, 5, 2)
        await acknowledged(connection, log)
    assert ran(tmp_path) == ["wfe-5"]
    assert list(await all_facts(log)) == ["wfe-5"]


async def acknowledged(connection: Client, log: JetStreamLog) -> None:
    """Wait until the broker has no command left to deliver."""
    async with asyncio.timeout(10):
        while True:
            consumer = await connection.jetstream().consumer_info(f"RO_{log.cell}", "executor")
            if not consumer.num_ack_pending and not consumer.num_pending:
                return


async def test_what_one_catalog_lacks_another_executor_runs(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, tmp_path: Path
) -> None:
    """Two executors with nothing in common: no failure, and none that begins late."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    script(one, "w1", "true")
    script(two, "w2", "true")
    for number in range(1, 9):
        await publish(log, create(number, f"w{number % 2 + 1}"))
    async with executor(server.url, log.cell, one), executor(server.url, log.cell, two):
        for number in range(1, 9):
            assert isinstance((await reaches(log, number, 2))[1], WorkflowCompleted)
        await acknowledged(connection, log)


async def test_what_nobody_has_blocks_no_slot_and_is_let_go_when_it_is_revoked(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, tmp_path: Path
) -> None:
    """Twenty commands and one slot: what comes behind them runs, and a revocation ends their round."""
    script(tmp_path, "w", COUNTED)
    script(tmp_path, "broken", COUNTED, more="timeot: 5m\n")
    for number in range(1, 21):
        await publish(log, create(number, "broken" if number % 2 else "absent"))
    await publish(log, create(21, "w"))
    async with executor(server.url, log.cell, tmp_path, slots=1):
        await reaches(log, 21, 2)
        assert list(await all_facts(log)) == ["wfe-21"]
        for number in range(1, 21):
            await revoke(log, number)
        await acknowledged(connection, log)
    assert ran(tmp_path) == ["wfe-21"]


async def revoke(log: JetStreamLog, number: int) -> None:
    """As the orchestrator does when nobody has begun."""
    execution = ExecutionId(f"wfe-{number}")
    revoked = encode(WorkflowRevoked(execution), Attributes(id="r", source="/x", time=datetime.now(UTC)))
    await log.append(subjects.execution(log.cell, execution), revoked, expect=0)


async def test_a_stopping_executor_ends_its_runs_and_reports_them(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """SIGTERM: the grace, then the kill, then the report, then exit 0."""
    pid = Word(tmp_path / "pid")
    script(tmp_path, "w", 'echo $$ > "$(dirname "$0")/pid"; sleep 60')
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path) as running:
        process = int(await pid.said())
        running.terminate()
        async with asyncio.timeout(15):
            assert await running.wait() == 0
        assert not is_alive(process)
    ended = (await facts(log, 1))[1]
    assert isinstance(ended, WorkflowFailed)
    assert ended.message == "cancelled: the executor stops"


async def test_an_executor_whose_consumer_is_gone_ends(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, tmp_path: Path
) -> None:
    """With an error, instead of reading on in silence at full speed."""
    script(tmp_path, "w", "true")
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path) as running:
        await reaches(log, 1, 2)
        await connection.jetstream().delete_consumer(f"RO_{log.cell}", "executor")
        async with asyncio.timeout(20):
            assert await running.wait() != 0


async def test_a_deleted_consumer_is_made_again_by_the_next_start_and_nothing_runs_twice(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, tmp_path: Path
) -> None:
    """In the middle of a run, whose executor ends it and reports that; all commands are delivered once more."""
    stream = f"RO_{log.cell}"
    script(tmp_path, "w", COUNTED)
    script(tmp_path, "long", f"{COUNTED}; sleep 60")
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path) as first:
        await reaches(log, 1, 2)
        await publish(log, create(2, "long"))
        await reaches(log, 2, 1)
        await connection.jetstream().delete_consumer(stream, "executor")
        async with asyncio.timeout(PATIENCE):
            assert await first.wait() != 0
    async with executor(server.url, log.cell, tmp_path):
        await publish(log, create(3, "w"))
        assert (await reaches(log, 3, 2))[1] == WorkflowCompleted(ExecutionId("wfe-3"))
        assert isinstance((await reaches(log, 2, 2))[1], WorkflowFailed)
        await acknowledged(connection, log)
    assert sorted(ran(tmp_path)) == ["wfe-1", "wfe-2", "wfe-3"]
    assert [len(told) for told in (await all_facts(log)).values()] == [2, 2, 2]


async def test_a_broker_that_is_away_is_survived(tmp_path: Path) -> None:
    """Restarted under a running executor: the next command is taken."""
    script(tmp_path, "w", COUNTED)
    own = EmbeddedServer(tmp_path / "server").start()
    port = own.port
    try:
        async with connected(own.url) as first:
            log = await JetStreamLog.ensure(first, CellName("main"))
            async with executor(own.url, CellName("main"), tmp_path):
                await publish(log, create(1, "w"))
                await reaches(log, 1, 2)
                own.stop()
                own = EmbeddedServer(tmp_path / "server", port=port).start()
                async with connected(own.url) as second:
                    again = await JetStreamLog.open(second, CellName("main"))
                    await publish(again, create(2, "w"))
                    ended = (await reaches(again, 2, 2))[1]
    finally:
        own.stop()
    assert isinstance(ended, WorkflowCompleted)
