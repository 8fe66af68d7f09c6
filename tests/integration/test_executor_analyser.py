"""The catalog analyser on a real log: one answer a command."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from executors import PATIENCE, executor, publish
from faulty import Delivered
from msgspec.structs import replace

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
    TriedRun,
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


def answer(workflow: str | None = None) -> AnalysisCompleted:
    """What the catalog analyser says to that."""
    chosen = None if workflow is None else WorkflowRef(workflow)
    return AnalysisCompleted(RR, None, chosen, analysis="rr-7", analyser="a1")


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
    assert await answers(log) == [answer("restart")]


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [(0, "restart"), (1, "rather"), (2, "moved"), (3, "moved"), (4, "rather"), (10, "rather")],
)
async def test_of_several_the_one_that_waits_for_the_most_runs_is_chosen(
    log: JetStreamLog, tmp_path: Path, tried: int, chosen: str
) -> None:
    """From that many on; of those that wait for as many the first file's, and of one file its own most."""
    catalog(tmp_path)
    head = "id: {}\nscript: {{command: [sh]}}\nmatch: [{}]\n"
    name = "name: KubePodCrashLooping"
    (tmp_path / "a2.yaml").write_text(head.format("moved", f"{{{name}, after: 2}}"))
    (tmp_path / "d.yaml").write_text(head.format("later", f"{{{name}, after: 2}}, {{name: Other, after: 9}}"))
    (tmp_path / "e.yaml").write_text(head.format("rather", f"{{{name}, after: 1}}, {{{name}, after: 4}}"))
    read = load_catalog(tmp_path)
    assert not read.problems
    command = replace(analyze(), tried=(TriedRun("restart", "Failed"),) * tried)
    await Analyser("a1", log, lambda: read, lambda: datetime.now(UTC)).handle(delivered(encoded(command), 8))
    assert await answers(log) == [answer(chosen)]


def test_a_rule_that_only_waits_fits_nothing_and_is_refused(tmp_path: Path) -> None:
    """It would fit every signal; so is one that waits for more runs than are remembered."""
    for rule in ("{after: 2}", "{name: X, after: 11}", "{name: X, after: -1}", "{name: X, after: true}"):
        (tmp_path / "a.yaml").write_text(f"id: a\nscript: {{command: [sh]}}\nmatch: [{rule}]\n")
        assert len(load_catalog(tmp_path).problems) == 1


async def test_case_is_not_folded(analyser: Analyser, log: JetStreamLog) -> None:
    """Another kind, however similar, is another kind."""
    await analyser.handle(delivered(encoded(analyze(target=Target(name="x", kind="deployment"))), 8))
    assert await answers(log) == [answer("other")]


async def test_where_none_fits_that_is_the_answer(analyser: Analyser, log: JetStreamLog) -> None:
    """The workflow is null; it is not a failure."""
    await analyser.handle(delivered(encoded(analyze("Unknown")), 8))
    assert await answers(log) == [answer()]


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
        told = await _first(log, subjects.analysis(log.cell, RR))
    assert isinstance(told, AnalysisCompleted)
    assert replace(told, analyser="a1") == answer("restart")


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
    assert (await answers(log))[1:] == [answer("restart")]


async def test_what_does_not_count_in_the_place_of_an_answer_keeps_nobody_from_answering(
    analyser: Analyser, log: JetStreamLog
) -> None:
    """It names the command as its cause, and expects nothing."""
    forged = encode(AnalysisFailed(RR), Attributes("x", "/x", datetime.now(UTC), causationid=Position("8")))
    await log.append(subjects.analysis(log.cell, RR), forged)
    await analyser.handle(delivered(encoded(analyze()), 8))
    assert await answers(log) == [answer("restart")]


async def test_who_has_no_rule_answers_for_all_and_its_log_names_its_catalog(
    analyser: Analyser, log: JetStreamLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Another's catalog would have had one; it finds that the command has its answer."""
    without = Catalog()
    poor = Analyser("a2", log, lambda: without, lambda: datetime.now(UTC))
    with caplog.at_level(logging.INFO):
        await poor.handle(delivered(encoded(analyze()), 8))
        await analyser.handle(delivered(encoded(analyze()), 8))
    assert await answers(log) == [replace(answer(), analyser="a2")]
    assert [one.catalog for one in caplog.records if one.msg == "analysed"] == [digest_of(without)]  # type: ignore[attr-defined]
