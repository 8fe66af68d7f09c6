"""`ro replay`: the state of a cell at the end of its log, at any moment of it, or what changed between two."""

from collections import deque
from datetime import UTC, datetime

import click
import msgspec

from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.replay import (
    CellState,
    FingerprintRow,
    PolicyRow,
    RemediationRow,
    Row,
    StateChange,
    TargetRow,
    changes,
    state,
)
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.snapshot import Manifest
from remediation_orchestrator.orchestrator.snapshots import from_beginning

from .support.connection import LogSource, reading_options
from .support.moments import Moment, MomentType, check_known, cut_of, until_option
from .support.output import BadInputError, json_line, line, moment, reading
from .support.running import run
from .support.tables import Cell, table


@click.command("replay")
@until_option
@click.option(
    "--diff", "between", metavar="A B", type=MomentType(), nargs=2, help="What changed between two moments."
)
@reading_options
def verb(source: LogSource, until: Moment | None, between: tuple[Moment, Moment] | None, as_json: bool) -> None:
    """Rebuild what the cell knows from its log, and show it. A moment is a sequence or a time."""
    if until is not None and between is not None:
        raise BadInputError("--until or --diff, not both")
    run(_replay(source, until, between, as_json))


async def _replay(
    source: LogSource, until: Moment | None, between: tuple[Moment, Moment] | None, as_json: bool
) -> None:
    live = source.file is None
    async with source.log() as log:
        if between is None:
            _tell_state(await state_at(log, until, live=live), as_json)
            return
        before, after = [await state_at(log, one, live=live) for one in between]
    if (before.sequence, before.at) > (after.sequence, after.at):
        raise BadInputError(f"--diff goes from the earlier to the later: {between[0]} is after {between[1]}")
    _tell_changes(before, after, as_json)


async def state_at(log: ReadableLog, until: Moment | None, *, live: bool) -> CellState:
    """Fold a log up to a moment. Raises BadInputError where the log does not reach it."""
    chronicle = Chronicle(keep=False)
    fold = Fold(chronicle)
    goes_on = False
    with reading(f"replaying the log of {log.cell}"):
        origin = await from_beginning(fold, log)
        if origin is not None and until is not None:
            _check_begun(until, origin.head, fold.view.newest)
        start = fold.read + 1
        cut = None if until is None else await cut_of(log, until, start, fold.view.newest)
        async for message in log.read(start):
            goes_on = cut is not None and not cut.holds(message.sequence)
            if goes_on:
                break
            fold.take(message)
    check_known(fold.unknown)
    if cut is not None:  # What takes a fact, and bounds its moment, may stand behind the end.
        fold.facts = deque(map(cut.moments.of, fold.facts))
    fold.fold_facts()
    newest = fold.view.newest
    now = max(newest, datetime.now(UTC)) if live else newest
    if until is not None and not goes_on:
        _check_reached(until, fold.read, now)
    at = until if isinstance(until, datetime) else (newest if until is not None else now)
    return state(fold.view, chronicle, fold.read, at)


def _check_begun(until: Moment, head: Manifest, newest: datetime) -> None:
    archived = until < newest if isinstance(until, datetime) else until < head.sequence
    if archived:
        what = f"what was through {head.through} is archived: give its file, and the rest's, by --log each"
        raise BadInputError(f"the state is known from the frame {head.sequence} on; {what}")


def _check_reached(until: Moment, last: int, now: datetime) -> None:
    if isinstance(until, datetime):
        if until > now:
            raise BadInputError(f"{until.isoformat()} is still to come: this log is known up to {now.isoformat()}")
    elif until > last:
        raise BadInputError(f"sequence {until} is beyond the end of the log, which is {last}")


def _tell_state(found: CellState, as_json: bool) -> None:
    if as_json:
        json_line({"kind": "moment", "sequence": found.sequence, "at": found.at})
        for row in found.rows():
            json_line(row)
        return
    origin = "adopted" if found.policy.adopted else "the defaults, none was adopted yet"
    line(f"after record {found.sequence}, at {moment(found.at)}; policy {found.policy.digest[:12]}, {origin}")
    _section("fingerprints", FINGERPRINT, [_cells(row) for row in found.fingerprints])
    _section("targets held or waited for", TARGET, [_cells(row) for row in found.targets])
    _section("active remediations", REMEDIATION, [_cells(row) for row in found.remediations])


FINGERPRINT = ("FINGERPRINT", "FAILURES", "LAST FAILURE", "NEXT ALLOWED", "COMPLETED", "ACTIVE")
TARGET = ("TARGET", "HELD BY", "OF", "QUEUE")
REMEDIATION = ("ID", "NAME", "TARGET", "PHASE", "REASON", "UNTIL", "ATTEMPTS")
# What there may be no room for, the first first.
OPTIONAL = ("ATTEMPTS", "LAST FAILURE", "COMPLETED", "NAME", "UNTIL")


def _section(title: str, columns: tuple[str, ...], rows: list[tuple[Cell, ...]]) -> None:
    line("")
    line(f"{title}: {len(rows) or 'none'}")
    if rows:
        table(columns, rows, optional=[name for name in OPTIONAL if name in columns])


def _columns(row: Row) -> tuple[str, ...]:
    match row:
        case PolicyRow():
            return ("POLICY",)
        case FingerprintRow():
            return FINGERPRINT
        case TargetRow():
            return TARGET
        case RemediationRow():
            return REMEDIATION


def _cells(row: Row) -> tuple[Cell, ...]:
    match row:
        case PolicyRow():
            return (row.digest,)
        case FingerprintRow():
            failed, completed = moment(row.last_failure_at), moment(row.completed_at)
            return row.fingerprint[:12], row.failures, failed, row.next_allowed, completed, row.active
        case TargetRow():
            lost = " (lost)" if row.lost else ""
            held = f"{row.execution}{lost}" if row.execution else ""
            return str(row.target), held, row.remediation, ", ".join(row.queue)
        case RemediationRow():
            until = moment(row.until)
            return row.id, row.name, str(row.target), row.phase, row.reason, until, row.attempts


def _tell_changes(before: CellState, after: CellState, as_json: bool) -> None:
    found = list(changes(before, after))
    if as_json:
        for one in found:
            json_line(one)
        return
    line(f"from record {before.sequence}, {moment(before.at)}, to {after.sequence}, {moment(after.at)}")
    if not found:
        line("nothing changed")
        return
    table(("WHAT", "WHICH", "BEFORE", "AFTER"), [_change(one) for one in found])


# `next_allowed` says in words what these say to programs.
SAID_ALREADY = ("allowed", "next_allowed_at")


def _change(one: StateChange) -> tuple[Cell, ...]:
    row = one.after or one.before
    assert row is not None
    if isinstance(row, PolicyRow):
        return (
            one.kind,
            "in force",
            *(str(_cells(each)[0])[:12] if each else "-" for each in (one.before, one.after)),
        )
    which = str(_cells(row)[0])
    if one.before is None or one.after is None:
        named = zip(_columns(row)[1:], _cells(row)[1:], strict=True)
        whole = ", ".join(f"{name.lower()} {cell}" for name, cell in named if cell not in (None, ""))
        return one.kind, which, whole if one.before else "-", whole if one.after else "-"
    before, after = _values(one.before), _values(one.after)
    shown = [name for name in before if before[name] != after[name] and name not in SAID_ALREADY]
    return one.kind, which, _said(before, shown), _said(after, shown)


def _values(row: Row) -> dict[str, object]:
    values: dict[str, object] = msgspec.to_builtins(row, builtin_types=(datetime,))
    return values


def _said(values: dict[str, object], names: list[str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_word(values[name])}" for name in names)


def _word(value: object) -> str:
    match value:
        case datetime():
            return moment(value)
        case list():
            return " ".join(str(part) for part in value) or "-"
        case dict():
            return "another"
        case None:
            return "-"
        case _:
            return str(value)
