"""Moments of a log, as people name them: a sequence, or a time."""

from datetime import datetime
from typing import TypeAlias

import click

from remediation_orchestrator.bus.port import ReadableLog
from remediation_orchestrator.events.durations import EPOCH
from remediation_orchestrator.orchestrator.queries.moments import LogEnd

from .output import BadInputError

Moment: TypeAlias = int | datetime


class MomentType(click.ParamType[Moment]):
    """`41`, or `2026-11-21T10:00:00Z`."""

    name = "seq|time"

    def convert(self, value: str | Moment, param: click.Parameter | None, ctx: click.Context | None) -> Moment:
        """Read it, or say how it is written."""
        if not isinstance(value, str):
            return value
        if value.isascii() and value.isdigit():
            if len(value) > 18 or int(value) == 0:
                self.fail(f"a sequence is 1 or more, not {value}", param, ctx)
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"neither a sequence nor a time such as 2026-11-21T10:00:00Z: {value!r}", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"a time needs its zone, as in {value}Z", param, ctx)
        return moment


until_option = click.option("--until", metavar="SEQ|TIME", type=MomentType(), help="Only the log up to there.")


async def cut_of(log: ReadableLog, until: Moment, start: int = 1, newest: datetime = EPOCH) -> LogEnd:
    """Where a log ends for whoever looks no further than a moment: it is read to where that shows.

    A fact that a wrong clock has stamped is where its moment is. `newest` is that before the sequence `start`."""
    cut = LogEnd(until, newest)
    async for message in log.read(start):
        if cut.take(message):
            break
    cut.end()
    return cut


def check_known(unknown: str | None) -> None:
    """Raise BadInputError where a log has decisions of a type that this version does not know."""
    if unknown is not None:
        raise BadInputError(f"unknown event type {unknown}: this log needs the newer version of ro that wrote it")
