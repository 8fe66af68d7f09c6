"""The catalog analyser: answer `AnalyzeSignal` with the first workflow whose rules fit, by its file's name.

While the catalog cannot be read nobody knows what it has, and the command is left to others.

One answer a command: it names its command as its cause, and is appended behind what was last read on the
remediation's subject. So a repeated delivery finds the answer there and stores no second one."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import msgspec
from msgspec import Struct

from remediation_orchestrator.bus.port import Delivery, DeliveryError, EventLog, LogError, StaleWriteError
from remediation_orchestrator.events import (
    AnalysisCompleted,
    AnalysisFailed,
    AnalyzeSignal,
    Fact,
    Recorded,
    RemediationId,
    StoredMessage,
    WorkflowRef,
    decode,
    encode,
    subjects,
)
from remediation_orchestrator.events.codec import Attributes, event_source
from remediation_orchestrator.events.codec import attributes_of as read_attributes
from remediation_orchestrator.events.identity import named_by, position

from .catalog import Catalog
from .ports import as_it_is
from .workflow_file import MatchRule, Workflow

log = logging.getLogger(__name__)

# Enough to tell two catalogs apart in a line of a log.
DIGEST_DIGITS = 12
# A catalog that cannot be read is mended by a person.
UNREAD_SECONDS = 5.0


class _Data(Struct):
    remediation: str = ""


class _Command(Struct):
    data: _Data = msgspec.field(default_factory=_Data)


class Analyser:
    """Answers analysis commands from a catalog."""

    def __init__(
        self,
        name: str,
        event_log: EventLog,
        catalog: Callable[[], Catalog],
        now: Callable[[], datetime],
        *,
        retry_after: float = 0.5,
        refresh: Callable[[], Awaitable[None]] = as_it_is,
    ) -> None:
        self.name = name
        self._log = event_log
        self._catalog = catalog
        self._now = now
        self._retry_after = retry_after
        self._refresh = refresh

    async def handle(self, delivery: Delivery) -> None:
        """Answer one command, once, for as long as it takes."""
        await self._refresh()
        catalog = self._catalog()
        if catalog.unread is not None:
            await self._pass_on(delivery, UNREAD_SECONDS)
            return
        remediation, fact = self._answer(delivery, catalog)
        if remediation is None:
            log.error(
                "unanswerable", extra={"command": delivery.command.subject, "sequence": delivery.command.sequence}
            )
        else:
            await self._tell(remediation, fact, delivery, catalog)
        try:
            await delivery.acknowledge()
        except DeliveryError as error:  # It comes again, and its answer is found.
            log.warning("unacknowledged", extra={"command": delivery.command.subject, "error": str(error)})

    async def _pass_on(self, delivery: Delivery, seconds: float) -> None:
        """Leave a command to others: it is delivered again, to whoever asks then."""
        try:
            await delivery.pass_on(seconds)
        except DeliveryError as error:  # It comes again by itself, only later.
            log.warning("not passed on", extra={"command": delivery.command.subject, "error": str(error)})

    def _answer(self, delivery: Delivery, catalog: Catalog) -> tuple[RemediationId | None, Fact]:
        try:
            command = _read(delivery)
            chosen = choose(catalog.workflows.values(), command)
        except (ValueError, OverflowError) as error:
            remediation = _named(delivery)
            message = f"{type(error).__name__}: {error}"[:1000]
            return remediation, AnalysisFailed(remediation or RemediationId(""), "ConfigurationError", message)
        return command.remediation, AnalysisCompleted(
            command.remediation,
            workflow=WorkflowRef(chosen.spec.id) if chosen else None,
            analysis=command.analysis,
            analyser=self.name,
        )

    async def _tell(self, remediation: RemediationId, fact: Fact, delivery: Delivery, catalog: Catalog) -> None:
        subject = subjects.analysis(self._log.cell, remediation)
        payload = encode(fact, self._attributes(delivery))
        while True:
            try:
                last = await self._log.last(subject)
                if last is not None and _answers(last, delivery):
                    return
                await self._log.append(subject, payload, expect=last.sequence if last else 0)
            except StaleWriteError:
                continue  # Somebody was faster: look again whether it was this answer.
            except LogError as error:
                log.warning("untold", extra={"remediation": remediation, "error": str(error)})
                await asyncio.sleep(self._retry_after)
            else:
                said = {"remediation": remediation, "event": type(fact).__name__, "catalog": digest_of(catalog)}
                log.info("analysed", extra=said)
                return

    def _attributes(self, delivery: Delivery) -> Attributes:
        cause = read_attributes(delivery.command.payload)
        return Attributes(
            id=f"analysis-{delivery.command.sequence}",
            source=event_source(self._log.cell, f"analyser/{self.name}"),
            time=self._now(),
            subject=cause.subject if cause else "",
            causationid=position(delivery.command.sequence),
            correlationid=cause.correlationid if cause else "",
            traceparent=cause.traceparent if cause else "",
        )


def digest_of(catalog: Catalog) -> str:
    """Name all that a catalog has, to be compared: analysers whose catalogs differ answer differently."""
    digests = sorted(one.digest for one in catalog.workflows.values())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:DIGEST_DIGITS]


def choose(workflows: Iterable[Workflow], command: AnalyzeSignal) -> Workflow | None:
    """Return the workflow of which a rule fits, or None; of several the one for which most has to be tried before,
    then the first."""
    fitting = [(rule.after, one) for one in workflows for rule in one.spec.match if matches(rule, command)]
    most = max((after for after, _ in fitting), default=0)
    return next((one for after, one in fitting if after == most), None)


def matches(rule: MatchRule, command: AnalyzeSignal) -> bool:
    """Whether all that a rule says is so, case and all, and enough was tried."""
    target = rule.target
    wanted = (rule.name, rule.severity, target.cluster, target.namespace, target.kind, target.name)
    there = command.target
    found = (command.name, command.severity, there.cluster, there.namespace, there.kind, there.name)
    said = all(want is None or want == have for want, have in zip(wanted, found, strict=True))
    return said and len(command.tried) >= rule.after


def _answers(last: StoredMessage, delivery: Delivery) -> bool:
    """Whether a stored answer is to this very command, or to a later one of the remediation, and counts."""
    if not any(isinstance(one, Recorded) for one in decode(last)):
        return False
    attributes = read_attributes(last.payload)
    cause = attributes.causationid if attributes else ""
    return cause.isdecimal() and int(cause) >= delivery.command.sequence


def _read(delivery: Delivery) -> AnalyzeSignal:
    match decode(delivery.command):
        case [Recorded(event=AnalyzeSignal() as command)]:
            return command
        case [wrong]:
            raise ValueError(getattr(wrong, "message", "not an AnalyzeSignal"))
        case _:
            raise ValueError("not one AnalyzeSignal")


def _named(delivery: Delivery) -> RemediationId | None:
    """The remediation of a command that cannot be read: what it still says, else what its subject says."""
    try:
        named = msgspec.json.decode(delivery.command.payload, type=_Command).data.remediation
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        named = ""
    return named_by(named) or named_by(delivery.command.subject.rpartition(".")[2])
