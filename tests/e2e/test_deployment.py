"""The container files, checked by their parts: there is no engine to run them with in the tests."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: Any = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVER = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
# As compose.yaml hands it over: in quotes, so that digits alone are no number.
ACCOUNT = {"NATS_USER": "ro", "NATS_PASSWORD": '"123"'}


def server(*options: str, account: dict[str, str], file: Path = ROOT / "nats.conf") -> list[str]:
    """Return the command line that runs the broker with our file and this environment."""
    assert SERVER is not None
    return [
        "env",
        "-i",
        *(f"{key}={value}" for key, value in account.items()),
        SERVER,
        "-c",
        str(ROOT / "nats.conf"),
        *options,
    ]


def test_the_broker_accepts_its_file() -> None:
    """Every key is known, and a password of digits is a password."""
    done = subprocess.run(server("-t", account=ACCOUNT), capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr


def test_the_broker_does_not_start_without_a_password() -> None:
    """A forgotten variable is no open door."""
    done = subprocess.run(server("-t", account={"NATS_USER": "ro"}), capture_output=True, text=True, timeout=10)
    assert done.returncode != 0
    assert "NATS_PASSWORD" in done.stderr


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[str]:
    """Run the broker with our file, but a folder and ports of its own; yield where it is monitored."""
    file = tmp_path / "nats.conf"
    file.write_text((ROOT / "nats.conf").read_text().replace('"/data"', f'"{tmp_path}"'))
    options = ("-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--ports_file_dir", str(tmp_path))
    with subprocess.Popen(server(*options, account=ACCOUNT, file=file), stderr=subprocess.DEVNULL) as process:
        try:
            yield _ports(tmp_path, time.monotonic() + 10)
        finally:
            process.terminate()


def _ports(folder: Path, deadline: float) -> str:
    while time.monotonic() < deadline:
        for file in folder.glob("*.ports"):
            address: str = json.loads(file.read_text())["monitoring"][0]
            return address.replace("0.0.0.0", "127.0.0.1")
        time.sleep(0.01)
    raise AssertionError("the broker did not say where it listens")


def test_the_broker_syncs_every_message_and_wants_a_password(monitor: str) -> None:
    """What it runs with, said by itself; the health check's page answers."""
    with urlopen(f"{monitor}/jsz", timeout=5) as page:
        assert json.load(page)["config"]["sync_always"] is True
    with urlopen(f"{monitor}/varz", timeout=5) as page:
        assert json.load(page)["auth_required"] is True
    with urlopen(f"{monitor}/healthz", timeout=5) as page:
        assert json.load(page) == {"status": "ok"}


def test_only_this_machine_reaches_the_published_ports() -> None:
    """And the monitoring door, which has no password, is not published at all."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4222:4222"]


def test_every_service_has_a_health_check_and_the_log_a_volume() -> None:
    """The volume outlives its container."""
    assert set(COMPOSE["services"]) == {"nats", "orchestrator", "executor"}
    assert all("healthcheck" in service for service in COMPOSE["services"].values())
    assert "log:/data" in COMPOSE["services"]["nats"]["volumes"]
    assert "log" in COMPOSE["volumes"]


def test_the_image_runs_ro_as_nobody_special() -> None:
    """A number, so that a cluster can see that it is not root."""
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["ro"]' in text


def test_uv_is_one_version_in_the_image_and_the_makefile() -> None:
    """So that both read the lock alike."""
    (image,) = re.findall(r"uv==(\S+)", (ROOT / "Dockerfile").read_text())
    (make,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert image == make


@pytest.mark.parametrize("service", ["orchestrator", "executor"])
def test_the_commands_are_verbs_and_options_of_ro(service: str) -> None:
    """Commands and health checks alike."""
    pytest.importorskip("remediation_orchestrator.cli.main")
    import click

    from remediation_orchestrator.cli.main import main

    assert isinstance(main, click.Group)
    part = COMPOSE["services"][service]
    for verb, *arguments in (part["command"], part["healthcheck"]["test"][2:]):
        command = main.get_command(click.Context(main), verb)
        assert command is not None, verb
        known = {option for parameter in command.params for option in parameter.opts}
        assert {one for one in arguments if one.startswith("-")} <= known
