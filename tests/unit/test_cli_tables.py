"""Tables in the width that there is: no word is broken, and what names a row is the last to go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from remediation_orchestrator.cli.support.tables import WORD_WIDTH_MIN, layout, shortened, wrapped

COLUMNS = ("ID", "NAME", "TARGET", "PHASE", "REASON")
ROW = ("rr-1024", "KubePodCrashLooping", "eu-1/shop/Deployment/checkout", "Blocked", "ExponentialBackoff of rr-12")
words = st.integers(1, 30).map(lambda length: ("ab-/東ß" * 5)[:length])
cells = st.lists(words, max_size=6).map(" ".join)


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


@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=3), width=st.integers(40, 200))
def test_a_table_breaks_no_word_in_any_width(rows: list[tuple[str, ...]], width: int) -> None:
    """Each line is whole words, or one shortened word, and the table fits."""
    kept, widths = layout(("A", "B", "C"), [[Text(cell) for cell in row] for row in rows], width, ("B",))
    assert sum(widths) + 2 * (len(kept) - 1) <= width
    for row in rows:
        for number, each in zip(kept, widths, strict=True):
            whole = {shortened(word, each) for word in row[number].split(" ")}
            for line in wrapped(row[number], each):
                assert cell_len(line) <= each
                assert set(line.split(" ")) <= whole


@pytest.mark.parametrize("width", [1, 2, WORD_WIDTH_MIN, 29])
def test_a_shortened_word_is_never_wider_than_it_may_be(width: int) -> None:
    """However little that is."""
    assert cell_len(shortened("eu-1/shop/Deployment/checkout東", width)) <= width
