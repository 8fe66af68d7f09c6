"""`ro backtest`: what another policy would have decided on this log, beside what was decided."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

import click

from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.events import Verdict
from remediation_orchestrator.orchestrator.queries.backtest import Backtest, VerdictRow
from remediation_orchestrator.orchestrator.queries.known import Known
from remediation_orchestrator.orchestrator.queries.tally import Pairs, Tally, VerdictDifference
from remediation_orchestrator.orchestrator.routing.policy import Policy
from remediation_orchestrator.orchestrator.routing.words import describe, times

from .support.connection import LogSource, reading_options
from .support.files import file_option
from .support.moments import Moment, check_known, cut_of, until_option
from .support.output import BadInputError, json_line, line, moment, plain, reading
from .support.reading import check_whole
from .support.running import run
from .support.services import load_policy
from .support.sweep import Sweep, SweepType
from .support.tables import Cell, table

SHOWN_MAX = 50

Tell = Callable[[int, VerdictRow], None]


@click.command("backtest")
@file_option(
    "--policy",
    "files",
    "The policy to try; a second one to hold against it. Without: the one in force.",
    multiple=True,
)
@click.option("--sweep", type=SweepType(), help="Try every value of one key: one line each.")
@until_option
@reading_options
def verb(
    source: LogSource, files: tuple[Path, ...], sweep: Sweep | None, until: Moment | None, as_json: bool
) -> None:
    """Judge the log again by another policy. Facts that nobody has judged are judged as they came."""
    if len(files) > 2 or (sweep is not None and len(files) > 1):
        raise BadInputError("at most two policies, and one with --sweep")
    run(_backtest(source, [load_policy(file) for file in files], sweep, until, as_json))


async def _backtest(
    source: LogSource, policies: list[Policy], sweep: Sweep | None, until: Moment | None, as_json: bool
) -> None:
    async with source.log() as log:
        await check_whole(log, "a backtest lives through a log")
        with reading(f"reading the log of {log.cell}"):
            known, end = await _learn(log, until)
        check_known(known.unknown)
        for policy in policies:
            if policy.digest == known.policy.digest:
                click.echo("ro: this policy is the one in force", err=True)
        if sweep is not None:
            await _sweep(log, known, sweep, policies[0] if policies else known.policy, end, as_json)
        elif len(policies) == 2:
            await _compare(log, known, policies, end, as_json)
        else:
            await _show(log, known, policies[0] if policies else None, end, as_json)


class End:
    """Where the log ends for us, and the moment at which the clock stops."""

    def __init__(self, sequence: int, clock: datetime | None) -> None:
        self.sequence = sequence
        self.clock = clock


async def _learn(log: ReadableLog, until: Moment | None) -> tuple[Known, End]:
    known = Known()
    cut = None if until is None else await cut_of(log, until)
    async for message in log.read():
        if cut is not None and not cut.holds(message.sequence):
            break
        known.take(message)
    known.end(cut)
    return known, End(known.read, until if isinstance(until, datetime) else None)


async def _run(log: ReadableLog, known: Known, policies: Sequence[Policy | None], end: End, tell: Tell) -> None:
    """Live through the log under each policy, all in one reading."""
    cells = [Backtest(known, policy) for policy in policies]
    with reading(f"judging the log of {log.cell} again"):
        async for message in log.read():
            if message.sequence > end.sequence:
                break
            for number, cell in enumerate(cells):
                for row in cell.take(message):
                    tell(number, row)
        for number, cell in enumerate(cells):
            for row in cell.finish(end.clock):
                tell(number, row)


async def _show(log: ReadableLog, known: Known, policy: Policy | None, end: End, as_json: bool) -> None:
    """One policy beside the log."""
    if as_json:
        await _run(log, known, [policy], end, lambda _, row: json_line(row))
        return
    tally, shown = Tally(), list[VerdictRow]()

    def tell(_: int, row: VerdictRow) -> None:
        tally.add(row)
        if (row.differs or not known.last_frame) and len(shown) < SHOWN_MAX:
            shown.append(row)

    await _run(log, known, [policy], end, tell)
    tally.close(known)
    if known.last_frame:
        _tell_differences(tally, shown)
    else:
        table(("SIGNAL", "ATTEMPT", "AT", "VERDICT"), [(*_place(row), says(row.verdict)) for row in shown])
        _tell_hidden(tally.verdicts - len(shown))
        line(f"{tally.verdicts} verdicts, {tally.runs} runs; the log holds no decisions of its own")


def _tell_differences(tally: Tally, shown: list[VerdictRow]) -> None:
    if shown:
        table(("SIGNAL", "ATTEMPT", "AT", "WOULD BE", "WAS"), [_beside(row) for row in shown], optional=("AT",))
        _tell_hidden(tally.differing - len(shown))
    if tally.first:
        line("")
        line("first divergence of each fingerprint")
        firsts = list(tally.first.items())[:SHOWN_MAX]
        table(
            ("FINGERPRINT", "SIGNAL", "ATTEMPT", "AT", "WOULD BE", "WAS"),
            [(fingerprint[:12], *_beside(row)) for fingerprint, row in firsts],
            optional=("AT", "ATTEMPT"),
        )
        line("")
    line(
        f"{tally.verdicts} verdicts: {tally.differing} differ, {tally.counterfactual} counterfactual, "
        f"{tally.missing} of the log would not be given"
    )
    line(f"{times(tally.runs, 'run')} instead of {tally.runs_recorded}: {_change(tally.runs_added)}")


async def _compare(log: ReadableLog, known: Known, policies: list[Policy], end: End, as_json: bool) -> None:
    """Two policies beside each other."""
    pairs, tallies, found = Pairs(), [Tally(), Tally()], list[VerdictDifference]()
    count = 0

    def take(differences: Iterable[VerdictDifference]) -> None:
        nonlocal count
        for one in differences:
            count += 1
            if as_json:
                json_line(one)
            elif len(found) < SHOWN_MAX:
                found.append(one)

    def tell(side: int, row: VerdictRow) -> None:
        tallies[side].add(row)
        difference = pairs.add(side, row)
        if difference is not None:
            take([difference])

    await _run(log, known, policies, end, tell)
    take(pairs.rest())
    if as_json:
        return
    if found:
        rows = [(one.position, one.attempt, _at(one.first), _at(one.second)) for one in found]
        table(("SIGNAL", "ATTEMPT", "FIRST POLICY", "SECOND POLICY"), rows)
        _tell_hidden(count - len(found))
    first, second = tallies
    line(f"{count} verdicts differ; {first.runs} runs under the first, {second.runs} under the second")


async def _sweep(log: ReadableLog, known: Known, sweep: Sweep, base: Policy, end: End, as_json: bool) -> None:
    """Every value of one key beside the log: a line each."""
    tallies = [Tally() for _ in sweep.values]
    await _run(log, known, sweep.policies(base), end, lambda number, row: tallies[number].add(row))
    rows: list[tuple[Cell, ...]] = []
    for value, tally in zip(sweep.values, tallies, strict=True):
        tally.close(known)
        if as_json:
            json_line(_sweep_row(sweep.key, value, tally))
        rows.append(
            (value, tally.verdicts, tally.differing, tally.runs, _change(tally.runs_added), len(tally.first))
        )
    if not as_json:
        table((sweep.key.upper(), "VERDICTS", "DIFFER", "RUNS", "AGAINST THE LOG", "FINGERPRINTS"), rows)


def _sweep_row(key: str, value: str, tally: Tally) -> dict[str, object]:
    return {
        "key": key,
        "value": value,
        "verdicts": tally.verdicts,
        "differing": tally.differing,
        "counterfactual": tally.counterfactual,
        "runs": tally.runs,
        "runs_recorded": tally.runs_recorded,
        "runs_added": tally.runs_added,
        "fingerprints_diverged": len(tally.first),
    }


def says(verdict: Verdict | None) -> str:
    """One line on a verdict."""
    return "-" if verdict is None else plain(describe(verdict, _exactly))


def _exactly(until: datetime) -> str:
    return f"{until:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"


def _place(row: VerdictRow) -> tuple[Cell, ...]:
    return row.position, row.attempt, moment(row.at)


def _beside(row: VerdictRow) -> tuple[Cell, ...]:
    return *_place(row), says(row.verdict), says(row.recorded)


def _at(row: VerdictRow | None) -> str:
    return "-" if row is None else f"{moment(row.at)} {says(row.verdict)}"


def _change(runs: int) -> str:
    if not runs:
        return "as many"
    return f"{runs} added" if runs > 0 else f"{-runs} saved"


def _tell_hidden(count: int) -> None:
    if count > 0:
        line(f"... and {count} more; --json shows all")
