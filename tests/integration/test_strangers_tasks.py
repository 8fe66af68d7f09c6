"""The tasks of docs/architecture.md, done in a copy of the tree: what it says is to be touched is enough."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".venv", ".uv", ".git", "__pycache__", ".mypy_cache", "figures")
FACT = '''class ProblemForgiven(Struct, frozen=True):
    """An operator forgives a problem its failures."""

    fingerprint: Fingerprint
    by: str = ""
    reason: str = ""


'''
VERB = '''"""`ro forgive`: an operator's ProblemForgiven."""

import click

from remediation_orchestrator.events.facts import ProblemForgiven
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .support.connection import Broker
from .support.operating import Operator, operate, operator_options


@click.command("forgive")
@click.argument("name", metavar="ID")
@operator_options
def verb(broker: Broker, operator: Operator, name: str) -> None:
    """Forgive a problem its failures."""
    operate(broker, operator, name, fact=_fact, follows=_follows)


def _fact(remediation: Remediation, by: str, reason: str) -> ProblemForgiven:
    return ProblemForgiven(remediation.fingerprint, by, reason)


def _follows(view: Projection, remediation: Remediation) -> str:
    return f"{view.history(remediation.fingerprint).failures} failures are forgiven"
'''
EFFECT = """\
        case ProblemForgiven():
            forgive(view, act.fingerprint)
            return True
"""
FORGIVEN = """
from datetime import UTC, datetime

from remediation_orchestrator.events import CellName, Fingerprint, StoredMessage, decode, encode, subjects
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.events.facts import ProblemForgiven
from remediation_orchestrator.orchestrator.queries.history import says
from remediation_orchestrator.orchestrator.routing.effects import count_failure
from remediation_orchestrator.orchestrator.routing.facts import fold_fact
from remediation_orchestrator.orchestrator.routing.projection import Projection

now = datetime(2026, 11, 21, 12, tzinfo=UTC)
fact = ProblemForgiven(Fingerprint("F"), "ann")
payload = encode(fact, Attributes(id="1", source="/me", time=now))
subject = subjects.operator(CellName("main"), fact)
(record,) = decode(StoredMessage(1, now, subject, payload, {"Nats-Expected-Last-Subject-Sequence": "0"}))
view = Projection()
count_failure(view, Fingerprint("F"), now)
assert view.history(Fingerprint("F")).failures == 1
assert fold_fact(view, record)
assert view.history(Fingerprint("F")).failures == 0
print(subject, says(record.event))
"""
FORMAT = '''"""Lines of text, each a name and its target."""

from datetime import datetime

from remediation_orchestrator.events import SignalReceived, Target
from remediation_orchestrator.gateway.bodies import Received, Source
from remediation_orchestrator.gateway.identity import IdentityRules
from remediation_orchestrator.gateway.items import Found, Items


def convert(received: Received, identity: IdentityRules, now: datetime) -> Items:
    """One signal a line."""
    for number, line in enumerate(received.body.decode().splitlines()):
        name, _, target = line.partition(" ")
        yield Found(f"line {number}", SignalReceived(name=name, target=Target(target)))


SOURCES = (Source("lines", "A name and a target a line", convert),)
'''
CONVERTED = """
from datetime import UTC, datetime

from remediation_orchestrator.gateway.bodies import Received
from remediation_orchestrator.gateway.sources import Rules, built_in, items_for

source = built_in()["lines"]
items = items_for(source, Received("text/plain", {}, b"DiskFull db-1\\nPodDown cart"), Rules(), datetime.now(UTC))
print([(item.signal.name, item.signal.target.name) for item in items])
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the product, in which anything may be changed."""
    copy = tmp_path / "tree"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return copy


def put(file: Path, *changes: tuple[str, str]) -> None:
    """Change a file: each text stands in it once."""
    text = file.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    file.write_text(text)


def run(tree: Path, *arguments: str) -> tuple[int, str]:
    """Run Python in the copy."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def files_with_errors(tree: Path) -> set[str]:
    """What the type checker complains of, file by file."""
    _, said = run(tree, "-m", "mypy", "remediation_orchestrator")
    return {line.partition(":")[0].removeprefix("remediation_orchestrator/") for line in said.splitlines()[:-1]}


def add_fact(tree: Path, union: str) -> None:
    """Add a fact, and put it into the union of whoever says it."""
    put(
        tree / "events/facts.py",
        ("class LossAccepted(", f"{FACT}class LossAccepted("),
        (union, f"{union} | ProblemForgiven"),
    )


def test_a_new_fact_is_missed_by_the_type_checker_wherever_something_is_said_of_each(tree: Path) -> None:
    """The places that the page names, and no other."""
    add_fact(tree, "AnalysisFact = AnalysisCompleted | AnalysisFailed")
    named = {"events/about.py", "orchestrator/routing/facts.py", "orchestrator/queries/history.py"}
    assert files_with_errors(tree) == {*named, "testing/publishing.py"}


def test_a_new_verb_of_operators_is_its_fact_its_effect_and_its_module(tree: Path) -> None:
    """With what the type checker asks for it is said, folded, told and typed."""
    add_fact(tree, "    | ArchiveRequested\n    | LossAccepted")
    put(
        tree / "events/subjects.py",
        ("    LossAccepted,\n", "    LossAccepted,\n    ProblemForgiven,\n"),
        ('    LossAccepted: "accept",\n', '    LossAccepted: "accept",\n    ProblemForgiven: "forgive",\n'),
    )
    asked = {"events/about.py", "orchestrator/routing/facts.py", "orchestrator/queries/history.py"}
    assert files_with_errors(tree) == {*asked, "orchestrator/routing/acts.py"}
    put(
        tree / "events/about.py",
        ("    LossAccepted,\n", "    LossAccepted,\n    ProblemForgiven,\n"),
        ("| LossAccepted()", "| LossAccepted() | ProblemForgiven()"),
    )
    for file in ("routing/facts.py", "queries/history.py"):
        put(
            tree / "orchestrator" / file,
            ("events.facts import ", "events.facts import ProblemForgiven, "),
            ("| LossAccepted()", "| LossAccepted() | ProblemForgiven()"),
        )
    put(
        tree / "orchestrator/routing/acts.py",
        ("events.facts import ", "events.facts import ProblemForgiven, "),
        (
            "        case _:\n            assert_never(act)",
            f"{EFFECT}        case _:\n            assert_never(act)",
        ),
    )
    (tree / "cli/forgive.py").write_text(VERB)
    put(
        tree / "cli/main.py",
        ('    "retry": "', '    "forgive": "remediation_orchestrator.cli.forgive",\n    "retry": "'),
    )
    assert files_with_errors(tree) == set()
    assert run(tree, "-c", FORGIVEN) == (0, "ro.main.operator.forgive.ann by ann\n")
    code, said = run(tree, "-c", "from remediation_orchestrator.cli.main import main; main()", "forgive", "--help")
    assert (code, "Forgive a problem its failures." in said) == (0, True)


def test_a_new_format_at_the_door_is_one_module_and_its_name(tree: Path) -> None:
    """The door reads it under the name that it gives itself."""
    (tree / "gateway/formats/lines.py").write_text(FORMAT)
    put(
        tree / "gateway/sources.py",
        ("import alertmanager, cloudevents, kubernetes", "import alertmanager, cloudevents, kubernetes, lines"),
        ("*cloudevents.SOURCES)", "*cloudevents.SOURCES, *lines.SOURCES)"),
    )
    assert files_with_errors(tree) == set()
    assert run(tree, "-c", CONVERTED) == (0, "[('DiskFull', 'db-1'), ('PodDown', 'cart')]\n")
