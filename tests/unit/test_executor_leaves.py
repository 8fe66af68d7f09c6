"""What an executor does not claim: what its catalog does not have, and what nobody commanded."""

import pytest
from bench import IDEMPOTENT, Bench, command, tell
from faulty import NOW, Delivered
from msgspec import structs

from remediation_orchestrator.events import (
    ExecutionId,
    WorkflowFailed,
    WorkflowRevoked,
    WorkflowStarted,
    encode,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.executor.catalog import Catalog

NESTED = b"[" * 100_000
JUNK = {
    "not JSON": b"\xff\xfe",
    "empty": b"",
    "an array without end": NESTED,
    "an object without end": b'{"specversion":"1.0","type":"CreateWorkflow.v1","data":' + NESTED,
    "an answer to a publish": b'{"stream":"RO_main","seq":41}',
    "another event": encode(WorkflowStarted(ExecutionId("wfe-1")), Attributes(id="a", source="b", time=NOW)),
    "another execution": command(execution="wfe-2"),
    "two commands": b"[" + command() + b"," + command() + b"]",
    "half a surrogate": command().replace(b'"checkout"', b'"\\ud800"'),
}


@pytest.mark.parametrize("payload", JUNK.values(), ids=JUNK.keys())
async def test_junk_on_a_commands_subject_is_acknowledged_and_answered_by_nothing(
    bench: Bench, payload: bytes
) -> None:
    """Nobody commanded it, so nobody claims it, and the run is free for the command that comes behind it."""
    delivery = Delivered(payload)
    await bench.handle(delivery)
    assert (bench.log.facts(), bench.ran, delivery.acknowledged) == ([], [], 1)


async def test_a_copy_of_a_command_is_junk(bench: Bench) -> None:
    """Whoever may read the log can have a record of it stored again: the server's headers tell."""
    delivery = Delivered(command())
    copied = {"Nats-Stream": "RO_main", "Nats-Sequence": "12"}
    delivery.command = structs.replace(delivery.command, headers=copied)
    await bench.handle(delivery)
    assert (bench.log.facts(), bench.ran, delivery.acknowledged) == ([], [], 1)


async def test_what_cannot_be_bound_is_claimed_and_answered(bench: Bench) -> None:
    """The workflow is here, and nobody else would do better: nothing has run, and that is said."""
    delivery = Delivered(command(target="-rf"))
    await bench.handle(delivery)
    started, ended = bench.log.facts()
    assert isinstance(started, WorkflowStarted)
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.was_execution_failure) == ("Forbidden", False)
    assert (bench.ran, delivery.acknowledged) == ([], 1)


FOREIGN = {
    "no such workflow": ("absent", IDEMPOTENT),
    "another engine's": ("w", "id: w\nengine: job\njob: {image: x}\n"),
    "a broken file": ("w", "id: w\nscript: {command: [sh]}\ntimeot: 5m\n"),
    "two files with one id": ("w", IDEMPOTENT),
}


@pytest.mark.parametrize(("workflow", "text"), FOREIGN.values(), ids=FOREIGN.keys())
async def test_what_the_catalog_does_not_have_is_left_to_others(
    bench: Bench, workflow: str, text: str, request: pytest.FixtureRequest
) -> None:
    """No claim and no failure: another executor may have it, and is asked soon."""
    bench.write("w", text)
    if "two files" in request.node.name:
        bench.write("again", text)
    delivery = Delivered(command(workflow=workflow))
    await bench.handle(delivery)
    assert (bench.log.facts(), bench.ran, delivery.acknowledged) == ([], [], 0)
    assert delivery.passed_on == [1.0]


async def test_a_command_is_left_to_others_while_the_catalog_cannot_be_read(bench: Bench) -> None:
    """Nobody here knows what it has; nothing was claimed, so nothing fails."""
    bench.catalog = Catalog(unread="the folder is not there")
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert (bench.log.facts(), bench.ran, len(delivery.passed_on)) == ([], [], 1)


async def test_a_command_is_left_to_others_whose_file_has_gone_with_its_program(bench: Bench) -> None:
    """The folder was moved away right after it was read."""
    bench.write("w", "id: w\nscript: {command: [./mine.sh]}\n")
    (bench.folder / "w.yaml").unlink()
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert (bench.log.facts(), bench.ran, len(delivery.passed_on)) == ([], [], 1)


async def test_a_command_of_a_newer_version_is_left_to_others(bench: Bench) -> None:
    """Whoever knows it may run it; acknowledged, it would be lost."""
    delivery = Delivered(command().replace(b"CreateWorkflow.v1", b"CreateWorkflow.v9"))
    await bench.handle(delivery)
    assert (bench.log.facts(), delivery.acknowledged, len(delivery.passed_on)) == ([], 0, 1)


async def test_what_nobody_serves_goes_round_ever_more_slowly(bench: Bench) -> None:
    """From one second to ten, for as long as nobody revokes it."""
    turns = []
    for number in (1, 5, 100):
        delivery = Delivered(command(workflow="absent"), number=number)
        await bench.handle(delivery)
        turns += delivery.passed_on
    assert turns == [1.0, 2.0, 10.0]


async def test_that_a_workflow_is_left_to_others_is_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """However often its command comes round."""
    for number in range(1, 6):
        await bench.handle(Delivered(command(workflow="absent"), number=number))
    assert [one.message for one in caplog.records] == ["left to others"]


async def test_what_we_do_not_serve_and_is_revoked_is_acknowledged(bench: Bench) -> None:
    """Nobody began it in time: it goes round no more."""
    tell(bench.log, WorkflowRevoked(ExecutionId("wfe-1")))
    delivery = Delivered(command(workflow="absent"), number=9)
    await bench.handle(delivery)
    assert (delivery.passed_on, delivery.acknowledged) == ([], 1)


async def test_a_lost_run_of_what_we_do_not_serve_is_reported_all_the_same(bench: Bench) -> None:
    """Its executor was perhaps the only one that had the file."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "dead"), "claim-41-1")
    delivery = Delivered(command(workflow="absent"), number=3)
    await bench.handle(delivery)
    ended = bench.log.facts()[1]
    assert isinstance(ended, WorkflowFailed)
    assert (ended.reason, ended.idempotent, delivery.acknowledged) == ("ExecutorLost", False, 1)
