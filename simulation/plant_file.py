"""Planted bugs as they are written down: a file of the tree, a text that stands in it once, and what replaces it.

A plant whose text is no longer there proves nothing, so it is an error and never skipped."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct


class Plant(Struct, frozen=True, forbid_unknown_fields=True):
    """One mistake that somebody could make."""

    name: str
    file: str
    """Path from the root of the tree."""
    says: str
    """One sentence: what goes wrong."""
    old: str
    new: str


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    plant: list[Plant]


class PlantError(Exception):
    """A plant that cannot be read, or does not fit the tree. The message is one line."""


def read_plants(paths: Iterable[Path]) -> list[Plant]:
    """Read the plants of files, and of all files in folders. Raises PlantError."""
    files = [file for path in paths for file in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
    plants = [plant for file in files for plant in _read(file)]
    names = [plant.name for plant in plants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PlantError(f"two plants have one name: {', '.join(twice)}")
    if not plants:
        raise PlantError("there is no plant in what was named")
    return plants


def _read(file: Path) -> list[Plant]:
    try:
        return msgspec.convert(tomllib.loads(file.read_text()), _File).plant
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise PlantError(f"{file}: {error}") from error


def planted(plant: Plant, root: Path) -> str:
    """The text of a plant's file with the mistake in it. Raises PlantError where it does not fit the tree."""
    try:
        text = (root / plant.file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PlantError(f"{plant.name}: {plant.file} cannot be read: {error}") from error
    found = text.count(plant.old)
    if found != 1:
        raise PlantError(f"{plant.name} is stale: its text stands {found} times in {plant.file}, not once")
    changed = text.replace(plant.old, plant.new)
    if changed == text:
        raise PlantError(f"{plant.name} changes nothing")
    try:
        compile(changed, plant.file, "exec")
    except SyntaxError as error:
        raise PlantError(f"{plant.name} is no Python: {error}") from error
    return changed
