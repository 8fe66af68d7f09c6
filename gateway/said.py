"""What is said of a body's items beside those that are taken: in its answer, and in the door's log, so that
whoever runs the door sees what its senders do not look at."""

import logging
from collections.abc import Sequence

from .items import Found, Item, LeftOut, Refused

log = logging.getLogger(__name__)

# Whoever looks for a mistake sees it from so many; the answer has them all.
LINES_TOLD_MAX = 10
_EVENTS = {"rejected": "items refused", "left_out": "items left out", "remarks": "taken without"}


def lines_of(items: Sequence[Item]) -> dict[str, list[str]]:
    """Return what is to be said, by what it is about: `rejected`, `left_out`, and `remarks` on what is taken."""
    return {
        "rejected": [line for item in items if isinstance(item, Refused) for line in item.lines],
        "left_out": [item.line() for item in items if isinstance(item, LeftOut)],
        "remarks": [line for item in items if isinstance(item, Found) for line in item.remarks],
    }


def tell(items: Sequence[Item], source: str, sender: str) -> None:
    """Write it to the log: one line of each kind."""
    for key, lines in lines_of(items).items():
        if lines:
            level = logging.WARNING if key == "rejected" else logging.INFO
            fields = {"source": source, "sender": sender, "count": len(lines), "lines": lines[:LINES_TOLD_MAX]}
            log.log(level, _EVENTS[key], extra=fields)
