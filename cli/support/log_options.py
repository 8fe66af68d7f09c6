"""How a cell's log is made, as the options of those verbs say that make it where there is none."""

import functools

import click
from msgspec import Struct

from .connection import Verb

# Where a log is nearly full is looked at every five seconds: what comes meanwhile must fit into a tenth of it.
LOG_BYTES_MIN = 1024 * 1024


class LogShape(Struct, frozen=True):
    """How many servers keep a copy of the log, and how large it may become."""

    replicas: int = 1
    max_bytes: int | None = None


AS_IT_IS = LogShape()


def log_options(verb: Verb) -> Verb:
    """Give a verb the options about the log that it makes; it takes a `shape`."""

    @functools.wraps(verb)
    def wired(replicas: int, log_max_bytes: int | None, **rest: object) -> None:
        verb(shape=LogShape(replicas, log_max_bytes), **rest)

    return _REPLICAS(limit_option(wired))


_REPLICAS = click.option(
    "--replicas",
    type=click.IntRange(min=1, max=5),
    default=1,
    show_default=True,
    envvar="RO_REPLICAS",
    show_envvar=True,
    help="On how many servers of a NATS cluster each record is kept: 1, 3 or 5. It is raised, never lowered.",
)
limit_option = click.option(
    "--log-max-bytes",
    type=click.IntRange(min=LOG_BYTES_MIN),
    metavar="BYTES",
    help="The log's limit, at 90 % of which it takes no more signals.  [default: as it is, none for a new log]",
)
