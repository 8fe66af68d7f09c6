"""Binding refuses what a program could read as an option, and never lets a value become anything else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediation_orchestrator.events import (
    CreateWorkflow,
    ExecutionId,
    FailureReason,
    Fingerprint,
    Position,
    RemediationId,
    Target,
    WorkflowRef,
)
from remediation_orchestrator.executor.binding import BindingError
from remediation_orchestrator.executor.catalog import load_catalog
from remediation_orchestrator.executor.engines.script import bind
from remediation_orchestrator.executor.program import Program
from remediation_orchestrator.executor.workflow_file import Workflow

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
AROUND = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C", "SECRET": "s3", "KUBECONFIG": "/k"}
TEXT = """
id: one
script:
  command: [sh, "--ns={target.namespace}", "{target.name}", "{parameters.text}", "{{target.name}}", '{"a":{"b":1}}'
  ]
environment: [KUBECONFIG]
parameters:
  text: {type: string, default: plain}
  free: {type: string, default: x, allow_leading_dash: true, allow_newline: true}
  count: {type: integer, default: 1}
  sure: {type: boolean, default: false}
"""


def workflow(folder: Path, text: str = TEXT) -> Workflow:
    """Load the one workflow of a file."""
    (folder / "one.yaml").write_text(text)
    catalog = load_catalog(folder)
    assert not catalog.problems
    return catalog.workflows["one"]


def command(target: Target | None = None, /, **parameters: object) -> CreateWorkflow:
    """Write a command with these parameters."""
    return CreateWorkflow(
        execution=ExecutionId("wfe-1"),
        remediation=RemediationId("rr-1"),
        fingerprint=Fingerprint("f"),
        target=target or Target(name="checkout", namespace="shop", kind="Deployment"),
        workflow=WorkflowRef("one", parameters),
        start_before=NOW,
        deadline=NOW,
        decided_at=Position("2"),
    )


def bound(folder: Path, target: Target | None = None, /, **parameters: object) -> Program:
    """Bind such a command to the file above."""
    return bind(workflow(folder), command(target, **parameters), AROUND)


def test_a_placeholder_fills_its_own_argument(tmp_path: Path) -> None:
    """Embedded or alone; doubled braces and JSON stay as they are."""
    assert bound(tmp_path, text="a b; $(c) {target.name}").arguments[1:] == (
        "--ns=shop",
        "checkout",
        "a b; $(c) {target.name}",
        "{target.name}",
        '{"a":{"b":1}}',
    )


def test_the_environment_is_clean(tmp_path: Path) -> None:
    """Nothing of ours but what the contract names and the file lists."""
    environment = bound(tmp_path, sure=True).environment
    assert "SECRET" not in environment
    assert environment["KUBECONFIG"] == "/k"
    assert environment["RO_PARAMETER_SURE"] == "true"
    assert environment["RO_TARGET_CLUSTER"] == ""
    assert {environment[f"RO_{name}"] for name in ("EXECUTION", "REMEDIATION", "FINGERPRINT")} == {
        "wfe-1",
        "rr-1",
        "f",
    }


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"text": "-rf"}, FailureReason.FORBIDDEN),
        ({"count": -1}, FailureReason.FORBIDDEN),
        ({"text": "a\nb"}, FailureReason.FORBIDDEN),
        ({"text": "a\0b"}, FailureReason.CONFIGURATION_ERROR),
        ({"free": "a\0b"}, FailureReason.CONFIGURATION_ERROR),
        ({"count": "1"}, FailureReason.CONFIGURATION_ERROR),
        ({"count": True}, FailureReason.CONFIGURATION_ERROR),
        ({"count": 1.5}, FailureReason.CONFIGURATION_ERROR),
        ({"other": 1}, FailureReason.CONFIGURATION_ERROR),
        ({"text": "x" * 200_000}, FailureReason.CONFIGURATION_ERROR),
    ],
)
def test_a_bad_value_is_refused(tmp_path: Path, parameters: dict[str, object], reason: FailureReason) -> None:
    """Before anything has run."""
    with pytest.raises(BindingError) as refused:
        bound(tmp_path, **parameters)
    assert refused.value.reason == reason


@pytest.mark.parametrize("target", [Target(name="-x"), Target(name="a", namespace="-x"), Target(name="a\nb")])
def test_a_target_that_looks_like_an_option_is_refused(tmp_path: Path, target: Target) -> None:
    """Targets come from outside, so nothing may allow it."""
    with pytest.raises(BindingError):
        bound(tmp_path, target)


def test_a_parameter_may_allow_what_is_refused_else(tmp_path: Path) -> None:
    """The author of the workflow knows what the program does with it."""
    assert bound(tmp_path, free="-a\nb").environment["RO_PARAMETER_FREE"] == "-a\nb"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A parameter without a default must be given."""
    one = workflow(tmp_path, "id: one\nscript: {command: [sh]}\nparameters: {grace: {type: integer}}\n")
    with pytest.raises(BindingError, match="'grace' is required"):
        bind(one, command(), AROUND)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("./absent.sh", FailureReason.CONFIGURATION_ERROR),
        ("absent-everywhere", FailureReason.CONFIGURATION_ERROR),
        ("./plain.txt", FailureReason.FORBIDDEN),
    ],
)
def test_a_program_that_cannot_be_run_is_refused(tmp_path: Path, program: str, reason: FailureReason) -> None:
    """Not found, or not executable."""
    (tmp_path / "plain.txt").write_text("")
    one = workflow(tmp_path, f"id: one\nscript: {{command: [{program}]}}\n")
    with pytest.raises(BindingError) as refused:
        bind(one, command(), AROUND)
    assert refused.value.reason == reason
