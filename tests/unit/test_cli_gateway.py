"""`ro gateway`, before it opens: what it refuses to begin with, and what it explains."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from doors import alert, webhook

from remediation_orchestrator.cli.gateway import verb
from remediation_orchestrator.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"


def explain(*arguments: str, sent: bytes) -> tuple[int, str]:
    """Run `ro gateway explain` on a body."""
    done = CliRunner().invoke(verb, ["explain", "--file", "-", *arguments], input=sent)
    return done.exit_code, done.output


def test_explain_shows_what_a_body_becomes_and_by_which_rule() -> None:
    """Each part of its identity, and what the rules say of it."""
    rules = ["--identity", str(EXAMPLES / "identity.yaml"), "--processing", str(EXAMPLES / "processing.yaml")]
    code, shown = explain(*rules, sent=webhook(alert("ShopDown")))
    assert code == 0
    for part in (
        "ledger  (target[21], label pod)",
        "critical  (severity[0])",
        "P0  (priority[0])",
        "eu-1  (defaults)",
    ):
        assert part in shown


def test_explain_writes_json_for_programs() -> None:
    """An object for each item; with one that is no signal the exit code is 1."""
    code, shown = explain("--json", sent=webhook(alert(), alert(labels={"alertname": "X"})))
    one, two = [json.loads(line) for line in shown.splitlines()[:2]]
    assert code == 1
    assert (one["type"], one["signal"]["target"]["name"]) == ("SignalReceived.v1", "ledger")
    assert len(one["signal"]["fingerprint"]) == 64
    assert two["where"] == "alerts[1]"
    assert two["rejected"][0].startswith("alerts[1].labels: 'X' names no target")


def test_explain_reads_the_bodies_of_a_mapping() -> None:
    """A folder is all of its files."""
    folder = EXAMPLES / "mappings"
    body = (folder / "bodies" / "zabbix.json").read_bytes()
    code, shown = explain("--mapping", str(folder), "--source", "zabbix", sent=body)
    assert code == 0
    assert "db-2  ({host_name})" in shown


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["explain", "--file", "-", "--source", "nobody"],
            "one of alertmanager, grafana, kubernetes",
        ),
        (
            ["explain", "--file", "-", "--identity", "none.yaml"],
            "none.yaml: cannot be read: No such file or directory",
        ),
        (["--host", "0.0.0.0"], "whoever reaches 0.0.0.0 could start repairs: give --tokens FILE, or say --open"),
        (["--tokens", "none.yaml"], "none.yaml: cannot be read: No such file or directory"),
        (["--mapping", "none.yaml"], "none.yaml: cannot be read: No such file or directory"),
        (["explain", "--file", "-"], "standard input: line 1, column 1: not JSON: Expecting value"),
    ],
)
def test_what_cannot_be_begun_is_one_clear_line(arguments: list[str], line: str) -> None:
    """And exit code 2."""
    done = CliRunner().invoke(verb, arguments, input=b"")
    assert done.exit_code == 2
    assert line in done.output


PAGE = (EXAMPLES.parent / "docs" / "gateway.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_works_as_printed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a clone."""
    monkeypatch.chdir(EXAMPLES.parent)
    program, *arguments = shlex.split(command)
    done = CliRunner().invoke(main, arguments)
    assert (program, done.exit_code) == ("ro", 0)
    assert "SignalReceived.v1" in done.output


def test_two_mappings_of_one_name_are_refused(tmp_path: Path) -> None:
    """One of them would never be read."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("source: grafana\nname: n\ntarget: {name: t}")
    done = CliRunner().invoke(verb, ["--mapping", str(tmp_path)])
    assert (done.exit_code, "two sources are called 'grafana'" in done.output) == (2, True)


def test_a_token_for_a_source_that_is_not_here_is_refused(tmp_path: Path) -> None:
    """Whoever shows it would never be let in."""
    file = tmp_path / "tokens.yaml"
    file.write_text("tokens: [{name: me, sources: [alertmanger], token: a-token-of-this-very-test}]")
    done = CliRunner().invoke(verb, ["--tokens", str(file)])
    assert (done.exit_code, "'me' is for 'alertmanger', and there are alertmanager" in done.output) == (2, True)


@pytest.mark.parametrize("command", [["signal", "--file"], ["gateway", "explain", "--file"]])
def test_what_is_handed_over_is_read_no_further_than_its_bound(command: list[str]) -> None:
    """A file that never ends, too."""
    done = CliRunner().invoke(main, [*command, "/dev/zero"])
    assert (done.exit_code, done.output) == (
        2,
        "ro: /dev/zero: larger than 4,194,304 bytes, and a fact has 262,144\n",
    )
