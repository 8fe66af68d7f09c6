"""Tables in the width that there is: no word is broken, and what names a row is the last to go."""

import os
import pty
import sys

import pytest
from rich.cells import cell_len
from rich.text import Text

from remediation_orchestrator.cli.support.tables import WORD_WIDTH_MIN, layout, table
from remediation_orchestrator.cli.support.wrapping import shortened, wrapped

COLUMNS = ("ID", "NAME", "TARGET", "PHASE", "REASON")
ROW = ("rr-1024", "KubePodCrashLooping", "eu-1/shop/Deployment/checkout", "Blocked", "ExponentialBackoff of rr-12")


def lines_of(row: tuple[str, ...], width: int, optional: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """How a table of one row shows its cells, by their columns."""
    kept, widths = layout(COLUMNS, [[Text(cell) for cell in row]], width, optional)
    return {COLUMNS[at]: wrapped(row[at], each) for at, each in zip(kept, widths, strict=True)}


def test_what_has_room_is_one_line() -> None:
    """As wide as it is."""
    assert all(len(lines) == 1 for lines in lines_of(ROW, 200).values())


def test_a_cell_is_wrapped_between_words_before_anything_is_left_out() -> None:
    """At eighty columns and more, nothing has to go."""
    shown = lines_of(ROW, 96, ("NAME",))
    assert shown["REASON"] == ["ExponentialBackoff of", "rr-12"]
    assert set(shown) == set(COLUMNS)


def test_then_a_column_is_left_out_that_can_be() -> None:
    """And the others are whole."""
    shown = lines_of(ROW, 80, ("NAME",))
    assert (set(COLUMNS) - set(shown), shown["TARGET"]) == ({"NAME"}, ["eu-1/shop/Deployment/checkout"])


def test_then_words_are_shortened_and_what_names_the_row_is_not() -> None:
    """In their middle: both ends tell them from others."""
    shown = lines_of(ROW, 50, ("NAME",))
    assert shown["ID"] == ["rr-1024"]
    (target,) = shown["TARGET"]
    assert (target[:3], "…" in target, target[-4:]) == ("eu-", True, "kout")


def test_a_day_and_its_time_are_one_word() -> None:
    """They are read together."""
    assert wrapped("until 2026-11-21 10:00:00Z at most", 22) == ["until", "2026-11-21 10:00:00Z", "at most"]
    assert wrapped("until 2026-11-21 10:00:00.125Z", 26) == ["until", "2026-11-21 10:00:00.125Z"]


@pytest.mark.parametrize("width", [1, 2, WORD_WIDTH_MIN, 29])
def test_a_shortened_word_is_never_wider_than_it_may_be(width: int) -> None:
    """However little that is."""
    assert cell_len(shortened("eu-1/shop/Deployment/checkout東", width)) <= width


@pytest.mark.parametrize(("width", "gone"), [(80, ["NAME"]), (120, [])])
def test_a_table_says_which_columns_it_has_left_out(
    monkeypatch: pytest.MonkeyPatch, width: int, gone: list[str]
) -> None:
    """Who needs one is told where it is."""
    ours, theirs = pty.openpty()
    monkeypatch.setenv("COLUMNS", str(width))
    with os.fdopen(ours, "rb") as screen, os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        table(COLUMNS, [ROW], optional=("NAME",))
        print("end", file=terminal, flush=True)
        shown = b"".join(iter(screen.readline, b"end\r\n")).decode()
    assert ROW[0] in shown
    assert [
        name for name in ("NAME",) if f"(no room for {name}: a wider terminal has it, and --json)" in shown
    ] == gone
