"""`ro audit`: derive every decision again, and say where the log does not hold."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

import click

from remediation_orchestrator.bus.file import AFTER_ENDING, FileSnapshots, segment_digest
from remediation_orchestrator.bus.port import LogError, ReadableLog
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.queries.audit import Auditor
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift, Finding, Report
from remediation_orchestrator.orchestrator.routing.snapshot import Origin, SnapshotError
from remediation_orchestrator.orchestrator.snapshots import Comparison, from_beginning

from .support.connection import LogSource, reading_options
from .support.output import BadInputError, json_line, line, reading
from .support.running import run
from .support.tables import fields, table

NO = 1
# More is for programs: whoever reads a table begins with its first line.
SHOWN_MAX = 20


@click.command("audit")
@click.option("--snapshots", is_flag=True, help="Hold the snapshot that is kept against the whole log, too.")
@reading_options
def verb(source: LogSource, snapshots: bool, as_json: bool) -> None:
    """Derive every decision of the log again. Exit 0: equal; 1: it does not hold; 2: it cannot be read."""
    if run(_audit(source, snapshots, as_json)):
        raise click.exceptions.Exit(NO)


async def _audit(source: LogSource, snapshots: bool, as_json: bool) -> int:
    """Audit and tell; return how many findings count against the log."""
    auditor, telling = Auditor(Report()), Telling(as_json)
    async with source.log() as log:
        origin = await from_beginning(auditor.fold, log)
        if origin is not None:
            auditor.resume(origin)
        comparisons = [one async for one in _comparisons(source, log)] if snapshots else None
        with reading(f"auditing the log of {log.cell}"):
            async for message in log.read(auditor.fold.read + 1):
                telling.take(auditor.take(message))
                if auditor.newer is not None:
                    raise BadInputError(auditor.newer)
                for comparison in comparisons or ():
                    if comparison.begins <= message.sequence <= comparison.head.sequence:
                        telling.take(_compare(comparison, auditor, message))
        telling.take(auditor.end())
        telling.take(segment_findings(source.files, auditor))
        if auditor.newer is not None:
            raise BadInputError(auditor.newer)
        telling.sum_up(log.cell, auditor, comparisons, origin)
    return telling.drift


async def _comparisons(source: LogSource, log: ReadableLog) -> AsyncIterator[Comparison]:
    """The snapshots that are kept. Raises BadInputError where one cannot be read."""
    for store in (log.snapshots, *(FileSnapshots(path, AFTER_ENDING) for path in source.files)):
        try:
            newest = await store.newest()
            if newest is not None:
                yield Comparison(*newest)
        except (LogError, SnapshotError) as error:
            raise BadInputError(f"a snapshot cannot be read: {error}") from error


def segment_findings(files: Sequence[Path], auditor: Auditor) -> Iterator[Finding]:
    """Segments that are not what the chain says was archived."""
    named: dict[int, set[str]] = {}
    for one in auditor.archived:  # Of two archives at once each may be named, and one of them kept.
        named.setdefault(one.through, set()).add(one.segment)
    for path in files if named else ():
        last, digest = segment_digest(path)
        if digest not in named.get(last, {digest}):
            yield Finding(position(last), Drift.ARCHIVE, f"{path} is not the segment that the chain names")


def _compare(comparison: Comparison, auditor: Auditor, message: StoredMessage) -> Iterator[Finding]:
    """What is wrong with the snapshot, where this is its frame."""
    place = position(comparison.head.sequence)
    try:
        comparison.take(auditor.fold, message)
    except SnapshotError as error:
        yield Finding(place, Drift.SNAPSHOT, str(error))
        return
    if message.sequence == comparison.head.sequence and comparison.differs:
        yield Finding(place, Drift.SNAPSHOT, f"it is not what the log gives: {', '.join(comparison.differs)}")


def _said(comparison: Comparison) -> str:
    if comparison.differs is None:
        return "not of this log"
    if comparison.differs:
        return "differs"
    return "equal" if comparison.is_ours else "equal, and of other sources: nobody would begin from it"


class Telling:
    """Tells the findings: each at once to a program, the first of them to a person."""

    def __init__(self, as_json: bool) -> None:
        self.drift = 0
        self._as_json = as_json
        self._strays = 0
        self._harmless = 0
        self._first: Finding | None = None
        self._shown: list[Finding] = []

    def take(self, findings: Iterable[Finding]) -> None:
        """Count what was found, and tell it or keep it to be told."""
        for finding in findings:
            harmless = finding.drift in HARMLESS
            self.drift += not harmless
            self._strays += finding.drift is Drift.STRAY
            self._harmless += harmless
            if self._first is None and not harmless:
                self._first = finding
            if self._as_json:
                json_line(_row(finding, harmless))
            elif len(self._shown) < SHOWN_MAX or finding is self._first:
                self._shown.append(finding)

    def sum_up(
        self, cell: str, auditor: Auditor, comparisons: list[Comparison] | None, origin: Origin | None
    ) -> None:
        """Say what was read, and what came of it."""
        summary = _summary(cell, auditor) | {
            "findings": self.drift,
            "strays": self._strays,
            "first": self._first.position if self._first else None,
        }
        if origin is not None:
            summary["archived_through"] = origin.head.through
            summary["archived_projection"] = origin.digest
        told = [{"sequence": one.head.sequence, "says": _said(one)} for one in comparisons or ()]
        if self._as_json:
            json_line({"kind": "summary", **summary} | ({} if comparisons is None else {"snapshots": told}))
            return
        if self._shown:
            table(("POSITION", "FINDING", "WHAT"), [(one.position, one.drift, one.message) for one in self._shown])
        hidden = self.drift + self._harmless - len(self._shown)
        if hidden:
            line(f"... and {hidden} more; --json shows all")
        fields(
            (name.replace("_", " "), value)
            for name, value in summary.items()
            if name not in ("findings", "strays", "first")
        )
        for one in told:
            line(f"snapshot at {one['sequence']}: {one['says']}")
        if comparisons == []:
            line("no snapshot is kept")
        line(self._verdict())

    def _verdict(self) -> str:
        others = self._harmless - self._strays
        told = [f"{self._strays} stray"] * bool(self._strays) + [f"{others} of other kinds"] * bool(others)
        strays = f" ({', '.join(told)}: harmless)" if told else ""
        if self._first is None:
            return f"equal: every decision follows from the log{strays}"
        return f"drift: {self.drift} in all, the first at {self._first.position}: {self._first.drift}{strays}"


def _row(finding: Finding, harmless: bool) -> dict[str, object]:
    return {
        "kind": "finding",
        "position": finding.position,
        "drift": finding.drift,
        "message": finding.message,
        "harmless": harmless,
    }


def _summary(cell: str, auditor: Auditor) -> dict[str, str | int | None]:
    report, chain, view = auditor.report, auditor.fold.chain, auditor.fold.view
    return {
        "cell": cell,
        "messages": report.messages,
        "last_sequence": report.last,
        "facts": report.facts,
        "facts_not_decided_on": report.waiting,
        "decisions": report.decisions,
        "commands": report.commands,
        "chain_head": chain.last,
        "chain_digest": chain.previous(auditor.fold.read),
        "policy": view.policy.digest,
    }
