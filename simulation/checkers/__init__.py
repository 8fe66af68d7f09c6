"""The promises, each held by a small function over what a simulated day has left. Empty means: kept.

They read the log and the diary of what really happened, and share no code with the core where they recount it."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from . import leading, log, order, persons, rounds, runs, sending, stores, table, verdicts

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

Checker = Callable[["Day"], Iterator[str]]

CHECKERS: tuple[Checker, ...] = (
    runs.check_one_run_at_a_time,
    runs.check_runs_at_most_once,
    runs.check_every_run_was_commanded,
    runs.check_nothing_begins_too_late,
    runs.check_ends_are_fenced,
    runs.check_a_lapsed_claim_stays_lapsed,
    runs.check_nothing_is_half,
    verdicts.check_one_chain_of_verdicts,
    verdicts.check_nobody_runs_after_refuse,
    verdicts.check_counts,
    sending.check_cancels_are_covered,
    sending.check_nothing_is_sent_of_what_is_over,
    table.check_verdicts_follow,
    persons.check_nobody_speaks_for_another,
    table.check_the_table_at_its_boundaries,
    order.check_the_order_of_judgement,
    order.check_the_line,
    leading.check_now,
    leading.check_a_first_frame_is_read_back,
    leading.check_drained,
    log.check_nothing_accepted_is_lost,
    log.check_audit,
    log.check_audit_sees_damage,
    log.check_growth,
    rounds.check_a_leader_that_works_keeps_the_lead,
    rounds.check_a_dead_leader_is_replaced,
    rounds.check_rounds_are_bounded,
    stores.check_nobody_leads_what_is_not_whole,
    stores.check_nothing_is_lost_by_archiving,
)


def violations(day: "Day") -> Iterator[str]:
    """Everything in which a day broke a promise."""
    yield from day.violations
    for check in CHECKERS:
        yield from check(day)
