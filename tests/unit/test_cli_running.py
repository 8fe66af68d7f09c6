"""A verb runs to its end, or to Ctrl-C."""

import asyncio
import os
import signal

import click
import pytest

from remediation_orchestrator.bus.port import LogUnreachableError
from remediation_orchestrator.cli.main import Verbs, main
from remediation_orchestrator.cli.support.running import run
from remediation_orchestrator.cli.support.services import until_stopped


def test_a_verb_gives_what_it_came_to() -> None:
    """And what it raises."""

    async def verb() -> int:
        await asyncio.sleep(0)
        return 7

    async def broken() -> None:
        raise ValueError("no")

    assert run(verb()) == 7
    with pytest.raises(ValueError, match="no"):
        run(broken())


def test_an_interrupt_is_not_lost_where_somebody_forgets_a_cancellation() -> None:
    """Twice it is forgotten, and the third time the verb ends."""
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                forgotten += 1
                if forgotten == 3:
                    raise

    with pytest.raises(KeyboardInterrupt):
        run(forgetful())
    assert forgotten == 3


async def test_what_is_heard_of_the_broker_once_all_were_told_to_stop_is_no_failure() -> None:
    """Also where another has stopped in the very turn in which it was told."""
    stopping = asyncio.Event()

    async def loses_its_broker() -> None:
        await stopping.wait()
        raise LogUnreachableError("it ends, too")

    asyncio.get_running_loop().call_soon(stopping.set)
    await until_stopped(stopping, _waits(stopping), loses_its_broker(), within=5)


async def test_what_ends_by_itself_is_a_failure_and_ends_the_others() -> None:
    """Of several the first in the order in which they were given says why."""
    stopping = asyncio.Event()

    async def lost(what: str) -> None:
        raise LogUnreachableError(what)

    with pytest.raises(LogUnreachableError, match="the server"):
        await until_stopped(stopping, lost("the server"), lost("the log"), _waits(stopping), within=5)


async def _waits(stopping: asyncio.Event) -> None:
    await stopping.wait()


def test_what_goes_wrong_beside_others_is_told_as_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person reads what was wrong, and not that something was."""

    @click.command()
    def broken() -> None:
        raise ExceptionGroup("several", [ExceptionGroup("two", [LogUnreachableError("nobody answers")])])

    monkeypatch.setattr(Verbs, "get_command", lambda *_: broken)
    with pytest.raises(SystemExit) as ended:
        main(["broken"])
    assert (ended.value.code, capsys.readouterr().err) == (3, "ro: nobody answers\n")
