"""The executor under stress: a full disk, endless output, programs that will not go, poison. All end visibly."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import nats.errors
import pytest
from executors import cancel, create, executor, facts, publish, reaches, script
from nats.aio.client import Client
from processes import Word, gone

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.consumers import ensure_consumer
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.pulling import LOOK_SECONDS, REST_SECONDS, Pull
from remediation_orchestrator.events import (
    CellName,
    Event,
    ExecutionId,
    WorkflowCompleted,
    WorkflowFailed,
    subjects,
)
from remediation_orchestrator.executor.service import EXECUTOR
from remediation_orchestrator.executor.supervisor import instant

RO = Path(sys.executable).with_name("ro")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder))
    try:
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if made.returncode:
        pytest.skip(f"a small disk can only be made by root: {made.stderr.strip()}")
    yield folder
    subprocess.run(("umount", str(folder)), check=True)


def failure(events: list[Event]) -> WorkflowFailed:
    """The end of a run that failed."""
    ended = events[1]
    assert isinstance(ended, WorkflowFailed)
    return ended


async def test_a_script_on_a_full_disk_fails_and_says_why(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path, small_disk: Path
) -> None:
    """It had begun, so it counts as having run; the next one is not concerned."""
    script(tmp_path, "fill", f"dd if=/dev/zero of={small_disk}/big bs=1k count=100")
    script(tmp_path, "next", "echo fine")
    await publish(log, create(1, "fill"))
    await publish(log, create(2, "next"))
    async with executor(server.url, log.cell, tmp_path, slots=1):
        ended = failure(await reaches(log, 1, 2))
        assert (await reaches(log, 2, 2))[1] == WorkflowCompleted(ExecutionId("wfe-2"), "fine\n")
    assert ended.was_execution_failure
    assert "No space left on device" in ended.message


@pytest.fixture
def full() -> Iterator[int]:
    """A file on a disk that is full."""
    file = os.open("/dev/full", os.O_WRONLY)
    yield file
    os.close(file)


async def test_an_executor_that_cannot_log_works_on(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path, full: int
) -> None:
    """Its own log is on a full disk; what it has to say to the cell is not."""
    script(tmp_path, "w", "echo fine")
    await publish(log, create(1, "w"))
    process = await asyncio.create_subprocess_exec(
        *(RO, "executor", "--workflows", str(tmp_path), "--cell", log.cell),
        env={**os.environ, "NATS_URL": server.url},
        stdout=full,
        stderr=full,
    )
    try:
        assert (await reaches(log, 1, 2))[1] == WorkflowCompleted(ExecutionId("wfe-1"), "fine\n")
    finally:
        process.kill()
        await process.wait()


async def test_a_missing_interpreter_is_a_failure_before_the_run(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """Nothing touched the target, so it is safe to try again."""
    script(tmp_path, "w", "")
    (tmp_path / "w.sh").write_text("#!/no/such/interpreter\n")
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path):
        ended = failure(await reaches(log, 1, 2))
    assert (ended.reason, ended.was_execution_failure) == ("ConfigurationError", False)


async def test_gigabytes_of_output_take_no_memory(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """Not the supervisor's, its guard's or the executor's: the script looks them up at its end."""
    guard = "guard=$(awk '/^PPid/ {print $2}' /proc/$PPID/status)"
    executor_itself = "executor=$(awk '/^PPid/ {print $2}' /proc/$guard/status)"
    peaks_of = "grep -h VmHWM /proc/$PPID/status /proc/$guard/status /proc/$executor/status"
    text = f"head -c 1200000000 /dev/zero; echo; {guard}; {executor_itself}; {peaks_of}"
    script(tmp_path, "w", text)
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path):
        ended = (await reaches(log, 1, 2))[1]
    assert isinstance(ended, WorkflowCompleted)
    assert len(ended.output) <= 64 * 1024
    peaks = [int(kilobytes) for kilobytes in re.findall(r"VmHWM:\s+(\d+) kB", ended.output)]
    assert len(peaks) == 3
    assert max(peaks) < 200_000


async def test_a_cancel_ends_a_daemon_that_forked_twice_and_ignores_being_asked(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """In a session of its own, its parents gone, deaf to SIGTERM: the supervisor is still its ancestor."""
    pid = Word(tmp_path / "pid")
    daemon = f'trap "" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 60; done'
    script(tmp_path, "w", f"trap '' TERM\n(setsid sh -c '{daemon}' &) &\nwhile :; do sleep 60; done")
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path):
        process = int(await pid.said())
        await publish(log, cancel(1))
        ended = failure(await reaches(log, 1, 2))
        await gone(process)
    assert (ended.message, ended.was_execution_failure) == ("cancelled: resolved", True)


async def test_a_killed_supervisor_is_reported_and_leaves_nothing_behind(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """Its script, and a daemon that forked twice; the executor goes on."""
    pids = Word(tmp_path / "pids")
    daemon = f"echo $SUPERVISOR $$ > {tmp_path}/pids; sleep 60"
    script(tmp_path, "w", f"export SUPERVISOR=$PPID\n(setsid sh -c '{daemon}' &) &\nsleep 60")
    script(tmp_path, "next", "echo fine")
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path, slots=1):
        supervisor, left = (int(one) for one in (await pids.said()).split())
        os.kill(supervisor, signal.SIGKILL)
        ended = failure(await reaches(log, 1, 2))
        await gone(left)
        await publish(log, create(2, "next"))
        assert (await reaches(log, 2, 2))[1] == WorkflowCompleted(ExecutionId("wfe-2"), "fine\n")
    assert (ended.reason, ended.was_execution_failure) == ("ExecutorLost", True)


async def test_processes_that_start_each_other_again_are_ended_too(
    server: EmbeddedServer, log: JetStreamLog, tmp_path: Path
) -> None:
    """A keeper and what it keeps, each in a session of its own, left behind by a script that succeeds."""
    pid = Word(tmp_path / "pid")
    kept = "sleep 60"
    keeper = f"echo $$ > {tmp_path}/pid; while :; do setsid -w {kept}; done"
    script(tmp_path, "w", f"setsid sh -c '{keeper}' > /dev/null 2>&1 &\nsleep 0.5")
    await publish(log, create(1, "w"))
    async with executor(server.url, log.cell, tmp_path):
        keeps = int(await pid.said())
        assert isinstance((await reaches(log, 1, 2))[1], WorkflowCompleted)
        await gone(keeps)


POISON: tuple[dict[str, object], ...] = (
    {"id": "w", "parameters": {"size": "not a number"}},
    {"id": "w", "parameters": {"name": "--all"}},
    {"id": "w", "parameters": {"name": "a\0b"}},
    {"id": "w", "parameters": {"unknown": 1}},
    {"id": "w", "parameters": {"name": "x" * 200_000}},
)
"""The workflow of a command, each wrong in its own way."""


async def test_poison_is_answered_once_each_and_never_comes_again(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, tmp_path: Path
) -> None:
    """Each is visible as a failure before the run, and the broker has nothing left to deliver."""
    parameters = "parameters: {size: {type: integer, default: 1}, name: {default: x}}\n"
    script(tmp_path, "w", "true", more=parameters)
    for number, workflow in enumerate(POISON, 1):
        await poison(log, number, workflow)
    await publish(log, create(len(POISON) + 1, "w"))
    async with executor(server.url, log.cell, tmp_path, slots=1):
        assert isinstance((await reaches(log, len(POISON) + 1, 2))[1], WorkflowCompleted)
        ends = [failure(await reaches(log, number, 2)) for number in range(1, len(POISON) + 1)]
        async with asyncio.timeout(10):
            consumer = await connection.jetstream().consumer_info(f"RO_{log.cell}", EXECUTOR)
            while consumer.num_ack_pending:
                consumer = await connection.jetstream().consumer_info(f"RO_{log.cell}", EXECUTOR)
    assert {one.reason for one in ends} == {"ConfigurationError", "Forbidden"}
    assert not any(one.was_execution_failure for one in ends)
    assert (consumer.num_redelivered, consumer.num_pending) == (0, 0)
    assert len(await facts(log, 1)) == 2


async def poison(log: JetStreamLog, number: int, workflow: dict[str, object]) -> None:
    """Store a command whose workflow is not what the types allow."""
    command = create(number, "w")
    event = {
        "specversion": "1.0",
        "id": "p",
        "source": "/test",
        "type": "CreateWorkflow.v1",
        "data": {**msgspec.to_builtins(command), "workflow": workflow},
    }
    await log.append(subjects.command(log.cell, command), msgspec.json.encode(event), expect=0)


@asynccontextmanager
async def pulling(url: str, cell: CellName) -> AsyncIterator[tuple[Client, Pull]]:
    """A slot's subscription as FastStream has it, and its connection."""
    async with connected(url) as client:
        await JetStreamLog.ensure(client, cell)
        await ensure_consumer(client, cell, EXECUTOR, subjects.commands(cell, "workflow"), 30)
        yield client, Pull(client, f"RO_{cell}", EXECUTOR, instant)


async def tries_in(seconds: float, pull: Pull) -> int:
    """How often FastStream would ask in so many seconds: again at once, whenever it fails."""
    tries = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                with suppress(nats.errors.TimeoutError):
                    tries += 1
                    await pull.fetch(1, 5.0)
    return tries


async def test_a_slot_rests_while_the_broker_is_away_and_then_works_on(tmp_path: Path) -> None:
    """FastStream asks again at once: 5,500 times a second, a core and a line in the log for each."""
    own, cell = EmbeddedServer(tmp_path / "server").start(), CellName("main")
    port = own.port
    try:
        async with pulling(own.url, cell) as (_, pull):
            own.stop()
            assert await tries_in(1.0, pull) <= 1.0 / LOOK_SECONDS + 2
            own = EmbeddedServer(tmp_path / "server", port=port).start()
            async with connected(own.url) as other:
                await publish(await JetStreamLog.open(other, cell), create(1, "w"))
            async with asyncio.timeout(10):
                messages: list[object] = []
                while not messages:
                    with suppress(nats.errors.TimeoutError):
                        messages = [*await pull.fetch(1, 1.0)]
    finally:
        own.stop()


async def test_a_slot_rests_when_its_consumer_is_gone(server: EmbeddedServer, cell: CellName) -> None:
    """Until the watchdog sees it; the same while a leader is elected."""
    async with pulling(server.url, cell) as (client, pull):
        await client.jetstream().delete_consumer(f"RO_{cell}", EXECUTOR)
        assert await tries_in(2.0, pull) <= 2.0 / REST_SECONDS + 1
