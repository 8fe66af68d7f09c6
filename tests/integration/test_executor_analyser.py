"""The catalog analyser on a real log: one answer a command."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from executors import PATIENCE, executor, publish
from faulty import Delivered

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalyzeSignal,
    Event,
    Fingerprint,
    Position,
    Recorded,
    RemediationId,
    Target,
    WorkflowRef,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes
from remediation_orchestrator.executor.analyser import UNREAD_SECONDS, Analyser, digest_of
from remediation_orchestrator.executor.catalog import Catalog, load_catalog

RR = RemediationId("rr-7")
TARGET = Target(name="checkout", namespace="shop", kind="Deployment")


def analyze(name: str = "KubePodCrashLooping", target: Target = TARGET) -> AnalyzeSignal:
    """A command to analyse a signal."""
    now = datetime.now(UTC)
    return AnalyzeSignal("rr-7", RR, Fingerprint("f"), Position("7"), name, "critical", target, now, Position("8"))


def encoded(command: AnalyzeSignal) -> bytes:
    """As the orchestrator would write it."""
    return encode(command, Attributes(id="c", source="/x", time=datetime.now(UTC)))


def catalog(folder: Path) -> None:
    """Two workflows that fit, and one that fits another severity."""
    head = "id: {}\nscript: {{command: [sh]}}\nmatch:\n  - {}\n"
    (folder / "a.yaml").write_text(head.format("late", "{severity: warning}"))
    deployments = "{name: KubePodCrashLooping, target: {kind: Deployment}}"
    (folder / "b.yaml").write_text(head.format("restart", deployments))
    (folder / "c.yaml").write_text(head.format("other", "{name: KubePodCrashLooping}"))


@pytest.fixture
def analyser(log: JetStreamLog, tmp_path: Path) -> Analyser:
    """One on a catalog of three."""
    catalog(tmp_path)
    read = load_catalog(tmp_path)
    return Analyser("a1", log, lambda: read, lambda: datetime.now(UTC), retry_after=0.01)


def delivered(payload: bytes, sequence: int, analysis: str = "rr-7") -> Delivered:
    """A delivery of a stored command."""
    return Delivered(payload, sequence=sequence, subject=f"ro.main.command.analyze.{analysis}")


async def answers(log: JetStreamLog) -> list[Event]:
    """What stands on the remediation's subject."""
    read = [one async for one in log.read() if ".analysis." in one.subject]
    return [one.event for message in read for one in decode(message) if isinstance(one, Recorded)]


async def test_the_first_file_that_fits_is_chosen(analyser: Analyser, log: JetStreamLog) -> None:
    """By its name; the target is the signal's."""
    await analyser.handle(delivered(encoded(analyze()), 8))
    assert await answers(log) == [AnalysisCompleted(RR, None, WorkflowRef("restart"))]


async def test_case_is_not_folded(analyser: Analyser, log: JetStreamLog) -> None:
    """Another kind, however similar, is another kind."""
    await analyser.handle(delivered(encoded(analyze(target=Target(name="x", kind="deployment"))), 8))
    assert await answers(log) == [AnalysisCompleted(RR, None, WorkflowRef("other"))]


async def test_where_none_fits_that_is_the_answer(analyser: Analyser, log: JetStreamLog) -> None:
    """The workflow is null; it is not a failure."""
    await analyser.handle(delivered(encoded(analyze("Unknown")), 8))
    assert await answers(log) == [AnalysisCompleted(RR, None, None)]


async def test_a_command_delivered_again_is_answered_once(analyser: Analyser, log: JetStreamLog) -> None:
    """The answer is found, and only acknowledged."""
    again = delivered(encoded(analyze()), 8)
    await analyser.handle(delivered(encoded(analyze()), 8))
    await analyser.handle(again)
    assert len(await answers(log)) == 1
    assert again.acknowledged == 1


async def test_a_later_analysis_is_answered_too(analyser: Analyser, log: JetStreamLog) -> None:
    """And the first, delivered again behind it, is not answered twice."""
    await analyser.handle(delivered(encoded(analyze()), 8))
    await analyser.handle(delivered(encoded(analyze()), 9, "rr-7-r2"))
    await analyser.handle(delivered(encoded(analyze()), 8))
    assert len(await answers(log)) == 2


@pytest.mark.parametrize("payload", [b"\xff", b"[" * 100_000, b"{}", b'{"specversion":"1.0"}'])
async def test_a_bad_command_gets_its_answer(analyser: Analyser, log: JetStreamLog, payload: bytes) -> None:
    """For the remediation that its subject names."""
    delivery = delivered(payload, 8)
    await analyser.handle(delivery)
    (answer,) = await answers(log)
    assert isinstance(answer, AnalysisFailed)
    assert (answer.remediation, delivery.acknowledged) == (RR, 1)


async def test_an_executor_process_answers(server: EmbeddedServer, log: JetStreamLog, tmp_path: Path) -> None:
    """The whole way, as the orchestrator would ask."""
    catalog(tmp_path)
    await publish(log, analyze())
    async with executor(server.url, log.cell, tmp_path):
        answer = await _first(log, subjects.analysis(log.cell, RR))
    assert answer == AnalysisCompleted(RR, None, WorkflowRef("restart"))


async def _first(log: JetStreamLog, subject: str) -> Event:
    async with asyncio.timeout(PATIENCE):
        async for message in log.read(follow=True):
            if message.subject == subject:
                (read,) = decode(message)
                assert isinstance(read, Recorded)
                return read.event
    raise AssertionError("unreachable")


async def test_an_analyser_whose_catalog_cannot_be_read_says_nothing_of_it(log: JetStreamLog) -> None:
    """The command is left to others."""
    unread = Catalog(unread="gone")
    analyser = Analyser("a1", log, lambda: unread, lambda: datetime.now(UTC))
    delivery = delivered(encoded(analyze()), 8)
    await analyser.handle(delivery)
    assert (delivery.passed_on, await answers(log)) == ([UNREAD_SECONDS], [])


async def test_junk_in_the_place_of_an_answer_keeps_nobody_from_answering(
    analyser: Analyser, log: JetStreamLog
) -> None:
    """A cause that looks like a number and is none."""
    attributes = Attributes(
        id="x", source="/x", time=datetime.now(UTC), causationid=Position("\N{SUPERSCRIPT TWO}")
    )
    junk = encode(AnalysisFailed(RR), attributes)
    await log.append(subjects.analysis(log.cell, RR), junk, expect=0)
    await analyser.handle(delivered(encoded(analyze()), 8))
    assert (await answers(log))[1:] == [AnalysisCompleted(RR, None, WorkflowRef("restart"))]


async def test_what_does_not_count_in_the_place_of_an_answer_keeps_nobody_from_answering(
    analyser: Analyser, log: JetStreamLog
) -> None:
    """It names the command as its cause, and expects nothing."""
    forged = encode(AnalysisFailed(RR), Attributes("x", "/x", datetime.now(UTC), causationid=Position("8")))
    await log.append(subjects.analysis(log.cell, RR), forged)
    await analyser.handle(delivered(encoded(analyze()), 8))
    assert await answers(log) == [AnalysisCompleted(RR, None, WorkflowRef("restart"))]


async def test_who_has_no_rule_answers_for_all_and_its_log_names_its_catalog(
    analyser: Analyser, log: JetStreamLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Another's catalog would have had one; it finds that the command has its answer."""
    without = Catalog()
    poor = Analyser("a2", log, lambda: without, lambda: datetime.now(UTC))
    with caplog.at_level(logging.INFO):
        await poor.handle(delivered(encoded(analyze()), 8))
        await analyser.handle(delivered(encoded(analyze()), 8))
    assert await answers(log) == [AnalysisCompleted(RR)]
    assert [one.catalog for one in caplog.records if one.msg == "analysed"] == [digest_of(without)]  # type: ignore[attr-defined]
