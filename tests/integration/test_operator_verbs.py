"""What an operator says is done when an orchestrator has decided on it, and where none does the verb says so."""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cell import PATIENCE_SECONDS, bare, events_of, findings, orchestrator, running, wait_for
from click.testing import CliRunner, Result
from nats.aio.client import Client

from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.cli.support.awaiting import UndecidedError, answers
from remediation_orchestrator.cli.support.output import RefusedError
from remediation_orchestrator.cli.support.reading import read_log
from remediation_orchestrator.events import (
    AnalysisCompleted,
    ApprovalGranted,
    BlockCleared,
    CellName,
    CreateWorkflow,
    DecisionFrame,
    Event,
    Fact,
    Fingerprint,
    Phase,
    PhaseChanged,
    RemediationCancelled,
    RemediationId,
    RoutingDecided,
    SignalReceived,
    SignalResolved,
    WorkflowRef,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.orchestrator.routing.fold import Fold

# (the verb, what it says of whom, and what is decided)
OF_A_REMEDIATION = [
    ("approve", "waits", "Proceed"),
    ("reject", "waits", "Failed"),
    ("cancel", "waits", "Cancelled"),
    ("cancel", "runs", "Cancelled"),
    ("retry", "over", "Proceed"),
]
OF_THE_CELL = [
    "clear --fingerprint {fingerprint}",
    "clear --target idle",
    "policy adopt {file}",
    "policy shadow {file}",
]


class Operated:
    """A cell, and the verbs on it."""

    def __init__(self, server: EmbeddedServer, connection: Client, log: JetStreamLog) -> None:
        self.log = log
        self.connection = connection
        self._there = ["--nats", server.url, "--cell", log.cell, "--reason", "x"]

    async def ro(self, *arguments: str) -> Result:
        """Run a verb, beside this event loop."""
        command = [*arguments, *self._there]
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.to_thread(CliRunner().invoke, main, command)

    async def unheard(self, *arguments: str) -> str:
        """Run a verb that nobody decides on; return where its fact stands."""
        before = await self.log.last_sequence()
        done = await self.ro(*arguments, "--wait", "0.3")
        assert (done.exit_code, done.stdout) == (3, ""), done.output
        place = str(await self.log.last_sequence())
        assert int(place) == before + 1
        assert done.stderr == (
            f"ro: {place}: recorded, and no orchestrator has decided on it within 0.3 s: "
            "it takes effect as soon as one does\n"
        )
        return place

    async def store(self, subject: str, fact: Fact) -> int:
        """Store a fact as others do."""
        payload = encode(fact, Attributes(id="x", source="/test", time=datetime.now(UTC)))
        return await append_behind(self.log, subject, payload, message_id=uuid.uuid4().hex)

    async def signal(self, target: str, *, workflow: bool) -> RemediationId:
        """Open a remediation."""
        body = bare(target=target) if workflow else msgspec.json.encode({"name": "N", "target": {"name": target}})
        place = await self.log.append(subjects.signal(self.log.cell, "test"), body)
        await wait_for(self.log, lambda one: isinstance(one, RoutingDecided) and one.signal == str(place))
        return RemediationId(f"rr-{place}")

    async def until(self, name: RemediationId, phase: Phase) -> None:
        """Wait until it is so with a remediation."""
        await wait_for(
            self.log, lambda one: isinstance(one, PhaseChanged) and (one.remediation, one.phase) == (name, phase)
        )

    async def one_that(self, how: str, target: str) -> RemediationId:
        """A remediation that waits for an approval, that runs, or that is over."""
        name = await self.signal(target, workflow=how != "waits")
        if how == "waits":
            wanted = AnalysisCompleted(name, workflow=WorkflowRef("restart"), approval_required=True)
            await self.store(subjects.analysis(self.log.cell, name), wanted)
            await self.until(name, Phase.AWAITING_APPROVAL)
            return name
        await wait_for(self.log, lambda one: isinstance(one, CreateWorkflow) and one.remediation == name)
        if how == "over":
            cancelled = RemediationCancelled(name, "ann")
            await self.store(subjects.operator(self.log.cell, cancelled), cancelled)
            await self.until(name, Phase.CANCELLED)
        return name


@pytest.fixture
def operated(server: EmbeddedServer, connection: Client, log: JetStreamLog) -> Operated:
    """A cell that nobody leads yet."""
    return Operated(server, connection, log)


@pytest.mark.parametrize(("verb", "how", "what"), OF_A_REMEDIATION)
async def test_what_an_operator_says_of_a_remediation_is_done_when_it_is_decided(
    operated: Operated, cell: CellName, verb: str, how: str, what: str
) -> None:
    """With nobody there the verb says so, exit 3, and it is decided by whoever comes."""
    async with running(await orchestrator(operated.connection, cell, "o1")):
        one, other = await operated.one_that(how, "one"), await operated.one_that(how, "other")
    place = await operated.unheard(verb, one)
    async with running(await orchestrator(operated.connection, cell, "o2")):

        def answers_it(event: Event) -> bool:
            return isinstance(event, RoutingDecided | PhaseChanged) and event.because.position == place

        await wait_for(operated.log, answers_it)
        done = await operated.ro(verb, other)
        assert done.exit_code == 0, done.output
        said, decided = done.stdout.splitlines()
        assert other in said
        assert f": {what}" in decided, done.stdout
        assert decided.endswith(f" ({other})"), done.stdout
    assert await findings(operated.log) == []


@pytest.mark.parametrize("verb", ["cancel", "retry", "approve", "reject", "clear"])
async def test_of_what_has_no_verdict_yet_it_is_said_that_it_has_to_be_judged_first(
    operated: Operated, verb: str
) -> None:
    """Nobody leads: it is listed, so nobody says that it is not there."""
    place = await operated.log.append(subjects.signal(operated.log.cell, "test"), bare(target="one"))
    done = await operated.ro(verb, f"rr-{place}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"ro: rr-{place} has no verdict yet: an orchestrator has to judge its signal first"
    )


@pytest.mark.parametrize("command", OF_THE_CELL)
async def test_what_an_operator_says_of_a_cell_is_done_when_a_frame_covers_it(
    operated: Operated, cell: CellName, tmp_path: Path, command: str
) -> None:
    """Also where nothing follows from it."""
    file = tmp_path / "policy.yaml"
    file.write_text("routing: {retry_limit: 9}\n")
    async with running(await orchestrator(operated.connection, cell, "o1")):
        await operated.signal("idle", workflow=False)
        decided = await wait_for(operated.log, lambda one: isinstance(one, RoutingDecided))
    assert isinstance(decided.event, RoutingDecided)
    fingerprint = decided.event.situation.fingerprint
    words = [word.format(file=file, fingerprint=fingerprint) for word in command.split()]
    if "adopt" in words:
        words.append("--json")
        done = await operated.ro(*words, "--wait", "0.3")
        assert (done.exit_code, done.stderr.count("takes effect as soon as one does")) == (3, 1)
        place = json.loads(done.stdout)["position"]
        file.write_text("routing: {retry_limit: 8}\n")
    else:
        place = await operated.unheard(*words)
        file.write_text("routing: {retry_limit: 8}\n")
    async with running(await orchestrator(operated.connection, cell, "o2")):
        await wait_for(operated.log, lambda one: isinstance(one, DecisionFrame) and one.as_of >= int(place))
        done = await operated.ro(*words)
        assert done.exit_code == 0, done.output
    assert await findings(operated.log) == []


async def test_a_retry_that_is_a_duplicate_is_a_no(operated: Operated, cell: CellName) -> None:
    """It is recorded and counted, and nothing is tried again: exit 1; programs have the decision all the same."""
    async with running(await orchestrator(operated.connection, cell)):
        name = await operated.one_that("runs", "one")
        done = await operated.ro("retry", name)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.endswith(f"recorded, and counted on {name}, which is at this problem already\n")
        done = await operated.ro("retry", name, "--json")
        assert done.exit_code == 1
        (decided,) = json.loads(done.stdout)["decided"]
        assert decided["data"]["verdict"]["kind"] == "Duplicate"


async def test_a_retry_that_is_not_let_through_is_a_no(operated: Operated, cell: CellName, tmp_path: Path) -> None:
    """The policy keeps away from its target since: that is recorded, and nothing is tried again."""
    file = tmp_path / "policy.yaml"
    file.write_text("scope: {exclude: [{target: {name: one}}]}")
    async with running(await orchestrator(operated.connection, cell)):
        name = await operated.one_that("over", "one")
        done = await operated.ro("policy", "adopt", str(file), "--yes")
        assert done.exit_code == 0, done.output
        done = await operated.ro("retry", name)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "recorded, and not tried again: " in done.stderr
        assert "Skip UnmanagedResource" in done.stderr


async def test_a_clear_of_nothing_says_so(operated: Operated, cell: CellName) -> None:
    """And not that something is done."""
    async with running(await orchestrator(operated.connection, cell)):
        await operated.signal("idle", workflow=False)
        done = await operated.ro("clear", "--target", "idle")
        assert done.stdout.endswith(": nothing was held against idle: this changes nothing\n"), done.output


async def test_what_came_too_late_is_told_so(operated: Operated, cell: CellName) -> None:
    """Others were faster, between reading and saying it."""
    async with running(await orchestrator(operated.connection, cell)):
        name = await operated.one_that("runs", "one")
        fold = (await read_log(operated.log)).fold
        granted = ApprovalGranted(name, "0" * 64, "ann")
        place = await operated.store(subjects.operator(cell, granted), granted)
        with pytest.raises(RefusedError, match="it came too late: nothing follows from it"):
            await answers(operated.log, fold, place, PATIENCE_SECONDS)


async def test_a_clear_that_changes_nothing_is_covered_at_once(operated: Operated, cell: CellName) -> None:
    """So whoever waits for it need not wait for the next signal."""
    async with running(await orchestrator(operated.connection, cell)):
        clear = BlockCleared(Fingerprint("f"), by="ann")
        place = await operated.store(subjects.operator(cell, clear), clear)
        await wait_for(operated.log, lambda one: isinstance(one, DecisionFrame) and one.as_of >= place)


async def test_where_the_broker_has_gone_a_verb_does_not_say_that_nobody_has_decided(tmp_path: Path) -> None:
    """It cannot know: an orchestrator may have, just before."""
    async with EmbeddedServer(tmp_path / "data") as server, connected(server.url) as connection:
        log = await JetStreamLog.ensure(connection, CellName("gone"))
        stored = await log.append(subjects.signal(log.cell, "test"), bare(target="t"))
        server.stop()
        with pytest.raises(UndecidedError, match="the broker does not answer any more"):
            await answers(log, Fold(), stored, 0.2)


@pytest.mark.parametrize("said", ["nan", "inf", "0", "1e300"])
def test_a_verb_waits_for_a_number_of_seconds(said: str) -> None:
    """And not for what only looks like one."""
    done = CliRunner().invoke(main, ["retry", "rr-1", "--reason", "x", "--wait", said])
    assert done.exit_code == 2
    assert "--wait" in done.stderr


async def test_a_signal_says_which_of_a_problems_alerts_it_is(
    server: EmbeddedServer, log: JetStreamLog, cell: CellName
) -> None:
    """Firing, and when that alert is said to be over: whether the problem is, others of its alerts decide."""
    options = ["signal", "--name", "X", "--target", "t", "--alert", "pod-1", "--nats", server.url, "--cell", cell]
    for more, said in (([], ""), (["--resolved"], ": its alert pod-1 is said to be over")):
        done = await asyncio.to_thread(CliRunner().invoke, main, [*options, *more])
        assert done.exit_code == 0, done.stderr
        assert done.stdout.partition(": ")[2] == f"X on t{said}\n"
    fires, over = await events_of(log)
    assert isinstance(fires, SignalReceived)
    assert isinstance(over, SignalResolved)
    assert fires.alert == over.alert == "pod-1"
