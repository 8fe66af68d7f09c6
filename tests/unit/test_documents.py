"""Files that people write: whatever stands in them is a value, or a line that says what is wrong and where."""

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.documents.files import FileError, Mistake, read
from remediation_orchestrator.documents.kinds import model_of
from remediation_orchestrator.documents.reader import (
    FILE_BYTES_MAX,
    WRONG_MAX,
    DocumentError,
    read_document,
    read_file,
)
from remediation_orchestrator.executor.catalog import load_workflow
from remediation_orchestrator.executor.workflow_file import WorkflowFile
from remediation_orchestrator.gateway.access import Access
from remediation_orchestrator.gateway.formats.mapping import Mapping
from remediation_orchestrator.gateway.identity import IdentityRules
from remediation_orchestrator.gateway.processing import Processing
from remediation_orchestrator.orchestrator.policy_file import read as read_policy
from remediation_orchestrator.orchestrator.routing.policy import Policy

SIZE = FILE_BYTES_MAX - 100
# Of the processor, so that a busy machine does not count; half of it is measured at most.
READING_SECONDS = 2.0
SHAPES = {
    "brackets": "[" * SIZE,
    "braces": "{" * SIZE,
    "dashes": "- " * (SIZE // 2),
    "questions": "? " * (SIZE // 2),
    "a list": "- a\n" * (SIZE // 4),
    "a list in a line": "[" + "a," * (SIZE // 2 - 1) + "]",
    "keys": "\n".join(f"k{number}: 1" for number in range(25_000)),
    "one key": "a: 1\n" * (SIZE // 5),
    "a long text": "a: " + "x" * (SIZE - 3),
    "a long number": "a: " + "9" * (SIZE - 3),
    "a long time of day": "a: 1" + ":1" * (SIZE // 2 - 2),
    "escapes": 'a: "' + "\\x41" * (SIZE // 4 - 2) + '"',
    "lines": "a: |\n" + " x\n" * (SIZE // 3 - 2),
    "words": "a " * (SIZE // 2 - 2) + ": b",
    "nothing": " " * SIZE,
    "anchors": "- &a x\n" * (SIZE // 7),
    "steps": "".join(" " * depth + "a:\n" for depth in range(600)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_file_of_any_shape_takes_long_to_read(shape: str) -> None:
    """To its bound of bytes; 40 KB of brackets took twelve seconds."""
    began = time.thread_time()
    with suppress(DocumentError):
        read_document(SHAPES[shape])
    assert time.thread_time() - began < READING_SECONDS


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: *c", 2, "aliases (`*name`) are not used here: write it out"),
        ("a: &b 1\n\nc: [*b]", 3, "aliases"),
        ("a:\n  b: !!timestamp nope", 2, "tags (`!name`) are not used here"),
        ("!!binary x", 1, "tags"),
        ("? !!set {}\n: 1", 1, "tags"),
        ("a: 1\nb: \0", 2, "not YAML: a character that it does not have"),
        ("a: 1\n--- \nb: 2", 2, "not YAML: but found another document"),
        ("a: [1,\n 2", 2, "not YAML"),
        (b"a: 1\nb: \xff", 2, "not UTF-8"),
        ("[" * 21, 1, "nested deeper than 20"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(text: str | bytes, line: int, message: str) -> None:
    """And quotes no value."""
    with pytest.raises(DocumentError) as caught:
        read_document(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(message)


def test_a_key_that_is_said_twice_is_wrong_wherever_it_stands() -> None:
    """Each of them with its line and the first one's."""
    document = read_document("a: 1\nb: [{c: 1,\n c: 2}]\na: 3\n")
    assert document.wrong == [
        (3, "b[0].c: said twice, first on line 2"),
        (4, "a: said twice, first on line 1"),
    ]
    assert document.data == {"a": 1, "b": [{"c": 1}]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-02-30", "2026-02-30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("=", "="),
        ("<<", "<<"),
        ("9" * 101, "9" * 101),
        ("0x_", "0x_"),
        ("yes", True),
        ("1.5", 1.5),
        ("1_000", 1_000),
        ("~", None),
    ],
)
def test_a_plain_value_is_a_number_a_truth_or_text(text: str, value: object) -> None:
    """What looks like a date is text: a date that is none is no fault of ours."""
    assert read_document(f"a: {text}").data == {"a": value}


def test_a_file_is_read_no_further_than_its_bound(tmp_path: Path) -> None:
    """One that never ends, too."""
    with pytest.raises(DocumentError, match="larger than the 262,144 bytes"):
        read_file(Path("/dev/zero"))
    full = tmp_path / "full.yaml"
    full.write_bytes(b"#" * FILE_BYTES_MAX)
    assert len(read_file(full)) == FILE_BYTES_MAX


def said_of(content: str | bytes) -> str:
    """What a file is refused with; nothing where it is read."""
    try:
        read_document(content)
    except DocumentError as error:
        return str(error)
    return ""


@given(st.text(st.sampled_from(list("ab:-?[]{}&*!|>'\"%@`#,. \n\t019=<~_\0é")), max_size=60))
@example("a: !!timestamp nope")
@example("a: 0b_")
@example("? ? :")
def test_whatever_the_text_there_is_a_value_or_a_line(text: str) -> None:
    """Never a fault of ours."""
    assert "\n" not in said_of(text)


@given(st.binary(max_size=40))
def test_whatever_the_bytes_there_is_a_value_or_a_line(content: bytes) -> None:
    """Of another encoding, too."""
    assert "\n" not in said_of(content)


TOKENS = (
    "tokens:\n- {name: old, sources: [alertmanager], token: a-token-of-last-year}\n"
    "tokens:\n- {name: new, sources: [alertmanager], token: a-token-of-this-year}\n"
)


@pytest.mark.parametrize("kind", [Access, IdentityRules, Processing, Mapping])
def test_two_blocks_of_one_name_are_refused_in_every_file_of_the_door(
    tmp_path: Path, kind: type[Access | IdentityRules | Processing | Mapping]
) -> None:
    """The first would be dropped in silence, and whoever it let in with it."""
    file = tmp_path / "rules.yaml"
    file.write_text(TOKENS)
    with pytest.raises(FileError, match=r"rules\.yaml:3: tokens: said twice, first on line 1"):
        read(file, kind)
    with pytest.raises(FileError, match=f"^{file}:3: tokens: said twice, first on line 1$"):
        read(file, Access, secret=True)


def test_a_tag_in_one_file_of_the_catalog_is_that_files_problem(tmp_path: Path) -> None:
    """It stopped the analyser for every command."""
    file = tmp_path / "a.yaml"
    file.write_text("id: a\nversion: !!timestamp nope\nscript: {command: [sh]}\n")
    assert load_workflow(file) == [Mistake(file, "tags (`!name`) are not used here", 2)]


def test_a_file_that_was_made_to_be_slow_is_refused_by_every_verb_that_reads_one(tmp_path: Path) -> None:
    """In a line, with exit code 2."""
    file = tmp_path / "slow.yaml"
    file.write_text("[" * 40_000)
    for command in (["policy", "check", str(file)], ["gateway", "--identity", str(file)]):
        done = CliRunner().invoke(main, command)
        assert (done.exit_code, done.output) == (2, f"ro: {file}:1: nested deeper than 20\n")


FILES: dict[str, tuple[type[BaseModel], str, str]] = {
    "policy": (model_of(Policy), "timeouts:\n  startin: 1m\n", "timeouts.startin; did you mean starting?"),
    "workflow": (WorkflowFile, "id: a\ntimeot: 1m\n", "timeot; did you mean timeout?"),
    "tokens": (Access, "\ntokns: []\n", "tokns; did you mean tokens?"),
    "identity": (
        IdentityRules,
        "examples:\n- {labels: {}, clustr: x}\n",
        "examples[0].clustr; did you mean cluster?",
    ),
    "processing": (Processing, "\nurgency: []\n", "urgency; known here: environment, priority, severity"),
    "mapping": (Mapping, "name: n\nstate: {vlaue: x}\n", "state.vlaue; did you mean value?"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_key_that_nobody_knows_is_refused_with_the_one_that_may_be_meant(tmp_path: Path, name: str) -> None:
    """In the same words in every file, with its line; what else is wrong is said with it."""
    kind, text, said = FILES[name]
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with pytest.raises(FileError) as caught:
        read(file, kind)
    assert f"{file}:2: unknown key {said}" in str(caught.value).splitlines()


@pytest.mark.parametrize("text", ["90s", "1h30m", "2d", "1500ms"])
def test_a_duration_is_written_alike_in_every_file(tmp_path: Path, text: str) -> None:
    """One grammar."""
    policy, workflow = tmp_path / "policy.yaml", tmp_path / "workflow.yaml"
    policy.write_text(f"timeouts: {{starting: {text}}}\n")
    workflow.write_text(f"id: a\ntimeout: {text}\n")
    assert read_policy(policy).policy.timeouts.starting == read(workflow, WorkflowFile).timeout
    for file in (policy, workflow):
        file.write_text(file.read_text().replace(text, "5"))
        said = f"{read_line(file)}: a duration is written as 90s, 5m or 1h30m, not 5"
        with pytest.raises(FileError, match=f"^{re.escape(said)}$"):
            read_policy(file) if file is policy else read(file, WorkflowFile)


def read_line(file: Path) -> str:
    """The place of the one duration of a file."""
    return f"{file}:1: timeouts.starting" if file.stem == "policy" else f"{file}:2: timeout"


def test_of_very_many_mistakes_the_first_are_said(tmp_path: Path) -> None:
    """A person sees the rest when these are gone."""
    file = tmp_path / "policy.yaml"
    file.write_text("".join(f"key{number}: 1\n" for number in range(5_000)))
    with pytest.raises(FileError) as caught:
        read_policy(file)
    assert len(caught.value.mistakes) == WRONG_MAX
