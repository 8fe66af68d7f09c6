"""`ro demo`: a whole cell in a temporary folder, and a story on it that is checked while it is told.

It leaves nothing behind, and succeeds only if everything that it promises was really seen."""

import asyncio
import signal
import tempfile
from pathlib import Path

import click

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.cli.support.exporting import write_log
from remediation_orchestrator.cli.support.output import BadInputError, RefusedError
from remediation_orchestrator.cli.support.running import run
from remediation_orchestrator.events.identity import DEFAULT_CELL

from .screen import Screen
from .stage import stage
from .story import DemoStory, StoryError

INTRODUCTION = """\
An alert, a workflow that fails, the ladder, the block, the probe and the repair, on a real log.
A NATS server, an orchestrator and an executor run now in a temporary folder, which is removed at the end."""

NEXT = """\
Everything that was promised was seen. Next:
   ro up --workflows examples/workflows       a cell that stays
   ro signal --name KubePodCrashLooping --target shop/Deployment/checkout --resolves --wait 5
   ro list                                    what is going on; then ro show ID and ro explain ID
   ro audit                                   derive every decision again; ro demo --keep FILE keeps this log
   docs/architecture.md                       how it works"""


@click.command("demo")
@click.option("--keep", metavar="FILE", help="Export the log at the end, compressed where it ends in .gz.")
def verb(keep: str | None) -> None:
    """Tell the whole story on an embedded broker, in under a minute."""
    if keep is not None and not Path(keep).absolute().parent.is_dir():
        raise BadInputError(f"{keep}: there is no such folder")
    screen = Screen()
    screen.say(INTRODUCTION, indent="\n")
    wrong = ""
    try:
        run(_play(screen, keep))
    except* (StoryError, LogError) as failed:
        wrong = str(_first(failed))
    except* asyncio.CancelledError:
        wrong = "ended from outside"
    if wrong:
        raise RefusedError(wrong)
    screen.say(NEXT, indent="\n")


async def _play(screen: Screen, keep: str | None) -> None:
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    with tempfile.TemporaryDirectory(prefix="ro-demo-") as folder:
        home = Path(folder)
        async with EmbeddedServer(home / "data") as server, stage(server.url, home, DEFAULT_CELL) as set_up:
            await DemoStory(set_up, screen).tell()
            if keep is not None:
                await write_log(set_up.log, keep)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
