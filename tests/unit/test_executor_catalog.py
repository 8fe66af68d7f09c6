"""The catalog tells people what is wrong with a file, and serves the others."""

from datetime import timedelta
from pathlib import Path

import pytest

from remediation_orchestrator.executor.catalog import load_catalog

GOOD = """
id: {id}
script:
  command: [sh, -c, "true"]
"""


def write(folder: Path, name: str, text: str) -> None:
    """Put a file into the folder."""
    (folder / name).write_text(text)


def problem_of(folder: Path, text: str) -> str:
    """Load a folder of this one file, and return what is wrong with it."""
    write(folder, "a.yaml", text)
    catalog = load_catalog(folder)
    assert not catalog.workflows
    return "\n".join(str(one) for one in catalog.problems)


def test_every_field_of_the_contract_is_read(tmp_path: Path) -> None:
    """Every field of the page means what it says."""
    write(
        tmp_path,
        "restart.yaml",
        """
id: bounce
version: "2"
description: Every field there is.
engine: script
script:
  command: [./bounce.sh, "{target.name}", "{parameters.wait}"]
timeout: 5m
idempotent: true
parameters:
  wait: {type: integer, default: 7}
match:
  - {name: Stuck, target: {kind: Deployment}}
""",
    )
    says = load_catalog(tmp_path).workflows["bounce"].says
    assert says.timeout == timedelta(minutes=5)
    assert says.idempotent
    assert says.match[0].target.kind == "Deployment"


def test_a_broken_file_is_named_with_its_line_and_the_others_work(tmp_path: Path) -> None:
    """One bad file never takes the catalog down."""
    write(tmp_path, "bad.yaml", "id: bad\nscript:\n  command: [sh]\ntimeot: 5m\n")
    write(tmp_path, "good.yaml", GOOD.format(id="good"))
    write(tmp_path, "notes.txt", "not a workflow")
    catalog = load_catalog(tmp_path)
    assert list(catalog.workflows) == ["good"]
    assert [str(one) for one in catalog.problems] == [f"{tmp_path / 'bad.yaml'}:4: timeot: unknown key"]


def test_of_two_files_with_one_id_none_is_served(tmp_path: Path) -> None:
    """Which of them was meant cannot be known."""
    write(tmp_path, "a.yaml", GOOD.format(id="same"))
    write(tmp_path, "b.yaml", GOOD.format(id="same"))
    catalog = load_catalog(tmp_path)
    assert not catalog.workflows
    assert {one.path.name for one in catalog.problems} == {"a.yaml", "b.yaml"}


def test_the_digest_is_of_the_files_bytes(tmp_path: Path) -> None:
    """Any change of the file changes it."""
    write(tmp_path, "a.yaml", GOOD.format(id="one"))
    first = load_catalog(tmp_path).workflows["one"].digest
    write(tmp_path, "a.yaml", GOOD.format(id="one") + "# changed\n")
    assert load_catalog(tmp_path).workflows["one"].digest != first


def test_another_engine_keeps_its_section(tmp_path: Path) -> None:
    """The file is whole; that nobody here can run it is said when a command asks."""
    write(tmp_path, "a.yaml", "id: one\nengine: job\njob: {image: x}\n")
    assert load_catalog(tmp_path).workflows["one"].says.engine == "job"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id: a\nid: b\nscript: {command: [sh]}\n", ":2: id: said twice, first on line 1"),
        ("id: [", "not YAML"),
        ("- a\n", "not a mapping"),
        ("", "not a mapping"),
        ("id: a\nscript: &x {command: [sh]}\nmatch: [*x]\n", ":3: aliases"),
        ("id: a\n", "wants a section `script`"),
        ("id: a\nscript: {command: []}\n", ":2: script.command"),
        ("id: a\nscript: {command: ['{target.name}']}\n", "the program is a fixed name"),
        ("id: a\nscript: {command: [sh, '{paramters.x}']}\n", "unknown placeholder {paramters.x}"),
        ("id: a\ntimeout: 5\nscript: {command: [sh]}\n", ":2: timeout: a duration is written like"),
        ("id: a\ntimeout: 0s\nscript: {command: [sh]}\n", "a duration is written like"),
        ("id: a\nversion: 1\nscript: {command: [sh]}\n", ":2: version: Input should be a valid string"),
        ("id: a\nscript: {command: [sh]}\nparameters: {g: {type: integer, default: x}}\n", "wants an integer"),
        ("id: a\nscript: {command: [sh]}\nparameters: {g: {type: integer, default: true}}\n", "wants an integer"),
        ("id: a\nscript: {command: [sh]}\nparameters: {a-b: {default: x}, a_b: {default: x}}\n", "two parameters"),
        ("id: a\nscript: {command: [sh]}\nmatch: [{}]\n", "an empty rule would match every signal"),
        ("id: a\nscript: {command: [sh]}\nparameters: {g: {}}\nmatch: [{name: x}]\n", "needs a default"),
        ("id: a\nscript: {command: [sh]}\nenvironment: ['A=B']\n", "environment"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    """The person who wrote it need not guess."""
    assert message in problem_of(tmp_path, text)
