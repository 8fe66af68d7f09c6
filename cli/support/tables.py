"""Tables for people, in the width that there is: no word is ever broken. Where a table is too wide, its cells are
wrapped between words; then columns that it can do without are left out, which it says; then words are shortened in
their middle.

In a pipe there is no width, and every row is one line."""

import sys
from collections.abc import Iterable, Sequence

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import STYLES, plain
from .wrapping import words_of, wrapped

# A pipe has no width of its own, and a table in it is for `grep`, not for wrapping.
PIPE_WIDTH = 10_000
# What a sentence needs to be read with ease: a column is not made narrower while another can be left out.
SENTENCE_WIDTH = 24
# What is left of a shortened word is still told from another's.
WORD_WIDTH_MIN = 8
GAP = 2


class Toned(Struct, frozen=True):
    """A cell in the colour of another word than its own."""

    text: str
    like: str


Cell = str | int | Toned | None


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, optional: Sequence[str] = ()) -> None:
    """Write a table; of the `optional` columns the first is left out first. Known words have their colours."""
    console = _console()
    found = [[_text(cell) for cell in row] for row in rows]
    kept, widths = layout(columns, found, console.width, optional)
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for number, width in zip(kept, widths, strict=True):
        shown.add_column("\n".join(wrapped(columns[number], width)), no_wrap=True, width=width)
    for row in found:
        shown.add_row(*(_fitted(row[number], width) for number, width in zip(kept, widths, strict=True)))
    console.print(shown)
    gone = [
        name for number, name in enumerate(columns) if number not in kept and any(row[number] for row in found)
    ]
    if gone:
        console.print(Text(f"(no room for {', '.join(gone)}: a wider terminal has it, and --json)", style="dim"))


def fields(pairs: Iterable[tuple[str, Cell]]) -> None:
    """Write names and their values, leaving out what has none. A value too wide for its place begins a line."""
    console = _console()
    found = [(name, _text(value)) for name, value in pairs if value not in (None, "")]
    names = max((cell_len(name) for name, _ in found), default=0)
    room = console.width - names - GAP
    for name, text in found:
        if max(map(cell_len, words_of(text.plain))) > room:
            console.print(Text.assemble((name, "dim")), Text.assemble("  ", text), sep="\n", soft_wrap=True)
            continue
        first, *rest = _fitted(text, room).split("\n")
        console.print(Text.assemble((name.ljust(names + GAP), "dim"), first), soft_wrap=True)
        for line in rest:
            console.print(Text.assemble(" " * (names + GAP), line), soft_wrap=True)


def layout(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], width: int, optional: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Which columns there is room for, and how wide each is."""
    texts = [[name, *(row[number].plain for row in rows)] for number, name in enumerate(columns)]
    whole = [max(map(cell_len, column)) for column in texts]
    words = [max(cell_len(word) for text in column for word in words_of(text)) for column in texts]
    ease = [min(whole[number], max(words[number], SENTENCE_WIDTH)) for number in range(len(columns))]
    kept, leaving = list(range(len(columns))), [columns.index(name) for name in optional]
    leaving.sort(key=lambda number: any(texts[number][1:]))  # What says nothing goes first.
    gone: list[int] = []
    while sum(ease[number] for number in kept) > _room(kept, width) and leaving:
        gone.append(leaving.pop(0))
        kept.remove(gone[-1])
    for number in reversed(gone):  # What was not in the way comes back.
        if sum(ease[one] for one in [*kept, number]) <= _room([*kept, number], width):
            kept = sorted([*kept, number])
    for least in (ease, words):
        if sum(least[number] for number in kept) <= _room(kept, width):
            return kept, _widened([least[one] for one in kept], [whole[one] for one in kept], _room(kept, width))
    return kept, _narrowed([words[number] for number in kept], _room(kept, width))


def _room(kept: Sequence[int], width: int) -> int:
    return width - GAP * (len(kept) - 1)


def _widened(widths: list[int], whole: Sequence[int], room: int) -> list[int]:
    """Give what is left over to those that need the least to be whole, then to the next."""
    left = room - sum(widths)
    for number in sorted(range(len(widths)), key=lambda one: whole[one] - widths[one]):
        more = min(whole[number] - widths[number], left)
        widths[number] += more
        left -= more
    return widths


def _narrowed(widths: list[int], room: int) -> list[int]:
    """Take from the widest, down to what a word needs; the first column names the row, and is the last to give."""
    while sum(widths) > room:
        others = [number for number in range(1, len(widths)) if widths[number] > WORD_WIDTH_MIN]
        widest = max(others, key=lambda one: widths[one]) if others else 0
        if widths[widest] <= WORD_WIDTH_MIN:
            break
        widths[widest] -= 1
    return widths


def _fitted(text: Text, width: int) -> Text:
    return text if cell_len(text.plain) <= width else Text("\n".join(wrapped(text.plain, width)), style=text.style)


def _text(value: Cell) -> Text:
    if isinstance(value, Toned):
        return Text(plain(value.text), style=STYLES.get(value.like, ""))
    text = "" if value is None else plain(str(value))
    return Text(text, style=STYLES.get(text, ""))


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, width=None if terminal else PIPE_WIDTH, highlight=False, emoji=False)
