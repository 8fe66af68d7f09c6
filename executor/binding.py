"""Bind a command's values to a workflow, whatever its engine: which they are, as text, and where they are put.

Whatever a program could read as an option, and whatever cannot be an argument, is refused here, before
anything has run."""

from collections.abc import Mapping

from remediation_orchestrator.events import FailureReason, Target

from .workflow_file import PLACEHOLDER, TARGET_PARTS, Workflow

# Linux takes no single argument or variable of more than 128 KiB.
VALUE_BYTES_MAX = 100_000


class BindingError(Exception):
    """A command that cannot be begun: why, in one line. Nothing has run."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parameter_values(workflow: Workflow, given: Mapping[str, object]) -> dict[str, str]:
    """The parameters of a workflow, set by a command or by default, as text. Raises BindingError."""
    known = workflow.spec.parameters
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise misconfigured(f"unknown parameter {unknown[0]!r:.200}")
    texts = {}
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise misconfigured(f"parameter {name!r} is required")
        wrong = parameter.problem(value)
        if wrong:
            raise misconfigured(f"parameter {name!r} {wrong}")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        check_text(f"parameter {name!r}", text, dash=parameter.allow_leading_dash, newline=parameter.allow_newline)
        texts[name] = text
    return texts


def placeholder_values(target: Target, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return what each placeholder stands for. Raises BindingError."""
    values = {f"target.{part}": _part(target, part) for part in TARGET_PARTS}
    return values | {f"parameters.{name}": text for name, text in parameters.items()}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Fill a text's placeholders, once: what a value contains is never a placeholder."""
    return PLACEHOLDER.sub(lambda found: found["literal"] or values[found["name"]], text)


def check_text(what: str, text: str, *, dash: bool = False, newline: bool = False) -> None:
    """Refuse what could be read as an option, end a line, or not be an argument at all. Raises BindingError."""
    if "\0" in text:
        raise misconfigured(f"{what} contains NUL")
    if text.startswith("-") and not dash:
        raise BindingError(FailureReason.FORBIDDEN, f"{what} begins with '-' and could be read as an option")
    if ("\n" in text or "\r" in text) and not newline:
        raise BindingError(FailureReason.FORBIDDEN, f"{what} contains a newline")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise misconfigured(f"{what} is not text") from error
    if size > VALUE_BYTES_MAX:
        raise misconfigured(f"{what} has {size:,} bytes, and at most {VALUE_BYTES_MAX:,} can be passed on")


def misconfigured(message: str) -> BindingError:
    """Return what is said where file and command do not fit each other."""
    return BindingError(FailureReason.CONFIGURATION_ERROR, message)


def _part(target: Target, part: str) -> str:
    text: str = getattr(target, part)
    check_text(f"the target's {part}", text)
    return text
