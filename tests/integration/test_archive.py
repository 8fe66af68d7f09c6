"""Archiving on the real server: old records leave a log into a file, and what is left explains itself."""

import asyncio
import json
from pathlib import Path

import pytest
from cell import bare, events_of, orchestrator, running, tell, wait_for
from click.testing import CliRunner, Result
from nats.aio.client import Client

from remediation_orchestrator.bus import api, topology
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.cli import archive
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    ExecutionId,
    LogArchived,
    PhaseChanged,
    RoutingDecided,
    WorkflowFailed,
    WorkflowStarted,
    subjects,
)
from remediation_orchestrator.orchestrator import archiving
from remediation_orchestrator.orchestrator.archive import Base
from remediation_orchestrator.orchestrator.archiving import segment_of
from remediation_orchestrator.orchestrator.queries.case import read_case
from remediation_orchestrator.orchestrator.routing.policy import policy_of

BRIEF = policy_of(
    {
        "routing": {
            "retry_limit": 5,
            "failure_memory": "1s",
            "alert_memory": "1s",
            "backoff_base": "100ms",
            "backoff_cap": "1s",
            "signal_cooldown": "1s",
            "workflow_cooldown": "1s",
        },
        "timeouts": dict.fromkeys(("starting", "analyzing", "executing", "approval"), "1s"),
    }
)
"""Everything is old after a second."""


async def ro(*arguments: object) -> Result:
    """Run a verb, beside this event loop."""
    return await asyncio.to_thread(CliRunner().invoke, main, [str(one) for one in arguments])


async def failed_half_way(log: JetStreamLog, target: str) -> str:
    """A run leaves its target half-changed: only a person can forget that."""
    place = await log.append(subjects.signal(log.cell, "test"), bare(target=target))
    run = f"wfe-{place}"
    await wait_for(log, lambda event: isinstance(event, CreateWorkflow) and event.execution == run)
    await tell(log, WorkflowStarted(ExecutionId(run)), run)
    await tell(log, WorkflowFailed(ExecutionId(run), reason="TaskFailed", was_execution_failure=True), run)
    await wait_for(log, lambda event: isinstance(event, PhaseChanged) and event.remediation == f"rr-{place}")
    return f"rr-{place}"


@pytest.fixture
async def there(server: EmbeddedServer, cell: CellName) -> list[str]:
    """The options by which a verb finds this test's log."""
    return ["--nats", server.url, "--cell", cell]


async def aged(log: JetStreamLog, targets: int = 3, name: str = "t") -> None:
    """Some problems, and then a while."""
    for number in range(targets):
        await failed_half_way(log, f"{name}{number}")
    await asyncio.sleep(1.5)
    await failed_half_way(log, f"{name}-late")


async def test_what_is_archived_is_gone_from_the_log_and_the_rest_knows_all_of_it(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """A half-changed target stays refused, through a purge and a restart; the parts audit clean, and together."""
    whole, segment, rest = tmp_path / "whole.jsonl", tmp_path / "old.jsonl.zst", tmp_path / "rest.jsonl"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
        assert (await ro("export", whole, *there)).exit_code == 0
        result = await ro("archive", segment, "--reason", "room", "--json", *there)
        assert result.exit_code == 0, result.stderr
        said = json.loads(result.stdout)
        assert said["first"] == 1
        assert await log.first_sequence() == said["through"] + 1
    assert [one.through for one in await events_of(log) if isinstance(one, LogArchived)] == [said["through"]]
    async with running(await orchestrator(connection, cell, "o2")):
        again = await log.append(subjects.signal(cell, "test"), bare(target="t0"))
        found = await wait_for(log, lambda event: getattr(event, "signal", None) == str(again), again)
    assert isinstance(found.event, RoutingDecided)
    assert getattr(found.event.verdict, "reason", None) == "PreviousExecutionFailed"
    assert (await ro("export", rest, *there)).exit_code == 0
    audits = (["--log", rest], there, ["--log", segment, "--log", rest, "--snapshots"], ["--log", segment])
    results = [await ro("audit", "--json", *options) for options in audits]
    for result in results:
        assert result.exit_code == 0, result.stdout + result.stderr
    summaries = [json.loads(result.stdout.splitlines()[-1]) for result in results]
    assert [one.get("archived_through") for one in summaries] == [said["through"], said["through"], None, None]
    assert summaries[0]["chain_digest"] == summaries[1]["chain_digest"] == summaries[2]["chain_digest"]
    assert summaries[2]["messages"] == await log.last_sequence()
    assert summaries[2]["snapshots"] == [{"sequence": said["frame"], "says": "equal"}]


async def test_a_segment_that_was_changed_is_named(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """The chain knows the digest of its lines, and of the projection behind them."""
    segment, rest = tmp_path / "old.jsonl", tmp_path / "rest.jsonl"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
        assert (await ro("archive", segment, "--reason", "room", *there)).exit_code == 0
    assert (await ro("export", rest, *there)).exit_code == 0
    segment.write_bytes(segment.read_bytes().replace(b"KubePod", b"KubePot", 1))
    result = await ro("audit", "--json", "--log", segment, "--log", rest)
    assert result.exit_code == 1
    assert "segment" in result.stdout


async def test_nothing_young_and_nothing_at_work_is_archived(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """Under the default policy everything of the last day is kept; then, what has not ended."""
    async with running(await orchestrator(connection, cell)):
        await failed_half_way(log, "t0")
        result = await ro("archive", tmp_path / "old", "--dry-run", *there)
    assert (result.exit_code, "nothing may go yet" in result.stderr) == (1, True)
    assert not (tmp_path / "old").exists()


async def test_what_is_at_work_stays_in_the_log_however_old_it_is(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """Its first record is where the cut ends."""
    slow = policy_of({"routing": {"failure_memory": "1s", "alert_memory": "1s"}, "timeouts": {"executing": "2s"}})
    async with running(await orchestrator(connection, cell, policy=slow)):
        await failed_half_way(log, "t0")
        place = await log.append(subjects.signal(cell, "test"), bare(target="long"))
        run = f"wfe-{place}"
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow) and event.execution == run)
        await tell(log, WorkflowStarted(ExecutionId(run)), run)
        await tell(log, WorkflowFailed(ExecutionId(run), reason="ExecutorLost", was_execution_failure=True), run)
        await asyncio.sleep(0.1)
        result = await ro("archive", tmp_path / "old", "--dry-run", "--json", *there)
    found = json.loads(result.stdout) if result.exit_code == 0 else {"through": 0}
    assert found["through"] < place


async def test_without_an_orchestrator_nothing_is_purged(
    connection: Client,
    log: JetStreamLog,
    cell: CellName,
    there: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the active one may write into the chain."""
    monkeypatch.setattr("remediation_orchestrator.orchestrator.archiving.ANSWER_SECONDS", 0.3)
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
    result = await ro("archive", tmp_path / "old", "--reason", "room", *there)
    assert (result.exit_code, "nothing was purged" in result.stderr) == (3, True)
    assert await log.first_sequence() == 1


async def test_a_lost_projection_is_brought_back_from_beside_its_segment(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """Without it nobody begins to decide: the log alone does not say what was before."""
    segment = tmp_path / "old.jsonl"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
        assert (await ro("archive", segment, "--reason", "room", *there)).exit_code == 0
    filter_ = {"filter": topology.ARCHIVES.subject(cell, "*")}
    await api.call(connection, f"STREAM.PURGE.{topology.ARCHIVES.stream}", filter_, api.Done)
    waiting = await orchestrator(connection, cell, "o2")
    running_it = asyncio.create_task(waiting.run())
    async with asyncio.timeout(5):
        while "--restore" not in (await waiting.why_not_ready() or ""):  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
    assert not waiting.active.is_set()
    waiting.stop()
    await running_it
    assert (await ro("archive", segment, "--restore", *there)).exit_code == 0
    async with running(await orchestrator(connection, cell, "o3")):
        pass


async def test_a_log_is_archived_again_and_again(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """Each segment is audited by itself, from what stands beside it, and all of them together."""
    files = [tmp_path / f"segment-{number}.jsonl" for number in range(2)]
    rest = tmp_path / "rest.jsonl"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        for path in files:
            await aged(log, 2, path.name)
            result = await ro("archive", path, "--reason", "room", *there)
            assert result.exit_code == 0, result.stderr
    assert (await ro("export", rest, *there)).exit_code == 0
    for options in (["--log", files[0], "--log", files[1], "--log", rest], ["--log", files[1]], ["--log", rest]):
        result = await ro("audit", *options)
        assert result.exit_code == 0, result.stdout + result.stderr
    shown = await ro("list", "--log", files[0], "--log", files[1], "--log", rest)
    assert shown.stdout.count("rr-") >= 6


async def test_what_is_beside_another_logs_segment_is_not_brought_back(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """It would take the place of what this log goes on from."""
    other = await JetStreamLog.ensure(connection, CellName(f"{cell}-other"))
    paths = {log: tmp_path / "ours.jsonl", other: tmp_path / "theirs.jsonl"}
    for one, path in paths.items():
        options = [*there[:3], one.cell]
        async with running(await orchestrator(connection, one.cell, policy=BRIEF)):
            await aged(one, 3 if one is log else 5)
            assert (await ro("archive", path, "--reason", "room", *options)).exit_code == 0
    kept = await log.archive.newest()
    assert kept is not None
    result = await ro("archive", paths[other], "--restore", *there)
    assert result.exit_code in (1, 2), result.stdout + result.stderr
    assert "fault" not in result.stderr
    found = await log.archive.newest()
    assert found is not None
    assert found[0] == kept[0]


async def test_of_two_who_archive_at_once_one_is_refused(
    connection: Client,
    log: JetStreamLog,
    cell: CellName,
    there: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The later cut must not lose its projection to the earlier one, or nobody could begin."""
    recorded, theirs = archiving.answered, Base(b'"theirs"', [])

    async def overtaken(log_: JetStreamLog, place: int) -> str:
        answer = await recorded(log_, place)
        await log_.archive.save(theirs.parts, theirs.its_head)
        return answer

    monkeypatch.setattr(archive, "answered", overtaken)
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
        result = await ro("archive", tmp_path / "old.jsonl", "--reason", "room", *there)
    assert (result.exit_code, "another" in result.stderr) == (1, True), result.stderr
    assert await log.first_sequence() == 1
    kept = await log.archive.newest()
    assert kept is not None
    assert kept[0] == theirs.head


async def test_a_backtest_wants_the_log_from_its_beginning(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """Judged again without what is archived, the rest would seem to differ."""
    segment, rest = tmp_path / "old.jsonl", tmp_path / "rest.jsonl"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
        assert (await ro("archive", segment, "--reason", "room", *there)).exit_code == 0
        again = await log.append(subjects.signal(cell, "test"), bare(target="t0"))
        await wait_for(log, lambda event: getattr(event, "signal", None) == str(again), again)
    assert (await ro("export", rest, *there)).exit_code == 0
    whole = await ro("backtest", "--log", segment, "--log", rest)
    assert (whole.exit_code, "0 differ" in whole.stdout) == (0, True), whole.stdout + whole.stderr
    for options in (there, ["--log", rest]):
        result = await ro("backtest", *options)
        assert (result.exit_code, "archived" in result.stderr) == (2, True), result.stdout


async def test_a_record_that_is_no_frame_is_no_place_to_cut(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """The chain does not go on from it."""
    rest = tmp_path / "rest.jsonl"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
    await log.append(subjects.decision(cell), b"[]")
    await asyncio.sleep(1.5)
    async with running(await orchestrator(connection, cell, "o2")):
        await failed_half_way(log, "u")
        result = await ro("archive", tmp_path / "old.jsonl", "--reason", "room", *there)
        assert result.exit_code == 0, result.stderr
    assert (await ro("export", rest, *there)).exit_code == 0
    result = await ro("audit", "--json", "--log", rest)
    assert "digest" not in [json.loads(one).get("drift") for one in result.stdout.splitlines()]
    assert "does not match" not in result.stdout


async def test_an_imported_log_is_not_archived(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """It is sealed: nothing is written there, and nothing beside it."""
    whole, imported = tmp_path / "whole.jsonl", f"{cell}-i"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
    assert (await ro("export", whole, *there)).exit_code == 0
    brought = await ro("import", whole, *there[:2], "--cell", imported)
    assert brought.exit_code == 0, brought.stderr
    result = await ro("archive", tmp_path / "old.jsonl", "--reason", "room", *there[:2], "--cell", imported)
    assert result.exit_code == 1, result.stderr
    assert "imported" in result.stderr
    assert not (tmp_path / "old.jsonl").exists()


async def test_a_case_is_not_cut_out_of_a_log_without_its_beginning(
    connection: Client, log: JetStreamLog, cell: CellName, there: list[str], tmp_path: Path
) -> None:
    """What is archived has the policy and what was left half-done: judged again, the case would differ."""
    case = tmp_path / "case.jsonl"
    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        await aged(log)
        assert (await ro("archive", tmp_path / "old.jsonl", "--reason", "room", *there)).exit_code == 0
        again = await log.append(subjects.signal(cell, "test"), bare(target="t0"))
        await wait_for(log, lambda event: getattr(event, "signal", None) == str(again), again)
    result = await ro("export", "--case", f"rr-{again}", case, *there)
    if result.exit_code == 0:
        assert list(read_case(messages(case)).differences()) == []
    assert (result.exit_code, "archived" in result.stderr) == (2, True)


async def test_a_log_is_archived_after_an_archive_that_did_not_come_to_its_purge(
    connection: Client,
    log: JetStreamLog,
    cell: CellName,
    there: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The projection is kept already then: the next one finishes it, and has its records in its own file."""
    files = [tmp_path / f"segment-{number}.jsonl" for number in range(3)]
    rest = tmp_path / "rest.jsonl"

    async def broken(self: JetStreamLog, below: int) -> None:
        raise LogError(f"not purged below {below}")

    async with running(await orchestrator(connection, cell, policy=BRIEF)):
        for path in files:
            await aged(log, 2, path.name)
            with monkeypatch.context() as patch:
                if path is files[1]:
                    patch.setattr(JetStreamLog, "purge", broken)
                result = await ro("archive", path, "--reason", "room", *there)
            assert (result.exit_code == 0) == (path is not files[1]), result.stderr
            assert ("finished" in result.stdout) == (path is files[2])
            assert (await ro("audit", *there)).exit_code == 0
    assert (await ro("export", rest, *there)).exit_code == 0
    assert segment_of(files[1]) == segment_of(files[2])
    together = [one for path in (files[0], files[2], rest) for one in ("--log", path)]
    for options in (together, ["--log", files[1]], ["--log", rest], there):
        result = await ro("audit", *options)
        assert result.exit_code == 0, result.stdout + result.stderr
    async with running(await orchestrator(connection, cell, "o2")):
        pass
