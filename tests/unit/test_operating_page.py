"""docs/operating.md says what is built: its verbs, options, codes and log lines are held against the code."""

import re
from pathlib import Path

import click
import pytest

from remediation_orchestrator.cli import main as cli
from remediation_orchestrator.cli.main import VERBS, main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operating.md").read_text()
WORDS = re.findall(r"`([^`\n]+)`", PAGE)
SERVICES = ("orchestrator", "executor", "bus", "web", "cli")


def test_every_verb_and_option_is_there() -> None:
    """As it is written in a command, and of the verb that it is written with."""
    assert isinstance(main, click.Group)
    context = click.Context(main)
    for words in (command.split() for command in WORDS if command.startswith("ro ")):
        assert words[1] in VERBS, words
        verb = main.get_command(context, words[1])
        assert verb is not None
        known = {option for parameter in verb.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, words
    everywhere = {
        option
        for verb in (main.get_command(context, name) for name in VERBS)
        if verb is not None
        for parameter in verb.params
        for option in parameter.opts
    }
    assert {word for words in WORDS for word in re.findall(r"(?<!\S)--[a-z-]+", words)} <= everywhere


def test_the_exit_codes_are_those_of_the_command() -> None:
    """Each has its row."""
    section = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert said == {0, cli.NO, cli.BAD, cli.UNREACHABLE, cli.FAULT, cli.INTERRUPTED, cli.PIPE_CLOSED}


@pytest.mark.parametrize(
    "event",
    re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (`[a-z].*?) \|", PAGE.partition("## What to")[2], re.M))),
)
def test_every_log_line_to_alert_on_is_one_that_is_said(event: str) -> None:
    """Word for word in the sources."""
    sources = "".join(path.read_text() for folder in SERVICES for path in (ROOT / folder).rglob("*.py"))
    assert f'"{event}"' in sources
