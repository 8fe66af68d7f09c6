"""The whole of it in real processes: `ro up`, and the other verbs beside it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from click.testing import CliRunner
from nats.js.errors import NoStreamResponseError
from processes import gone, is_alive

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import find
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import CellName

ROOT = Path(__file__).parents[2]
RO = Path(sys.executable).with_name("ro")
PATIENCE = 20.0

ALERT = {
    "status": "firing",
    "labels": {
        "alertname": "NodeFilesystemAlmostOutOfSpace",
        "severity": "critical",
        "node": "worker-3",
        "cluster": "eu-1",
    },
    "annotations": {"summary": "Almost full."},
    "startsAt": "2026-11-21T10:00:00Z",
}


class Up:
    """A running `ro up`, and the verbs beside it."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(exist_ok=True)
        with (data_dir / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [RO, "up", "--data-dir", data_dir, *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env={**os.environ, "NATS_URL": ""},
            )
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline().strip()

    @property
    def url(self) -> str:
        """The address in the ready line."""
        return self.ready.rpartition(" ")[2]

    def ro(self, *arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a verb that finds this one by its data folder."""
        command = [str(RO), *(str(one) for one in arguments), "--data-dir", str(self.data_dir)]
        environment = {key: value for key, value in os.environ.items() if key != "NATS_URL"}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, env=environment
        )

    def objects(self, *arguments: object, stdin: str | None = None) -> list[dict[str, Any]]:
        """What a verb says to programs."""
        done = self.ro(*arguments, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def until(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until a remediation is as wanted, and return it."""
        end = time.monotonic() + PATIENCE
        command = ["list", "--json", "--nats", self.url]
        while True:
            lines = CliRunner().invoke(main, command).stdout.splitlines()  # Here: asked often, it should be cheap.
            found: dict[str, Any] = next((one for one in map(json.loads, lines) if one["id"] == name), {})
            if found and wanted(found):
                return found
            assert time.monotonic() < end, found

    def stop(self) -> int:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One for all tests here; each has problems of its own."""
    running = Up(tmp_path_factory.mktemp("up"), "--workflows", "examples/workflows")
    yield running
    assert running.stop() == 0


def webhook(*alerts: dict[str, Any]) -> str:
    """A body of Alertmanager."""
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts})


def test_an_alert_is_analysed_run_folded_and_cancelled(up: Up) -> None:
    """Its second sending is too soon and waits; the third is a duplicate of that; resolved, it waits no longer."""
    send = ("signal", "--from", "alertmanager", "--file", "-")
    (first,) = up.objects(*send, stdin=webhook(ALERT))
    name = f"rr-{first['position']}"
    done = up.until(name, lambda one: one["phase"] == "Completed")
    assert (done["reason"], done["workflow"], done["runs"]) == ("Remediated", "clear-disk", 1)

    second, verdict = up.objects(*send, "--wait", 10, stdin=webhook(ALERT))
    assert (verdict["verdict"]["kind"], verdict["verdict"]["reason"]) == ("Block", "RecentlyRemediated")
    assert verdict["verdict"]["of"] == name
    assert 0 < verdict["verdict"]["remaining"] <= 300
    third, verdict = up.objects(*send, "--wait", 10, stdin=webhook(ALERT))
    waiting = f"rr-{second['position']}"
    assert (verdict["position"], verdict["verdict"]["of"]) == (third["position"], waiting)

    (over,) = up.objects(*send, stdin=webhook({**ALERT, "status": "resolved"}))
    assert over["type"] == "SignalResolved.v1"
    assert up.until(waiting, lambda one: one["phase"] == "Cancelled")["reason"] == "resolved"


def test_a_run_is_shown_with_what_it_said(up: Up) -> None:
    """By the remediation's id, its run's, or the signal's position; to people too."""
    (sent,) = up.objects("signal", "--name", "AlwaysFails", "--target", "shop/Deployment/shown", "--resolves")
    name = f"rr-{sent['position']}"
    up.until(name, lambda one: one["reason"] == "PreviousExecutionFailed")
    (shown,) = up.objects("show", name)
    (run,) = shown["runs"]
    assert (run["outcome"], run["exit_code"], run["execution"]) == ("failed", 3, f"wfe-{sent['position']}")
    assert up.objects("show", run["execution"]) == [shown] == up.objects("show", sent["position"])
    assert "the second half cannot be changed" in up.ro("show", name).stdout
    (about,) = up.objects("fingerprint", sent["fingerprint"][:16])
    assert (about["failures"], about["objection"], about["next_allowed_at"]) == (
        1,
        "PreviousExecutionFailed",
        None,
    )


def test_an_operator_clears_retries_and_cancels(up: Up) -> None:
    """Each is checked first, stored with who and why, and takes effect."""
    (sent,) = up.objects("signal", "--name", "AlwaysFails", "--target", "shop/Deployment/cleared", "--resolves")
    name = f"rr-{sent['position']}"
    up.until(name, lambda one: one["reason"] == "PreviousExecutionFailed")
    (cleared,) = up.objects("clear", name, "--reason", "looked", "--by", "alice")
    assert (cleared["data"]["workflow"], cleared["data"]["by"]) == ("always-fails", "alice")
    assert cleared["data"]["target"]["name"] == "cleared"
    up.objects("retry", name, "--reason", "mended")
    up.until(name, lambda one: one["phase"] == "Blocked" and one["reason"] == "ExponentialBackoff")
    up.objects("clear", name, "--reason", "do not wait")
    up.until(name, lambda one: one["reason"] == "PreviousExecutionFailed" and one["runs"] == 2)
    again = up.ro("cancel", name, "--reason", "enough")
    assert (again.returncode, "ended already" in again.stderr) == (1, True)
    unknown = up.ro("approve", "rr-99999", "--reason", "r")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)


def test_several_signals_of_one_file_are_one_frame(up: Up) -> None:
    """Stored together; many of them in as many messages as their bound asks for."""
    lines = "\n".join(json.dumps({"name": f"S{n}", "target": {"name": "many"}}) for n in range(3))
    places = [one["position"] for one in up.objects("signal", "--file", "-", stdin=lines)]
    message = places[0].partition("-")[0]
    assert places == [f"{message}-0", f"{message}-1", f"{message}-2"]
    big = json.dumps(
        [{"name": f"B{n}", "target": {"name": "big"}, "annotations": {"a": "x" * 100_000}} for n in range(3)]
    )
    places = [one["position"] for one in up.objects("signal", "--file", "-", stdin=big)]
    assert len({place.partition("-")[0] for place in places}) == 2


def test_a_bad_body_is_one_line_and_stores_nothing(up: Up) -> None:
    """Exit 2."""
    before = up.objects("list")
    done = up.ro("signal", "--from", "alertmanager", "--file", "-", stdin='{"version": "4", // what')
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert len(up.objects("list")) == len(before)


def test_a_policy_is_adopted_once(up: Up, tmp_path: Path) -> None:
    """A second time it is in force already; what it says is shown."""
    path = tmp_path / "policy.yaml"
    path.write_text("routing: {retry_limit: 9}\n")
    (adopted,) = up.objects("policy", "adopt", path, "--reason", "more patience")
    (shown,) = up.objects("policy", "show")
    assert (shown["digest"], shown["policy"]["routing"]["retry_limit"]) == (adopted["digest"], 9)
    assert up.ro("policy", "adopt", path, "--reason", "again").returncode == 1


def test_an_exported_log_reads_like_the_live_one(up: Up, tmp_path: Path) -> None:
    """Plain and compressed, and with no broker."""
    (sent,) = up.objects("signal", "--name", "Exported", "--target", "t", "--severity", "info")
    live = up.until(f"rr-{sent['position']}", lambda one: one["phase"] == "Completed")
    for ending in ("jsonl", "jsonl.gz", "jsonl.zst"):
        path = tmp_path / f"log.{ending}"
        assert up.ro("export", path).returncode == 0
        (shown,) = up.objects("show", live["id"], "--log", path)
        assert shown["remediation"] == live
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_reader_that_has_read_enough_ends_it_quietly(up: Up) -> None:
    """A closed pipe is no fault."""
    command = f"{RO} export - --data-dir {up.data_dir} | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("{", "")


async def test_a_bare_signal_of_plain_nats_gets_its_command(up: Up) -> None:
    """And a misspelt subject is refused at once."""
    connection = await nats.connect(up.url)
    try:
        async with asyncio.timeout(PATIENCE):
            commands = await connection.subscribe("ro.main.command.workflow.*")
            await connection.flush()
            said = {"name": "Bare", "target": {"name": "bare"}, "workflow": {"id": "clear-disk"}}
            stored = await connection.jetstream().publish("ro.main.signal.test", json.dumps(said).encode())
            while True:
                message = await commands.next_msg(timeout=PATIENCE)
                if message.subject == f"ro.main.command.workflow.wfe-{stored.seq}":
                    break
            command = json.loads(message.data)
            assert (command["type"], command["data"]["workflow"]["id"]) == ("CreateWorkflow.v1", "clear-disk")
            assert (command["data"]["remediation"], command["data"]["target"]["name"]) == (
                f"rr-{stored.seq}",
                "bare",
            )
            with pytest.raises(NoStreamResponseError):
                await connection.jetstream().publish("ro.main.singal.test", json.dumps(said).encode())
    finally:
        await connection.close()


def test_a_data_folder_belongs_to_one(up: Up) -> None:
    """A second `ro up` on it says so and ends."""
    done = up.ro("up")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("is in use: another server runs on it")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_up_ends_with_all_that_it_started(how: signal.Signals, tmp_path: Path) -> None:
    """The broker too; its data folder is free again."""
    running = await asyncio.to_thread(Up, tmp_path / "data", "--workflows", "examples/workflows")
    children = _descendants(running.process.pid)
    assert running.ready.startswith("ready: cell main at nats://")
    assert children
    running.process.send_signal(how)
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.to_thread(running.process.wait) == 0
        for child in children:
            await gone(child)
    assert running.process.stdout is not None
    running.process.stdout.close()
    assert find(tmp_path / "data") is None
    said = [json.loads(line) for line in (tmp_path / "data" / "log").read_text().splitlines() if line[:1] == "{"]
    assert [one["event"] for one in said if one["event"].startswith("callback for")] == []  # A library's own life.


def test_up_does_not_outlive_its_broker(tmp_path: Path) -> None:
    """Exit 3, and the last line says so."""
    running = Up(tmp_path / "data")
    (server,) = [one for one in _descendants(running.process.pid) if "nats-server" in _command(one)]
    os.kill(server, signal.SIGKILL)
    assert running.process.wait(PATIENCE) == 3
    assert running.process.stdout is not None
    running.process.stdout.close()
    lines = (tmp_path / "data" / "log").read_text().splitlines()
    assert [line for line in lines if line.startswith("ro: the embedded server has ended by itself")]
    assert not any("Traceback" in line for line in lines)


def test_the_services_run_by_themselves_on_one_broker(up: Up) -> None:
    """An orchestrator and an executor of another cell, found by the address."""
    there = ("--nats", up.url, "--cell", "other")
    services = [_service("orchestrator", *there)]
    try:
        _answers(up, "other")
        services.append(_service("executor", "--workflows", "examples/workflows", *there))
        (sent,) = up.objects("signal", "--name", "X", "--target", "t", "--workflow", "clear-disk", *there)
        _completed(up, f"rr-{sent['position']}", there)
    finally:
        for service in services:
            service.terminate()
        assert [service.wait(PATIENCE) for service in services] == [0] * len(services)


def test_whoever_waits_in_vain_is_told_and_may_give_up(up: Up) -> None:
    """A cell without an orchestrator: no verdict is exit 1, Ctrl-C one line."""
    asyncio.run(_make_cell(up.url, "silent"))
    arguments = ("signal", "--name", "X", "--target", "t", "--nats", up.url, "--cell", "silent")
    done = up.ro(*arguments, "--wait", 0.2)
    assert (done.returncode, done.stderr) == (3, "ro: no verdict within 0.2 s on 1\n")
    command = [str(RO), *map(str, arguments), "--wait", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "2: X on t\n"
        waiting.send_signal(signal.SIGINT)
        assert waiting.communicate(timeout=PATIENCE) == ("", "ro: interrupted\n")
    assert waiting.returncode == 130


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


def _service(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([RO, *arguments], stderr=subprocess.DEVNULL, cwd=ROOT)


async def _make_cell(url: str, cell: str) -> None:
    async with connected(url) as client:
        await JetStreamLog.ensure(client, CellName(cell))


def _answers(up: Up, cell: str) -> None:
    end = time.monotonic() + PATIENCE
    while up.ro("list", "--nats", up.url, "--cell", cell).returncode != 0:
        assert time.monotonic() < end, f"the cell {cell} was not made"


def _completed(up: Up, name: str, options: tuple[str, ...]) -> None:
    end = time.monotonic() + PATIENCE
    while not any((one["id"], one["phase"]) == (name, "Completed") for one in up.objects("list", *options)):
        assert time.monotonic() < end, f"{name} did not complete"


def _descendants(process: int) -> list[int]:
    """Every process below this one that lives."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return [one for one in found[1:] if is_alive(one)]
