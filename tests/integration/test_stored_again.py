"""What whoever may read can have the server store again: a pull consumer answers where its reader says."""

import asyncio
import uuid
from datetime import UTC, datetime

import msgspec
from cell import PATIENCE_SECONDS, bare, orchestrator, running, wait_for
from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.behind import append_behind
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.cli.support.publishing import store
from remediation_orchestrator.events import (
    AnalysisCompleted,
    BlockCleared,
    Duplicate,
    Fingerprint,
    RemediationId,
    RoutingDecided,
    StoredMessage,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes

AROUND = Attributes(id="1", source="/test", time=datetime(2026, 11, 21, 10, tzinfo=UTC))

CLEARED = BlockCleared(Fingerprint("f1"), by="ann")


class _Info(msgspec.Struct):
    delivered: dict[str, object]


async def store_again(connection: Client, log: JetStreamLog, subject: str) -> list[StoredMessage]:
    """Ask for all that stands on a subject, to be answered there; return what stands there afterwards."""
    stream, name = stream_name(log.cell), uuid.uuid4().hex
    messages = [one async for one in log.read() if one.subject == subject]
    config = {"name": name, "ack_policy": "none", "filter_subject": subject, "mem_storage": True}
    create = {"stream_name": stream, "config": config}
    await api.call(connection, f"CONSUMER.CREATE.{stream}.{name}.{subject}", create, _Info)
    await connection.publish(
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", b'{"batch":%d}' % len(messages), reply=subject
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            info = await api.call(connection, f"CONSUMER.INFO.{stream}.{name}", {}, _Info)
            if info.delivered["consumer_seq"] == len(messages):
                break
    await log.append(subjects.signal(log.cell, "behind"), b"{}")  # What was answered before stands before this.
    return [one async for one in log.read() if one.subject == subject]


async def test_nothing_that_operators_and_analysers_say_is_stored_again(
    connection: Client, log: JetStreamLog
) -> None:
    """The server refuses what expects another record than stands there now."""
    facts = (
        (subjects.operator(log.cell, CLEARED), CLEARED),
        (subjects.analysis(log.cell, RemediationId("rr-1")), AnalysisCompleted(RemediationId("rr-1"))),
    )
    for subject, fact in facts:
        for number in "12":
            await append_behind(log, subject, encode(fact, AROUND), message_id=f"{subject}{number}")
        assert len(await store_again(connection, log, subject)) == 2


async def test_nothing_that_our_verb_and_our_door_send_is_stored_again(
    connection: Client, log: JetStreamLog
) -> None:
    """Also of a body in several messages, of which the server takes none by itself."""
    subject = subjects.signal(log.cell, "cli")
    await store(log, subject, bare())
    assert len(await store_again(connection, log, subject)) == 1
    body = subjects.signal(log.cell, "door")
    await log.append_in_a_row(body, [b"1", b"2", b"3"], expect=0)
    assert [one.payload for one in await store_again(connection, log, body)] == [b"1", b"2", b"3"]


async def test_a_signal_that_expects_nothing_fires_again_for_whoever_may_read(
    connection: Client, log: JetStreamLog
) -> None:
    """As if its source had sent it again, and no more than that: as a Duplicate it is counted once more."""
    subject = subjects.signal(log.cell, "test")
    async with running(await orchestrator(connection, log.cell)):
        await log.append(subject, bare())
        await wait_for(log, lambda event: isinstance(event, RoutingDecided))
        first, again = await store_again(connection, log, subject)
        assert again.payload == first.payload
        found = await wait_for(
            log, lambda event: isinstance(event, RoutingDecided) and event.signal == str(again.sequence)
        )
    assert isinstance(found.event, RoutingDecided)
    assert isinstance(found.event.verdict, Duplicate)
