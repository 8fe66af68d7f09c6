"""Text in a width, with its words unbroken."""

import re
from collections.abc import Iterator

from rich.cells import cell_len

# A day and the time of it are one word.
_BETWEEN_WORDS = re.compile(r" +(?!\d\d:\d\d:\d\d[.\d]*Z)")


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines that are no wider, its words unbroken; a word that is wider is shortened."""
    lines = [""]
    for word in words_of(text):
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


def words_of(text: str) -> Iterator[str]:
    """The words of a text, one by one."""
    yield from _BETWEEN_WORDS.split(text)
