"""`ro policy adopt` shows what it would change, and changes it when it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from cell import events_of, orchestrator, running
from click.testing import CliRunner, Result
from nats.aio.client import Client

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli import policy
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import CellName, PolicyAdopted, encode, subjects
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.policy_file import parse
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

PATIENT = "routing: {retry_limit: 9, consecutive_failure_cooldown: 6h}\n"
STOP = "scope:\n  exclude: [{target: {namespace: shop}}]\n"


class Cell:
    """A cell with a policy in force that somebody has adopted, and the verb."""

    def __init__(self, server: EmbeddedServer, log: JetStreamLog, folder: Path) -> None:
        self.log = log
        self.file = folder / "policy.yaml"
        self.file.write_text(STOP)
        self._there = ["--nats", server.url, "--cell", log.cell]

    async def begin(self) -> None:
        """Adopt the patient one."""
        assert (await self.adopt(PATIENT)).exit_code == 0

    async def adopt(self, text: str, *options: str, answer: str = "") -> Result:
        """Adopt a file of this text."""
        self.file.write_text(text)
        command = ["policy", "adopt", str(self.file), "--reason", "x", *self._there, *options]
        return await asyncio.to_thread(CliRunner().invoke, main, command, input=answer)

    async def adopted(self) -> list[PolicyAdopted]:
        """What was adopted so far."""
        return [event for event in await events_of(self.log) if isinstance(event, PolicyAdopted)]


@pytest.fixture
async def cell_of_somebody(
    server: EmbeddedServer, connection: Client, log: JetStreamLog, cell: CellName, tmp_path: Path
) -> AsyncIterator[Cell]:
    """One that is led, and whose policy is not the default."""
    found = Cell(server, log, tmp_path)
    async with running(await orchestrator(connection, cell)):
        await found.begin()
        yield found


async def test_what_a_file_leaves_out_is_shown_before_it_changes(cell_of_somebody: Cell) -> None:
    """A file with nothing but a scope took the waits back to the defaults, and two repairs began."""
    done = await cell_of_somebody.adopt(STOP)
    rows = [" ".join(line.split()) for line in done.output.splitlines()]
    assert rows[:-1] == [
        "KEY IN FORCE THEN",
        "routing.consecutive_failure_cooldown 6h 1h not in the file: the default",
        "routing.retry_limit 9 5 not in the file: the default",
        'scope.exclude [] [{"target":{"namespace":"shop"}}]',
    ]
    assert "adopted, digest" in rows[-1]


async def test_programs_are_told_the_same(cell_of_somebody: Cell) -> None:
    """And nobody is asked where no person sits."""
    done = await cell_of_somebody.adopt("routing: {retry_limit: 8}\n", "--json")
    (said,) = map(json.loads, done.output.splitlines())
    assert said["changes"] == [
        {"key": "routing.consecutive_failure_cooldown", "from": "6h", "to": "1h", "by_default": True},
        {"key": "routing.retry_limit", "from": 9, "to": 8, "by_default": False},
    ]
    assert len(await cell_of_somebody.adopted()) == 2


@pytest.mark.parametrize(("answer", "code", "adopted"), [("y\n", 0, 2), ("n\n", 1, 1), ("\n", 1, 1), ("", 130, 1)])
async def test_a_person_is_asked_and_nothing_is_adopted_without_a_yes(
    cell_of_somebody: Cell, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, adopted: int
) -> None:
    """What would change stands above the question."""
    monkeypatch.setattr(policy, "is_asked", lambda: True)
    done = await cell_of_somebody.adopt(STOP, answer=answer)
    assert done.exit_code == code
    assert done.output.index("scope.exclude") < done.output.index("Adopt it?")
    assert len(await cell_of_somebody.adopted()) == adopted


async def test_with_yes_nobody_is_asked(cell_of_somebody: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """For scripts on a terminal."""
    monkeypatch.setattr(policy, "is_asked", lambda: True)
    done = await cell_of_somebody.adopt(STOP, "--yes")
    assert (done.exit_code, "Adopt it?" in done.output) == (0, False)


async def test_what_was_shown_is_what_is_replaced_or_nothing_is_adopted(
    cell_of_somebody: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else adopted another policy while a person looked at the differences."""
    log, loop = cell_of_somebody.log, asyncio.get_running_loop()
    other = PolicyAdopted(parse("routing: {retry_limit: 7}\n", "other").policy.document(), by="bob")
    written = encode(other, Attributes("1", "/test", datetime.now(UTC)))

    def meanwhile(*_: object, **__: object) -> bool:
        appending = append_behind(log, subjects.operator(log.cell, other), written, message_id="other")
        asyncio.run_coroutine_threadsafe(appending, loop).result()
        return True

    monkeypatch.setattr(policy, "is_asked", lambda: True)
    monkeypatch.setattr(click, "confirm", meanwhile)
    done = await cell_of_somebody.adopt(STOP)
    assert done.exit_code == 1
    assert "ro: another policy has been adopted meanwhile: look at what would change now" in done.output
    assert [one.policy for one in await cell_of_somebody.adopted()][1:] == [other.policy]


async def test_nobody_is_told_of_a_policy_that_nobody_gave(
    connection: Client, cell: CellName, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a file was given it is said that another policy is in force, and how to change that."""
    caplog.set_level("WARNING")
    adopted = parse(PATIENT, "policy.yaml").policy
    async with running(await orchestrator(connection, cell, "o1", adopted)):
        pass
    async with running(await orchestrator(connection, cell, "o2")):
        pass
    said = "the policy file given is not the policy in force; `ro policy adopt` is the way to change it"
    assert said not in [one.message for one in caplog.records]
    async with running(await orchestrator(connection, cell, "o3", DEFAULT)):
        pass
    assert [one.message for one in caplog.records].count(said) == 1
