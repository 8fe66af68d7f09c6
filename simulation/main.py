"""`ro-sim`: live through many simulated days, and say what was injected and which promise was broken."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from .checkers import violations
from .coverage import coverage
from .endless import EndlessError, ended
from .explore import explore
from .faults import Fault
from .fold_order import facts_of
from .fuzz import fuzz
from .plant import plant
from .workers import workers
from .world import FULL, SHORT, Size, simulate

# A class that struck less often over a run has proved nothing, and below so many days that is only chance.
STRIKES_MIN = 20
DAYS_MIN = 50
SHOWN_MAX = 5
WIDTH = 80
COUNTED = ("messages", "facts", "runs")


@dataclass(frozen=True)
class Result:
    """What became of one seed."""

    seed: int
    violations: list[str]
    struck: Counter[Fault]
    messages: int
    facts: int
    runs: int


def live(seed: int, size: Size) -> Result:
    """Live through one day and hold it against every promise."""
    try:
        with ended():
            day = simulate(seed, size)
    except EndlessError as error:
        return Result(seed, [f"the day does not end: {error}"], Counter(), 0, size.facts, 0)
    except Exception as error:  # Whatever it is: nothing may come out of a day.
        return Result(seed, [f"the day breaks off: {error!r}"], Counter(), 0, size.facts, 0)
    facts = facts_of(day.messages) + facts_of(day.store.gone())
    found = list(violations(day))
    if facts < size.facts:
        found.append(f"a day of {facts} facts is too short: {size.facts} were asked for")
    return Result(seed, found, day.faults.struck, len(day.messages), facts, len(day.diary.touches))


def live_all(seeds: list[int], size: Size, jobs: int) -> Iterator[Result]:
    """Live through the days of all seeds, several at a time."""
    if jobs == 1:
        yield from (live(seed, size) for seed in seeds)
        return
    with workers(jobs) as pool:
        yield from pool.map(live, seeds, [size] * len(seeds))


@click.group()
def main() -> None:
    """Simulate days of a cell: the real code on virtual time, with faults from a seed."""


main.add_command(coverage)
main.add_command(explore)
main.add_command(fuzz)
main.add_command(plant)


@main.command()
@click.option("--seeds", type=click.IntRange(min=1), default=100, help="How many days.")
@click.option("--from", "first", type=click.IntRange(min=0), default=0, help="The first seed.")
@click.option("--seed", type=click.IntRange(min=0), help="This day alone, as after a failure.")
@click.option("--short", is_flag=True, help="Days of three hours, as in the test suite.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="How many at a time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a day, then one for all.")
def run(seeds: int, first: int, seed: int | None, short: bool, jobs: int, as_json: bool) -> None:
    """Live through simulated days; exit 1 where a promise was broken, or, in fifty or more, a fault was rare."""
    chosen = [seed] if seed is not None else list(range(first, first + seeds))
    console = Console(stderr=True)
    results: list[Result] = []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("days", total=len(chosen))
        for result in live_all(chosen, SHORT if short else FULL, min(jobs, len(chosen))):
            results.append(result)
            progress.advance(task)
            if as_json:
                click.echo(msgspec.json.encode(_day(result)))
            else:
                report_failure(result, short=short)
    silent = silent_faults(results)
    if as_json:
        click.echo(msgspec.json.encode(_sum(results, silent)))
    else:
        summarise(results, silent)
    sys.exit(1 if silent or any(result.violations for result in results) else 0)


def _day(result: Result) -> dict[str, object]:
    """What became of a day, for machines."""
    return {**asdict(result), "struck": _strikes(result.struck)}


def _sum(results: list[Result], silent: list[Fault]) -> dict[str, object]:
    """What became of all days, for machines."""
    return {
        "days": len(results),
        "failed": [result.seed for result in results if result.violations],
        **{name: sum(getattr(result, name) for result in results) for name in COUNTED},
        "struck": _strikes(total(results)),
        "too_rare": silent,
    }


def _strikes(struck: Counter[Fault]) -> dict[str, int]:
    return {str(fault): struck[fault] for fault in Fault}


def report_failure(result: Result, *, short: bool) -> None:
    """Say which promise a day broke, and how to see it again."""
    if result.violations:
        again = f"ro-sim run --seed {result.seed}{' --short' if short else ''}"
        click.echo(f"seed {result.seed} FAILED, again with: {again}")
        for violation in result.violations[:SHOWN_MAX]:
            click.echo(click.wrap_text(violation, WIDTH, "  ", "    "))
        if len(result.violations) > SHOWN_MAX:
            click.echo(f"  and {len(result.violations) - SHOWN_MAX} more")


def summarise(results: list[Result], silent: list[Fault]) -> None:
    """Say what was lived through, and how often each fault struck."""
    struck = total(results)
    for fault in Fault:
        click.echo(f"{struck[fault]:9,}  {fault}")
    failed = sum(1 for result in results if result.violations)
    counts = ", ".join(f"{sum(getattr(result, name) for result in results):,} {name}" for name in COUNTED)
    click.echo(click.wrap_text(f"{len(results):,} days, {counts}: {failed} with a violation", WIDTH))
    for fault in silent:
        said = f"too rare: {fault} struck less than {STRIKES_MIN} times in {len(results)} days"
        click.echo(click.wrap_text(said, WIDTH, "", "  "))


def silent_faults(results: list[Result]) -> list[Fault]:
    """The classes that struck too seldom to have proved anything; none where the run was short."""
    struck = total(results)
    return [fault for fault in Fault if len(results) >= DAYS_MIN and struck[fault] < STRIKES_MIN]


def total(results: list[Result]) -> Counter[Fault]:
    """How often each class struck over all days."""
    struck: Counter[Fault] = Counter()
    for result in results:
        struck.update(result.struck)
    return struck


if __name__ == "__main__":
    main()
