"""`ro-sim plant`: plant bugs in a copy of the tree, one at a time, and say which layer notices each, and how soon.

The tree itself is never written to."""

import compileall
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import click
import msgspec
from rich.console import Console

from .plant_file import Plant, PlantError, planted, read_plants
from .plant_layers import Bounds, Layer, Sight, look, run, test_of
from .plant_results import Seen, digest_of, keep_result, read_results, seen, sentence, summarise

ROOT = Path(__file__).resolve().parents[1]
# What no layer needs, and what would be another tree's: environments, histories, caches.
LEFT_OUT = (".git", ".venv", ".uv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")
LAYERS = [layer.value for layer in Layer]
NOTHING = Plant("nothing", "bus/clock.py", "Nothing is planted.", "", "")


@contextmanager
def copies(root: Path, count: int) -> Iterator["Queue[Path]"]:
    """So many copies of a tree, compiled, for as long as this is entered: plants come and go in them."""
    free: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory(prefix="ro-plant-") as folder:
        for number in range(count):
            tree = Path(folder) / str(number)
            shutil.copytree(root, tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
            compileall.compile_dir(tree, quiet=2)
            free.put(tree)
        yield free


@contextmanager
def growing(plant: Plant, tree: Path) -> Iterator[None]:
    """Let a bug be in a copy, and afterwards gone again."""
    path = tree / plant.file
    text = path.read_text()
    path.write_text(planted(plant, tree))
    _forget_compiled(path)
    try:
        yield
    finally:
        path.write_text(text)
        _forget_compiled(path)


def _forget_compiled(path: Path) -> None:
    """Two texts of one size and one second would be taken for each other."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def try_plant(plant: Plant, tree: Path, layers: list[Layer], bounds: Bounds, *, every: bool) -> Iterator[Sight]:
    """Plant one bug in a copy, and ask layer after layer, until one has noticed."""
    for layer in layers:
        with growing(plant, tree):
            sight = look(layer, plant, tree, bounds)
        yield _confirmed(sight, plant, tree, bounds)
        if sight.found and not every:
            return


def _confirmed(sight: Sight, plant: Plant, tree: Path, bounds: Bounds) -> Sight:
    """A test counts that fails again where the bug is planted, and does not where it is not."""
    again = test_of(sight)
    if again is None:
        return sight
    with growing(plant, tree):
        with_it = run(sight.layer, again, tree, bounds)
    if with_it.found and run(sight.layer, again, tree, bounds).found is False:
        return sight
    return msgspec.structs.replace(sight, found=None, how=f"fails by itself, too: {sight.how}")


def check_nothing_is_seen(layers: list[Layer], tree: Path, bounds: Bounds) -> None:
    """A layer that finds something where nothing is planted proves nothing. Raises PlantError."""
    for layer in layers:
        if layer.is_simulated:
            sight = look(layer, NOTHING, tree, bounds)
            if sight.found is not False:
                raise PlantError(f"{layer} where nothing is planted: {sight.how}")


def try_all(
    plants: list[Plant], layers: list[Layer], known: dict[str, Seen], bounds: Bounds, *, jobs: int, every: bool
) -> Iterator[Seen]:
    """Try plants, several at a time, each by the layers that have not been asked. Raises PlantError."""
    for plant in plants:
        planted(plant, ROOT)
    if not plants:
        return
    with copies(ROOT, jobs) as free, ThreadPoolExecutor(jobs) as pool:
        first = free.get()
        check_nothing_is_seen(layers, first, bounds)
        free.put(first)

        def one(plant: Plant) -> Seen:
            before = known[digest_of(plant)].sights if digest_of(plant) in known else []
            asked = {sight.layer for sight in before}
            left = [layer for layer in layers if layer not in asked]
            tree = free.get()
            try:
                return seen(plant, before + list(try_plant(plant, tree, left, bounds, every=every)))
            finally:
                free.put(tree)

        for done in as_completed([pool.submit(one, plant) for plant in plants]):
            yield done.result()


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--only", multiple=True, metavar="NAME", help="These plants alone; may be given again.")
@click.option(
    "--layer", "layers", multiple=True, type=click.Choice(LAYERS), help="Only this layer; may be given again."
)
@click.option("--every", is_flag=True, help="Ask every layer, also behind the one that has noticed.")
@click.option("--days", type=click.IntRange(min=1), default=15, help="Short days to live through.")
@click.option("--lives", type=click.IntRange(min=1), default=60, help="Lives of each small world.")
@click.option("--cases", type=click.IntRange(min=1), default=1_250, help="Mutated records for each reader.")
@click.option(
    "--processor", type=click.IntRange(min=1), default=600, help="Seconds of processor time for each layer."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="How many plants at a time.")
@click.option("--check", is_flag=True, help="Only say whether every plant fits the tree.")
@click.option(
    "--results", type=click.Path(dir_okay=False, path_type=Path), help="Go on from this file, and add to it."
)
@click.option("--again", is_flag=True, help="Ask the layers again, of what survives in that file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a plant.")
def plant(
    paths: tuple[Path, ...],
    only: tuple[str, ...],
    layers: tuple[str, ...],
    every: bool,
    days: int,
    lives: int,
    cases: int,
    processor: int,
    jobs: int,
    check: bool,
    results: Path | None,
    again: bool,
    as_json: bool,
) -> None:
    """Plant the bugs of PATHS (files, or folders of them) in copies of this tree, and say who notices.

    Exit 1 where one survives every layer, 2 where one no longer fits the tree, or where a layer of the simulation
    finds something and nothing is planted."""
    chosen = [layer for layer in Layer if not layers or layer.value in layers]
    try:
        found = read_plants(paths or (ROOT / "tests" / "plants",))
        plants = [one for one in found if not only or one.name in only]
        if check:
            _check(plants)
        known = read_results(results) if results is not None else {}
        before = (known[digest_of(one)] for one in plants if digest_of(one) in known)
        done = [one for one in before if _is_done(one, chosen, every=every) and (one.first or not again)]
        left = [one for one in plants if digest_of(one) not in {other.digest for other in done}]
        bounds = Bounds(days, lives, cases, processor)
        for one in try_all(left, chosen, {} if again else known, bounds, jobs=jobs, every=every):
            done.append(one)
            if results is not None:
                keep_result(results, one)
            click.echo(msgspec.json.encode(one).decode() if as_json else sentence(one))
    except (PlantError, msgspec.MsgspecError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    _end(plants, done, chosen, as_json=as_json)


def _end(plants: list[Plant], done: list[Seen], layers: list[Layer], *, as_json: bool) -> None:
    if not as_json:
        order = [one.name for one in plants]
        done.sort(key=lambda one: order.index(one.name))
        summarise(Console(width=None if sys.stdout.isatty() else 10_000), done, layers)
    sys.exit(0 if all(one.first for one in done) else 1)


def _is_done(one: Seen, layers: list[Layer], *, every: bool) -> bool:
    """Whether there is nobody left to ask."""
    return {sight.layer for sight in one.sights} >= set(layers) or (one.first is not None and not every)


def _check(plants: list[Plant]) -> None:
    """Say which plants are stale, and end."""
    stale = list(_stale(plants))
    for line in stale:
        click.echo(line)
    click.echo(f"{len(plants)} plants, {len(stale)} stale")
    sys.exit(2 if stale else 0)


def _stale(plants: list[Plant]) -> Iterator[str]:
    for one in plants:
        try:
            planted(one, ROOT)
        except PlantError as error:
            yield str(error)
