"""Records of every kind that there is, and mutations of them, from dice: the same seed gives the same bytes."""

import gzip
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, inspect

from remediation_orchestrator.events.codec import CONTENT_TYPE, TYPES
from remediation_orchestrator.events.subjects import FACTS, Family

MOMENT = datetime(2026, 11, 21, 10, tzinfo=UTC)
DEPTH_MAX = 6
NESTED = 30_000
REPEATED_MAX = 12_000
LONG = 80_000
BODY_ITEMS = 90_000
# What is very long costs as much as a thousand short ones, and says little more each time.
SELDOM = 0.02
# A step of a history takes one to a dozen: some ten steps, or fifty.
HISTORY_BYTES = (60, 150, 300)
SHORT_BYTES = (12, 30, 60)
# Ids that a log with these records knows, so that a mutation is about somebody.
NAMED = {
    "execution": "wfe-2",
    "remediation": "rr-2",
    "analysis": "rr-2-a1",
    "of": "rr-2",
    "signal": "2",
    "position": "2",
    "segment": "0" * 64,
    "projection": "0" * 64,
    "by": "ann",
}
VERBS = ("approve", "reject", "clear", "cancel", "retry", "adopt", "shadow", "archive", "accept", "unheard-of")
PEOPLE = ("ann", "ann", "ann", "bob", "a" * 65)
NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.5, 1e308, -0.0),
    *("", " ", "0", "x", "\0", "\x1b[31m", "\u202e", "é", "😀", "rr-2", "wfe-2", "2", "1.0", "firing", "resolved"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:60Z", "2026-11-21", "5m", "-5m", "*", "ro.main.decision"),
    *([], {}, [[]], [{}], {"": ""}, {"name": 5, "x": None}, [1, 1, 1]),
)
RAW = (
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"NaN",
    b"1e999",
    b"-",
    b'"',
    b"\\",
    b"[",
    b"{",
    b"null",
    b"\0",
    b"\xef\xbb\xbf",
)


class FuzzMessage(Struct, frozen=True):
    """One message that somebody could publish."""

    subject: str
    payload: bytes
    headers: dict[str, str] | None = None


def example(kind: type) -> Any:
    """One value of a type, with every field that there is, as it is written in JSON."""
    return _example(inspect.type_info(kind), "", 0)


def _example(kind: inspect.Type, name: str, depth: int) -> Any:
    match kind:
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag):
            known = {field.encode_name: _example(field.type, field.encode_name, depth + 1) for field in fields}
            return {tag_field: tag, **known} if tag_field else known
        case inspect.UnionType(types=types):
            return _example(types[-1 if isinstance(types[0], inspect.NoneType) else 0], name, depth)
        case (
            inspect.ListType(item_type=item)
            | inspect.VarTupleType(item_type=item)
            | inspect.SetType(item_type=item)
        ):
            return [_example(item, name, depth + 1)] if depth < DEPTH_MAX else []
        case inspect.TupleType(item_types=items):
            return [_example(item, name, depth + 1) for item in items]
        case inspect.DictType(value_type=value):
            return {"a": _example(value, name, depth + 1)} if depth < DEPTH_MAX else {}
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=enum):
            return next(iter(enum)).value
        case inspect.BoolType():
            return True
        case inspect.IntType(ge=least):
            return least or 0
        case inspect.FloatType():
            return 0.5
        case inspect.DateTimeType():
            return MOMENT
        case inspect.TimeDeltaType():
            return "PT5M"
        case inspect.StrType():
            return NAMED.get(name, "a")
        case _:
            return {}


def event(kind: str) -> dict[str, Any]:
    """A whole CloudEvent of a kind."""
    return {
        "specversion": "1.0",
        "id": "claim-3-1",
        "source": "/fuzz",
        "type": kind,
        "time": MOMENT,
        "datacontenttype": CONTENT_TYPE,
        "causationid": "3",
        "data": example(TYPES[kind]),
    }


def _bodies() -> dict[str, bytes]:
    """What monitoring systems send to the door, one well-formed body of each."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "Slow", "severity": "warning", "namespace": "shop", "pod": "checkout-7d9f"},
        "annotations": {"summary": "slow"},
        "startsAt": "2026-11-21T09:59:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "a3f1",
    }
    involved = {"kind": "Pod", "namespace": "shop", "name": "checkout", "uid": "1"}
    occurred = {"reason": "BackOff", "type": "Warning", "lastTimestamp": "2026-11-21T09:59:00Z", "message": "m"}
    written = {
        "alertmanager": {"version": "4", "status": "firing", "alerts": [alert, alert]},
        "grafana": {"version": "1", "state": "alerting", "title": "t", "alerts": [alert]},
        "kubernetes": {"kind": "EventList", "items": [{**occurred, "involvedObject": involved}]},
        "cloudevents": event("SignalReceived.v1"),
    }
    return {source: msgspec.json.encode(body) for source, body in written.items()}


KINDS = {kind: msgspec.json.encode(event(kind)) for kind in TYPES}
BODIES = _bodies()
FACTS_OF = {family: [kind for kind in TYPES if TYPES[kind] in kinds] for family, kinds in FACTS.items()}


def subject(dice: random.Random, kind: str) -> str:
    """Where a record of a kind belongs, mostly; and sometimes anywhere."""
    home = next((family for family, kinds in FACTS_OF.items() if kind in kinds), None)
    family = home if home is not None and dice.random() < 0.8 else dice.choice(list(Family))
    match family:
        case Family.SIGNAL:
            rest = "fuzz"
        case Family.ANALYSIS:
            rest = "rr-2"
        case Family.EXECUTION:
            rest = dice.choice(("wfe-2", "wfe-2", "wfe-9"))
        case Family.OPERATOR:
            rest = f"{dice.choice(VERBS)}.{dice.choice(PEOPLE)}"
        case Family.COMMAND:
            rest = dice.choice(("workflow.wfe-2", "analyze.rr-2-a1", "cancel.wfe-2", "notify.rr-2-0", "odd.odd"))
        case Family.DECISION:
            return "ro.main.decision"
    return f"ro.main.{family}.{rest}"


class Mutator:
    """Cases from one seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(f"{seed}:fuzz")

    def case(self) -> FuzzMessage:
        """The next case."""
        dice = self.dice
        kind = dice.choice(list(KINDS))
        payload = KINDS[kind]
        if dice.random() < 0.25:  # A bare signal, or other bare data.
            payload = msgspec.json.encode(msgspec.json.decode(payload)["data"])
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
            payload = dice.choice(MUTATIONS)(dice, payload)
        if dice.random() < 0.2:
            others = [dice.choice(list(KINDS.values())) for _ in range(dice.choice((0, 1, 2)))]
            payload = b"[" + b",".join([payload, *others]) + b"]"
        headers = {"Nats-Stream": "RO_main"} if dice.random() < 0.01 else None
        return FuzzMessage(subject(dice, kind), payload, headers)

    def history(self) -> FuzzMessage:
        """The next history: any bytes tell one."""
        return FuzzMessage("history", self.dice.randbytes(self.dice.choice(HISTORY_BYTES)))

    def short(self) -> FuzzMessage:
        """The next short history."""
        return FuzzMessage("history", self.dice.randbytes(self.dice.choice(SHORT_BYTES)))

    def body(self) -> FuzzMessage:
        """The next case for the door: its subject is the path."""
        dice = self.dice
        source = dice.choice(list(BODIES))
        payload = BODIES[source]
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
            payload = dice.choice(MUTATIONS)(dice, payload)
        if dice.random() < SELDOM:
            payload = b'{"alerts":[' + b",".join([b"{}"] * BODY_ITEMS) + b"]}"
        if dice.random() < 0.05:
            payload = gzip.compress(payload, mtime=0)
        return FuzzMessage(f"/v1/{source}", payload)


def _place(dice: random.Random, payload: bytes) -> int:
    return dice.randrange(len(payload) + 1)


def _flip(dice: random.Random, payload: bytes) -> bytes:
    place = _place(dice, payload)
    return payload[:place] + bytes((dice.randrange(256),)) + payload[place + 1 :]


def _delete(dice: random.Random, payload: bytes) -> bytes:
    place = _place(dice, payload)
    return payload[:place] + payload[place + dice.choice((1, 2, 8, 50)) :]


def _insert(dice: random.Random, payload: bytes) -> bytes:
    place = _place(dice, payload)
    return payload[:place] + dice.choice(RAW) + payload[place:]


def _truncate(dice: random.Random, payload: bytes) -> bytes:
    return payload[: _place(dice, payload)]


def _repeat(dice: random.Random, payload: bytes) -> bytes:
    place = _place(dice, payload)
    piece = payload[place : place + dice.choice((1, 3, 20))]
    return payload[:place] + piece * dice.choice((2, 3, 50, 500)) + payload[place:]


def _nest(dice: random.Random, payload: bytes) -> bytes:
    opened, closed = dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"data":', b"}")))
    times = NESTED if dice.random() < SELDOM else dice.choice((3, 99, 100, 101, 1_000))
    return opened * times + payload + closed * dice.choice((times, 0))


def _many(dice: random.Random, payload: bytes) -> bytes:
    piece = dice.choice((b"1", b"{}", b"null", b'{"name":5}', payload[:400]))
    times = REPEATED_MAX if dice.random() < SELDOM else dice.choice((16, 17, 200))
    return b"[" + b",".join([piece] * times) + b"]"


def _change(dice: random.Random, payload: bytes) -> bytes:
    """Change something about the value that is written."""
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _flip(dice, payload)
    at = value
    for _ in range(dice.randrange(DEPTH_MAX)):
        inner = _inner(at)
        below = [one for one in inner if isinstance(one, dict | list) and one]
        if not below:
            break
        at = dice.choice(below)
    try:
        return msgspec.json.encode(_changed(dice, value, at))
    except (OverflowError, ValueError, msgspec.MsgspecError):
        return payload


def _inner(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _changed(dice: random.Random, value: Any, at: Any) -> Any:
    nasty = dice.choice(NASTY) if dice.random() > SELDOM else dice.choice("1a-. /") * LONG
    if isinstance(at, dict) and at:
        key = dice.choice(list(at))
        match dice.randrange(4):
            case 0:
                del at[key]
            case 1:
                at[key + dice.choice(("", "_", "\0"))] = nasty
            case 2:
                at[key] = [at[key], nasty]
            case _:
                at[key] = nasty
        return value
    if isinstance(at, list) and at:
        at[dice.randrange(len(at))] = nasty
        return value
    return nasty


def _twice(dice: random.Random, payload: bytes) -> bytes:
    """One key twice, as no library writes it."""
    key = dice.choice((b'"name"', b'"type"', b'"specversion"', b'"data"', b'"target"', b'"execution"'))
    value = dice.choice((b"5", b"null", b'"x"', b"{}", b'"\xff"', b'"\\ud800"'))
    place = payload.find(b"{", _place(dice, payload))
    return payload[: place + 1] + key + b":" + value + b"," + payload[place + 1 :]


def _beside(dice: random.Random, payload: bytes, more: bytes) -> bytes:
    """One field more of some object, which nobody knows."""
    place = payload.find(b"{", _place(dice, payload))
    return payload[: place + 1] + more + b"," + payload[place + 1 :]


def _behind_a_backslash(dice: random.Random, payload: bytes) -> bytes:
    """Something deep behind a text that ends as a path does."""
    times = dice.choice((3, 99, 100, 101, 101, 150, 150))
    opened, closed = dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
    text = dice.choice((b"C:\\\\", b'\\"', b'\\\\\\"', b"plain"))
    return _beside(dice, payload, b'"text":"' + text + b'","deep":' + opened * times + b"1" + closed * times)


def _parameters(dice: random.Random, payload: bytes) -> bytes:
    """Numbers that grow as they are written again."""
    numbers = b",".join([dice.choice((b"9e15", b"1e15", b"1", b'"x"'))] * dice.choice((3, 4_000, 12_000, 14_000)))
    return payload.replace(b'"parameters":{', b'"parameters":{"many":[' + numbers + b"],", 1)


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_change, _change, _change, _change, _change),
    *(_flip, _delete, _insert, _truncate, _repeat, _nest, _many, _twice, _twice, _parameters),
    *(_behind_a_backslash,) * 3,
)
