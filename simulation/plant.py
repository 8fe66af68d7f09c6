"""`ro-sim plant`: plant bugs in a copy of the tree, one at a time, and say which layer notices each, and how soon.

The tree itself is never written to."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from .plant_file import Plant, PlantError, planted, read_plants
from .plant_layers import Bounds, Layer, Sight, look

ROOT = Path(__file__).resolve().parents[1]
# What no layer needs, and what would be another tree's: environments, histories, caches.
LEFT_OUT = (".git", ".venv", ".uv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")
LAYERS = [layer.value for layer in Layer]


class Seen(Struct, frozen=True):
    """What became of one plant."""

    plant: Plant
    sights: list[Sight]

    @property
    def first(self) -> Sight | None:
        """The first layer that noticed."""
        return next((sight for sight in self.sights if sight.found), None)

    @property
    def soon(self) -> float:
        """Seconds until it was noticed, those of the layers before included."""
        place = self.sights.index(self.first) if self.first else len(self.sights) - 1
        return sum(sight.seconds for sight in self.sights[: place + 1])


@contextmanager
def copies(root: Path, count: int) -> Iterator["Queue[Path]"]:
    """So many copies of a tree, for as long as this is entered."""
    free: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory(prefix="ro-plant-") as folder:
        for number in range(count):
            tree = Path(folder) / str(number)
            shutil.copytree(root, tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
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


def try_plant(plant: Plant, tree: Path, layers: list[Layer], bounds: Bounds, *, every: bool) -> Seen:
    """Plant one bug in a copy, and ask layer after layer, until one has noticed."""
    sights: list[Sight] = []
    with growing(plant, tree):
        for layer in layers:
            sights.append(look(layer, plant, tree, bounds))
            if sights[-1].found and not every:
                break
    return Seen(plant, sights)


def try_all(plants: list[Plant], layers: list[Layer], bounds: Bounds, *, jobs: int, every: bool) -> Iterator[Seen]:
    """Try plants, several at a time, and yield them in their order. Raises PlantError before the first."""
    for plant in plants:
        planted(plant, ROOT)
    with copies(ROOT, jobs) as free, ThreadPoolExecutor(jobs) as pool:

        def one(plant: Plant) -> Seen:
            tree = free.get()
            try:
                return try_plant(plant, tree, layers, bounds, every=every)
            finally:
                free.put(tree)

        yield from pool.map(one, plants)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--only", multiple=True, metavar="NAME", help="These plants alone; may be given again.")
@click.option(
    "--layer", "layers", multiple=True, type=click.Choice(LAYERS), help="Only this layer; may be given again."
)
@click.option("--every", is_flag=True, help="Ask every layer, also behind the one that has noticed.")
@click.option("--seconds", type=click.FloatRange(min=1), default=120.0, help="Wall time for each layer.")
@click.option("--days", type=click.IntRange(min=1), default=40, help="Short days to live through.")
@click.option(
    "--worlds", type=click.FloatRange(min=1), default=30.0, help="Seconds to explore small worlds, and to fuzz."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="How many plants at a time.")
@click.option("--check", is_flag=True, help="Only say whether every plant fits the tree.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a plant.")
def plant(
    paths: tuple[Path, ...],
    only: tuple[str, ...],
    layers: tuple[str, ...],
    every: bool,
    seconds: float,
    days: int,
    worlds: float,
    jobs: int,
    check: bool,
    as_json: bool,
) -> None:
    """Plant the bugs of PATHS (files, or folders of them) in copies of this tree, and say who notices.

    Exit 1 where one survives every layer, 2 where one no longer fits the tree."""
    try:
        plants = read_plants(paths or (ROOT / "tests" / "plants",))
        plants = [one for one in plants if not only or one.name in only]
        if check:
            stale = list(_stale(plants))
            for line in stale:
                click.echo(line)
            click.echo(f"{len(plants)} plants, {len(stale)} stale")
            sys.exit(2 if stale else 0)
        chosen = [layer for layer in Layer if not layers or layer.value in layers]
        seen = []
        for one in try_all(plants, chosen, Bounds(seconds, days, worlds), jobs=jobs, every=every):
            seen.append(one)
            click.echo(msgspec.json.encode(one).decode() if as_json else _sentence(one))
    except PlantError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    if not as_json:
        _summarise(seen, chosen)
    sys.exit(0 if all(one.first for one in seen) else 1)


def _stale(plants: list[Plant]) -> Iterator[str]:
    for one in plants:
        try:
            planted(one, ROOT)
        except PlantError as error:
            yield str(error)


def _sentence(one: Seen) -> str:
    """One line for one plant, as soon as it is known."""
    if one.first is None:
        return f"{one.plant.name}: SURVIVES ({one.plant.says})"
    return f"{one.plant.name}: {one.first.layer} in {one.soon:.1f} s: {one.first.how}"


def _summarise(seen: list[Seen], layers: list[Layer]) -> None:
    """The table: a row a plant, a column a layer with the seconds in which it noticed."""
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    table = Table(box=None, pad_edge=False)
    table.add_column("plant", no_wrap=True)
    for layer in layers:
        table.add_column(layer.value, justify="right")
    for one in seen:
        by_layer = {sight.layer: _cell(sight) for sight in one.sights}
        table.add_row(one.plant.name, *(by_layer.get(layer, "") for layer in layers))
    console.print(table)
    for layer in layers:
        asked = [sight for one in seen for sight in one.sights if sight.layer is layer]
        console.print(
            f"{layer}: noticed {sum(1 for sight in asked if sight.found)} of {len(asked)} that it was asked about"
        )
    survivors = [one.plant.name for one in seen if one.first is None]
    console.print(f"{len(seen)} plants, {len(survivors)} survive{': ' if survivors else ''}{', '.join(survivors)}")


def _cell(sight: Sight) -> str:
    """The seconds in which a layer noticed, `-` where it did not, `?` where it was not done."""
    return f"{sight.seconds:.0f} s" if sight.found else "?" if sight.found is None else "-"
