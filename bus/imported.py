"""Records of a log that was brought in from a file: each carries its own cell, stamp and headers in three of ours.

Whoever reads a stream that is marked as imported puts them back; nobody heeds them anywhere else."""

import base64
from contextlib import suppress
from datetime import datetime

import msgspec
from msgspec.structs import replace

from remediation_orchestrator.events import CellName, StoredMessage
from remediation_orchestrator.events.identity import cell_name

CELL = "Ro-Cell"
RECORDED_AT = "Ro-Recorded-At"
HEADERS = "Ro-Headers"

_headers = msgspec.json.Decoder(dict[str, bytes])
"""By their bytes, which need not be text; msgspec writes bytes as base64."""


def wrapped(message: StoredMessage) -> dict[str, str]:
    """The headers under which a record is stored again."""
    # Its own headers may hold a message id, by which the broker would take it for a repetition.
    headers = {RECORDED_AT: message.recorded_at.isoformat()}
    with suppress(ValueError):
        headers[CELL] = cell_name(message.subject.partition(".")[2].partition(".")[0])
    if message.headers:
        headers[HEADERS] = base64.b64encode(msgspec.json.encode(_raw(message.headers))).decode()
    return headers


def restored(message: StoredMessage) -> StoredMessage:
    """A record of a marked stream as it was in the log that it comes from."""
    headers = message.headers or {}
    if RECORDED_AT not in headers:
        return message
    own = None
    if HEADERS in headers:
        raw = _headers.decode(base64.b64decode(headers[HEADERS]))
        own = {name: value.decode(errors="surrogateescape") for name, value in raw.items()}
    stamp = datetime.fromisoformat(headers[RECORDED_AT])
    subject = in_cell(message.subject, CellName(headers[CELL])) if CELL in headers else message.subject
    return replace(message, recorded_at=stamp, subject=subject, headers=own)


def in_cell(subject: str, cell: CellName) -> str:
    """The same subject in another cell's log; one that names no cell stays as it is."""
    root, _, rest = subject.partition(".")
    _, dot, rest = rest.partition(".")
    return f"{root}.{cell}.{rest}" if dot else subject


def _raw(headers: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode(errors="surrogateescape") for name, value in headers.items()}
