"""What `/livez`, `/readyz` and `/metrics` answer, and `ro ready` for those who have no browser."""

import asyncio
import json
import socket

import pytest
from click import BadParameter
from click.testing import CliRunner

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.cli.support.health import LOCAL, AddressType, answering
from remediation_orchestrator.cli.support.output import BadInputError
from remediation_orchestrator.web.health import Health

PATIENCE = 10


@pytest.fixture
def address() -> tuple[str, int]:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind((LOCAL, 0))
        port: int = taken.getsockname()[1]
    return LOCAL, port


async def fine() -> str | None:
    """Nothing is wrong."""
    return None


async def stuck() -> str | None:
    """Wait for ever."""
    await asyncio.Event().wait()
    return None


async def get(address: tuple[str, int], path: str) -> tuple[int, dict[str, object]]:
    """Ask for a page; return its status and what it says."""
    head, _, body = (
        await said(address, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    ).partition("\r\n\r\n")
    return int(head.split(" ")[1]), json.loads(body)


async def said(address: tuple[str, int], request: bytes) -> str:
    """All that is answered to these bytes."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    if b"close" not in request:
        writer.write_eof()
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_a_service_that_has_said_nothing_yet_is_alive_and_not_ready(address: tuple[str, int]) -> None:
    """It is ready when all of its services are."""
    health = Health("orchestrator", "executor")
    async with answering(health, address):
        assert await get(address, "/livez") == (200, {"live": True})
        health.ask("orchestrator", fine)
        assert await get(address, "/readyz") == (503, {"ready": False, "why": {"executor": "it is starting"}})
        health.ask("executor", fine)
        assert await get(address, "/readyz") == (200, {"ready": True, "why": {}})


async def test_prometheus_reads_which_service_is_ready_and_what_the_process_takes(
    address: tuple[str, int],
) -> None:
    """The same page at every service."""
    health = Health("orchestrator", "executor")
    health.ask("orchestrator", fine)
    async with answering(health, address):
        page = await said(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert page.startswith("HTTP/1.1 200 ")
    assert 'ro_ready{service="orchestrator"} 1.0' in page
    assert 'ro_ready{service="executor"} 0.0' in page
    assert "process_open_fds" in page


async def test_a_service_that_does_not_answer_is_not_ready(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks gets an answer all the same."""
    monkeypatch.setattr("remediation_orchestrator.web.health.ANSWER_SECONDS", 0.01)
    health = Health("executor")
    health.ask("executor", stuck)
    async with answering(health, address):
        status, page = await get(address, "/readyz")
    assert (status, page["why"]) == (503, {"executor": "the broker does not answer"})


async def test_ro_ready_says_what_should_be_known_and_stays_ready(address: tuple[str, int]) -> None:
    """A remark is no reason to send work elsewhere."""
    health = Health("orchestrator")
    health.ask("orchestrator", fine, lambda: "clocks differ")
    async with answering(health, address):
        said_so = {"ready": True, "why": {}, "remarks": {"orchestrator": "clocks differ"}}
        assert await get(address, "/readyz") == (200, said_so)
        command = ["ready", "--health", str(address[1])]
        result = await asyncio.to_thread(CliRunner().invoke, main, command)
        assert (result.exit_code, result.output.strip()) == (0, "ready; orchestrator: clocks differ")


@pytest.mark.parametrize(
    "request_", [b"", b"\r\n\r\n", b"GET /readyz", b"\x00" * 100_000, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_what_is_no_question_gets_no_page_and_stops_nothing(
    address: tuple[str, int], request_: bytes
) -> None:
    """Nothing at all, or a problem; the next question is answered."""
    async with answering(Health(), address):
        try:
            answer = await said(address, request_)
        except ConnectionError:
            answer = ""
        assert answer == "" or answer.startswith(("HTTP/1.1 404 ", "HTTP/1.1 400 ", "HTTP/1.1 408 "))
        assert (await get(address, "/readyz"))[0] == 200


async def test_a_port_that_is_taken_is_named(address: tuple[str, int]) -> None:
    """Before the service begins."""
    async with answering(Health(), address):
        with pytest.raises(BadInputError, match=f"--health {LOCAL}:{address[1]}: .*in use"):
            async with answering(Health(), address):
                pass


async def test_ro_ready_says_it_with_its_exit_code(address: tuple[str, int]) -> None:
    """0 and 1, in a container or by hand; with --json the whole answer."""
    health = Health("orchestrator")

    async def ready(*options: str) -> tuple[int, str]:
        command = ["ready", "--health", str(address[1]), *options]
        result = await asyncio.to_thread(CliRunner().invoke, main, command)
        return result.exit_code, result.output.strip()

    async with answering(health, address):
        assert await ready() == (1, "ro: orchestrator: it is starting")
        health.ask("orchestrator", fine)
        assert await ready() == (0, "ready")
        assert await ready("--json") == (0, '{"ready":true,"why":{}}')
    code, complaint = await ready()
    assert code == 1
    assert complaint.startswith(f"ro: nobody answers at {LOCAL}:{address[1]}")


@pytest.mark.parametrize(
    ("text", "address"),
    [("8080", (LOCAL, 8080)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("[::]:80", ("::", 80)), (":80", (LOCAL, 80))],
)
def test_an_address_is_a_port_or_has_one(text: str, address: tuple[str, int]) -> None:
    """Without a host, this machine alone."""
    assert AddressType().convert(text, None, None) == address


@pytest.mark.parametrize("text", ["", "x", "host:", "0", "65536", "host:-1", "²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """In one line."""
    with pytest.raises(BadParameter, match="neither a port nor an address"):
        AddressType().convert(text, None, None)
