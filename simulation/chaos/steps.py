"""A broker's clock that steps: what each of its stamps would be, had it stepped, and the bytes that tell it.

The server's own clock cannot be moved here, so what it tells of a stamp is moved on its way: always by the same
whole seconds for the same stamp, whoever asks and how often. They keep every length: no message is cut anew."""

import bisect
import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

NANOSECONDS = 1_000_000_000
_END = b"\r\n"
# Where JetStream tells a stamp: in the reply subject of a delivery, in its answers, and in a direct get's headers.
_DELIVERY = re.compile(rb"(\$JS\.ACK\.(?:[^. ]+\.){2,4}\d+\.\d+\.\d+\.)(\d+)(\.\d+(?:\.[^. ]+)?)$")
_ANSWER = b'{"type":"io.nats.jetstream.api.v1.stream_'
_TOLD = re.compile(rb'"(time|first_ts|last_ts|ts)":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)((?:\.\d+)?Z)"')
_OF_RECORDS = (b"time", b"Nats-Time-Stamp")
_HEADER = re.compile(rb"\r\n(Nats-Time-Stamp): (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)((?:\.\d+)?Z)(?=\r\n)")


class ClockStep(Struct, frozen=True):
    """From here on, in the true clock's nanoseconds, stamps are so many seconds ahead, or below zero behind.

    With `once` that is so of one stamp alone: the first of the log that anybody is told at or after it."""

    at: int
    seconds: int
    once: bool = False


class Steps:
    """All steps of a clock."""

    def __init__(self) -> None:
        self._at: list[int] = []
        self._seconds: list[int] = []
        self._waiting: list[ClockStep] = []
        self._singled: dict[int, int] = {}
        self._newest = 0
        """Of all stamps that were told."""

    def add(self, step: ClockStep) -> None:
        """Step once more, behind every stamp that was told already: what was said of those stays true."""
        if step.once:
            self._waiting.append(step)
            return
        at = max(step.at, self._newest + 1)
        place = bisect.bisect_right(self._at, at)
        self._at.insert(place, at)
        self._seconds.insert(place, step.seconds)

    def tell(self, stamp: int, *, of_log: bool = False) -> int:
        """Say how far ahead a record's stamp is told, for ever. `of_log`: a record of the log is delivered."""
        is_new, self._newest = stamp > self._newest, max(self._newest, stamp)
        if of_log and is_new and self._waiting and stamp >= self._waiting[0].at:
            self._singled[stamp] = self._waiting.pop(0).seconds
        return self.seconds(stamp)

    def seconds(self, stamp: int) -> int:
        """How far ahead this stamp is, as of now."""
        found = self._singled.get(stamp)
        if found is not None:
            return found
        place = bisect.bisect_right(self._at, stamp)
        return self._seconds[place - 1] if place else 0

    @property
    def singled(self) -> dict[int, int]:
        """The stamps that were told otherwise, each alone."""
        return dict(self._singled)


class Wire:
    """What the server says to one client, with the stamps as the stepped clock would have made them."""

    def __init__(self, steps: Steps, stream: str) -> None:
        self._steps = steps
        self._log = f"$JS.ACK.{stream}.".encode()
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the server, and return what can go on to the client."""
        rest, said, at = self._rest + data, [], 0
        while (end := rest.find(_END, at)) >= 0:
            line, after = rest[at:end], end + len(_END)
            if line.startswith((b"MSG ", b"HMSG ")):
                whole = after + int(line[line.rfind(b" ") + 1 :]) + len(_END)
                if len(rest) < whole:
                    break
                said.append(self._message(line, rest[after:whole]))
                after = whole
            else:
                said.append(rest[at:after])
            at = after
        self._rest = rest[at:]
        return b"".join(said)

    def _message(self, line: bytes, payload: bytes) -> bytes:
        words = line.split(b" ")
        has_reply = len(words) == (5 if words[0] == b"MSG" else 6)
        if has_reply:
            words[3] = _DELIVERY.sub(self._delivery, words[3])
        elif payload.startswith(_ANSWER):
            payload = _TOLD.sub(self._told(b'"%s":"%s%s"'), payload)
        elif words[0] == b"HMSG":
            head = int(words[-2])
            payload = _HEADER.sub(self._told(b"\r\n%s: %s%s"), payload[:head]) + payload[head:]
        return b" ".join(words) + _END + payload

    def _delivery(self, found: "re.Match[bytes]") -> bytes:
        stamp = int(found[2])
        ahead = self._steps.tell(stamp, of_log=found[1].startswith(self._log))
        return b"%s%d%s" % (found[1], stamp + ahead * NANOSECONDS, found[3])

    def _told(self, form: bytes) -> "_Telling":
        return _Telling(self._steps, form)


class _Telling:
    """Tells a date of an answer as the stepped clock would have."""

    def __init__(self, steps: Steps, form: bytes) -> None:
        self._steps = steps
        self._form = form

    def __call__(self, found: "re.Match[bytes]") -> bytes:
        second = datetime.fromisoformat(found[2].decode()).replace(tzinfo=UTC)
        fraction = found[3].strip(b".Z").ljust(9, b"0")
        stamp = int(second.timestamp()) * NANOSECONDS + int(fraction)
        ahead = self._steps.tell(stamp) if found[1] in _OF_RECORDS else self._steps.seconds(stamp)
        told = (second + timedelta(seconds=ahead)).isoformat()[: len(found[2])]
        return self._form % (found[1], told.encode(), found[3])
