"""What became of planted bugs: a line of JSON for each, so that a run that was interrupted can be continued."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from .plant_file import Plant
from .plant_layers import Layer, Sight


class Seen(Struct, frozen=True):
    """What became of one plant."""

    name: str
    digest: str
    """Of what was planted: another mistake under the same name is another plant."""
    says: str
    sights: list[Sight]

    @property
    def first(self) -> Sight | None:
        """The first layer that noticed."""
        return next((sight for sight in self.sights if sight.found), None)


def seen(plant: Plant, sights: list[Sight]) -> Seen:
    """What became of a plant, for the file."""
    return Seen(plant.name, digest_of(plant), plant.says, sights)


def digest_of(plant: Plant) -> str:
    """What tells a plant from another of its name."""
    return hashlib.sha256(f"{plant.file}\n{plant.old}\n{plant.new}".encode()).hexdigest()[:12]


def read_results(file: Path) -> dict[str, Seen]:
    """The newest line of each plant, by its digest; none where there is no file. Raises msgspec.DecodeError."""
    if not file.exists():
        return {}
    lines = [msgspec.json.decode(line, type=Seen) for line in file.read_bytes().splitlines() if line]
    return {one.digest: one for one in lines}


def keep_result(file: Path, one: Seen) -> None:
    """Write one more line, at once."""
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(one) + b"\n")


def sentence(one: Seen) -> str:
    """One line for one plant, as soon as it is known."""
    if one.first is None:
        return f"{one.name}: SURVIVES ({one.says})"
    return f"{one.name}: {one.first.layer} in {one.first.processor:.1f} s: {one.first.how}"


def summarise(console: Console, every: list[Seen], layers: Iterable[Layer]) -> None:
    """The table: a row a plant, a column a layer with the processor time in which it noticed; and the sums."""
    table = Table(box=None, pad_edge=False)
    table.add_column("plant", no_wrap=True)
    for layer in layers:
        table.add_column(layer.value, justify="right")
    for one in every:
        by_layer = {sight.layer: _cell(sight) for sight in one.sights}
        table.add_row(one.name, *(by_layer.get(layer, "") for layer in layers))
    console.print(table)
    firsts = [one.first.layer for one in every if one.first is not None]
    for layer in layers:
        asked = [sight for one in every for sight in one.sights if sight.layer is layer]
        noticed = sum(1 for sight in asked if sight.found)
        console.print(f"{layer}: {firsts.count(layer)} first, {noticed} of {len(asked)} that it was asked about")
    survivors = [one.name for one in every if one.first is None]
    console.print(
        f"{len(every)} plants, {len(survivors)} survive{': ' if survivors else ''}{', '.join(survivors)}"
    )


def _cell(sight: Sight) -> str:
    """The processor time in which a layer noticed, `-` where it did not, `?` where it was not done."""
    return f"{sight.processor:.0f} s" if sight.found else "?" if sight.found is None else "-"
