"""The engine `script`: one program with its arguments, under a supervisor. Never through a shell.

Local: it runs in this process's family, and ends with it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from remediation_orchestrator.documents.files import Written
from remediation_orchestrator.events import CreateWorkflow, FailureReason
from remediation_orchestrator.executor.binding import (
    BindingError,
    check_text,
    fill,
    misconfigured,
    parameter_values,
    placeholder_values,
)
from remediation_orchestrator.executor.engine import EngineType, Run, RunOutcome, Stop
from remediation_orchestrator.executor.local import LocalEngine
from remediation_orchestrator.executor.program import Job, Program, run_program
from remediation_orchestrator.executor.workflow_file import (
    PLACEHOLDER,
    TARGET_PARTS,
    Workflow,
    WorkflowFile,
    check_placeholders,
    environment_name,
)

PASSED_ON = ("PATH", "HOME", "LANG")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class Script(Written):
    """A program and its arguments, each its own; never read by a shell."""

    command: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _program_is_fixed(self) -> Self:
        if not self.command[0] or PLACEHOLDER.search(self.command[0]):
            raise ValueError("the program is a fixed name: no command may choose what is run")
        if any("\0" in part for part in self.command):
            raise ValueError("an argument cannot contain NUL")
        return self


def check(section: BaseModel, spec: WorkflowFile) -> None:
    """Raises ValueError where an argument has a placeholder that stands for nothing."""
    assert isinstance(section, Script)
    check_placeholders(section.command, spec)


def bind(workflow: Workflow, command: CreateWorkflow, around: Mapping[str, str]) -> Program:
    """Make the argument list and environment of one run. Raises BindingError. `around` is our environment."""
    script, spec = workflow.section, workflow.spec
    assert isinstance(script, Script)
    parameters = parameter_values(workflow, command.workflow.parameters)
    values = placeholder_values(command.target, parameters)
    search = around.get("PATH", DEFAULT_PATH)
    program = _program(workflow.path.parent, script.command[0], search)
    arguments = tuple(fill(part, values) for part in script.command[1:])
    environment = {name: around[name] for name in (*PASSED_ON, *spec.environment) if name in around}
    environment |= {"PATH": search} | _variables(command, parameters)
    return Program((program, *arguments), environment, workflow.path.parent)


def _program(folder: Path, name: str, search: str) -> str:
    """Find the program: a path beside the file; a bare name beside it, else where our own PATH says."""
    beside = folder / name
    if beside.is_file():
        if not os.access(beside, os.X_OK):
            raise BindingError(FailureReason.FORBIDDEN, f"{name!r} is not executable (chmod +x)")
        return str(beside)
    found = shutil.which(name, path=search) if "/" not in name else None
    if found is None:
        raise misconfigured(f"command not found: {name!r}")
    return found


def _variables(command: CreateWorkflow, parameters: Mapping[str, str]) -> dict[str, str]:
    check_text("the fingerprint", command.fingerprint, dash=True)
    check_text("the remediation", command.remediation)
    variables = {
        "RO_EXECUTION": str(command.execution),
        "RO_REMEDIATION": str(command.remediation),
        "RO_FINGERPRINT": str(command.fingerprint),
    }
    variables |= {f"RO_TARGET_{part.upper()}": getattr(command.target, part) for part in TARGET_PARTS}
    return variables | {environment_name(name): text for name, text in parameters.items()}


async def run_script(run: Run, stop: Stop) -> RunOutcome:
    """Run the program to its end, or until it may not go on."""
    assert isinstance(run.plan, Program)
    return await run_program(Job(run.plan, run.start_by, run.deadline), run.lease, stop)


ENGINE = EngineType(Script, check, bind, lambda: LocalEngine(run_script))
