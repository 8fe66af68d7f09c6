"""A peer, the eventsourcing library on SQLite, at comparable work: append a history, and rebuild it all again.

It runs in an environment of its own and needs nothing of ours:
`uv run --no-project --with eventsourcing python benchmarks/peer_eventsourcing.py`.
One aggregate a problem, drawn by Zipf's law; each event is saved by itself, as a decision that has to be durable
is. *Rebuild* gets every aggregate from the store; *read* walks the log of notifications without rebuilding."""

import argparse
import importlib.metadata
import itertools
import json
import os
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

SEED = 20_261_121
START = datetime(2026, 11, 21, 10, tzinfo=UTC)
PAGE = 1_000


class Problem(Aggregate):
    """What a fingerprint has been through: as little as routing has to know of it."""

    def __init__(self) -> None:
        self.failures = 0
        self.last_at = START

    @event("Failed")
    def fail(self, at: datetime, reason: str) -> None:
        """Count a failure."""
        self.failures += 1
        self.last_at = at

    @event("Completed")
    def complete(self, at: datetime) -> None:
        """Forgive everything."""
        self.failures = 0
        self.last_at = at


def main() -> None:
    """Append so many events, read them, rebuild what they made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ro-bench-") as folder:
        os.environ |= {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(Path(folder) / "events.db"),
        }
        app: Application = Application()
        began = time.perf_counter()
        problems = _append(app, options.count)
        appended = time.perf_counter()
        _read(app, options.count)
        read = time.perf_counter()
        for problem in problems:
            app.repository.get(problem.id)
        rebuilt = time.perf_counter()
    spans = {"append": appended - began, "read": read - appended, "rebuild": rebuilt - read}
    figures = {name: round(options.count / seconds) for name, seconds in spans.items()}
    version = importlib.metadata.version("eventsourcing")
    print(json.dumps({"eventsourcing": version, "events": options.count, "per_second": figures}))


def _append(app: Application, count: int) -> list[Problem]:
    chance = random.Random(SEED)
    problems = [Problem() for _ in range(max(count // 100, 20))]
    app.save(*problems)
    weights = list(itertools.accumulate(1 / (number + 1) ** 1.1 for number in range(len(problems))))
    drawn = chance.choices(problems, cum_weights=weights, k=count - len(problems))
    for number, problem in enumerate(drawn):
        at = START + timedelta(seconds=number)
        if chance.random() < 0.1:
            problem.fail(at=at, reason="TaskFailed")
        else:
            problem.complete(at=at)
        app.save(problem)
    return problems


def _read(app: Application, count: int) -> None:
    for start in range(1, count + 1, PAGE):
        for notification in app.recorder.select_notifications(start, PAGE):
            app.mapper.to_domain_event(notification)


if __name__ == "__main__":
    main()
