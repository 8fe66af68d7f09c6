"""Bind a command's values to a workflow: the argument list and the environment of one run.

Whatever a program could read as an option, and whatever cannot be an argument, is refused here, before
anything has run."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remediation_orchestrator.events import CreateWorkflow, FailureReason, Target

from .catalog import PLACEHOLDER, TARGET_PARTS, Workflow, environment_name

ENGINE = "script"
"""The engine that is here; a file of another one is another executor's."""
PASSED_ON = ("PATH", "HOME", "LANG")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# Linux takes no single argument or variable of more than 128 KiB.
VALUE_BYTES_MAX = 100_000


class RefusedError(Exception):
    """A command that cannot be begun: why, in one line. Nothing has run."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Bound:
    """What is run: a program and its arguments, its whole environment, and the folder it starts in."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


def bind(workflow: Workflow, command: CreateWorkflow, around: Mapping[str, str]) -> Bound:
    """Make the argument list and environment of one run. Raises RefusedError. `around` is our environment."""
    says = workflow.says
    assert says.engine == ENGINE
    assert says.script is not None
    parameters = _parameters(workflow, command.workflow.parameters)
    values = {f"target.{part}": _part(command.target, part) for part in TARGET_PARTS}
    values |= {f"parameters.{name}": text for name, text in parameters.items()}
    search = around.get("PATH", DEFAULT_PATH)
    program = _program(workflow.path.parent, says.script.command[0], search)
    arguments = tuple(_filled(part, values) for part in says.script.command[1:])
    environment = {name: around[name] for name in (*PASSED_ON, *says.environment) if name in around}
    environment |= {"PATH": search} | _variables(command, parameters)
    return Bound((program, *arguments), environment, workflow.path.parent)


def _parameters(workflow: Workflow, given: Mapping[str, object]) -> dict[str, str]:
    known = workflow.says.parameters
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise _misconfigured(f"unknown parameter {unknown[0]!r:.200}")
    texts = {}
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise _misconfigured(f"parameter {name!r} is required")
        wrong = parameter.problem(value)
        if wrong:
            raise _misconfigured(f"parameter {name!r} {wrong}")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        _check(f"parameter {name!r}", text, dash=parameter.allow_leading_dash, newline=parameter.allow_newline)
        texts[name] = text
    return texts


def _part(target: Target, part: str) -> str:
    text: str = getattr(target, part)
    _check(f"the target's {part}", text)
    return text


def _check(what: str, text: str, *, dash: bool = False, newline: bool = False) -> None:
    """Refuse what could be read as an option, end a line, or not be an argument at all."""
    if "\0" in text:
        raise _misconfigured(f"{what} contains NUL")
    if text.startswith("-") and not dash:
        raise RefusedError(FailureReason.FORBIDDEN, f"{what} begins with '-' and could be read as an option")
    if ("\n" in text or "\r" in text) and not newline:
        raise RefusedError(FailureReason.FORBIDDEN, f"{what} contains a newline")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _misconfigured(f"{what} is not text") from error
    if size > VALUE_BYTES_MAX:
        raise _misconfigured(f"{what} has {size:,} bytes, and at most {VALUE_BYTES_MAX:,} can be passed on")


def _filled(part: str, values: Mapping[str, str]) -> str:
    """Fill an argument's placeholders, once: what a value contains is never a placeholder."""
    return PLACEHOLDER.sub(lambda found: found["literal"] or values[found["name"]], part)


def _program(folder: Path, name: str, search: str) -> str:
    """Find the program: a path beside the file; a bare name beside it, else where our own PATH says."""
    beside = folder / name
    if beside.is_file():
        if not os.access(beside, os.X_OK):
            raise RefusedError(FailureReason.FORBIDDEN, f"{name!r} is not executable (chmod +x)")
        return str(beside)
    found = shutil.which(name, path=search) if "/" not in name else None
    if found is None:
        raise _misconfigured(f"command not found: {name!r}")
    return found


def _variables(command: CreateWorkflow, parameters: Mapping[str, str]) -> dict[str, str]:
    _check("the fingerprint", command.fingerprint, dash=True)
    _check("the remediation", command.remediation)
    variables = {
        "RO_EXECUTION": str(command.execution),
        "RO_REMEDIATION": str(command.remediation),
        "RO_FINGERPRINT": str(command.fingerprint),
    }
    variables |= {f"RO_TARGET_{part.upper()}": getattr(command.target, part) for part in TARGET_PARTS}
    return variables | {environment_name(name): text for name, text in parameters.items()}


def _misconfigured(message: str) -> RefusedError:
    return RefusedError(FailureReason.CONFIGURATION_ERROR, message)
