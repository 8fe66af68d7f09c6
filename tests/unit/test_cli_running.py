"""A verb runs to its end, or to Ctrl-C."""

import asyncio
import os
import signal

import pytest

from remediation_orchestrator.cli.support.running import run


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
