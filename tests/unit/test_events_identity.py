"""Who and what: positions, fingerprints and the ids that derive from them."""

import hashlib
import json

import pytest

from remediation_orchestrator.events import Position, RemediationId, Target, fingerprint_of
from remediation_orchestrator.events.identity import (
    analysis_id,
    cell_name,
    execution_id,
    named_by,
    position,
    position_key,
    remediation_id,
    signal_named_by,
    signal_of,
)

CHECKOUT = Target("checkout", "eu-1", "shop", "Deployment")


def as_the_contract_says(target: Target, name: str) -> str:
    """SHA-256, in hex, of the JSON array, in UTF-8, unescaped, without spaces."""
    parts = [target.cluster, target.namespace, target.kind, target.name, name]
    written = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(written.encode("utf-8")).hexdigest()


def test_the_fingerprint_of_the_contracts_example() -> None:
    """A literal, so that it can never change: whoever publishes may have computed it elsewhere."""
    assert (
        fingerprint_of(CHECKOUT, "KubePodCrashLooping")
        == "bcd5916bf1721db9f47c39e90556a99c226f60ee384bd882372a27ae62078fe5"
    )
    assert (
        fingerprint_of(Target("checkout"), "Crash")
        == "bf136a1f3ef45bc1b5eed2f63bf7a355334fdff4c42712fc7498858cba60a457"
    )


@pytest.mark.parametrize(
    "text", ["x", "é", "😀", '"', "\\", "/", "\x00\x1f\x7f", "\u2028", "\b\f\n\r\t", "<&>", " "]
)
def test_a_fingerprint_is_unescaped_utf_8_without_spaces(text: str) -> None:
    """Only what JSON itself must escape is escaped."""
    target = Target(text, text, text, text)
    assert fingerprint_of(target, text) == as_the_contract_says(target, text)


def test_two_problems_of_one_workload_have_budgets_of_their_own() -> None:
    """The signal's name is part of it."""
    assert fingerprint_of(CHECKOUT, "A") != fingerprint_of(CHECKOUT, "B")


def test_the_same_name_in_two_clusters_is_two() -> None:
    """Every part counts, in its own place."""
    others = [
        Target("checkout", "eu-2", "shop", "Deployment"),
        Target("checkout", "eu-1", "other", "Deployment"),
        Target("checkout", "eu-1", "shop", "StatefulSet"),
        Target("checkout", "shop", "eu-1", "Deployment"),
        Target("checkout"),
    ]
    assert len({fingerprint_of(target, "A") for target in [CHECKOUT, *others]}) == 6
    assert CHECKOUT not in others


def test_case_is_preserved_and_compared() -> None:
    """Nobody lower-cases one side."""
    assert Target("Checkout") != Target("checkout")
    assert fingerprint_of(Target("Checkout"), "A") != fingerprint_of(Target("checkout"), "A")


def test_no_two_ways_to_split_a_name_are_one() -> None:
    """The parts are an array, not glued together."""
    assert fingerprint_of(Target("b", kind="a"), "c") != fingerprint_of(Target("ab"), "c")
    assert fingerprint_of(Target('b","c'), "d") != fingerprint_of(Target("b"), 'c","d')


def test_a_position_is_a_sequence_or_one_with_an_index_from_0() -> None:
    """`41`, `42-3`."""
    assert (position(41), position(42, 3), position(42, 0)) == ("41", "42-3", "42-0")


def test_positions_sort_as_the_log_does() -> None:
    """By number, not by letter."""
    texts = ["10", "9", "42-10", "42-9", "42-0"]
    assert sorted(texts, key=position_key) == ["9", "10", "42-0", "42-9", "42-10"]


@pytest.mark.parametrize(
    "text", ["", "0", "041", "-1", "4-", "4-01", "4--1", "4-1-1", "rr-4", " 4", "4\n", "٤", "1" * 20]
)
def test_anything_else_is_no_position(text: str) -> None:
    """It is refused by name."""
    with pytest.raises(ValueError, match="not a position"):
        position_key(text)


def test_ids_derive_from_the_first_signals_position() -> None:
    """`rr-41`, `wfe-41`, `wfe-41-r2`: from causes, never from chance."""
    for signal in (Position("41"), Position("42-3")):
        remediation = remediation_id(signal)
        assert remediation == f"rr-{signal}"
        assert signal_of(remediation) == signal
        assert [execution_id(signal, run) for run in (1, 2, 3)] == [
            f"wfe-{signal}",
            f"wfe-{signal}-r2",
            f"wfe-{signal}-r3",
        ]
    assert analysis_id(RemediationId("rr-41"), 1) == "rr-41"
    assert analysis_id(RemediationId("rr-41"), 2) == "rr-41-r2"


@pytest.mark.parametrize("text", ["rr-7-2", "wfe-7-2", "wfe-7-2-r3", "rr-7-2-r2"])
def test_a_remediation_is_named_by_its_id_and_by_those_of_its_runs_and_analyses(text: str) -> None:
    """Wherever a person or a command names one."""
    assert named_by(text) == "rr-7-2"
    assert signal_named_by(text) == "7-2"


def test_what_names_no_remediation() -> None:
    """A position names a signal, and nothing else does."""
    assert (named_by("7-2"), signal_named_by("7-2")) == (None, "7-2")
    assert [signal_named_by(text) for text in ("", "rr-", "rr-x", "rr-0", "0", "7-2-3", "checkout", "rr-7 ")] == [
        None
    ] * 8


@pytest.mark.parametrize("name", ["main", "a", "0", "eu-1", "a" * 32, "a-b--c"])
def test_a_cells_name(name: str) -> None:
    """One to 32 of a-z, 0-9 and inner hyphens."""
    assert cell_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a b", "a" * 33, "é", "a\n", "*", ">"])
def test_anything_else_names_no_cell(name: str) -> None:
    """It would change what a subject means."""
    with pytest.raises(ValueError, match="a cell's name"):
        cell_name(name)
