"""`ro chaos`: hurt a throw-away cell of real processes for a while, and count what came of it."""

import asyncio
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from remediation_orchestrator.simulation.chaos.account import PROMISES, ChaosTally
from remediation_orchestrator.simulation.chaos.faults import FaultFamily, Strike
from remediation_orchestrator.simulation.chaos.rounds import ChaosRound, rounds

from .support.connection import json_option
from .support.output import RefusedError, json_line, line
from .support.running import run


@click.command("chaos")
@click.option(
    "--rounds", "count", type=click.IntRange(min=1), default=5, show_default=True, help="How many rounds."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="What the strikes come from."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.5, max=600),
    default=3.0,
    show_default=True,
    help="How long a round strikes; healing and counting come on top.",
)
@click.option(
    "--faults",
    "families",
    type=click.Choice([str(one) for one in FaultFamily]),
    multiple=True,
    help="Only these; given again, those too.  [default: all]",
)
@json_option
def verb(count: int, seed: int, seconds: float, families: tuple[str, ...], as_json: bool) -> None:
    """Kill and freeze a cell's processes at random, and hold what they did against what they promise.

    It starts a broker, two orchestrators and two executors of its own in a temporary folder, and ends them."""
    home = Path(tempfile.mkdtemp(prefix="ro-chaos-"))
    lived: list[ChaosRound] = []
    is_over = False
    try:
        coming = rounds(home, count, seed, seconds, [FaultFamily(one) for one in families or FaultFamily])
        run(_live(coming, count, as_json, lived))
        is_over = True
    except asyncio.CancelledError:  # Ended from outside: what was lived until then is told all the same.
        pass
    finally:
        broken = [one.number for one in lived if not one.tally.is_clean]
        if broken:
            say_how_again(home, broken[0], seed, seconds, families, lived)
        else:
            shutil.rmtree(home, ignore_errors=True)
    total = _conclude(lived, as_json=as_json)
    if not is_over and not broken:
        raise RefusedError(f"ended from outside after {len(lived)} of {count} rounds, with no promise broken")
    if broken:
        promises = "; ".join(total.broken)
        raise RefusedError(
            f"broken: {promises}. {home} has the log, the diary and what all said; begin with `again`"
        )


def say_how_again(
    home: Path, number: int, seed: int, seconds: float, families: tuple[str, ...], lived: list[ChaosRound]
) -> None:
    """Leave beside the log what it takes to see it again."""
    faults = "".join(f" --faults {one}" for one in families)
    wrong = "".join(f"round {one.number}: {each}\n" for one in lived for each in one.wrong)
    (home / "again").write_text(
        f"ro chaos --rounds {number} --seed {seed} --seconds {seconds:g}{faults}  # the same strikes\n"
        f"ro audit --log {home}/log.jsonl  # the log as it was read live, also what was archived since\n\n{wrong}"
    )


async def _live(
    coming: AsyncGenerator[ChaosRound, None], count: int, as_json: bool, lived: list[ChaosRound]
) -> None:
    living = asyncio.current_task()
    assert living is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, living.cancel)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("rounds", total=count)
        async with aclosing(coming) as each:
            async for one in each:
                lived.append(one)
                if as_json:
                    json_line(one)
                else:
                    _complain(one, progress.console)
                progress.advance(task)


def _complain(one: ChaosRound, console: Console) -> None:
    """Say what a round broke, and what it could not do, as soon as it is known."""
    undone = [f"could not be done: {each}" for each in one.undone]
    for said in (*one.wrong, *undone):
        console.print(f"round {one.number}: {said}", markup=False, soft_wrap=True)


def _conclude(lived: list[ChaosRound], *, as_json: bool) -> ChaosTally:
    """Say what all rounds came to, and return it."""
    total, struck = ChaosTally(), Counter[Strike]()
    for one in lived:
        total = total.plus(one.tally)
        struck.update(one.struck)
    if as_json:
        json_line({"rounds": len(lived), "tally": total, "broken": total.broken, "struck": struck})
        return total
    for name in ("accepted", "decided", "run", "archived", "untold"):
        line(f"{getattr(total, name):9,}  {name}")
    line("")
    line("   broken  promise")
    for name, says in PROMISES.items():
        line(f"{getattr(total, name):9,}  {says}")
    line("")
    line("   struck  fault")
    for strike in Strike:
        line(f"{struck[strike]:9,}  {strike}")
    return total
