"""Bounds on what one message may ask of its readers, each looked at before the work that it bounds.

Live and in replay the same bytes are judged alike: nothing here depends on the caller, its stack or its time."""

import re
from itertools import accumulate

import msgspec
from msgspec import Raw

# Far beyond any signal, and far within what the decoder's recursion bears: where that gives out depends on the
# caller's own stack, and the same bytes have to be judged alike live and in replay.
NESTING_MAX = 100
# A fact holds at most 256 KiB, which is fewer than 8,000 of the shortest signals: more elements are no signals.
ITEMS_MAX = 10_000
# Whoever sends a mistake sees it from so many; each costs a record ten times as long as the shortest mistake.
REJECTIONS_MAX = 16

# All that is no bracket: strings, brackets in them included, and whatever stands between brackets and strings.
_FLAT = re.compile(rb'(?:[^"\[{\]}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))++', re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b'"[{]}\\'))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_items = msgspec.json.Decoder(list[Raw])


def nesting(payload: bytes) -> int:
    """How deep arrays and objects stand in one another, or, where that is no concern, how many there are."""
    if (opened := payload.count(b"[") + payload.count(b"{")) <= NESTING_MAX:
        return opened
    escapes = payload.replace(b"\\\\", b"\\_").replace(b'\\"', b"\\_") if b"\\" in payload else payload
    # Every second quotation mark that is left ends a string, and in nearly all of them there is no bracket.
    marks = escapes.translate(None, _OTHERS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    if b"\\" in brackets:  # No JSON: out there nothing is escaped.
        brackets = _FLAT.sub(b"", payload)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def count_items(payload: bytes) -> int:
    """How many elements an array has, or, where that is no concern, how many it may have at most."""
    if (most := payload.count(b",") + 1) <= ITEMS_MAX:
        return most
    try:
        return len(_items.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0  # No JSON, as whoever reads it will say.
