"""Logs of facts alone, written by hand as the contract writes an exported log, and the rows expected of them."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from remediation_orchestrator.cli.main import main
from remediation_orchestrator.events.stored import EXPECTED

STEADY = "routing:\n  jitter: 0.0\n"
"""The defaults without jitter, so that a file's times are round."""


def at(time: str) -> str:
    """A moment of the day on which all of it happens."""
    return f"2026-11-21T{time}Z"


class Facts:
    """The lines of a file."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._newest: dict[str, int] = {}
        """Where the last record of each subject stands."""

    def line(self, time: str, subject: str, message: object) -> None:
        """One stored message."""
        sequence = len(self._lines) + 1
        record = {
            "sequence": sequence,
            "recorded_at": at(time),
            "subject": f"ro.main.{subject}",
            "message": message,
        }
        if subject.startswith(("operator.", "analysis.")):
            record["headers"] = {EXPECTED: str(self._newest.get(subject, 0))}
        self._newest[subject] = sequence
        self._lines.append(json.dumps(record))

    def signal(self, time: str, name: str = "Crash", **more: object) -> None:
        """A bare signal that names its workflow."""
        self.line(time, "signal.hand", body(name, **more))

    def event(self, time: str, subject: str, kind: str, **data: object) -> None:
        """A CloudEvent."""
        envelope = {
            "specversion": "1.0",
            "id": str(len(self._lines) + 1),
            "source": "/hand",
            "type": f"{kind}.v1",
            "time": at(time),
            "datacontenttype": "application/json",
            "data": data,
        }
        self.line(time, subject, envelope)

    def run(self, time: str, kind: str, execution: str, **data: object) -> None:
        """What an executor says of a run."""
        self.event(time, f"execution.{execution}", f"Workflow{kind}", execution=execution, **data)

    def failed(self, time: str, execution: str, *, idempotent: bool = True, reason: str = "TaskFailed") -> None:
        """A run has failed half-way."""
        data: dict[str, object] = {"was_execution_failure": True, "idempotent": idempotent, "reason": reason}
        self.run(time, "Failed", execution, **data)

    def write(self, folder: Path) -> Path:
        """Write the file."""
        path = folder / "facts.jsonl"
        path.write_text("\n".join(self._lines) + "\n")
        return path


def body(name: str = "Crash", **more: object) -> dict[str, object]:
    """What a bare signal says; `workflow=None` leaves it to an analysis."""
    said: dict[str, object] = {"name": name, "target": {"name": "checkout"}, "workflow": {"id": "restart"}, **more}
    return {key: value for key, value in said.items() if value is not None}


def backtest(facts: Facts, folder: Path, *options: str, policy: str = STEADY) -> list[dict[str, Any]]:
    """The rows of `ro backtest --json`, and nothing else on standard output."""
    file = folder / "policy.yaml"
    file.write_text(policy)
    arguments = ["backtest", "--log", str(facts.write(folder)), "--policy", str(file), "--json", *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def told(rows: list[dict[str, Any]]) -> list[tuple[str, int, str, str]]:
    """Signal, attempt, time of day, and the verdict in a word or two."""
    return [(row["position"], row["attempt"], row["at"][11:-1], word(row["verdict"])) for row in rows]


def word(verdict: dict[str, Any]) -> str:
    """A verdict with all that it says."""
    until = verdict.get("until", "")[11:-1]
    place = verdict.get("queue_position")
    parts = (
        verdict["kind"],
        verdict.get("reason"),
        f"of {verdict['of']}" if verdict.get("of") else None,
        f"until {until}" if until else None,
        f"place {place}" if place else None,
        f"remaining {verdict['remaining']:g}" if verdict.get("remaining") is not None else None,
    )
    return " ".join(part for part in parts if part)
