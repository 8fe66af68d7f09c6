"""Nothing of a covered record can be changed without audit naming it: no byte, stamp, subject or header."""

import re
from datetime import timedelta
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from story import CELL
from written import WrittenLog

from remediation_orchestrator.events import (
    BlockCleared,
    Fingerprint,
    RemediationId,
    RetryRequested,
    StoredMessage,
    Target,
    subjects,
)
from remediation_orchestrator.events.subjects import parse
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Drift
from remediation_orchestrator.orchestrator.routing.fold import Fold

LONGEST = 5_000
"""Bytes of the longest record, or more: a place beyond its end is one in it, counted round."""


@cache
def lived() -> tuple[list[StoredMessage], int]:
    """A log with every kind of record, junk and odd headers too, and how far its newest frame covers it."""
    log = WrittenLog()
    log.signal(0, fingerprint="f1")
    log.fails(1, "wfe-2")
    log.store(1.5, subjects.decision(CELL), b"junk")
    log.store(1.5, f"ro.{CELL}.signal.odd", b"\xff\xfe", {"X": "\udcff\udc80", "Nats-Msg-Id": "1"})
    log.signal(2, "Other", fingerprint="f2", target=Target("cart"))
    log.store(2, f"ro.{CELL}.command.workflow.wfe-2", b"")
    for fact in (RetryRequested(RemediationId("rr-2"), by="me"), BlockCleared(Fingerprint("f1"), by="me")):
        log.fact(3, subjects.operator(CELL, fact), fact)
    log.signal(4, "Again", fingerprint="f1")
    log.signal(5, "Last", target=Target("end"))
    fold = Fold()
    for message in log.messages:
        fold.take(message)
    assert fold.broken is None
    return log.messages, fold.chain.read


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, StoredMessage]:
    """One covered record, and what it became: one bit, one microsecond, one letter, one header is another."""
    messages, covered = lived()
    index = draw(st.integers(0, covered - 1))
    message = messages[index]
    return index, draw(st.sampled_from([_byte, _stamp, _subject, _header]))(message, draw)


def _byte(message: StoredMessage, draw: st.DrawFn) -> StoredMessage:
    if not message.payload:
        return replace(message, payload=bytes([draw(st.integers(0, 255))]))
    raw, at = bytearray(message.payload), draw(st.integers(0, LONGEST)) % len(message.payload)
    if draw(st.booleans()):
        raw[at] ^= 1 << at % 8
    else:
        del raw[at]
    return replace(message, payload=bytes(raw))


def _stamp(message: StoredMessage, draw: st.DrawFn) -> StoredMessage:
    by = draw(st.sampled_from([-1, 1]) | st.integers(-(10**9), 10**9).filter(bool))
    return replace(message, recorded_at=message.recorded_at + timedelta(microseconds=by))


def _subject(message: StoredMessage, draw: st.DrawFn) -> StoredMessage:
    """Anything behind the cell's name: a record of another cell is in another log."""
    at = draw(st.integers(len(f"ro.{CELL}."), len(message.subject) - 1))
    letter = draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-.").filter(message.subject[at].__ne__))
    return replace(message, subject=message.subject[:at] + letter + message.subject[at + 1 :])


def _header(message: StoredMessage, draw: st.DrawFn) -> StoredMessage:
    headers = dict(message.headers or {})
    name = draw(st.sampled_from([*headers, "New"]))
    value = draw(st.binary(max_size=3)).decode(errors="surrogateescape")
    changed = {key: kept for key, kept in headers.items() if key != name}
    if name not in headers or draw(st.booleans()):
        changed[name] = value if value != headers.get(name) else f"{value}x"
    return replace(message, headers=changed or None)


@given(changes())
def test_whatever_one_changes_of_a_covered_record_audit_names_it(change: tuple[int, StoredMessage]) -> None:
    """Whether it still reads as something or not; and what was not changed has no finding in its chain."""
    index, other = change
    messages, _ = lived()
    assert messages[index] != other
    try:
        parse(other.subject)
    except ValueError:
        return  # No stream of a log holds such a record, and no file with one is read.
    changed = [*messages[:index], other, *messages[index + 1 :]]
    assert any(one.drift is Drift.CHAIN for one in audit(changed)), (messages[index], other)


def test_what_nobody_changed_is_named_by_nothing() -> None:
    """So what is named above is the change."""
    messages, covered = lived()
    assert covered > len(messages) - 6
    assert not [one for one in audit(messages) if one.drift is Drift.CHAIN]


@pytest.mark.parametrize(
    "field", ["time", "now", "not_after", "occurred_at", "last_failure_at", "until", "start_before", "deadline"]
)
@pytest.mark.parametrize(
    "moment", ["2026-11-21T10:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z"]
)
def test_a_time_without_a_zone_or_of_any_year_is_named_and_stops_no_audit(field: str, moment: str) -> None:
    """It is no time, and cannot be compared with any; nor does one that nobody ever wrote stop anything."""
    messages, covered = lived()
    written = re.compile(rf'"{field}":"[^"]*"'.encode())
    holding = [one for one in messages[:covered] if written.search(one.payload)]
    assert holding
    for message in holding:
        other = replace(message, payload=written.sub(f'"{field}":"{moment}"'.encode(), message.payload, 1))
        changed = [other if one is message else one for one in messages]
        assert list(audit(changed)) != list(audit(messages))
