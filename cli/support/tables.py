"""Tables for people, in the width that there is: no word is ever broken. Where a table is too wide, its cells are
wrapped between words; then columns that it can do without are left out; then words are shortened in their middle.

In a pipe there is no width, and every row is one line."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import STYLES, plain

# A pipe has no width of its own, and a table in it is for `grep`, not for wrapping.
PIPE_WIDTH = 10_000
# What a sentence needs to be read with ease: a column is not made narrower while another can be left out.
SENTENCE_WIDTH = 24
# What is left of a shortened word is still told from another's.
WORD_WIDTH_MIN = 8
GAP = 2
# A day and the time of it are one word.
_BETWEEN_WORDS = re.compile(r" +(?!\d\d:\d\d:\d\dZ)")


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


def fields(pairs: Iterable[tuple[str, Cell]]) -> None:
    """Write names and their values, leaving out what has none."""
    console = _console()
    found = [(name, _text(value)) for name, value in pairs if value not in (None, "")]
    names = max((cell_len(name) for name, _ in found), default=0)
    shown = Table(box=None, pad_edge=False, show_header=False, padding=(0, GAP, 0, 0))
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(no_wrap=True)
    for name, text in found:
        shown.add_row(name, _fitted(text, max(console.width - names - GAP, WORD_WIDTH_MIN)))
    console.print(shown)


def layout(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], width: int, optional: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Which columns there is room for, and how wide each is."""
    texts = [[name, *(row[number].plain for row in rows)] for number, name in enumerate(columns)]
    whole = [max(map(cell_len, column)) for column in texts]
    words = [max(cell_len(word) for text in column for word in _words(text)) for column in texts]
    ease = [min(whole[number], max(words[number], SENTENCE_WIDTH)) for number in range(len(columns))]
    kept, leaving = list(range(len(columns))), [columns.index(name) for name in optional]
    while sum(ease[number] for number in kept) > _room(kept, width) and leaving:
        kept.remove(leaving.pop(0))
    for least in (ease, words):
        if sum(least[number] for number in kept) <= _room(kept, width):
            return kept, _widened([least[one] for one in kept], [whole[one] for one in kept], _room(kept, width))
    return kept, _narrowed([words[number] for number in kept], _room(kept, width))


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines that are no wider, its words unbroken; a word that is wider is shortened."""
    lines = [""]
    for word in _words(text):
        fitting = shortened(word, width)
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(fitting) > width:
            lines.append(fitting)
        else:
            lines[-1] = f"{lines[-1]} {fitting}" if lines[-1] else fitting
    return lines


def shortened(word: str, width: int) -> str:
    """A word with its middle left out where it is wider; its ends tell it from others."""
    if cell_len(word) <= width:
        return word
    begin, end = word[: len(word) // 2], word[len(word) // 2 :]
    while cell_len(begin) + 1 + cell_len(end) > width and (begin or end):
        begin, end = (begin[:-1], end) if len(begin) >= len(end) else (begin, end[1:])
    return f"{begin}…{end}"


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


def _words(text: str) -> Iterator[str]:
    yield from _BETWEEN_WORDS.split(text)


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
