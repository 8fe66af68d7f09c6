"""Where something stands in a document, as data and as people write it."""

from typing import TypeAlias

Place: TypeAlias = tuple[int | str, ...]


def path_of(place: Place) -> str:
    """Write a place as `scope.exclude[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
