"""The way of a signal through the product is the one that docs/architecture.md draws."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from cell import PATIENCE_SECONDS, bare, orchestrator, running, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import CellName, CreateWorkflow
from remediation_orchestrator.orchestrator.lead import Leader
from remediation_orchestrator.orchestrator.routing.outbox import Outbox

ROOT = Path(__file__).parents[2]
WAY_MAX = 15
# Who carries a record: the client's reader, whoever reads the log, and whoever leads. Renewals and marks do not.
CARRIERS = {"Client._read_loop", "Orchestrator._read", "Orchestrator.run"}
FILE = re.compile(r"\b(?:bus|orchestrator|events)/[a-z_/]+\.py\b")


def drawn() -> tuple[list[str], set[str]]:
    """The files of the way in their order, and those that are only asked."""
    page = (ROOT / "docs" / "architecture.md").read_text().partition("## The path of one signal")[2]
    figure, _, beside = page.partition("## What to touch")[0].partition("From the record on the wire")
    numbered = [line for line in figure.splitlines() if re.match(r"\w* +\d+ ", line)]
    return [FILE.findall(line)[0] for line in numbered], set(FILE.findall(beside))


@contextmanager
def followed(passed: dict[str, set[str]], stored: asyncio.Event) -> Iterator[None]:
    """Write down each file of the product that the carriers enter, until a frame is confirmed."""

    def enter(frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or stored.is_set():
            return
        task = asyncio.current_task() if asyncio._get_running_loop() else None
        carrier = getattr(task.get_coro(), "__qualname__", "") if task is not None else ""
        if carrier not in CARRIERS:
            return
        if frame.f_code is Leader._wait.__code__:  # The round before had nothing of it.
            passed[carrier] = set()
        path = Path(frame.f_code.co_filename).resolve()
        if path.suffix == ".py" and path.is_relative_to(ROOT) and ".venv" not in path.parts:
            passed.setdefault(carrier, set()).add(path.relative_to(ROOT).as_posix())
        if frame.f_code is Outbox.confirm.__code__:
            stored.set()

    sys.setprofile(enter)
    try:
        yield
    finally:
        sys.setprofile(None)


async def test_a_signal_takes_the_way_that_the_page_draws(
    log: JetStreamLog, connection: Client, cell: CellName
) -> None:
    """Every file of the way is passed, and no file that the page does not name, but those of the words."""
    way, asked = drawn()
    passed: dict[str, set[str]] = {}
    stored = asyncio.Event()
    async with running(await orchestrator(connection, cell)):
        await connection.publish(f"ro.{cell}.signal.test", bare(target="first"))
        await wait_for(log, lambda event: isinstance(event, CreateWorkflow))  # That round is over.
        with followed(passed, stored):
            await connection.publish(f"ro.{cell}.signal.test", bare(target="second"))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await stored.wait()
    files = {one for entered in passed.values() for one in entered if not one.startswith("events/")}
    assert set(way) - files == set()
    assert files - set(way) - asked == set()
    assert len(way) == len(set(way)) <= WAY_MAX
