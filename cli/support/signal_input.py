"""What people and monitoring systems hand over, as signals. All of it is checked before anything is published."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from remediation_orchestrator.events import (
    Recorded,
    SignalReceived,
    SignalResolved,
    StoredMessage,
    Target,
    Undecodable,
    decode,
)
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX
from remediation_orchestrator.events.wording import plainly
from remediation_orchestrator.gateway.formats.alertmanager import items_of
from remediation_orchestrator.gateway.items import Found, WebhookError
from remediation_orchestrator.gateway.said import lines_of

from .output import BadInputError

AnySignal = SignalReceived | SignalResolved

# Sixteen times as much as any fact: spaces and line ends are no part of one.
INPUT_BYTES_MAX = 16 * MESSAGE_BYTES_MAX

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def read_input(path: str) -> bytes:
    """Read a file, or standard input where it is `-`, within the bound. Raises OSError, BadInputError."""
    if path == "-":
        found = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
    else:
        with Path(path).open("rb") as file:
            found = file.read(INPUT_BYTES_MAX + 1)
    if len(found) > INPUT_BYTES_MAX:
        raise BadInputError(f"{path}: larger than {INPUT_BYTES_MAX:,} bytes, and a fact has {MESSAGE_BYTES_MAX:,}")
    return found


def parse_target(text: str) -> Target:
    """Read `[cluster/][namespace/][Kind/]name`; a kind begins with a capital letter. Raises ValueError."""
    *before, name = text.split("/")
    kind = before.pop() if before and before[-1][:1].isupper() else ""
    if not name or len(before) > 2 or "" in before:
        raise ValueError(f"a target is written as [cluster/][namespace/][Kind/]name, not {text!r}")
    namespace = before.pop() if before else ""
    return Target(name=name, cluster=before.pop() if before else "", namespace=namespace, kind=kind)


def parse_pair(text: str) -> tuple[str, str]:
    """Read `key=value`. Raises ValueError."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"written as KEY=VALUE, not {text!r}")
    return key, value


def parse_value(text: str) -> object:
    """Read a parameter's value: true, false or a number where it is one, else text."""
    if text in ("true", "false"):
        return text == "true"
    if NUMBER.fullmatch(text) and len(text) < 16:
        return float(text) if "." in text else int(text)
    return text


def signal_of(said: dict[str, object], subject: str) -> AnySignal:
    """Make the signal that options describe. Raises BadInputError."""
    return _checked(msgspec.json.encode(said), subject, "the signal")


def read_signals(body: bytes, name: str, subject: str) -> list[AnySignal]:
    """Read a JSON object, a JSON array or JSON Lines of signals. Raises BadInputError saying what and where."""
    if not body.strip():
        raise BadInputError(f"{name}: empty")
    if body.lstrip()[:1] == b"[":
        return [
            _checked(bytes(item), subject, f"{name}: [{index}]") for index, item in enumerate(_items(body, name))
        ]
    lines = [(1, body)] if _fault(body) is None else list(enumerate(body.splitlines(), start=1))
    filled = [(number, text) for number, text in lines if text.strip()]
    if len(filled) == 1:
        return [_checked(filled[0][1], subject, name)]
    if _fault(filled[0][1]) is not None:
        raise BadInputError(f"{name}: not JSON: {_fault(body)}")
    return [_checked(text, subject, f"{name}, line {number}") for number, text in filled]


def read_alertmanager(body: bytes, name: str) -> list[AnySignal]:
    """Read a webhook body of Alertmanager; what of it is left out is said. Raises BadInputError."""
    try:
        lines = lines_of(items := list(items_of(body, datetime.now(UTC))))
        wrong = lines["rejected"]
    except WebhookError as error:
        wrong = error.lines
    if wrong:
        raise BadInputError(f"{name}: {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if wrong[1:] else ""))
    for line in [*lines["left_out"], *lines["remarks"]]:
        click.echo(f"ro: {name}: {line}", err=True)
    return [item.signal for item in items if isinstance(item, Found)]


def _checked(item: bytes, subject: str, where: str) -> AnySignal:
    """Read one signal as the log will, bare or as a CloudEvent."""
    if item.lstrip()[:1] != b"{":
        fault = _fault(item)
        if fault is not None:
            raise BadInputError(f"{where}: not JSON: {fault}")
        raise BadInputError(f"{where}: a signal is a JSON object")
    try:
        (found,) = decode(StoredMessage(1, datetime.now(UTC), subject, item))
    except RecursionError as error:
        raise BadInputError(f"{where}: nested too deeply") from error
    if isinstance(found, Undecodable):
        raise BadInputError(f"{where}: {plainly(found.message)}")
    assert isinstance(found, Recorded)
    assert isinstance(found.event, SignalReceived | SignalResolved)
    if found.event.starts_at is None:
        _check_no_time(item, where)
    return found.event


def _check_no_time(item: bytes, where: str) -> None:
    """What was left out because it is no time is a mistake that somebody is there to mend."""
    read = msgspec.json.decode(item)
    said = (read.get("data") or read if "specversion" in read else read).get("starts_at")
    if said is not None:
        raise BadInputError(
            f"{where}: `starts_at`: {said!r} is no time with a zone, or lies more than 2 minutes ahead"
        )


def _items(body: bytes, name: str) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"{name}: not JSON: {_fault(body)}") from error


def _fault(body: bytes) -> str | None:
    """What keeps a body from being JSON."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)
    except RecursionError:
        return "nested too deeply"
    return None
