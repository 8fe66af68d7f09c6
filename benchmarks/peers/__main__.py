"""The same signals for us and for others that can be installed, side by side in one run.

Systems take turns round by round, so that what disturbs the machine disturbs all. Each peer is installed into an
environment of its own, with locked versions; one that cannot be had is skipped with a line that says why, and one
that fails or decides otherwise is left out with another."""

import argparse
import asyncio
import importlib.metadata
import selectors
import sys
from pathlib import Path

from msgspec import to_builtins

from benchmarks import report
from benchmarks.peers import environments
from benchmarks.peers.alone import Alone
from benchmarks.peers.streams import OnStream
from benchmarks.peers.systems import OURS, SYSTEMS, Figures, System

MEASURES = ("throughput", "frames", "latency")
FRAME = 50
# What a system that syncs five times a signal decides in a minute and a half.
COUNT = 10_000
# What that system can follow on a busy disk too: else its latency is that of a queue.
RATE = 50


async def main() -> None:
    """Measure those who are named, or all."""
    options = arguments()
    known = [SYSTEMS[key] for key in options.systems or SYSTEMS]
    taking_part = {system.key: one for system in known if (one := ready(system, options)) is not None}
    for _ in range(options.rounds):
        for key, (routes, figures) in list(taking_part.items()):
            try:
                await measure(routes, figures, options)
            except (RuntimeError, TimeoutError) as why:
                if key == OURS:
                    raise
                print(f"left out {routes.system.name}: {why or 'it took too long'}", file=sys.stderr)
                del taking_part[key]
    say([figures for _, figures in taking_part.values()], as_json=options.json)


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}; all, if none is named"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=COUNT,
        help=f"signals of one run, a multiple of {FRAME}; {COUNT:,} if nothing is said",
    )
    parser.add_argument("--rate", type=int, default=RATE, help="signals a second, for the latency")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to keep that rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs="+", choices=MEASURES, default=MEASURES, metavar="MEASURE", help="all")
    parser.add_argument("--environments", type=Path, default=environments.FOLDER, metavar="DIR")
    parser.add_argument("--no-install", action="store_true", help="take the environments that are there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.systems) - set(SYSTEMS):
        parser.error(f"no such system: {', '.join(sorted(unknown))}")
    return options


def ready(system: System, options: argparse.Namespace) -> tuple[Alone | OnStream, Figures] | None:
    """A system that can be had here, and an empty sheet for its figures."""
    python = Path(sys.executable)
    version = importlib.metadata.version("remediation-orchestrator")
    if system.key != OURS:
        try:
            python = environments.python(system, options.environments, install=not options.no_install)
        except environments.MissingError as why:
            print(f"skipped {why}", file=sys.stderr)
            return None
        version = environments.version(system, python)
    routes = OnStream(system, python) if system.on_stream else Alone(system, python)
    return routes, Figures(system.key, system.name, version, system.keeps)


async def measure(routes: Alone | OnStream, figures: Figures, options: argparse.Namespace) -> None:
    """One round of one system."""
    if "throughput" in options.measure:
        await routes.throughput(figures, options.count)
    if "frames" in options.measure and routes.system.frames:
        await routes.frames(figures, options.count, FRAME)
    if "latency" in options.measure:
        await routes.latency(figures, options.rate, options.seconds)


def say(sheets: list[Figures], *, as_json: bool) -> None:
    """Print what was measured."""
    columns = (
        "system",
        "decided/s",
        "frames/s",
        "p50 ms",
        "p99",
        "start s",
        "killed s",
        "knows",
        "rebuilt/s",
        "MiB",
    )
    rows = [
        (
            one.name,
            middle(one.decided, ",.0f"),
            middle(one.in_frames, ",.0f"),
            middle(one.p50, ".2f"),
            middle(one.p99, ".2f"),
            middle(one.start, ".2f"),
            middle(one.after_kill, ".2f"),
            {True: "yes", False: "no", None: "–"}[one.remembers],
            middle(one.rebuilt, ",.0f"),
            " + ".join(f"{max(values):,.0f}" for values in (one.peak_mib, one.server_mib) if values) or "–",
        )
        for one in sheets
    ]
    report.say("peers", columns, rows, [to_builtins(one) for one in sheets], as_json=as_json)


def middle(values: list[float], form: str) -> str:
    """The median, or a dash where there is none."""
    return format(report.median(values), form) if values else "–"


def _precise_loop() -> asyncio.AbstractEventLoop:
    """The usual loop waits in whole milliseconds, which is what is measured here."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(main())
