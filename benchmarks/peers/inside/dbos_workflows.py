"""DBOS on SQLite: a durable workflow for what arrives as one, whose step is a transaction on the routing tables.

The workflow's id is the arrival's, so what is handed over twice is decided once. A run that may proceed is
put on a DBOS queue, which is its command. SQLite is as DBOS opens it, or (`--store wal`) with the write-ahead log
turned on beforehand; either way `synchronous` stays at FULL, so a commit is synced."""

import itertools
import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sql
from dbos import DBOS, DBOSConfig, SetWorkflowID, SQLAlchemyDatasource
from drive import Decide, arguments, drive
from rules import Signal, judge
from sqlalchemy.orm import Session

TABLES = """
CREATE TABLE IF NOT EXISTS problem
    (fingerprint TEXT PRIMARY KEY, active INTEGER, failures INTEGER, last_failure REAL);
CREATE TABLE IF NOT EXISTS place (name TEXT PRIMARY KEY, holder TEXT);
CREATE TABLE IF NOT EXISTS decision (signal TEXT PRIMARY KEY, fingerprint TEXT, verdict TEXT, at REAL);
"""
PROBLEM = sql.text("SELECT active, failures, last_failure FROM problem WHERE fingerprint = :f")
PLACE = sql.text("SELECT holder FROM place WHERE name = :t")
OPEN = sql.text("INSERT OR REPLACE INTO problem VALUES (:f, 1, 0, 0)")
CLAIM = sql.text("INSERT INTO place VALUES (:t, :f)")
DECIDED = sql.text("INSERT INTO decision VALUES (:n, :f, :v, :at)")
RUNS = "runs"


def router(database: Path) -> Decide:
    """Register the workflow and its step, which has to happen before DBOS is launched."""
    tables = SQLAlchemyDatasource.create(f"sqlite:///{database}")
    numbers = itertools.count(_decided(database))

    @tables.transaction
    def judged(number: str, signals: Sequence[Signal]) -> list[str]:
        session = tables.sql_session()
        return [_judge(session, f"{number}-{index}", signal) for index, signal in enumerate(signals)]

    @DBOS.workflow(name="route")
    def route(signals: Sequence[Signal]) -> list[str]:
        verdicts: list[str] = judged(str(DBOS.workflow_id), signals)
        for signal, verdict in zip(signals, verdicts, strict=True):
            if verdict == "Proceed":
                DBOS.enqueue_workflow(RUNS, remediate, signal["workflow"], signal["target"])
        return verdicts

    def decide(signals: Sequence[Signal]) -> Sequence[str]:
        with SetWorkflowID(f"signals-{next(numbers)}"):
            verdicts: list[str] = route(signals)
        return verdicts

    return decide


def _judge(session: Session, number: str, signal: Signal) -> str:
    """Read what the verdict needs, judge, and write what came of it, in the transaction that is open."""
    key = {"f": signal["fingerprint"], "t": signal["target"]["name"]}
    problem = session.execute(PROBLEM, key).first()
    verdict = judge(
        active=problem is not None and bool(problem.active),
        failures=problem.failures if problem else 0,
        last_failure=problem.last_failure if problem else 0.0,
        held=session.execute(PLACE, key).first() is not None,
        now=time.time(),
    )
    if verdict in ("Proceed", "Busy"):
        session.execute(OPEN, key)
    if verdict == "Proceed":
        session.execute(CLAIM, key)
    session.execute(DECIDED, {"n": number, "f": key["f"], "v": verdict, "at": time.time()})
    return verdict


@DBOS.workflow(name="remediate")
def remediate(workflow: dict[str, object], target: dict[str, str]) -> None:
    """Stand for the run; nobody listens to the queue here, as nobody executes our commands."""


def _decided(database: Path) -> int:
    with sqlite3.connect(database) as connection:
        return int(connection.execute("SELECT count(*) FROM decision").fetchone()[0])


def main() -> None:
    """Route what the suite hands over."""
    options = arguments()
    database, system = options.folder / "routing.db", options.folder / "dbos.db"
    for path in (database, system):
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "SQLite was built to sync less"
            if options.store == "wal":
                connection.execute("PRAGMA journal_mode = WAL")
    with sqlite3.connect(database) as connection:
        connection.executescript(TABLES)
    logging.disable()
    config: DBOSConfig = {"name": "routing", "system_database_url": f"sqlite:///{system}"}
    DBOS(config=config)
    decide = router(database)
    DBOS.listen_queues([])
    DBOS.launch()
    DBOS.register_queue(RUNS)
    drive(options, decide)


if __name__ == "__main__":
    main()
