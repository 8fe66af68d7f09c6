"""`ro accept`: let a cell go on in a new log, where the one it had is lost: by a person, and on the record."""

import asyncio
from datetime import UTC, datetime

import click

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import LossAccepted, subjects
from remediation_orchestrator.events.identity import position
from remediation_orchestrator.orchestrator.marks import Mark, read_mark
from remediation_orchestrator.orchestrator.whole import why_not_whole

from .support.connection import Broker, broker_options, json_option
from .support.operating import by_option, reason_option
from .support.output import RefusedError, json_line, line, moment
from .support.publishing import event_of, store


@click.command("accept")
@click.option("--nothing-runs", is_flag=True, help="You have seen to it that no run of the lost log goes on.")
@reason_option
@by_option
@json_option
@broker_options
def verb(broker: Broker, nothing_runs: bool, reason: str, by: str, as_json: bool) -> None:
    """Let the cell go on in this new log, without the one that it had: counts, cooldowns and locks begin anew.

    Nobody leads it until then, so nobody is waited for."""
    asyncio.run(_accept(broker, by, reason, nothing_runs=nothing_runs, as_json=as_json))


async def _accept(broker: Broker, by: str, reason: str, *, nothing_runs: bool, as_json: bool) -> None:
    async with broker.log() as log:
        mark = await _lost(log)
        if not nothing_runs and datetime.now(UTC) <= mark.over:
            what = f"what the lost log had decided may run until {moment(mark.over)}, and its target be held"
            raise RefusedError(f"{what}: accept it then, or with --nothing-runs once you have seen to it")
        fact = LossAccepted(mark.log, mark.sequence, by, reason)
        event = event_of(log.cell, "operator/cli", fact)
        place = position(await store(log, subjects.operator(log.cell, fact), event))
    if as_json:
        json_line({"position": place, "type": "LossAccepted.v1", "data": fact})
    else:
        line(f"{place}: the cell goes on without the log {mark.log}, which had come to {mark.sequence}")


async def _lost(log: JetStreamLog) -> Mark:
    """What the cell had before. Raises RefusedError where this log is none that may go on in its place."""
    _, mark = await read_mark(log.marks)
    why = await why_not_whole(log)
    if why is None:
        raise RefusedError(f"the log of {log.cell} is whole: there is nothing to accept")
    if mark is None or mark.log == log.identity or await log.last(subjects.decision(log.cell)) is not None:
        raise RefusedError(
            f"{why}. It could give away what is held, so nobody may lead it: restore it, or begin in a new log "
            "(docs/operating.md, A log that is not whole)"
        )
    return mark
