"""What a body holds: signals, what should be one and is none, and what is no alert. None is skipped in silence."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec
from msgspec import Struct
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from remediation_orchestrator.events import SignalReceived, SignalResolved
from remediation_orchestrator.events.codec import Attributes

T = TypeVar("T")
AnySignal = SignalReceived | SignalResolved

# What clocks may disagree by; whatever is dated later is a mistake.
FUTURE_MAX = timedelta(minutes=2)
# What is kept of an item that is no signal: enough to see what it was.
RAW_LENGTH_MAX = 2_000
# The smallest alert that is a signal has 55 bytes: no body that could be stored holds more of them.
ITEMS_MAX = 5_000
# Monitoring systems send tens. Each may be an objection of its own.
LABELS_MAX = 1_000
# What is said of one item; of the rest there is no room in its record either.
LINES_MAX = 20


class WebhookError(ValueError):
    """A body that cannot be taken: one line for each thing that is wrong, saying what and where."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class TooLargeError(WebhookError):
    """A body that may be well formed, and is more than the log takes at once."""


class Found(Struct, frozen=True):
    """An item that is a signal. `by` says by which rule each part of it was found.

    `attributes` are those that its sender gave the event, where it did."""

    where: str
    signal: AnySignal
    by: dict[str, str] = {}
    attributes: Attributes | None = None


class Refused(Struct, frozen=True):
    """An item that is no signal: every objection, and the beginning of what it was."""

    where: str
    lines: list[str]
    raw: str

    def data(self) -> dict[str, object]:
        """The record that stands in its place: it decodes as no signal, and the decoder's message says why."""
        return {"status": f"refused: {'; '.join(self.lines)}"[:RAW_LENGTH_MAX], "item": self.raw}


class LeftOut(Struct, frozen=True):
    """An item that is no alert at all, such as a test or a repeated notice. It is not stored, and said."""

    where: str
    why: str

    def line(self) -> str:
        """Which it is, and why."""
        return f"{self.where}: {self.why}"


Kept = Found | Refused
"""What is stored of a body."""
Item = Kept | LeftOut
Items = Iterator[Item]
"""A body's items, one by one: whoever takes them may rest in between. Before the first comes WebhookError where it
is no body of this kind at all, and TooLargeError where it has too many."""


def counted(items: Sequence[T]) -> Sequence[T]:
    """What is not too much to be looked at. TooLargeError where it is: nothing was validated yet."""
    if len(items) > ITEMS_MAX:
        raise TooLargeError([f"{len(items):,} items, and a body has at most {ITEMS_MAX:,}: send fewer at once"])
    return items


def _not_too_many(labels: object) -> object:
    if isinstance(labels, dict) and len(labels) > LABELS_MAX:
        raise ValueError(f"{len(labels):,} of them, and there are at most {LABELS_MAX:,}")
    return labels


def in_utc(moment: datetime) -> datetime:
    """A moment in UTC. ValueError where that is before the year 1 or after 9999, though it was written."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999 in UTC") from None


Labels = Annotated[dict[str, str], BeforeValidator(_not_too_many)]
Time = Annotated[AwareDatetime, AfterValidator(in_utc)]


def refused(where: str, lines: list[str], item: object) -> Refused:
    """An item that is no signal. It is kept as text, in which nothing is nested or undecodable."""
    try:
        raw = json.dumps(item)[:RAW_LENGTH_MAX]
    except RecursionError:
        raw = "nested too deeply to be shown"
    return Refused(where, [_ascii(line) for line in lines[:LINES_MAX]], raw)


def not_from_the_future(item: Item, now: datetime, field: str) -> Item:
    """An item as it is, unless it is dated later than clocks may disagree by."""
    if not isinstance(item, Found) or item.signal.starts_at is None or item.signal.starts_at <= now + FUTURE_MAX:
        return item
    late = f"{item.where}.{field}: {item.signal.starts_at.isoformat()} is more than 2 minutes in the future"
    return refused(item.where, [late.lstrip(".")], msgspec.to_builtins(item.signal))


def read_json(body: bytes) -> object:
    """Read a body. WebhookError says where it is no JSON."""
    try:
        text = body.decode()  # Given bytes, `json` would take them for UTF-16 where they look so.
        read: object = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(read, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise WebhookError([f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"]) from error
    except UnicodeEncodeError as error:
        raise WebhookError(["body: half of a surrogate pair, which UTF-8 cannot say"]) from error
    except UnicodeDecodeError as error:
        raise WebhookError([f"byte {error.start}: not UTF-8"]) from error
    except RecursionError as error:
        raise WebhookError(["body: nested too deeply"]) from error
    except ValueError as error:  # A number of thousands of digits, which Python refuses to read.
        raise WebhookError([f"body: {error}"]) from error
    return read


def line_of(location: tuple[int | str, ...], message: str) -> str:
    """Write what pydantic found as `alerts[0].labels.pod: must be a valid string`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    message = message.removeprefix("Value error, ")
    if message.startswith("Input should be a valid dictionary"):
        message = "must be a JSON object"
    message = message.replace("Input should be a valid list", "must be a JSON array")
    message = message.replace("Input should be", "must be")
    return f"{path or 'body'}: {message[:1].lower()}{message[1:]}"


def _ascii(line: str) -> str:
    return line.encode(errors="backslashreplace").decode()
