"""`ro-sim explore`: every order of events in small worlds, as far as the bound and the time allow.

Within the bound that it prints nothing was left to luck."""

import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import click
import msgspec

from .explore_search import Search, SearchBound, SearchResult, read_choices, retell, silently, story, written
from .explore_worlds import BY_NAME, WORLDS, SmallWorld
from .workers import workers

SHOWN_MAX = 5


@click.command()
@click.option("--seconds", type=click.FloatRange(min=0.1), default=20.0, help="Wall time for all worlds together.")
@click.option(
    "--lives", type=click.IntRange(min=1), help="So many lives of each world instead, however long it takes."
)
@click.option(
    "--world", "names", multiple=True, type=click.Choice(list(BY_NAME)), help="This one alone; or several."
)
@click.option("--switches", type=click.IntRange(min=0), default=3, help="Times that another call goes first.")
@click.option("--faults", type=click.IntRange(min=0), default=2, help="Faults in one life.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes that search.")
@click.option("--again", metavar="CHOICES", help="One life again, as a failure has printed it, step by step.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a world.")
def explore(
    seconds: float,
    lives: int | None,
    names: tuple[str, ...],
    switches: int,
    faults: int,
    jobs: int,
    again: str | None,
    as_json: bool,
) -> None:
    """Live through every order of events in small worlds of real code; exit 1 where a promise was broken.

    A life follows a fixed schedule but for its departures: switches, where another call goes first, and faults
    (a crash, a pause, a lost or late answer, a second delivery, a step of the clock). Fewest departures first."""
    if again is not None:
        sys.exit(1 if _tell_again(again) else 0)
    worlds = [world for world in WORLDS if not names or world.name in names]
    failed = False
    if not as_json:
        click.echo(f"{'world':12}{'lives':>9}{'states':>11}{'lives/s':>9}  seen")
    for found in search_all(worlds, SearchBound(switches, faults), Budget(seconds / len(worlds), lives), jobs):
        failed = failed or bool(found.wrong)
        click.echo(msgspec.json.encode(_row(found)).decode() if as_json else _line(found))
        if found.wrong and not as_json:
            _report(found)
    sys.exit(1 if failed else 0)


@dataclass(frozen=True)
class Budget:
    """How long one world is searched: for so many seconds or, where they are given, so many lives."""

    seconds: float
    lives: int | None


def search_all(worlds: list[SmallWorld], bound: SearchBound, budget: Budget, jobs: int) -> Iterator[SearchResult]:
    """Search worlds, each in as many shares as there are processes."""
    if jobs == 1:
        for world in worlds:
            yield _search(world.name, bound, budget, 0, 1)
        return
    with workers(jobs) as pool:
        for world in worlds:
            shares = [pool.submit(_search, world.name, bound, budget, share, jobs) for share in range(jobs)]
            yield _together([share.result() for share in shares])


def _search(name: str, bound: SearchBound, budget: Budget, share: int, shares: int) -> SearchResult:
    silently()
    search = Search(BY_NAME[name], bound, share, shares)
    if budget.lives is None:
        return search.run(time.monotonic() + budget.seconds)
    most = max(1, budget.lives // shares)
    return search.run(math.inf, lambda: search.found.lives >= most)


def _together(shares: list[SearchResult]) -> SearchResult:
    """What the searches of all shares have seen; of counterexamples the shortest."""
    wrong = min(
        (one for one in shares if one.wrong), key=lambda one: len(one.counterexample or ()), default=shares[0]
    )
    return replace(
        wrong,
        lives=sum(one.lives for one in shares),
        steps=sum(one.steps for one in shares),
        seconds=max(one.seconds for one in shares),
        states=set().union(*(one.states for one in shares)),
        whole=min(one.whole for one in shares),
        exhausted=all(one.exhausted for one in shares),
    )


def _seen(found: SearchResult) -> str:
    """How far everything was seen, in words."""
    if found.wrong:
        return "FAILED"
    if found.exhausted:
        return "all within the bound"
    if found.whole < 0:
        return "not even the schedule"
    return f"all with {found.whole} departure{'s' if found.whole != 1 else ''}, some with {found.whole + 1}"


def _line(found: SearchResult) -> str:
    rate = found.lives / max(found.seconds, 1e-9)
    return f"{found.world:12}{found.lives:9,}{len(found.states):11,}{rate:9.0f}  {_seen(found)}"


def _row(found: SearchResult) -> dict[str, object]:
    again = written(found.world, found.counterexample) if found.counterexample is not None else None
    return {
        "world": found.world,
        "lives": found.lives,
        "states": len(found.states),
        "steps": found.steps,
        "seconds": round(found.seconds, 2),
        "whole_departures": found.whole,
        "exhausted": found.exhausted,
        "again": again,
        "violations": found.wrong,
    }


def _report(found: SearchResult) -> None:
    """Say which promise was broken, by which departures, and how to see it again."""
    choices = found.counterexample or {}
    click.echo(f"world {found.world} FAILED, again with: ro-sim explore --again '{written(found.world, choices)}'")
    for wrong in found.wrong[:SHOWN_MAX]:
        click.echo(f"  {wrong}")
    silently()
    stage, _ = retell(BY_NAME[found.world], choices)
    for line in story(stage, choices):
        if "(instead of: " in line:
            click.echo(f"  {line}")


def _tell_again(word: str) -> bool:
    """Live one life again, and print every step of it; True where it broke a promise."""
    try:
        name, choices = read_choices(word)
        world = BY_NAME[name]
    except (ValueError, KeyError) as error:
        raise click.BadParameter(f"not a world and its choices: {word!r}", param_hint="--again") from error
    silently()
    stage, wrong = retell(world, choices)
    for line in story(stage, choices):
        click.echo(line)
    for one in wrong:
        click.echo(f"broken: {one}")
    return bool(wrong)
