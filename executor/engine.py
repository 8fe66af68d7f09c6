"""What an engine is: it begins a run by its name or finds it, looks at it, cancels it and forgets it.

It never asks whether. An engine is one module in `engines/` and the line there that names it. Every engine that is
built is local, so at most once: what another process has begun it does not find, and nobody begins it again."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from remediation_orchestrator.events import CreateWorkflow, ExecutionId, FailureReason

from .claim import Started
from .lease import ClaimLease
from .workflow_file import Workflow, WorkflowFile


@dataclass(frozen=True)
class Succeeded:
    """It ended well; the end of what it printed."""

    output: str


@dataclass(frozen=True)
class Failed:
    """It ended badly. `ran`: something may have happened to the target."""

    reason: FailureReason
    message: str
    ran: bool
    exit_code: int | None = None


RunOutcome = Succeeded | Failed


@dataclass(frozen=True)
class Absent:
    """Nothing of the run is there."""


@dataclass(frozen=True)
class Running:
    """It is there, it is ours, and it goes on."""


@dataclass(frozen=True)
class Ended:
    """It has ended, and how."""

    outcome: RunOutcome


@dataclass(frozen=True)
class Foreign:
    """Something of its name is there that is not ours, and why it is not: it is never touched."""

    why: str


Sight = Absent | Running | Ended | Foreign


@dataclass(frozen=True)
class Run:
    """A run, resolved once, behind its claim: the command, its workflow and its start, the plan that the engine
    has made of the first two, until when it may begin and go on (of this machine's clock), how long it is ours."""

    command: CreateWorkflow
    workflow: Workflow
    start: Started
    plan: object
    start_by: float
    deadline: float
    lease: ClaimLease

    @property
    def execution(self) -> ExecutionId:
        """What the run is called, by everybody."""
        return self.command.execution


class Engine(Protocol):
    """Runs what is claimed. Whatever the world does is an outcome: who raises has broken the promise."""

    async def begin(self, run: Run) -> None:
        """Create what runs, by the run's name, or find that it is there."""

    async def look(self, run: Run) -> Sight:
        """Say what is there. While nothing changes about a run that goes on, this may take its time."""

    async def cancel(self, run: Run, reason: str) -> None:
        """Have it end early. How it has ended is seen by looking."""

    async def forget(self, run: Run) -> None:
        """Let go of whatever is left of it: its end is in the log."""


@dataclass(frozen=True)
class EngineType:
    """An engine as catalogs name it.

    `section`: what a workflow's file says to this engine alone. `check` raises ValueError where that does not fit
    the rest of the file. `bind` makes a run's plan of a workflow, a command and our environment, or raises
    BindingError: nothing has run then. `make`: the engine itself, one for each executor."""

    section: type[BaseModel]
    check: Callable[[BaseModel, WorkflowFile], None]
    bind: Callable[[Workflow, CreateWorkflow, Mapping[str, str]], object]
    make: Callable[[], Engine]


class Stop:
    """A wish that a run may end early, and why."""

    def __init__(self) -> None:
        self.reason = ""
        self.wished = asyncio.Event()

    def wish(self, reason: str) -> None:
        """Let it end. The first reason stands."""
        if not self.wished.is_set():
            self.reason = reason
            self.wished.set()
