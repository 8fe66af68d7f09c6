"""A signal as everybody reads it, however it came: its fingerprint settled, and in what its target stands, its
severity in lower case, and its time, where it is one that can be.

Nothing that is decided depends on when a signal says that it began. So a time that cannot be read, or that lies
ahead of its record, is left out, and the signal counts."""

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Raw

from .facts import Signal, SignalReceived, SignalResolved
from .identity import fingerprint_of, within_of
from .reading import UndecodableError, decoder_of, read

AnySignal = SignalReceived | SignalResolved

# What clocks may disagree by; whatever is dated later is a mistake.
FUTURE_MAX = timedelta(minutes=2)
_TIME = "starts_at"
_fields = msgspec.json.Decoder(dict[str, Raw])


def read_signal(item: bytes | Raw, kind: type[AnySignal] = SignalReceived, where: str = "") -> AnySignal:
    """Read one signal, without its time where only that is wrong. Raises UndecodableError."""
    try:
        found: AnySignal = read(decoder_of(kind), item, kind, where)
    except UndecodableError:
        fields = _without_time(item)
        if fields is None:
            raise
        found = read(decoder_of(kind), fields, kind, where)
    return found


def normalise_signal(signal: Signal) -> AnySignal:
    """Settle a signal's fingerprint and severity; either its type or its status may say that it is over."""
    if not signal.fingerprint:
        signal = msgspec.structs.replace(signal, fingerprint=fingerprint_of(signal.target, signal.name))
    if not signal.severity.islower():
        signal = msgspec.structs.replace(signal, severity=signal.severity.lower())
    if signal.within:
        signal = msgspec.structs.replace(signal, within=within_of(signal.target, signal.within))
    over = signal.status == "resolved"
    if isinstance(signal, SignalResolved):
        return signal if over else msgspec.structs.replace(signal, status="resolved")
    if isinstance(signal, SignalReceived) and not over:
        return signal
    return SignalResolved(**{**msgspec.structs.asdict(signal), "status": "resolved"})


def drop_impossible_start(signal: AnySignal, recorded_at: datetime) -> AnySignal:
    """A signal without its time, where that lies ahead of its record or is none in UTC."""
    began = signal.starts_at
    if began is None or (began.tzinfo is UTC and began - recorded_at <= FUTURE_MAX):
        return signal
    try:
        if began.astimezone(UTC) - recorded_at <= FUTURE_MAX:
            return signal
    except OverflowError:
        pass
    return msgspec.structs.replace(signal, starts_at=None)


def _without_time(item: bytes | Raw) -> bytes | None:
    try:
        fields = _fields.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if fields.pop(_TIME, None) is None:
        return None
    return msgspec.json.encode(fields)
