"""What is wrong with a record, in words for the person who wrote it.

The log keeps the decoder's own words, which audit holds it against; whatever a person reads is told by this."""

import re
from collections.abc import Callable

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object with keys",
    "array": "a list",
    "null": "null",
    "datetime": "a time",
}
"""What the decoder calls the kinds of a value."""
_UNITS = {"str": "characters", "object": "keys", "array": "items", "bytes": "bytes"}
_PLACE = r"(?: - at `(?P<place>[^`]*)`)?"

_Match = re.Match[str]
_SAID: tuple[tuple[str, Callable[[_Match], str]], ...] = (
    # The door stores what it refuses beside what it takes, and says there why.
    (r"Invalid enum value (?P<quote>['\"])refused: (?P<why>.*)(?P=quote)" + _PLACE, lambda it: it["why"]),
    (r"Invalid enum value (?P<value>.*?)" + _PLACE, lambda it: f"{_subject(it)} cannot be {it['value']}"),
    (
        r"Object missing required field `(?P<field>[^`]*)`" + _PLACE,
        lambda it: f"`{it['place'] + '.' if it['place'] else ''}{it['field']}` is missing",
    ),
    (
        r"Expected `(?P<kind>\w+)` of length (?P<bound>[<>]=)? ?(?P<number>\d+)" + _PLACE,
        lambda it: (
            f"{_subject(it)} must have {_bound(it)}{it['number']} {_UNITS.get(it['kind'], 'items')}"
            if it["number"] != "1" or it["bound"] != ">="
            else f"{_subject(it)} must not be empty"
        ),
    ),
    (
        r"Expected `(?P<kind>\w+)` (?P<bound>[<>]=) (?P<number>-?[\d.]+)" + _PLACE,
        lambda it: f"{_subject(it)} must be {_bound(it)}{it['number']}",
    ),
    (
        r"Expected `(?P<kinds>[\w |]+)`, got `(?P<got>\w+)`" + _PLACE,
        lambda it: f"{_subject(it)} must be {_any_of(it['kinds'])}, and is {_KINDS.get(it['got'], it['got'])}",
    ),
    (r"not JSON: Input data was truncated", lambda _: "not JSON: it ends too early"),
    (
        r"not JSON: JSON is malformed: (?P<why>.*) \(byte (?P<byte>\d+)\)",
        lambda it: f"not JSON: {it['why']} at byte {it['byte']}, counted from 0",
    ),
    (r"not JSON: 'utf-8' codec .* in position (?P<byte>\d+)[-:].*", lambda it: f"not UTF-8 at byte {it['byte']}"),
    (r"nested deeper than (?P<depth>\d+)", lambda it: f"nested deeper than {it['depth']} levels"),
)
"""The decoder's sentences, and how they are told. What is none of them is told as it is."""


def plainly(complaint: str) -> str:
    """Say what is wrong with a value as a person would: which one, what it must be, and what it is."""
    for sentence, tell in _SAID:
        found = re.fullmatch(sentence, complaint, re.DOTALL)
        if found is not None:
            return tell(found)
    return complaint


def _subject(it: _Match) -> str:
    place: str | None = it["place"]
    if not place:
        return "it"
    return f"each of `{place.removesuffix('[...]')}`" if place.endswith("[...]") else f"`{place}`"


def _bound(it: _Match) -> str:
    return {">=": "at least ", "<=": "at most "}.get(it["bound"] or "", "")


def _any_of(kinds: str) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))
