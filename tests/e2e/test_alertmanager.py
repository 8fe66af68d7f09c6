"""The real Prometheus and Alertmanager, from Debian's packages, on the files of `examples/alertmanager`.

A rule fires, the workflow runs, the alert resolves, and the audit is clean."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cell import events_of, findings, wait_for

from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    CellName,
    Event,
    PhaseChanged,
    SignalReceived,
    SignalResolved,
    WorkflowCompleted,
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "alertmanager"
RO = Path(sys.executable).with_name("ro")
MISSING = [name for name in ("prometheus", "prometheus-alertmanager") if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"left out: no {' and no '.join(MISSING)} here (apt-get install prometheus prometheus-alertmanager)",
)


class Ports:
    """Free ports in place of those that the example names, and waits shortened."""

    def __init__(self) -> None:
        self.door, self.alertmanager, self.prometheus, self.shop = (_free_port() for _ in range(4))

    def written(self, text: str) -> str:
        """A file of the example, as this test runs it."""
        named = {"9095": self.door, "9093": self.alertmanager, "9400": self.shop}
        for there, here in named.items():
            text = text.replace(f"127.0.0.1:{there}", f"127.0.0.1:{here}")
        return text.replace(": 5s", ": 1s")


async def test_a_rule_fires_the_workflow_runs_the_alert_resolves_and_the_audit_is_clean(tmp_path: Path) -> None:
    """The shop is broken by a file and mended by a workflow that deletes it; nobody else touches it."""
    ports, shop = Ports(), tmp_path / "shop"
    shutil.copytree(EXAMPLE, shop)
    for file in shop.glob("*.yml"):
        file.write_text(ports.written(file.read_text()))
    with ExitStack() as running:
        up = running.enter_context(_running([RO, "up", *_up(tmp_path, shop, ports.door)], tmp_path / "up.log"))
        assert up.stdout is not None
        url = (await asyncio.to_thread(up.stdout.readline)).split()[-1]
        for name, command in _services(tmp_path, shop, ports).items():
            running.enter_context(_running(command, tmp_path / f"{name}.log"))
        (shop / "broken").touch()
        async with connected(url) as client:
            log = await JetStreamLog.open(client, CellName("main"))
            fired = await wait_for(log, _is(SignalReceived))
            await wait_for(log, _is(WorkflowCompleted))
            await wait_for(log, _is(SignalResolved))
            await wait_for(log, lambda event: isinstance(event, PhaseChanged) and event.phase == "Completed")
            await _check(log)
        assert not (shop / "broken").exists()
        assert f'"stored":"{fired.position}"' in (tmp_path / "up.log").read_text()


async def _check(log: JetStreamLog) -> None:
    """One repair, of what the rule names; and every decision follows from the log."""
    events = await events_of(log)
    assert sum(isinstance(event, WorkflowCompleted) for event in events) == 1
    signals = [event for event in events if isinstance(event, SignalReceived | SignalResolved)]
    assert {str(one.target) for one in signals} == {"here/shops/Service/shop"}
    assert {(one.name, one.resolves, one.severity) for one in signals} == {("ShopBroken", True, "critical")}
    assert await findings(log) == []


def _up(folder: Path, shop: Path, port: int) -> list[str]:
    return [
        "--data-dir",
        str(folder / "data"),
        "--workflows",
        str(shop / "workflows"),
        "--gateway-port",
        str(port),
    ]


def _services(folder: Path, shop: Path, ports: Ports) -> dict[str, list[str]]:
    here = "127.0.0.1"
    return {
        "shop": [sys.executable, str(shop / "shop.py"), str(ports.shop)],
        "alertmanager": [
            "prometheus-alertmanager",
            f"--config.file={shop / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={here}:{ports.alertmanager}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            "prometheus",
            f"--config.file={shop / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={here}:{ports.prometheus}",
        ],
    }


@contextmanager
def _running(command: Sequence[object], log: Path) -> "Iterator[subprocess.Popen[str]]":
    """A program that is ended with the test; the file says what it did, should it fail."""
    with log.open("wb") as said:
        words = [str(word) for word in command]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=said, text=True, env={**os.environ, "NATS_URL": ""}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)


def _is(kind: type) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, kind)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
