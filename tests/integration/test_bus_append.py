"""What the broker may answer to an append, played by a responder on a subject that no stream takes."""

import asyncio
import json

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from remediation_orchestrator.bus.port import LogError, LogFullError, StaleWriteError, UnknownOutcomeError
from remediation_orchestrator.bus.storing import store
from remediation_orchestrator.events import CellName

IN_FLIGHT = {"error": {"code": 400, "err_code": 10164, "description": "wrong last sequence"}}


async def answering(connection: Client, subject: str, answers: list[object]) -> None:
    """Answer in this order, the last one for ever; None stands for silence."""

    async def answer(message: Msg) -> None:
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        if given is not None:
            await message.respond(given if isinstance(given, bytes) else json.dumps(given).encode())

    await connection.subscribe(subject, cb=answer)


async def test_one_in_flight_is_waited_for(connection: Client, cell: CellName) -> None:
    """Its outcome decides: here it made room."""
    await answering(connection, f"play.{cell}", [IN_FLIGHT, IN_FLIGHT, {"stream": "RO_x", "seq": 7}])
    assert await store(connection, f"play.{cell}", b"x", headers={}, expect=3) == 7


@pytest.mark.parametrize("answer", [IN_FLIGHT, None, b"nonsense", {"stream": "RO_x"}])
async def test_what_stays_open_is_an_unknown_outcome(
    connection: Client, cell: CellName, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For ever in flight, silence, and answers that say nothing."""
    monkeypatch.setattr("remediation_orchestrator.bus.storing.APPEND_SECONDS", 0.1)
    await answering(connection, f"play.{cell}", [answer])
    async with asyncio.timeout(2):
        with pytest.raises(UnknownOutcomeError):
            await store(connection, f"play.{cell}", b"x", headers={}, expect=3)


@pytest.mark.parametrize(
    ("code", "err_code", "description", "raised"),
    [
        (400, 10071, "wrong last sequence: 12", StaleWriteError),
        (400, 10071, "wrong last sequence", StaleWriteError),
        (503, 10077, "maximum bytes exceeded", LogFullError),
        (503, 10077, "maximum messages exceeded", LogFullError),
        (500, 10047, "insufficient storage resources available", LogFullError),
        (503, 10077, "something broke", UnknownOutcomeError),
        (503, 10008, "JetStream system temporarily unavailable", UnknownOutcomeError),
        (400, 10063, "bad request", LogError),
    ],
)
async def test_a_refusal_is_told_by_its_code(
    connection: Client, cell: CellName, code: int, err_code: int, description: str, raised: type[LogError]
) -> None:
    """And carries the server's words, or the sequence that it found."""
    refusal = {"error": {"code": code, "err_code": err_code, "description": description}}
    await answering(connection, f"play.{cell}", [refusal])
    with pytest.raises(LogError) as told:
        await store(connection, f"play.{cell}", b"x", headers={}, expect=3)
    assert type(told.value) is raised
    if isinstance(told.value, StaleWriteError):
        assert told.value.last == (12 if "12" in description else None)
    else:
        assert description in str(told.value)
