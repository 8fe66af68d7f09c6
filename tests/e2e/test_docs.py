"""Every block of every page is run as it is printed, in a reader's own terminal, or read; every link works."""

import asyncio
import configparser
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
import yaml
from cell import bare, tell, wait_for
from nats.js.errors import NoStreamResponseError
from pages import PAGES, ROOT, Block, Terminal, alike, blocks, clone

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    CellName,
    CreateWorkflow,
    ExecutionId,
    PhaseChanged,
    WorkflowCompleted,
    WorkflowStarted,
    subjects,
)
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.testing.cell import orchestrator, running

MAIN = CellName("main")
PATIENCE = 60.0
ON_THE_PATH = "export PATH=$PWD/.venv/bin:$PATH"
"""As the README says it for all pages."""
READERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
    "ini": lambda text: configparser.ConfigParser(delimiters=["="]).read_string(text),
    "mermaid": lambda text: text.startswith("stateDiagram-v2"),  # tests/unit/test_lifecycle.py holds it.
    "python": lambda text: compile(text, "page", "exec"),  # Run below.
    "figure": lambda text: text,
}
"""What reads the blocks that nobody types."""
SMALL_WORLDS = "tests/simulation/test_small_worlds.py"
ELSEWHERE = {
    "make demo": ".ci/run",
    "make test": ".ci/run",
    "make check": ".ci/run",
    "make bench": "tests/e2e/test_benchmarks.py",
    "make bench PART=peers": "tests/e2e/test_benchmark_peers.py",
    "python -m benchmarks.peers eventsourcing dbos": "tests/e2e/test_benchmark_peers.py",
    "python -m benchmarks.peers --measure latency --rate 100": "tests/e2e/test_benchmark_peers.py",
    "python -m benchmarks.cluster --kills 10": "tests/e2e/test_cluster.py",
    "ro chaos --rounds 100 --seed 1 --seconds 2": "tests/e2e/test_chaos.py",
    "ro-sim coverage": "tests/simulation/test_ro_sim.py",
    "ro-sim explore --seconds 20": SMALL_WORLDS,
    "ro-sim explore --world pair --seconds 3600 --switches 3 --faults 2 --jobs 2": SMALL_WORLDS,
    "ro-sim fuzz --seconds 60 --seed 1": "tests/simulation/test_fuzz.py",
    "ro-sim plant tests/plants --jobs 2": "tests/simulation/test_plants.py",
    "docker compose up": "tests/e2e/test_deployment.py",
    'pip install "remediation-orchestrator[testing]"': "tests/e2e/test_packaging.py",
}
"""What takes minutes, containers or a network, and what runs or holds it instead, in small."""
BRIEF = policy_of(
    {
        "routing": dict.fromkeys(("signal_cooldown", "workflow_cooldown", "alert_memory"), "1s"),
        "timeouts": dict.fromkeys(("starting", "analyzing", "executing", "approval"), "1s"),
    }
)
"""Everything is old after a second, as elsewhere after a day."""


def page(name: str) -> list[Block]:
    """The blocks of a page that are typed."""
    return [one for one in blocks(ROOT / name) if one.kind.startswith("sh")]


def follow(terminal: Terminal, block: Block) -> None:
    """Type a block, and hold what its last line prints against the page."""
    for command in block.commands:
        if command in ELSEWHERE:
            continue
        said = answer_to(command, terminal) if command.startswith("nats ") else terminal.run(command)
    if block.prints is not None:
        assert alike(command, said) == alike(command, block.prints), command


def answer_to(command: str, terminal: Terminal) -> str:
    """What the broker answers to `nats --server URL req SUBJECT BODY`: that program is not among our packages."""
    _, _, server, verb, subject, body = shlex.split(terminal.run(f"echo {shlex.quote(command)}"))
    assert (server, verb) == ("$NATS_URL", "req")

    async def ask() -> str:
        connection = await nats.connect(terminal.run(f'printf %s "{server}"'))
        try:
            return (await connection.request(subject, body.encode())).data.decode()
        finally:
            await connection.close()

    said = asyncio.run(ask())
    assert '"stream":"RO_main"' in said
    return said


@contextmanager
def staying(folder: Path, block: Block) -> Iterator["subprocess.Popen[str]"]:
    """What goes on in a terminal of its own, and has not ended before the page has."""
    terminal, (*before, last) = Terminal(folder), block.commands
    for command in before:
        terminal.run(command)
    with terminal.begin(last) as process:
        try:
            yield process
            assert process.poll() is None, f"{last} has ended"
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def at_rest(url: str) -> None:
    """A reader takes his time: wait until nobody is at work, and everything has its verdict."""

    async def wait() -> None:
        async with asyncio.timeout(PATIENCE), connected(url) as client:
            log, fold = await JetStreamLog.open(client, MAIN), Fold()
            async for message in log.read(1, follow=True):
                fold.take(message)
                if message.sequence >= await log.last_sequence() and not _at_work(fold):
                    return

    asyncio.run(wait())


def _at_work(fold: Fold) -> bool:
    view = fold.view
    phases = {one.phase.value for one in view.remediations.values()}
    return bool(fold.facts or view.tasks or view.unjudged or phases & {"Pending", "Analyzing", "Executing"})


def test_every_block_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    """In the order of the page, in one terminal beside those in which something stays."""
    folder = clone(tmp_path)
    first, *rest = [block for block in page("README.md") if block.commands[0] not in ELSEWHERE]
    terminal = Terminal(folder)
    with staying(folder, first) as up:
        assert up.stdout is not None
        ready = up.stdout.readline()
        assert ready.startswith("ready: "), ready
        for block in rest:
            at_rest(ready.split()[-1])
            if block.kind == "sh stays":
                with staying(folder, block):
                    pass
            else:
                follow(terminal, block)
        asyncio.run(misspelt(ready.split()[-1]))


async def misspelt(url: str) -> None:
    """A misspelt subject is refused at once: no stream takes it."""
    async with connected(url) as client:
        with pytest.raises(NoStreamResponseError):
            await client.jetstream().publish("ro.main.singal.me", b"{}")


@pytest.fixture
async def aged(tmp_path: Path) -> AsyncIterator[Terminal]:
    """A terminal in a clone whose cell has done all that it will do, a while ago."""
    server = EmbeddedServer(clone(tmp_path) / ".ro").start()
    try:
        async with connected(server.url) as client, running(await orchestrator(client, MAIN, policy=BRIEF)):
            log = await JetStreamLog.open(client, MAIN)
            await _repaired(log, "checkout")
            await asyncio.sleep(1.5)
            await _repaired(log, "cart")
            terminal = Terminal(tmp_path)
            await asyncio.to_thread(terminal.run, ON_THE_PATH)
            yield terminal
    finally:
        server.stop()


async def _repaired(log: JetStreamLog, target: str) -> None:
    place = await log.append(subjects.signal(MAIN, "test"), bare(target=target))
    run = ExecutionId(f"wfe-{place}")
    await wait_for(log, lambda event: isinstance(event, CreateWorkflow) and event.execution == run)
    await tell(log, WorkflowStarted(run), run)
    await tell(log, WorkflowCompleted(run), run)
    await wait_for(log, lambda event: isinstance(event, PhaseChanged) and event.remediation == f"rr-{place}")


async def test_every_block_about_a_log_that_has_become_old_does_what_it_says(aged: Terminal) -> None:
    """A case is taken out of it, and then its oldest part; what is kept is collected as a test, and audited."""
    for block in (*page("docs/testing.md"), *page("docs/operating.md")):
        await asyncio.to_thread(follow, aged, block)
    await asyncio.to_thread(aged.run, "pytest -q -p no:cacheprovider checkout-outage.case.jsonl")


@pytest.mark.parametrize("name", [one.relative_to(ROOT).as_posix() for one in PAGES[1:]])
def test_every_block_of_a_page_that_needs_no_broker_does_what_it_says(name: str, tmp_path: Path) -> None:
    """But for those that are run elsewhere."""
    if name in ("docs/testing.md", "docs/operating.md"):
        return  # Run above.
    terminal = Terminal(clone(tmp_path))
    terminal.run(ON_THE_PATH)
    for block in page(name):
        follow(terminal, block)


@pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)
def test_every_block_of_a_page_is_typed_printed_or_read(one: Path) -> None:
    """None is of a kind that nobody looks at, and none is only moved in."""
    found = list(blocks(one))
    for block in found:
        if block.kind in READERS:
            READERS[block.kind](block.body)
    loose = [block.body for block in found if block.kind not in (*READERS, "sh", "sh stays", "text")]
    outputs = [block for block in found if block.kind == "text"]
    assert loose == []
    assert len(outputs) == sum(block.prints is not None for block in found if block.kind == "sh")
    assert re.findall(r"\n\n(?: {4}\S.*\n)+\n", one.read_text()) == []


def test_what_is_run_elsewhere_is_run_there() -> None:
    """The file is there, and the makefile has the target; what no page says any more is not in the list."""
    typed = {command for one in PAGES for block in blocks(one) if block.kind == "sh" for command in block.commands}
    assert set(ELSEWHERE) <= typed
    assert [where for where in ELSEWHERE.values() if not (ROOT / where).exists()] == []
    makefile = (ROOT / "Makefile").read_text()
    targets = {command.split()[1] for command in ELSEWHERE if command.startswith("make ")}
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_the_story_of_the_page_about_tests_is_true(ro_story: Any) -> None:
    """As it stands there, with the fixture that its reader gets."""
    _from_the_page("test_a_second_failure_doubles_the_wait")(ro_story)


async def test_the_real_cell_of_the_page_about_tests_is_true(ro_orchestrator: Any) -> None:
    """On a real server."""
    await _from_the_page("test_a_signal_is_decided")(ro_orchestrator)


def _from_the_page(name: str) -> Callable[[Any], Any]:
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "testing.md"):
        if block.kind == "python":
            exec(block.body, names)
    found: Callable[[Any], Any] = names[name]
    return found


def test_every_folder_of_the_house_is_in_the_readme_and_in_the_architecture() -> None:
    """And none that is not there."""
    folders = {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")} - {"remediation_orchestrator/"}
    for name in ("README.md", "docs/architecture.md"):
        named = set(re.findall(r"^\| `(\w+/)` \|", (ROOT / name).read_text(), re.MULTILINE)) - {"tests/"}
        assert named == folders, name


@pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)
def test_every_link_leads_somewhere(one: Path) -> None:
    """Files beside the page, and headings of it or of them."""
    broken = []
    for link in re.findall(r"\]\(([^)]+)\)", one.read_text()):
        path, _, heading = link.partition("#")
        there = one.parent / path if path else one
        if not there.exists() or (heading and heading not in _headings(there)):
            broken.append(link)
    assert broken == []


def _headings(one: Path) -> set[str]:
    lines = [line for line in one.read_text().splitlines() if line[:1] == "#"]
    return {re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)
def test_every_file_that_a_page_names_is_there(one: Path) -> None:
    """Paths in backticks, from the root of the tree."""
    named = re.findall(r"`((?:\w+/)+[\w.]+\.\w+)`", one.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
