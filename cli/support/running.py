"""Run a verb's coroutine to its end, or to Ctrl-C.

An interrupt is never lost: where a library forgets a cancellation, as `wait_for` does when its answer comes at the
same moment, the verb is cancelled again until it has ended."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Long enough to clean up between two reminders, short for whoever waits with a finger on the key.
AGAIN_SECONDS = 0.1


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own. Raises KeyboardInterrupt once it has ended after an interrupt."""
    if threading.current_thread() is not threading.main_thread():  # Signals are the main thread's business.
        return asyncio.run(main)
    verb = asyncio.run(_until_interrupted(main))
    if verb is None:
        raise KeyboardInterrupt
    return verb.result()


async def _until_interrupted(main: Coroutine[Any, Any, T]) -> asyncio.Task[T] | None:
    """Return the coroutine's task when it is done; None where it was interrupted.

    A service takes SIGINT for itself: its handler then takes the place of the one here."""
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    verb, interrupt = loop.create_task(main), loop.create_task(interrupted.wait())
    try:
        await asyncio.wait({verb, interrupt}, return_when=asyncio.FIRST_COMPLETED)
        while interrupted.is_set() and not verb.done():
            verb.cancel()
            await asyncio.wait({verb}, timeout=AGAIN_SECONDS)
    finally:
        interrupt.cancel()
        loop.remove_signal_handler(signal.SIGINT)
    return None if interrupted.is_set() else verb
