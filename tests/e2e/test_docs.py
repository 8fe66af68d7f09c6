"""Every command of the README is run as it stands there, by a shell, against one `ro up`; every link works."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
UP = "ro up --workflows examples/workflows"
NOT_RUN_HERE = {
    UP: "it runs while all others are run",
    "python examples/own_executor.py": "it runs for ever; tests/integration/test_executor_examples.py runs it",
}
PATIENCE = 30.0
PRINTED = re.findall(r"```sh\n([^\n]+)\n```\n\n```text\n(.*?)```", README, re.DOTALL)
"""Commands whose output stands below them."""


class Cell:
    """A folder as a reader's clone is, and the `ro up` that runs in it."""

    def __init__(self, folder: Path, up: "subprocess.Popen[str]") -> None:
        self.folder = folder
        self.up = up
        assert up.stdout is not None
        ready = up.stdout.readline()
        assert ready.startswith("ready: "), ready
        self.url = ready.split()[-1]

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a line of the README in a shell."""
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=environment(NATS_URL=self.url),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )


def environment(**more: str) -> dict[str, str]:
    """Our own, with the commands of this environment in front."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """The README's first command, running."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "examples").symlink_to(ROOT / "examples")
    up = subprocess.Popen(
        shlex.split(f"{BIN}/{UP}"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Cell(folder, up)
    finally:
        up.terminate()
        up.communicate(timeout=PATIENCE)


async def test_every_command_of_the_readme_does_what_it_says(cell: Cell) -> None:
    """In the order of the page. What the `nats` command would send is sent as that command would."""
    said = {}
    for command in COMMANDS:
        if command in NOT_RUN_HERE:
            continue
        if command.startswith("nats "):
            said[command] = await answer_to(command, cell.url)
            continue
        done = cell.run(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said[command] = done.stdout
    text = "\n".join(said.values())
    assert "2: Proceed (rr-2)" in text
    assert "KubePodCrashLooping on eu-1/shop/Deployment/checkout" in text
    assert "stored at " in text
    assert '"stream":"RO_main"' in text


def test_what_the_readme_shows_is_what_is_printed(tmp_path: Path) -> None:
    """Of the log that a demo has kept: audit, explain, backtest, replay, timeline; no broker is there."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shown = dict(PRINTED)
    assert [command.split()[1] for command in shown] == ["audit", "explain", "backtest", "replay", "timeline"]
    for command in COMMANDS:
        if "--log examples/" in command:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=tmp_path,
                env=environment(NATS_URL=""),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            said = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
            assert said == shown.get(command, "").splitlines(), command


async def answer_to(command: str, url: str) -> str:
    """What the broker answers to `nats --server URL req SUBJECT BODY`."""
    *_, verb, subject, body = shlex.split(command)
    assert verb == "req"
    connection = await nats.connect(url)
    try:
        return (await connection.request(subject, body.encode())).data.decode()
    finally:
        await connection.close()


def test_a_signal_sent_again_is_a_duplicate_or_has_just_been_repaired(cell: Cell) -> None:
    """As the quick start says; the same answer in JSON."""
    signal = "ro signal --name Again --target shop/Deployment/again --workflow clear-disk --wait 10 --json"
    first, second = (cell.run(signal).stdout.splitlines()[-1] for _ in range(2))
    assert json.loads(first)["verdict"] == {"kind": "Proceed"}
    assert json.loads(second)["verdict"]["reason"] in ("DuplicateInProgress", "RecentlyRemediated")


def test_a_misspelt_subject_is_refused_at_once(cell: Cell) -> None:
    """No stream takes it."""
    program = (
        "import asyncio, os, nats\n"
        "async def main():\n"
        "    connection = await nats.connect(os.environ['NATS_URL'])\n"
        "    try:\n"
        "        await connection.jetstream().publish('ro.main.singal.me', b'{}')\n"
        "    finally:\n"
        "        await connection.close()\n"
        "asyncio.run(main())\n"
    )
    done = cell.run(f"python -c {shlex.quote(program)}")
    assert done.returncode != 0
    assert "NoStreamResponse" in done.stderr


def test_the_two_commands_are_the_makefiles() -> None:
    """`make demo` and `make test`, and those under Development."""
    targets = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test", "check"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_every_folder_of_the_house_is_in_the_readme_and_in_the_architecture() -> None:
    """And none that is not there."""
    folders = {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")} - {"remediation_orchestrator/"}
    for page in ("README.md", "docs/architecture.md"):
        named = set(re.findall(r"^\| `(\w+/)` \|", (ROOT / page).read_text(), re.MULTILINE)) - {"tests/"}
        assert named == folders, page


def headings(page: Path) -> set[str]:
    """Of a page, as a link names them."""
    lines = (line for line in page.read_text().splitlines() if line[:1] == "#")
    return {re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file beside the page, or to a heading of it or of another."""
    broken = []
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        name, _, heading = link.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (heading and heading not in headings(file)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    """Paths in backticks, from the root of the tree."""
    named = re.findall(r"`((?:\w+/)+[\w.]+\.\w+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
