"""A door of `ro up` that is there and does not answer is followed by one that does."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from doors import PATIENCE, Sender

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.support import door_process
from remediation_orchestrator.cli.support.door_process import keep_door
from remediation_orchestrator.web.server import listen


def the_door() -> int:
    """The process of the door: the child of this one that is a gateway."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    (found,) = (one for one in children if b"gateway" in Path(f"/proc/{one}/cmdline").read_bytes())
    return int(found)


async def test_a_door_that_does_not_answer_any_more_is_said_and_followed_by_another(
    server: EmbeddedServer, log: JetStreamLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Frozen here, and as it is with one whose loop is stuck: nobody would have noticed."""
    monkeypatch.setattr(door_process, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(door_process, "ASK_SECONDS", 0.5)
    stopping, opened = asyncio.Event(), asyncio.Event()
    with listen("127.0.0.1", 0) as listening:
        keeping = asyncio.create_task(keep_door(server.url, log.cell, (), listening, stopping, opened))
        async with asyncio.timeout(PATIENCE):
            await opened.wait()
            hung = the_door()
            os.kill(hung, signal.SIGSTOP)
            reply = await Sender(listening.getsockname()[1]).get("/livez")
            assert (reply.status, the_door() != hung) == (200, True)
            stopping.set()
            await keeping
    assert [(one.message, one.pid) for one in caplog.records] == [("the HTTP door does not answer", hung)]  # type: ignore[attr-defined]
