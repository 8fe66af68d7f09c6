"""`ro-sim fuzz`: mutations of every kind of record, through everybody who reads what anybody may publish.

The same seed gives the same cases. What stops a reader is made as small as it can be, and kept as a case."""

import hashlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from msgspec import Struct

from .endless import EndlessError, ended
from .fuzz_records import FuzzMessage, Mutator
from .fuzz_targets import READERS, Target

# Making smaller goes on while it helps, and no longer than this: what is not minimal is a case all the same.
TRIES_MAX = 400
SHRINK_SECONDS = 20.0
# What has no end is not tried again and again to make it smaller.
ENDLESS = ("EndlessError", "MemoryError")
SHOWN_BYTES_MAX = 120
SHOWN_MAX = 5

Sliced = TypeVar("Sliced", bytes, list[FuzzMessage], list[int])


class FuzzFinding(Struct, frozen=True):
    """A case that stops a reader, or several that do so together."""

    target: str
    cases: list[FuzzMessage]
    what: str
    seed: int
    after: int
    """So many cases before it went through this reader."""


class Went(Struct, frozen=True):
    """How many cases went through a reader."""

    target: str
    cases: int
    seconds: float
    finding: FuzzFinding | None = None


def stopped(target: Target, cases: Sequence[FuzzMessage]) -> str | None:
    """What stops a reader in these cases, in one line; None where nothing does."""
    try:
        with ended():
            target(cases)
    except EndlessError as error:
        return f"EndlessError: {error}"
    except Exception as error:  # Whatever it is: nothing may come out of a reader.
        return f"{type(error).__name__}: {error}".split("\n", 1)[0][:300]
    return None


def fuzz_target(name: str, seed: int, seconds: float, most: float = math.inf) -> Went:
    """Send cases through one reader, some at least, until it is stopped, or it is time, or there were so many."""
    reader = READERS[name]
    mutator = Mutator(seed)
    begun, done = time.monotonic(), 0
    while not done or (done < most and time.monotonic() < begun + seconds):
        cases = [reader.case(mutator) for _ in range(reader.together)]
        what = stopped(reader.take, cases)
        if what is not None:
            least = cases if _kind(what) in ENDLESS else _least(reader.take, cases, _kind(what))
            what = what if least is cases else stopped(reader.take, least) or what
            return Went(name, done, time.monotonic() - begun, FuzzFinding(name, least, what, seed, done))
        done += reader.together
    return Went(name, done, time.monotonic() - begun)


def _kind(what: str) -> str:
    return what.partition(":")[0]


def _least(target: Target, cases: list[FuzzMessage], kind: str) -> list[FuzzMessage]:
    """As few cases as do it still, and where that is one, as little of it."""
    until = time.monotonic() + SHRINK_SECONDS
    tries = 0

    def still(some: Sequence[FuzzMessage]) -> bool:
        nonlocal tries
        tries += 1
        what = stopped(target, some) if tries <= TRIES_MAX and time.monotonic() < until else None
        return what is not None and _kind(what) == kind

    alone = next((case for case in cases if still([case])), None)
    if alone is None:
        return shrunk(cases, still)
    replaced = msgspec.structs.replace
    return [replaced(alone, payload=shrunk(alone.payload, lambda less: still([replaced(alone, payload=less)])))]


def shrunk(whole: Sliced, still: Callable[[Sliced], bool]) -> Sliced:
    """Cut pieces out, halves first and then ever smaller, as long as what is left still does it."""
    size = len(whole) // 2
    while size:
        place = 0
        while place < len(whole):
            without = whole[:place] + whole[place + size :]
            if still(without):
                whole = without
            else:
                place += size
        size //= 2
    return whole


class KeptFinding(Struct, frozen=True):
    """A finding as a file of cases keeps it."""

    target: str
    what: str
    cases: list[FuzzMessage]


def read_cases(folder: Path) -> Iterator[tuple[str, KeptFinding]]:
    """The cases of a folder, each with the name of its file."""
    for path in sorted(folder.glob("*.json")):
        yield path.stem, msgspec.json.decode(path.read_bytes(), type=KeptFinding)


def keep_case(finding: FuzzFinding, folder: Path) -> None:
    """Write a finding into a folder, under a name that follows from its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = msgspec.json.encode(KeptFinding(finding.target, finding.what, finding.cases))
    name = f"{finding.target}-{hashlib.sha256(whole).hexdigest()[:8]}"
    (folder / f"{name}.json").write_bytes(msgspec.json.format(whole) + b"\n")


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=20.0, help="Wall time for all readers together."
)
@click.option(
    "--cases", type=click.IntRange(min=1), help="So many for each reader instead, however long it takes."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="The first seed; a run takes the next by itself."
)
@click.option(
    "--reader", "names", multiple=True, type=click.Choice(list(READERS)), help="This one alone; or several."
)
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Write each finding into this folder."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a reader.")
def fuzz(
    seconds: float, cases: int | None, seed: int, names: tuple[str, ...], keep: Path | None, as_json: bool
) -> None:
    """Send mutated records through every reader of the log and the door; exit 1 where one was stopped."""
    logging.getLogger("remediation_orchestrator").setLevel(logging.CRITICAL + 1)
    chosen = [name for name in READERS if not names or name in names]
    went: list[Went] = []
    until = time.monotonic() + seconds
    for left, name in zip(range(len(chosen), 0, -1), chosen, strict=True):
        # What one reader takes longer than its share the others have less.
        each = max(0.0, until - time.monotonic()) / left, math.inf
        if cases is not None:
            each = math.inf, cases * READERS[name].share
        went.append(fuzz_target(name, seed, *each))
        click.echo(msgspec.json.encode(went[-1]).decode() if as_json else _line(went[-1]))
        if went[-1].finding is not None and keep is not None:
            keep_case(went[-1].finding, keep)
    sys.exit(1 if any(one.finding for one in went) else 0)


def _line(one: Went) -> str:
    rate = one.cases / max(one.seconds, 1e-9)
    said = f"{one.target:13}{one.cases:10,} cases {rate:9,.0f}/s  "
    finding = one.finding
    if finding is None:
        return f"{said}nothing stops it"
    again = f"ro-sim fuzz --reader {one.target} --seed {finding.seed}"
    return "\n  ".join(
        [f"{said}STOPPED, again with: {again}", finding.what, *map(_shown, finding.cases[:SHOWN_MAX])]
    )


def _shown(case: FuzzMessage) -> str:
    payload = case.payload
    more = f" … {len(payload):,} bytes" if len(payload) > SHOWN_BYTES_MAX else ""
    return f"{case.subject} {payload[:SHOWN_BYTES_MAX]!r}{more}"
