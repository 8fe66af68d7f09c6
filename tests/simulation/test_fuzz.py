"""No bytes stop a reader: mutations of every kind of record, and all that ever stopped one."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from remediation_orchestrator.simulation import fuzz_targets
from remediation_orchestrator.simulation.fuzz import KeptFinding, fuzz_target, read_cases, shrunk, stopped
from remediation_orchestrator.simulation.fuzz_records import KINDS, FuzzMessage, Mutator
from remediation_orchestrator.simulation.fuzz_targets import READERS
from remediation_orchestrator.simulation.main import main

CASES = dict(read_cases(Path(__file__).parents[1] / "fuzz"))
# The suite's share; the same goes on for as long as wanted with `ro-sim fuzz --seconds`.
SECONDS = 12.0
IN_PROCESS = [name for name in READERS if name != "verbs"]


def test_no_bytes_stop_a_reader() -> None:
    """Each reader with a seed that is always the same."""
    chosen = [word for name in IN_PROCESS for word in ("--reader", name)]
    done = CliRunner().invoke(main, ["fuzz", "--seconds", str(SECONDS), "--json", *chosen])
    assert done.exit_code == 0, done.output
    went = [json.loads(line) for line in done.output.splitlines()]
    assert [one["target"] for one in went] == IN_PROCESS
    assert all(one["cases"] > 0 for one in went)


def test_every_verb_reads_a_log_of_whatever_was_published() -> None:
    """As processes, over one exported log."""
    went = fuzz_target("verbs", 0, 0.1)
    assert went.finding is None
    assert went.cases == READERS["verbs"].together


@pytest.mark.parametrize("name", CASES)
def test_what_once_stopped_a_reader_stops_none_any_more(name: str) -> None:
    """Whichever it was: each case goes through all of them."""
    kept: KeptFinding = CASES[name]
    assert {reader: stopped(READERS[reader].take, kept.cases) for reader in IN_PROCESS if reader != "door"} == (
        dict.fromkeys([reader for reader in IN_PROCESS if reader != "door"])
    )


def test_every_kind_of_record_is_mutated() -> None:
    """Unchanged, each can be read where it belongs."""
    mutator = Mutator(0)
    seen = b" ".join(mutator.case().payload for _ in range(3_000))
    assert [kind for kind in KINDS if kind.encode() not in seen] == []


def test_one_seed_gives_the_same_cases() -> None:
    """And another gives others."""

    def cases(seed: int) -> list[FuzzMessage]:
        mutator = Mutator(seed)
        return [mutator.case() for _ in range(50)] + [mutator.body() for _ in range(50)]

    assert cases(1) == cases(1)
    assert cases(1) != cases(2)


def test_what_stops_a_reader_is_made_as_small_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that cannot bear one word."""

    def squeamish(cases: Sequence[FuzzMessage]) -> None:
        if any(b"resolves" in case.payload for case in cases):
            raise ValueError("not this word")

    monkeypatch.setitem(READERS, "decode", fuzz_targets.Reader(squeamish, Mutator.case, 100))
    finding = fuzz_target("decode", 0, 5.0).finding
    assert finding is not None
    assert [case.payload for case in finding.cases] == [b"resolves"]
    assert finding.what == "ValueError: not this word"


def test_only_what_is_needed_together_is_kept() -> None:
    """Of many, the two that do it."""
    assert shrunk([1, 2, 3, 4, 5, 6, 7], lambda left: 2 in left and 6 in left) == [2, 6]
