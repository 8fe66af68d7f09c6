"""The container files, checked by their parts: there is no engine to run them with in the tests."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import yaml

from remediation_orchestrator.cli.support.services import EXECUTOR_SECONDS

ROOT = Path(__file__).parents[2]
COMPOSE: Any = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVER = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
NAMES = ("nats-1", "nats-2", "nats-3")
BROKERS = {name: COMPOSE["services"][name] for name in NAMES}
# As compose.yaml hands it over: in quotes, so that digits alone are no number.
ACCOUNT = {"NATS_USER": "ro", "NATS_PASSWORD": '"123"', "NATS_NAME": "nats-1", "NATS_ROUTES": "[]"}
PATIENCE = 30.0


def server(*options: str, account: dict[str, str], file: Path = ROOT / "nats.conf") -> list[str]:
    """Return the command line that runs the broker with a file and this environment."""
    assert SERVER is not None
    return ["env", "-i", *(f"{key}={value}" for key, value in account.items()), SERVER, "-c", str(file), *options]


def free_port() -> int:
    """A port that nobody listens on now: routes have to be known before a broker runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def test_the_broker_accepts_its_file() -> None:
    """Every key is known, and a password of digits is a password."""
    done = subprocess.run(server("-t", account=ACCOUNT), capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", sorted(ACCOUNT))
def test_the_broker_does_not_start_without_a_password_or_a_place_in_the_cluster(missing: str) -> None:
    """A forgotten variable is no open door, and no cluster of one."""
    account = {name: value for name, value in ACCOUNT.items() if name != missing}
    done = subprocess.run(server("-t", account=account), capture_output=True, text=True, timeout=10)
    assert done.returncode != 0
    assert missing in done.stderr


@pytest.fixture
def monitors(tmp_path: Path) -> Iterator[list[str]]:
    """Run the brokers of compose.yaml with our file and their routes, on this machine; yield their monitors."""
    routes = {f"{name}:6222": f"127.0.0.1:{free_port()}" for name in NAMES}
    with ExitStack() as stack:
        for name in NAMES:
            folder = tmp_path / name
            folder.mkdir()
            here = routes[f"{name}:6222"]
            text = (ROOT / "nats.conf").read_text()
            file = folder / "nats.conf"
            file.write_text(text.replace('"/data"', f'"{folder}"').replace('"0.0.0.0:6222"', f'"{here}"'))
            account = {**BROKERS[name]["environment"]}
            for key, value in account.items():
                account[key] = re.sub(r"\$\{RO_NATS_PASSWORD[^}]*\}", "123", value)
            for there, loopback in routes.items():
                account["NATS_ROUTES"] = account["NATS_ROUTES"].replace(there, loopback)
            options = ("-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--ports_file_dir", str(folder))
            command = server(*options, account=account, file=file)
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(process.terminate)
        yield [_ports(tmp_path / name, time.monotonic() + PATIENCE) for name in NAMES]


def _ports(folder: Path, deadline: float) -> str:
    while time.monotonic() < deadline:
        for file in folder.glob("*.ports"):
            address: str = json.loads(file.read_text())["monitoring"][0]
            return address.replace("0.0.0.0", "127.0.0.1")
        time.sleep(0.01)
    raise AssertionError("the broker did not say where it listens")


def test_the_three_brokers_are_one_cluster_that_syncs_every_message_and_wants_a_password(
    monitors: list[str],
) -> None:
    """What they run with, said by themselves; the health check's page answers when all have found each other."""
    deadline = time.monotonic() + PATIENCE
    for monitor in monitors:
        while not (_healthy(monitor) and _jetstream(monitor)["meta_cluster"]["cluster_size"] == len(NAMES)):
            assert time.monotonic() < deadline, "the brokers have not found each other"
            time.sleep(0.05)
        assert _jetstream(monitor)["config"]["sync_always"] is True
        with urlopen(f"{monitor}/varz", timeout=5) as page:
            assert json.load(page)["auth_required"] is True


def _jetstream(monitor: str) -> Any:
    with urlopen(f"{monitor}/jsz", timeout=PATIENCE) as page:
        return json.load(page)


def _healthy(monitor: str) -> bool:
    try:
        with urlopen(f"{monitor}/healthz", timeout=5) as page:
            found: object = json.load(page)
    except HTTPError:
        return False
    return found == {"status": "ok"}


def test_only_this_machine_reaches_the_published_ports() -> None:
    """And the doors for monitoring and for the brokers among themselves are not published at all."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4222:4222", "127.0.0.1:4223:4222", "127.0.0.1:4224:4222"]


def test_every_service_has_a_health_check_and_every_broker_a_name_and_a_volume_of_its_own() -> None:
    """The volume outlives its container; three brokers on one folder would destroy it."""
    assert set(COMPOSE["services"]) == {*NAMES, "orchestrator", "executor"}
    assert all("healthcheck" in service for service in COMPOSE["services"].values())
    assert {service["environment"]["NATS_NAME"] for service in BROKERS.values()} == set(NAMES)
    volumes = [one.partition(":") for service in BROKERS.values() for one in service["volumes"] if ":/data" in one]
    assert sorted(name for name, _, _ in volumes) == sorted(COMPOSE["volumes"])
    assert len({name for name, _, _ in volumes}) == len(NAMES)


def test_every_broker_has_routes_to_all() -> None:
    """With the password; itself among them is left out by the broker."""
    for service in BROKERS.values():
        routes = json.loads(service["environment"]["NATS_ROUTES"])
        assert [urlsplit(route).hostname for route in routes] == list(NAMES)
        assert {urlsplit(route).port for route in routes} == {6222}


@pytest.mark.parametrize("service", ["orchestrator", "executor"])
def test_there_are_two_of_each_service_and_they_know_all_brokers(service: str) -> None:
    """One broker, one orchestrator and one executor may go, and the log has a copy on each broker."""
    part = COMPOSE["services"][service]
    assert part["deploy"]["replicas"] == 2
    assert re.findall(r"@([\w-]+):4222", part["environment"]["NATS_URL"]) == list(NAMES)
    assert part["environment"]["RO_REPLICAS"] == str(len(NAMES))
    assert set(part["depends_on"]) == set(NAMES)
    assert int(part["stop_grace_period"].rstrip("s")) > EXECUTOR_SECONDS


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
        variables = {parameter.envvar for parameter in command.params}
        assert "RO_HEALTH" in variables  # The service answers where its check asks.
