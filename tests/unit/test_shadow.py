"""A policy in shadow: the same decide on the same situation, recorded where it differs, and without effect."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from story import CELL, STEADY, Story, minute
from written import WrittenLog

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events import (
    Block,
    PolicyAdopted,
    PolicyRejected,
    PolicyShadowed,
    Proceed,
    Recorded,
    RoutingDecided,
    ShadowDecided,
    Skip,
    StoredMessage,
    decode,
    subjects,
)
from remediation_orchestrator.events.codec import join_frame
from remediation_orchestrator.orchestrator.frames import FRAME_BYTES_MAX, batches
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Drift
from remediation_orchestrator.orchestrator.routing.policy import policy_of

ROUTING: dict[str, object] = STEADY["routing"]  # type: ignore[assignment]
SLOWER: dict[str, object] = {"routing": {**ROUTING, "backoff_base": "2m"}}
EXCLUDING: dict[str, object] = {**STEADY, "scope": {"exclude": [{"target": {"namespace": "shop"}}]}}


def shadows(story: Story) -> list[ShadowDecided]:
    """What was recorded beside the verdicts."""
    return [one for one in story.decisions if isinstance(one, ShadowDecided)]


def test_a_shadow_speaks_where_it_differs() -> None:
    """Twice the wait after a failure; right behind the verdict, by its own digest."""
    story = Story()
    story.operator(0, PolicyShadowed(SLOWER))
    story.signal(0)
    story.failed(1, "wfe-2")
    (said,) = shadows(story)
    assert (said.signal, said.attempt, said.policy) == ("2", 2, policy_of(SLOWER).digest)
    assert isinstance(said.verdict, Block)
    assert said.verdict.until == minute(3)
    assert isinstance(story.verdict, Block)
    assert story.verdict.until == minute(2)
    before = story.decisions[story.decisions.index(said) - 1]
    assert isinstance(before, RoutingDecided)
    assert before.attempt == said.attempt


def test_a_shadow_that_agrees_stays_quiet() -> None:
    """And so does no shadow at all."""
    agrees, none = Story(), Story()
    agrees.operator(0, PolicyShadowed(STEADY))
    for story in (agrees, none):
        story.signal(0)
        story.failed(1, "wfe-2" if story is agrees else "wfe-1")
        assert shadows(story) == []


def test_a_shadow_changes_no_state_and_no_other_decision() -> None:
    """A duplicate and a queue too: all goes as if it were not there."""

    def lived(fact: PolicyShadowed | PolicyAdopted) -> Story:
        story = Story()
        story.operator(0, fact)
        story.signal(0)
        story.signal(0.5)
        story.signal(0.5, "Other", workflow="other")
        story.failed(1, "wfe-2")
        story.completed(4, "wfe-4")
        story.wait(10)
        return story

    beside, alone = lived(PolicyShadowed(EXCLUDING)), lived(PolicyAdopted(STEADY))
    assert [one for one in beside.decisions if not isinstance(one, ShadowDecided)] == alone.decisions
    assert len(shadows(beside)) == len(beside.verdicts)
    assert {type(one.verdict) for one in shadows(beside)} == {Skip}
    told = {"shadow", "adopted"}
    assert {key: value for key, value in beside.state().items() if key not in told} == {
        key: value for key, value in alone.state().items() if key not in told
    }


def test_the_adoption_of_the_policy_in_shadow_ends_the_shadow() -> None:
    """The adoption of any other leaves it."""
    story = Story()
    story.operator(0, PolicyShadowed(SLOWER))
    story.operator(0, PolicyAdopted(EXCLUDING))
    assert story.cell.view.shadow == policy_of(SLOWER)
    story.operator(0, PolicyAdopted(SLOWER))
    assert story.cell.view.shadow is None


def test_a_shadow_is_taken_away_and_an_invalid_one_refused() -> None:
    """The old one stays where the new one cannot be taken."""
    story = Story()
    story.operator(0, PolicyShadowed(SLOWER))
    bad = story.operator(0, PolicyShadowed({"routing": {"retry_limit": 0}}))
    assert isinstance(story.decisions[-1], PolicyRejected)
    assert story.decisions[-1].position == bad
    assert story.cell.view.shadow == policy_of(SLOWER)
    story.operator(0, PolicyShadowed())
    assert story.cell.view.shadow is None


def test_a_shadow_stands_in_the_frame_of_its_verdict() -> None:
    """Wherever a frame is full."""
    story = Story()
    story.operator(0, PolicyShadowed(EXCLUDING))
    story.signal(0)
    decided, said = story.decisions
    assert isinstance(decided, RoutingDecided)
    long = msgspec.structs.replace(decided, name="x" * (FRAME_BYTES_MAX - 500))
    (batch,) = batches([long, said], "/test", minute(0))
    assert batch.decisions == [long, said]


# -- in a log ------------------------------------------------------------------------------------------


@pytest.fixture
def written() -> WrittenLog:
    """A shadow that would wait longer, and after it none."""
    log = WrittenLog()
    log.fact(0, subjects.operator(CELL, PolicyShadowed(by="ann")), PolicyShadowed(SLOWER, by="ann"))
    log.signal(0)
    log.fails(1, "wfe-3")
    log.decide(2)
    log.fails(3, "wfe-3-r2")
    log.fact(4, subjects.operator(CELL, PolicyShadowed(by="ann")), PolicyShadowed(by="ann"))
    return log


def recorded(messages: list[StoredMessage]) -> list[Recorded]:
    """Every event of the kind."""
    return [
        record
        for message in messages
        for record in decode(message)
        if isinstance(record, Recorded) and isinstance(record.event, ShadowDecided)
    ]


def test_an_audit_derives_every_shadow_again(written: WrittenLog) -> None:
    """Nothing to say of a log as it was written."""
    assert len(recorded(written.messages)) == 3
    assert list(audit(written.messages)) == []


@pytest.mark.parametrize("forge", ["left out", "changed", "doubled"])
def test_a_forged_shadow_is_found(written: WrittenLog, forge: str) -> None:
    """A missing one, another verdict, one too many; the first place is named."""
    place = recorded(written.messages)[0].position
    sequence, index = map(int, place.split("-"))
    message = written.messages[sequence - 1]
    items = [bytes(item) for item in msgspec.json.decode(message.payload, type=list[msgspec.Raw])]
    assert b"10:03:00" in items[index]
    items[index : index + 1] = {
        "left out": [],
        "changed": [items[index].replace(b"10:03:00", b"10:04:00")],
        "doubled": [items[index]] * 2,
    }[forge]
    forged = msgspec.structs.replace(message, payload=join_frame(items))
    found = [*audit([*written.messages[: sequence - 1], forged])]
    assert [one.drift for one in found] == [Drift.JUDGEMENT]
    assert found[0].position.startswith(f"{sequence}")


def ro(*arguments: object) -> Result:
    """Run a verb here."""
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_report_counts_by_what_was_decided_and_what_would_have_been(
    written: WrittenLog, tmp_path: Path
) -> None:
    """Each time in shadow by itself."""
    result = ro("policy", "shadow", "--report", "--json", "--log", written.export(tmp_path / "log.jsonl"))
    assert result.exit_code == 0, result.stderr
    (row,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (row["policy"], row["since"], row["standing"]) == (policy_of(SLOWER).digest, "2", False)
    assert (row["judged"], row["differing"]) == (4, 3)
    assert [(one["recorded"], one["shadow"], one["verdicts"]) for one in row["differences"]] == [
        ("Block ExponentialBackoff", "Block ExponentialBackoff, otherwise", 2),
        ("Proceed", "Block ExponentialBackoff", 1),
    ]


def test_a_log_without_shadows_is_a_no(tmp_path: Path) -> None:
    """Exit 1."""
    log = WrittenLog()
    log.signal(0)
    result = ro("policy", "shadow", "--report", "--log", log.export(tmp_path / "log.jsonl"))
    assert (result.exit_code, result.stderr) == (1, "ro: no policy has ever been in shadow\n")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--off", "--report"],
        ["policy.yaml", "--off", "--reason", "x"],
        ["--off"],
        ["--off", "--reason", "x", "--log", "log.jsonl"],
    ],
)
def test_a_shadow_wants_one_thing_at_a_time_and_a_reason(options: list[str]) -> None:
    """Exit 2, one line."""
    result = ro("policy", "shadow", *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


def test_adopting_wants_a_file_or_the_shadow() -> None:
    """Not both, and not neither."""
    assert ro("policy", "adopt", "--reason", "x").exit_code == 2
    assert ro("policy", "adopt", "policy.yaml", "--shadow", "--reason", "x").exit_code == 2


def test_a_proceed_is_a_verdict_like_any_other() -> None:
    """What would have run is said too."""
    story = Story(policy_of(EXCLUDING))
    story.operator(0, PolicyShadowed(STEADY))
    story.signal(0)
    assert [one.verdict for one in shadows(story)] == [Proceed()]
