"""What the verbs answer to good and bad arguments before any broker is asked: exit 2, one line that says where."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remediation_orchestrator.cli.main import VERBS, main
from remediation_orchestrator.cli.support import operating
from remediation_orchestrator.cli.support.signal_input import parse_pair, parse_target, parse_value
from remediation_orchestrator.events import Target

# Nobody listens there: whoever gets as far as connecting ends with 3.
NOBODY = "nats://127.0.0.1:1"


def ro(*arguments: object, stdin: str | None = None) -> Result:
    """Run a verb here, without what the environment may say."""
    return CliRunner(env={"NATS_URL": None}).invoke(main, [str(one) for one in arguments], input=stdin)


def refused(result: Result, code: int = 2) -> str:
    """The one line of a refusal."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()


@pytest.mark.parametrize("verb", [*VERBS, "policy check", "policy show", "policy adopt"])
def test_every_verb_says_what_it_does(verb: str) -> None:
    """With --help, on standard output."""
    result = ro(*verb.split(), "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: ro {verb}")


def test_ro_names_its_verbs_and_its_version() -> None:
    """All of them, in the order of a first acquaintance."""
    assert all(f"\n  {verb}  " in ro("--help").stdout for verb in VERBS)
    assert ro("--version").exit_code == 0


@pytest.mark.parametrize("group", [[], ["policy"], ["gateway"]])
def test_a_verb_is_listed_with_its_whole_sentence(group: list[str]) -> None:
    """Also in eighty columns: none is cut in its middle."""
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(main, [*group, "--help"]).stdout
    listed = shown.partition("\nCommands:\n")[2]
    assert listed
    assert "..." not in re.sub(r"(rr|wfe)-\.\.\.", "", listed)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lst"], "ro: no verb 'lst'; did you mean list?"),
        (["policy", "adpot"], "ro policy: no verb 'adpot'; did you mean adopt?"),
        (["gateway", "explian"], "ro gateway: no verb 'explian'; did you mean explain?"),
        (["zzz"], "ro: no verb 'zzz'"),
    ],
)
def test_a_misspelt_verb_is_guessed_at(arguments: list[str], says: str) -> None:
    """Where one is written alike."""
    assert refused(ro(*arguments)) == says


@pytest.mark.parametrize(
    "arguments", [["lst"], ["list", "--wat"], ["list", "--cell", "No_Cell"], ["show"], ["retry", "x"]]
)
def test_a_bad_argument_is_one_line(arguments: list[str]) -> None:
    """Exit 2."""
    assert refused(ro(*arguments)).startswith("ro")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show", "rr-1"],
        ["fingerprint", "f"],
        ["policy", "show"],
        ["signal", "--name", "X", "--target", "t"],
        ["retry", "rr-1", "--reason", "r"],
        ["clear", "rr-1", "--reason", "r"],
        ["export", "-"],
        ["orchestrator"],
        ["executor", "--workflows", "."],
    ],
)
def test_a_broker_that_cannot_be_reached_is_exit_three(arguments: list[str]) -> None:
    """One line with the address, and without the password in it."""
    line = refused(ro(*arguments, "--nats", "nats://ro:secret@127.0.0.1:1"), 3)
    assert "127.0.0.1:1" in line
    assert "secret" not in line


def test_where_no_broker_is_named_or_found_the_way_to_one_is(tmp_path: Path) -> None:
    """Exit 3."""
    assert "ro up" in refused(ro("list", "--data-dir", tmp_path), 3)


def test_a_reading_verb_waits_for_no_framework() -> None:
    """FastStream takes most of a second, and pydantic the rest."""
    code = (
        "import sys; from remediation_orchestrator.cli.main import main\n"
        "try: main(['list', '--log', 'none'])\n"
        "except SystemExit: print(sorted({'faststream', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("checkout", Target("checkout")),
        ("shop/checkout", Target("checkout", namespace="shop")),
        ("Deployment/checkout", Target("checkout", kind="Deployment")),
        ("shop/Deployment/checkout", Target("checkout", namespace="shop", kind="Deployment")),
        ("eu-1/shop/checkout", Target("checkout", cluster="eu-1", namespace="shop")),
        ("eu-1/shop/Deployment/checkout", Target("checkout", "eu-1", "shop", "Deployment")),
        ("--all", Target("--all")),
    ],
)
def test_a_target_is_written_from_the_cluster_down(text: str, target: Target) -> None:
    """A kind is known by its capital letter."""
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["", "shop/", "a/b/c/d", "/x", "a//x", "a/b/c/D/e"])
def test_what_is_no_target_is_refused(text: str) -> None:
    """With how one is written."""
    with pytest.raises(ValueError, match="Kind"):
        parse_target(text)


def test_a_parameter_is_a_number_where_it_is_one() -> None:
    """Else it is text: an id of digits keeps its zeros."""
    assert [parse_value(text) for text in ("30", "-1", "0.5", "true", "007", "1e3", "x")] == [
        30,
        -1,
        0.5,
        True,
        "007",
        "1e3",
        "x",
    ]
    assert parse_pair("a=b=c") == ("a", "b=c")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--name"),
        (["--name", "X"], "--target"),
        (["--name", "X", "--target", "a//b"], "--target"),
        (["--name", "X", "--target", "t", "--namespace", "n"], "--target says it all"),
        (["--name", "X", "--target", "t", "--within", "n1", "--within", "a//b"], "--within"),
        (["--name", "X", "--target", "t", "--label", "broken"], "--label"),
        (["--name", "X", "--target", "t", "--parameter", "a=1"], "--workflow"),
        (["--name", "X", "--target", "t", "--source", "a.b"], "--source"),
        (["--name", "X" * 10_000, "--target", "t"], "`name`"),
        (["--name", "X", "--target", "t", "--starts-at", "2026-11-21T10:00:00"], "starts_at"),
        (["--name", "X", "--target", "t", "--starts-at", "2999-01-01T00:00:00Z"], "2999-01-01"),
        (["--name", "X", "--target", "t", "--label", f"a={'x' * 300_000}"], "262,144"),
        (["--from", "alertmanager"], "--file"),
        (["--file", "none.json", "--name", "X"], "--name"),
        (["--file", "none.json"], "none.json"),
    ],
)
def test_a_signal_that_is_described_badly_is_not_published(arguments: list[str], said: str) -> None:
    """Exit 2 although nobody is there to take it: it is checked first."""
    assert said in refused(ro("signal", *arguments, "--nats", NOBODY))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "empty"),
        ("what", "not JSON"),
        ("[]", "no signal"),
        ("3", "JSON object"),
        ('{"name": "X"', "not JSON"),
        ('{"name": "X"}', "`target`"),
        ('{"name": "X", "target": {}}', "`target.name`"),
        ('{"name": "X", "target": {"name": 3}}', "`target.name`"),
        ('[{"name": "X", "target": {"name": "t"}}, {"name": "Y"}]', "[1]: "),
        ('{"name": "X", "target": {"name": "t"}}\n\n{"name": "Y"}', "line 3: "),
        ('{"name": "X", "target": {"name": "t"}}\n{"na', "line 2: "),
        ('{"name": "X", "target": {"name": "t"}, "starts_at": "2026-11-21T10:00:00"}', "starts_at"),
        ('{"specversion": "1.0", "type": "RoutingDecided.v1", "data": {}}', "signal"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_with_a_bad_signal_is_refused_whole_and_names_the_place(body: str, said: str) -> None:
    """Nothing of it is published."""
    assert said in refused(ro("signal", "--file", "-", "--nats", NOBODY, stdin=body))


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "X", "target": {"name": "t"}}',
        '{\n "name": "X",\n "target": {"name": "t"}\n}\n',
        '[{"name": "X", "target": {"name": "t"}}]',
        '{"name": "X", "target": {"name": "t"}}\n{"name": "Y", "target": {"name": "t"}}\n',
        '{"name": "X", "target": {"name": "--all"}, "severity": null, "unknown": 1}',
    ],
)
def test_an_object_an_array_and_lines_are_taken(body: str) -> None:
    """As far as the broker that is not there."""
    refused(ro("signal", "--file", "-", "--nats", NOBODY, stdin=body), 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{ what", "line 1, column 3"),
        ('{"version": "4", "alerts": []}', "no signal"),
        ('{"version": "4", "alerts": [{"status": "firing", "labels": {}}]}', "alerts[0]"),
    ],
)
def test_a_bad_webhook_body_is_one_line(body: str, said: str) -> None:
    """With the place in it."""
    line = refused(ro("signal", "--from", "alertmanager", "--file", "-", "--nats", NOBODY, stdin=body))
    assert said in line


def test_an_operator_gives_a_reason() -> None:
    """An empty one is none."""
    assert "--reason" in refused(ro("cancel", "rr-1", "--nats", NOBODY))
    assert "--reason" in refused(ro("cancel", "rr-1", "--reason", " ", "--nats", NOBODY))


@pytest.mark.parametrize("name", ["", "jane.doe", "a b", "a" * 65])
def test_an_operator_has_a_name_that_a_subject_can_hold(name: str) -> None:
    """It is the last word of theirs."""
    said = refused(ro("cancel", "rr-1", "--reason", "r", "--by", name, "--nats", NOBODY))
    assert f"'--by': {name!r} is not 1 to 64 of letters, digits, _ and -" in said


def test_a_users_name_is_said_as_a_subject_can_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hyphen for what it cannot."""
    for known, said in (("jane.doe", "jane-doe"), ("a b\\c", "a-b-c"), ("a" * 70, "a" * 64)):
        monkeypatch.setenv("LOGNAME", known)
        assert operating.user() == said


@pytest.mark.parametrize(
    "arguments", [[], ["rr-1", "--target", "t"], ["--workflow", "w"], ["rr-1", "--workflow", "w"]]
)
def test_a_clear_says_of_what(arguments: list[str]) -> None:
    """A remediation, or what the options name."""
    refused(ro("clear", *arguments, "--reason", "r", "--nats", NOBODY))


def test_a_good_policy_file_is_shown_in_full(tmp_path: Path) -> None:
    """With its digest."""
    path = tmp_path / "policy.yaml"
    path.write_text("routing:\n  retry_limit: 7\n")
    shown = json.loads(ro("policy", "check", path, "--json").stdout)
    assert shown["policy"]["routing"]["retry_limit"] == 7
    assert len(shown["digest"]) == 64


@pytest.mark.parametrize(
    "verb", [["policy", "check"], ["policy", "adopt", "--reason", "r"], ["orchestrator", "--policy"]]
)
def test_a_bad_policy_file_is_refused_with_a_line_for_each_fault(verb: list[str], tmp_path: Path) -> None:
    """Exit 2, before any broker is asked."""
    path = tmp_path / "policy.yaml"
    path.write_text("routing:\n  retry_limt: 7\n  backoff_base: -1s\n")
    result = ro(*verb, path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.rpartition("policy.yaml:")[2][0] for line in result.stderr.splitlines()] == ["2", "3"]


def test_up_wants_a_folder_that_is_there(tmp_path: Path) -> None:
    """A misspelt catalog is no empty one."""
    refused(ro("up", "--data-dir", tmp_path, "--workflows", tmp_path / "none"))


def test_a_demo_is_kept_in_a_folder_that_is_there(tmp_path: Path) -> None:
    """That is seen before the story is told, and not after it."""
    assert "there is no such folder" in refused(ro("demo", "--keep", tmp_path / "absent" / "log.jsonl"))
