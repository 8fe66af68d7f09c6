"""Junk on an execution's subject: it hides nothing and keeps nobody from anything."""

import pytest
from bench import Bench, command, store, tell
from faulty import Delivered

from remediation_orchestrator.events import (
    ExecutionId,
    WorkflowCompleted,
    WorkflowRevoked,
    WorkflowStarted,
)

JUNK_THERE = {"not JSON": b"\xff", "an answer": b'{"stream":"RO_main","seq":3}', "no fact": b"{}"}


@pytest.mark.parametrize("junk", JUNK_THERE.values(), ids=JUNK_THERE.keys())
async def test_junk_on_an_executions_subject_keeps_nobody_from_claiming_it(bench: Bench, junk: bytes) -> None:
    """Before the claim, and between the claim and the end."""
    store(bench.log, junk)

    async def more() -> None:
        store(bench.log, junk)
        store(bench.log, junk)

    bench.during = more
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert [type(one) for one in bench.log.facts()] == [WorkflowStarted, WorkflowCompleted]
    assert (len(bench.ran), delivery.acknowledged) == (1, 1)


async def test_junk_behind_somebody_elses_claim_hides_it_from_nobody(bench: Bench) -> None:
    """The newest record says nothing; the first that is valid has decided."""
    tell(bench.log, WorkflowStarted(ExecutionId("wfe-1"), "alive"), "claim-41-1")
    store(bench.log, b"junk")
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert (len(bench.log.facts()), bench.ran, delivery.acknowledged) == (1, [], 0)


async def test_junk_behind_a_revocation_hides_it_from_nobody(bench: Bench) -> None:
    """Revoked is revoked."""
    tell(bench.log, WorkflowRevoked(ExecutionId("wfe-1")))
    store(bench.log, b"junk")
    delivery = Delivered(command())
    await bench.handle(delivery)
    assert (len(bench.log.facts()), bench.ran, delivery.acknowledged) == (1, [], 1)


@pytest.mark.parametrize("headers", [None, {"Nats-Msg-Id": "1"}], ids=["no headers", "others"])
async def test_a_command_that_expects_nothing_is_run_by_nobody(
    bench: Bench, headers: dict[str, str] | None
) -> None:
    """Whoever leads would have said what it expects there: it is acknowledged, and answered by nothing."""
    delivery = Delivered(command(), headers=headers)
    await bench.handle(delivery)
    assert (bench.log.facts(), bench.ran, delivery.acknowledged) == ([], [], 1)
