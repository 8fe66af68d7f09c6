"""A timeline as a picture: a row for everything that lasted, and a mark for every signal and operator's word.

matplotlib draws it; who installs without the extra `plot` is told so in one line."""

import importlib.util
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from remediation_orchestrator.events import SignalReceived, SignalResolved
from remediation_orchestrator.orchestrator.queries.timeline import Bar, Lasting, Step
from remediation_orchestrator.orchestrator.routing.words import spoken

from .output import BadInputError, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A row is a third of an inch: more of them than this is no picture any more.
ROWS_MAX = 60
LABEL_MAX = 60

# Colours that the colour-blind tell apart (Okabe and Ito).
_COLOURS = {
    Lasting.ANALYSIS: "#56B4E9",
    Lasting.APPROVAL: "#CC79A7",
    Lasting.BLOCK: "#E69F00",
    Lasting.QUEUE: "#F0E442",
    Lasting.START: "#BBBBBB",
    Lasting.RUN: "#0072B2",
    Lasting.VERIFICATION: "#009E73",
}
_COMPLETED, _FAILED = "#009E73", "#D55E00"


def say_duration(bar: Bar, now: datetime) -> str:
    """How long, in words; so short a thing as a run may be told in milliseconds."""
    words = spoken((bar.end or now) - bar.begin)
    return words if bar.end else f"{words} so far"


def check_drawable() -> None:
    """Raise BadInputError where the library that draws is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BadInputError("--svg needs matplotlib: pip install 'remediation-orchestrator[plot]'")


def draw(path: Path, title: str, steps: Sequence[Step], bars: Sequence[Bar], now: datetime) -> None:
    """Write the picture; the same timeline gives the same file. Of too many rows the newest are drawn."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = bars[-ROWS_MAX:]
    if len(shown) < len(bars):
        title = f"{title} (the newest {len(shown)} of {len(bars)} rows)"
    with (
        warnings.catch_warnings(),
        rc_context({"svg.fonttype": "none", "svg.hashsalt": "ro", "font.size": 9, "timezone": "UTC"}),
    ):
        # Text stays text: whoever shows the picture has the glyphs that our font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        figure = Figure(figsize=(12, 1.6 + 0.33 * (len(shown) + 1)), layout="constrained")
        axes = figure.add_subplot()
        cut = len(shown) < len(bars)
        _draw_marks(axes, [step for step in steps if not cut or step.recorded_at >= shown[0].begin])
        _draw_bars(axes, shown, now)
        _draw_frame(axes, shown, title)
        figure.legend(loc="outside lower center", ncols=9, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _draw_marks(axes: "Axes", steps: Sequence[Step]) -> None:
    """The first row: what was said from outside."""
    firing = [_day(step.recorded_at) for step in steps if isinstance(step.data, SignalReceived)]
    resolved = [_day(step.recorded_at) for step in steps if isinstance(step.data, SignalResolved)]
    people = [_day(step.recorded_at) for step in steps if getattr(step.data, "by", None)]
    marks = (
        (firing, "v", _FAILED, "fires"),
        (resolved, "^", _COMPLETED, "resolved"),
        (people, "D", "#000000", "operator"),
    )
    for moments, marker, colour, label in marks:
        if moments:
            axes.scatter(moments, [0] * len(moments), marker=marker, color=colour, s=28, label=label, zorder=3)


def _draw_bars(axes: "Axes", bars: Sequence[Bar], now: datetime) -> None:
    named: set[str] = set()
    for row, bar in enumerate(bars, start=1):
        begin, end = _day(bar.begin), _day(bar.end or now)
        colour, label = _look(bar)
        axes.barh(
            row,
            end - begin,
            left=begin,
            height=0.62,
            color=colour,
            edgecolor=colour,  # What took no time beside the rest is a line.
            linewidth=1.5,
            alpha=1.0 if bar.end else 0.5,
            label="_" if label in named else label,
        )
        named.add(label)
        said = f"{say_duration(bar, now)} {bar.outcome}"[:LABEL_MAX]
        text = axes.annotate(plain(said), (end, row), xytext=(5, 0), textcoords="offset points", va="center")
        text.set_parse_math(False)  # A dollar in a name is a dollar.


def _look(bar: Bar) -> tuple[str, str]:
    """Its colour, and the word for it in the legend."""
    if bar.what is Lasting.RUN and bar.end is not None:
        completed = bar.outcome == "completed"
        return (_COMPLETED, "run, completed") if completed else (_FAILED, "run, failed")
    return _COLOURS[bar.what], bar.what


def _day(at: datetime) -> float:
    """A moment as matplotlib counts: in days since 1970."""
    return at.timestamp() / 86_400


def _draw_frame(axes: "Axes", bars: Sequence[Bar], title: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # These two have no types.

    names = ["signals, operators", *(f"{bar.remediation}  {bar.says}"[:LABEL_MAX] for bar in bars)]
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.use_sticky_edges = False
    axes.margins(x=0.08)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    heading = axes.set_title(plain(title), loc="left", fontweight="bold")
    for text in (heading, *axes.get_yticklabels()):
        text.set_parse_math(False)
