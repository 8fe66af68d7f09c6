"""What a body holds: signals, what should be one and is none, and what is no alert. None is skipped in silence."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from msgspec import Struct
from pydantic import BeforeValidator

from remediation_orchestrator.events import SignalReceived, SignalResolved
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.places import Place, path_of
from remediation_orchestrator.events.signals import FUTURE_MAX

from .times import moment_of

T = TypeVar("T")
AnySignal = SignalReceived | SignalResolved

# What is kept of an item that is no signal: enough to see what it was.
RAW_LENGTH_MAX = 2_000
# More than the alerts of any cluster; each may be an objection of its own.
ITEMS_MAX = 20_000
# Commas and brackets, wherever they stand: a usual alert has twenty. Each may be a value, of 70 bytes and more.
VALUES_MAX = 250_000
# Beyond all numbers that mean anything; reading one takes the square of its length.
DIGITS_MAX = 300
# Monitoring systems send tens. Each may be an objection of its own.
LABELS_MAX = 1_000
# What a body becomes: four times what is taken of one, since envelopes are larger than small alerts.
STORED_BYTES_MAX = 16 * 1024 * 1024
TOO_MUCH = f"its signals are larger than {STORED_BYTES_MAX:,} bytes: send fewer alerts at once"
# What is said of one item; of the rest there is no room in its record either.
LINES_MAX = 20


class WebhookError(ValueError):
    """A body that cannot be taken: one line for each thing that is wrong, saying what and where."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class BodyTooLargeError(WebhookError):
    """A body that may be well formed, and is more than the log takes at once."""


class Found(Struct, frozen=True):
    """An item that is a signal. `by` says by which rule each part of it was found.

    `attributes` are those that its sender gave the event, where it did; `remarks` say what of it was left out."""

    where: str
    signal: AnySignal
    by: dict[str, str] = {}
    attributes: Attributes | None = None
    remarks: list[str] = []


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


def bound_items(items: Sequence[T]) -> Sequence[T]:
    """Return what is not too much to be looked at. BodyTooLargeError where it is: nothing was validated yet."""
    if len(items) > ITEMS_MAX:
        raise BodyTooLargeError(
            [f"{len(items):,} items, and a body has at most {ITEMS_MAX:,}: send fewer at once"]
        )
    return items


def _not_too_many(labels: object) -> object:
    if isinstance(labels, dict) and len(labels) > LABELS_MAX:
        raise ValueError(f"{len(labels):,} of them, and there are at most {LABELS_MAX:,}")
    return labels


Labels = Annotated[dict[str, str], BeforeValidator(_not_too_many)]


def refuse(where: str, lines: list[str], item: object) -> Refused:
    """An item that is no signal. It is kept as text, in which nothing is nested or undecodable."""
    try:
        raw = json.dumps(item)[:RAW_LENGTH_MAX]
    except RecursionError:
        raw = "nested too deeply to be shown"
    return Refused(where, [_ascii(line) for line in lines[:LINES_MAX]], raw)


def began(said: object, now: datetime, where: str, **how: Any) -> tuple[datetime | None, list[str]]:
    """When a source says that something began, as `moment_of` reads it; or nothing, and why that was left out."""
    try:
        moment = moment_of(said, **how)
        if moment is None or moment - now <= FUTURE_MAX:
            return moment, []
        why = f"{moment.isoformat()} is more than 2 minutes in the future"
    except ValueError as error:
        why = str(error)
    return None, [_ascii(f"{where}: {why}: left out")]


def read_json(body: bytes) -> object:
    """Read a body. WebhookError says where it is no JSON."""
    if (many := sum(body.count(mark) for mark in (b",", b"[", b"{"))) > VALUES_MAX:
        raise BodyTooLargeError(
            [f"{many:,} commas and brackets, and a body has at most {VALUES_MAX:,}: send less at once"]
        )
    try:
        text = body.decode()  # Given bytes, `json` would take them for UTF-16 where they look so.
        read: object = json.loads(text, parse_int=_integer)
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
    except ValueError as error:
        raise WebhookError([f"body: {error}"]) from error
    return read


def _integer(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"a number of {len(digits):,} digits, and it has at most {DIGITS_MAX}")
    return int(digits)


def line_of(location: Place, message: str) -> str:
    """Write what pydantic found as `alerts[0].labels.pod: must be a valid string`."""
    message = message.removeprefix("Value error, ")
    if message.startswith("Input should be a valid dictionary"):
        message = "must be a JSON object"
    message = message.replace("Input should be a valid list", "must be a JSON array")
    message = message.replace("Input should be", "must be")
    return f"{path_of(location) or 'body'}: {message[:1].lower()}{message[1:]}"


def _ascii(line: str) -> str:
    return line.encode(errors="backslashreplace").decode()
