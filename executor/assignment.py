"""What a run is: read once, before it is claimed, and used to its end. A file that is edited meanwhile changes
nothing about it: neither its limits, nor its arguments, nor whether it counts as safe to run again.

The files that the file itself names are not read here: a program is what stands under its name when it begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediation_orchestrator.events import (
    CreateWorkflow,
    FailureReason,
    Recorded,
    StoredMessage,
    Undecodable,
    decode,
)
from remediation_orchestrator.events.codec import Attributes, attributes_of, frame_time
from remediation_orchestrator.events.stored import CLOCKS_DIFFER_MAX

from .binding import BindingError
from .catalog import Catalog
from .claim import Started, execution_of
from .engine import Failed, Run
from .engines import ENGINES
from .lease import ClaimLease
from .workflow_file import Workflow

# What writing a command's values may raise: a number in it is too large to be written.
_UNWRITABLE = (RecursionError, ValueError, OverflowError)


@dataclass(frozen=True)
class Junk:
    """No command at all: nothing follows from it, and why."""

    why: str


@dataclass(frozen=True)
class NotServed:
    """A command that this catalog has no workflow for; another executor's may have it."""

    workflow: str
    why: str


@dataclass(frozen=True)
class Assignment:
    """A command, the workflow as its file was when the command was read, and what its engine would run of the two,
    or why nothing."""

    command: CreateWorkflow
    workflow: Workflow
    plan: object
    attributes: Attributes | None
    recorded_at: datetime

    def moment(self, recorded_at: datetime, newest: StoredMessage | None) -> datetime:
        """The moment of a later record in the clock in which the command's limits were reckoned: a leader's.

        `newest` is the frame that was the newest then. A frame and a command are stored when they are written, or
        later: where both were stored far from their own times the clocks differ, by no more than either says."""
        said = [] if self.attributes is None else [(self.recorded_at, self.attributes.time)]
        if newest is not None and (written := frame_time(newest)) is not None:
            said.append((newest.recorded_at, written))
        differ = min((stamp - time for stamp, time in said), default=timedelta(0))
        moment = recorded_at - differ if abs(differ) > CLOCKS_DIFFER_MAX else recorded_at
        return max([moment, *(time for _, time in said)])  # What follows from them is never before them.

    def may_repeat(self, start: Started) -> bool:
        """Whether a run that another has begun may be repeated: known only if it was claimed under this file."""
        return self.workflow.digest == start.digest and self.workflow.spec.idempotent

    def run(
        self, start: Started, newest: StoredMessage | None, asked_at: float, now: float, lease: ClaimLease
    ) -> Run:
        """The run behind its claim, which was asked for at `asked_at` of this machine's clock, as is `now`.

        The claim was stored after that, so the broker's clock is never ahead of this reading of it. `newest` is
        the newest frame behind it."""
        claimed = self.moment(start.recorded_at, newest)
        start_by = asked_at + (self.command.start_before - claimed).total_seconds()
        deadline = asked_at + (self.command.deadline - claimed).total_seconds()
        if self.workflow.spec.timeout is not None:
            deadline = min(deadline, now + self.workflow.spec.timeout.total_seconds())
        return Run(self.command, self.workflow, start, self.plan, start_by, deadline, lease)


def assign(
    command: StoredMessage, catalog: Catalog, environment: Mapping[str, str]
) -> Assignment | NotServed | Junk:
    """Read a command and bind it to this catalog as it is now."""
    match decode(command):
        case [Recorded(event=CreateWorkflow() as event)]:
            attributes = attributes_of(command.payload)
        case [Undecodable(unknown_type=str() as kind)]:
            return NotServed("", f"a newer version's {kind}")
        case [Undecodable(message=why)]:
            return Junk(why)
        case _:
            return Junk("it is not one CreateWorkflow")
    if event.execution != execution_of(command.subject):
        return Junk(f"it is about {event.execution!r:.200}")
    workflow = catalog.workflows.get(event.workflow.id)
    if catalog.unread is not None:
        return NotServed(event.workflow.id, f"the catalog cannot be read: {catalog.unread}")
    if workflow is None:
        return NotServed(event.workflow.id, "the catalog has no such workflow, or none that is whole")
    if workflow.spec.engine not in ENGINES:
        return NotServed(event.workflow.id, f"there is no engine {workflow.spec.engine!r} here")
    plan = _plan(workflow, event, environment)
    if isinstance(plan, Failed) and not workflow.path.exists():  # Its program has gone with it.
        return NotServed(event.workflow.id, "its file has gone")
    return Assignment(event, workflow, plan, attributes, command.recorded_at)


def deadline_of(command: StoredMessage) -> datetime | None:
    """When whatever runs by a command is over; None where it is none that we know."""
    found = (one.event for one in decode(command) if isinstance(one, Recorded))
    return next((one.deadline for one in found if isinstance(one, CreateWorkflow)), None)


def _plan(workflow: Workflow, command: CreateWorkflow, environment: Mapping[str, str]) -> object:
    try:
        return ENGINES[workflow.spec.engine].bind(workflow, command, environment)
    except BindingError as refused:
        return Failed(refused.reason, str(refused), ran=False)
    except _UNWRITABLE as error:
        return Failed(FailureReason.CONFIGURATION_ERROR, f"{type(error).__name__}: {error}", ran=False)
