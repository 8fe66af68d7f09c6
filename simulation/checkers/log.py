"""What stands in the log: all that was accepted, an unbroken chain, and nothing that audit is not right about."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from remediation_orchestrator.events import DecisionFrame, StoredMessage
from remediation_orchestrator.events.subjects import Family, parse
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS, Drift
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.projection import Projection

if TYPE_CHECKING:
    from remediation_orchestrator.simulation.world import Day

# A verdict with its situation and its command have some two kilobytes; an occurrence is judged a few times.
WRITTEN_FOR_EACH_EVENT_MAX = 6 * 1024
WRITTEN_ANYWAY_MAX = 1024 * 1024


def check_nothing_accepted_is_lost(day: "Day") -> Iterator[str]:
    """What was acknowledged is in the log where the acknowledgement said."""
    for accepted in day.accepted:
        if day.messages[accepted.sequence - 1].payload != accepted.payload:
            yield f"what was accepted as {accepted.sequence} is not there"


def check_audit(day: "Day") -> Iterator[str]:
    """Audit finds what is junk where decisions and commands stand, and nothing else: all can be derived again."""
    junk = {message.sequence for message in day.messages if day.is_stray(message) and _is_ours(message)}
    found = set()
    for finding in audit(day.messages):
        place = int(finding.position.partition("-")[0])  # 0 where nothing asked for it
        if finding.drift is Drift.JUNK and place in junk:
            found.add(place)
        elif finding.drift not in HARMLESS:
            yield f"audit at {finding.position}: {finding.drift}: {finding.message}"
    yield from (f"audit does not see the junk at {place}" for place in sorted(junk - found))


def check_audit_sees_damage(day: "Day") -> Iterator[str]:
    """Whatever is changed in, taken out of or moved within what the chain covers, audit finds it."""
    dice = random.Random(f"{day.seed}:damage")
    heads = [record for record in day.records if isinstance(record.event, DecisionFrame)]
    covered = max((record.event.read for record in heads if isinstance(record.event, DecisionFrame)), default=0)
    whole = [message for message in day.messages if not (day.is_stray(message) and _is_ours(message))]
    place = dice.randrange(max(1, covered - 60), covered) if covered > 1 else 0
    if not place or len(whole) < len(day.messages):
        return  # Where audit has something to say already, its next finding proves nothing.
    what, damage = dice.choice(DAMAGES)
    damaged = damage(day.messages, place - 1)
    if all(finding.drift in HARMLESS for finding in audit(damaged)):
        yield f"audit does not see that {place} was {what}"


def _is_ours(message: StoredMessage) -> bool:
    return parse(message.subject).family in (Family.DECISION, Family.COMMAND)


def _left_out(messages: list[StoredMessage], index: int) -> list[StoredMessage]:
    return messages[:index] + messages[index + 1 :]


def _stamped_anew(messages: list[StoredMessage], index: int) -> list[StoredMessage]:
    later = replace(messages[index], recorded_at=messages[index].recorded_at + timedelta(microseconds=1))
    return [*messages[:index], later, *messages[index + 1 :]]


def _bit_flipped(messages: list[StoredMessage], index: int) -> list[StoredMessage]:
    payload = messages[index].payload or b" "
    flipped = bytes([payload[0] ^ 1]) + payload[1:]
    return [*messages[:index], replace(messages[index], payload=flipped), *messages[index + 1 :]]


def _told_of_another(messages: list[StoredMessage], index: int) -> list[StoredMessage]:
    """The record has another's headers, as if it had been published otherwise."""
    other = replace(messages[index], headers={"Nats-Msg-Id": "another"})
    return [*messages[:index], other, *messages[index + 1 :]]


def _exchanged(messages: list[StoredMessage], index: int) -> list[StoredMessage]:
    one, two = messages[index], messages[index + 1]
    moved = [replace(two, sequence=one.sequence), replace(one, sequence=two.sequence)]
    return [*messages[:index], *moved, *messages[index + 2 :]]


DAMAGES: tuple[tuple[str, Callable[[list[StoredMessage], int], list[StoredMessage]]], ...] = (
    ("left out", _left_out),
    ("stamped anew", _stamped_anew),
    ("flipped in a bit", _bit_flipped),
    ("given other headers", _told_of_another),
    ("exchanged with its neighbour", _exchanged),
)


def check_growth(day: "Day") -> Iterator[str]:
    """What the cell writes is bounded by what others have published: so many bytes for each event."""
    facts, written = 0, 0
    for message in day.messages:
        if parse(message.subject).family in (Family.DECISION, Family.COMMAND):
            written += len(message.payload)
    facts = sum(1 for record in day.records if parse(day.at(record).subject).family.is_fact)
    allowed = WRITTEN_ANYWAY_MAX + WRITTEN_FOR_EACH_EVENT_MAX * facts
    if written > allowed:
        yield f"{written:,} bytes were written for {facts:,} events: {allowed:,} were allowed"


def compare_folds(where: str, live: Fold, fresh: Fold) -> list[str]:
    """Name the tables in which what is live differs from a fresh fold of the same log."""
    mine, theirs = _tables(live.view), _tables(fresh.view)
    wrong = [f"{where}: live and replayed `{name}` differ" for name in mine if mine[name] != theirs[name]]
    if live.chain.previous(live.read) != fresh.chain.previous(live.read):
        wrong.append(f"{where}: live and replayed chains differ")
    return wrong


def _tables(view: Projection) -> dict[str, object]:
    """Every table, and where order is meaning, in its order."""
    queues = {target: list(queue) for target, queue in view.queues.items()}
    return {**view.tables(), "queues": queues, "tasks": list(view.tasks.items()), "order": list(view.unjudged)}
