"""The door on a socket: it stores for as long as it answers, and neither without the other."""

import asyncio
import socket
from collections.abc import Callable

from remediation_orchestrator.web import server

from .door import Door


async def serve(
    door: Door, listening: socket.socket, stopping: asyncio.Event, opened: Callable[[], None] = lambda: None
) -> None:
    """Answer requests until `stopping`, and then those that are in hand; `opened` is called when it does."""
    ending = asyncio.Event()
    storing = asyncio.create_task(door.run())
    stop = asyncio.create_task(stopping.wait())
    serving = asyncio.create_task(server.serve(door.app, listening, ending, opened=opened))
    try:
        await asyncio.wait({storing, serving, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.set()
        await asyncio.wait({serving})
        for task in (storing, stop):
            task.cancel()
        await asyncio.wait({storing, stop})
    for task in (serving, storing):
        if not task.cancelled():
            task.result()
