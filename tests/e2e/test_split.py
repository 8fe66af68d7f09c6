"""A cell is split as docs/scaling.md says, in its own words, while executors run: what moved is remembered."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from remediation_orchestrator.bus.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text()
BIN = Path(sys.executable).parent
PATIENCE = 60.0
WORKFLOW = """
id: {name}
engine: script
idempotent: {idempotent}
script: {{command: [sh, -c, "echo $RO_EXECUTION >> {ran}; {does}"]}}
"""
EXCLUDING = "scope: {exclude: [{cluster: eu-2}]}\n"


class Site:
    """A shell in which the page's commands are run, and the services beside it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "NATS_URL": url}

    def run(self, command: str) -> str:
        """Run lines of shell to their end."""
        ran = subprocess.run(
            ["sh", "-ec", command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def rows(self, command: str) -> list[dict[str, Any]]:
        """What a verb says with --json."""
        return [json.loads(line) for line in self.run(f"{command} --json").splitlines()]

    @contextmanager
    def service(self, *arguments: str) -> Iterator[None]:
        """A service, until the block ends."""
        command = [BIN / "ro", *arguments]
        process = subprocess.Popen(command, cwd=self.folder, env=self._environment, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)

    def verdict(self, cell: str, target: str, workflow: str, *more: str) -> dict[str, Any]:
        """Publish a signal, and return the verdict on it."""
        signal = f"ro signal --cell {cell} --name Down --target {target} --workflow {workflow} {' '.join(more)}"
        return dict(self.rows(f"{signal} --wait 20")[-1]["verdict"])

    def phases(self, cell: str) -> dict[str, str]:
        """The phase of the newest remediation of every target."""
        return {one["target"]["name"]: one["phase"] for one in self.rows(f"ro list --cell {cell}")}

    def begin(self, cell: str) -> None:
        """Have the cell's log made, by its first orchestrator."""
        deadline = time.monotonic() + PATIENCE
        with self.service("orchestrator", "--cell", cell):
            while subprocess.run(
                [BIN / "ro", "list", "--cell", cell], env=self._environment, capture_output=True
            ).returncode:
                assert time.monotonic() < deadline

    def wait(self, cell: str, **phases: str) -> None:
        """Wait until targets have come to these phases."""
        deadline = time.monotonic() + PATIENCE
        while not (seen := self.phases(cell)).items() >= phases.items():
            assert time.monotonic() < deadline, f"{seen} instead of {phases}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A folder with a catalog, a policy and the page's script in it, and a broker of its own."""
    catalog = tmp_path / "workflows"
    catalog.mkdir()
    for name, idempotent, does in (
        ("works", "true", "true"),
        ("fails", "true", "exit 1"),
        ("breaks", "false", "exit 1"),
        ("lasts", "true", f"until test -e {tmp_path}/enough; do sleep 0.1; done"),
    ):
        text = WORKFLOW.format(name=name, idempotent=idempotent, does=does, ran=tmp_path / "ran")
        (catalog / f"{name}.yaml").write_text(text)
    (tmp_path / "split.py").write_text(_blocks("python")[0])
    (tmp_path / "main.yaml").write_text(EXCLUDING)
    server = EmbeddedServer(tmp_path / "data").start()
    yield Site(tmp_path, server.url)
    server.stop()


@pytest.mark.skipif(shutil.which("jq") is None, reason="the page's commands need jq")
def test_what_moves_keeps_its_history_and_what_stays_runs_on_once(site: Site) -> None:
    """Failures, a run left half-done, a cooldown and a wait are in the new cell what they were in the old one."""
    quiet, move = _blocks("sh")
    site.begin("main")
    with site.service("executor", "--cell", "main", "--workflows", "workflows", "--slots", "1"):
        with site.service("orchestrator", "--cell", "main"):
            _live_through(site)
            before = {name: _history(site, "main", name) for name in ("done", "failed", "broken", "waiting")}
        assert site.run(quiet) == "no such remediations\n"
        site.run(move)
        assert {name: _history(site, "b", name) for name in before} == before
        with site.service("orchestrator", "--cell", "main"), site.service("orchestrator", "--cell", "b"):
            site.wait("b", running="Cancelled", commanded="Cancelled", waiting="Blocked")
            with site.service("executor", "--cell", "b", "--workflows", "workflows"):
                _is_remembered(site)
                (site.folder / "enough").touch()
                site.wait("main", running="Completed", commanded="Completed", waiting="Cancelled")
                site.wait("b", new="Completed")
    ran = (site.folder / "ran").read_text().split()
    assert len(ran) == len(set(ran)), "an execution ran twice"
    site.run("ro audit --cell main")
    seam = site.run("ro audit --cell b || test $? -eq 1")  # The copy has another stream's life, and says where.
    assert "drift: 1 in all" in seam
    assert "another log's life" in seam


def _live_through(site: Site) -> None:
    for name, workflow, more in (
        ("done", "works", ""),
        ("failed", "fails", ""),
        ("broken", "breaks", ""),
        ("waiting", "fails", "--resolves"),
    ):
        assert site.verdict("main", f"eu-2/shop/Deployment/{name}", workflow, more)["kind"] == "Proceed"
    site.wait("main", done="Completed", failed="Failed", broken="Failed", waiting="Blocked")
    for name in ("running", "commanded"):  # The only slot is taken by the first.
        assert site.verdict("main", f"eu-1/shop/Deployment/{name}", "lasts")["kind"] == "Proceed"


def _is_remembered(site: Site) -> None:
    broken = site.verdict("b", "eu-2/shop/Deployment/broken", "breaks")
    assert (broken["kind"], broken["reason"]) == ("Refuse", "PreviousExecutionFailed")
    failed = site.verdict("b", "eu-2/shop/Deployment/failed", "fails")
    assert (failed["kind"], failed["reason"]) == ("Block", "ExponentialBackoff")
    done = site.verdict("b", "eu-2/shop/Deployment/done", "works")
    assert (done["kind"], done["reason"]) == ("Skip", "RecentlyRemediated")
    assert site.verdict("b", "eu-2/shop/Deployment/new", "works")["kind"] == "Proceed"
    strayed = site.verdict("main", "eu-2/shop/Deployment/new", "works")
    assert (strayed["kind"], strayed["reason"]) == ("Skip", "UnmanagedResource")


def _history(site: Site, cell: str, name: str) -> dict[str, Any]:
    """What is known of a target's problem, apart from what goes on with time."""
    listed = site.rows(f"ro list --cell {cell} --target eu-2/shop/Deployment/{name}")
    found = site.rows(f"ro fingerprint {listed[-1]['fingerprint']} --cell {cell}")[0]
    return {key: value for key, value in found.items() if key not in ("allowed", "now")}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
