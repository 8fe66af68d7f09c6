"""The eventsourcing library on SQLite: an aggregate a fingerprint and a target, a transaction a decision.

Its recorder turns SQLite's write-ahead log on and leaves `synchronous` at FULL, so a commit is synced. Aggregates
are kept in the library's cache, which is told that nobody else writes: a decision reads nothing back and copies
nothing. That makes it faster by two thirds."""

import os
import sqlite3
import time
from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from drive import arguments, drive
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from rules import Signal, judge

PAGE = 1_000


class Problem(Aggregate):
    """What a fingerprint has been through."""

    @event("Opened")
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.active = False
        self.signals = self.failures = 0
        self.last_failure = 0.0

    @staticmethod
    def create_id(fingerprint: str) -> UUID:
        """Derive the id, so that nothing has to be looked up."""
        return uuid5(NAMESPACE_URL, f"problem/{fingerprint}")

    @event("Decided")
    def decided(self, verdict: str, severity: str, now: float) -> None:
        """Record a verdict on a signal."""
        self.signals += 1
        self.active = self.active or verdict in ("Proceed", "Busy")

    @event("Failed")
    def failed(self, now: float) -> None:
        """Count a failed run."""
        self.failures += 1
        self.last_failure = now
        self.active = False


class Place(Aggregate):
    """A target, which one run at a time may hold; the event that claims it is the command."""

    @event("Found")
    def __init__(self, name: str) -> None:
        self.name = name
        self.holder = ""

    @staticmethod
    def create_id(name: str) -> UUID:
        """Derive the id, so that nothing has to be looked up."""
        return uuid5(NAMESPACE_URL, f"place/{name}")

    @event("Claimed")
    def claimed(self, holder: str, workflow: str, grace: int) -> None:
        """Take it for a run."""
        self.holder = holder


class Routing(Application[UUID]):
    """Decide signals, together or one by one."""

    def decide(self, signals: Sequence[Signal]) -> Sequence[str]:
        """Judge them and save what was decided, all in one transaction."""
        touched: dict[UUID, Aggregate] = {}
        verdicts = [self._decide(signal, touched) for signal in signals]
        self.save(*touched.values())
        return verdicts

    def _decide(self, signal: Signal, touched: dict[UUID, Aggregate]) -> str:
        problem = self._get(Problem, signal["fingerprint"], touched)
        place = self._get(Place, signal["target"]["name"], touched)
        assert isinstance(problem, Problem)
        assert isinstance(place, Place)
        now = time.time()
        verdict = judge(
            active=problem.active,
            failures=problem.failures,
            last_failure=problem.last_failure,
            held=bool(place.holder),
            now=now,
        )
        problem.decided(verdict, signal["severity"], now)
        if verdict == "Proceed":
            workflow = signal["workflow"]
            place.claimed(problem.fingerprint, workflow["id"], workflow["parameters"]["grace"])
        return verdict

    def _get(self, kind: type[Problem] | type[Place], name: str, touched: dict[UUID, Aggregate]) -> Aggregate:
        known = kind.create_id(name)
        if known not in touched:
            try:
                touched[known] = self.repository.get(known)
            except AggregateNotFoundError:
                touched[known] = kind(name)
        return touched[known]


def rebuild() -> int:
    """Get every aggregate from the store, as a process does that has just begun."""
    app = Routing(env={**os.environ, "AGGREGATE_CACHE_MAXSIZE": ""})
    start, seen = 1, set()
    while page := app.recorder.select_notifications(start, PAGE):
        seen |= {notification.originator_id for notification in page}
        start = page[-1].id + 1
    return sum(app.repository.get(one).version for one in seen)


def main() -> None:
    """Route what the suite hands over."""
    options = arguments()
    database = options.folder / "events.db"
    os.environ |= {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(database),
        "AGGREGATE_CACHE_MAXSIZE": "0",
        "AGGREGATE_CACHE_FASTFORWARD": "n",
        "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
    }
    app = Routing()
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "SQLite was built to sync less"
    drive(options, app.decide, rebuild)


if __name__ == "__main__":
    main()
