"""An event source for ansible-rulebook: signals from a file, at a rate or as they are taken, then a last one."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any


async def main(queue: asyncio.Queue[dict[str, Any]], args: dict[str, Any]) -> None:
    """Hand over all signals; the queue holds one, so the rules say how fast. Then stay, so that nothing ends."""
    drawn, began = read(Path(args["path"])), time.monotonic()
    write(Path(args["began"]), str(began))
    rate = float(args["rate"])
    for number, signal in enumerate(drawn):
        if rate and (wait := began + number / rate - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        await queue.put(signal)
    await queue.put({"last": True})
    await asyncio.Event().wait()


def read(path: Path) -> list[dict[str, Any]]:
    """All signals, before the first is handed over."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, text: str) -> None:
    """Say when it began, by the clock that all processes share."""
    path.write_text(text)
