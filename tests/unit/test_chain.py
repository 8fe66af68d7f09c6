"""The decision chain covers whole records, and goes on where a projection was kept."""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace
from story import minute
from written import WrittenLog

from remediation_orchestrator.events import StoredMessage, Target, encode
from remediation_orchestrator.events.codec import join_frame
from remediation_orchestrator.events.stored import EXPECTED
from remediation_orchestrator.orchestrator.frames import decision_attributes
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import Drift
from remediation_orchestrator.orchestrator.routing.chain import Chain, record_digest
from remediation_orchestrator.orchestrator.routing.fold import Fold
from remediation_orchestrator.orchestrator.routing.snapshot import Image, restore

STAMP = datetime(2026, 11, 21, 10, 0, 0, 250_001, tzinfo=UTC)
RECORD = StoredMessage(7, STAMP, "ro.main.signal.é", b'{"name":"x"}', {"b": 'say "no"', "a": "1"})


def sha(text: str) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_of_a_record_is_what_the_contract_says() -> None:
    """Written by hand."""
    payload = sha('{"name":"x"}')
    headers = r'[["a","1"],["b","say \"no\""]]'
    assert record_digest(RECORD) == sha(f'[7,"ro.main.signal.é",1795255200250001,{headers},"{payload}"]')
    bare = replace(RECORD, headers=None)
    assert record_digest(bare) == sha(f'[7,"ro.main.signal.é",1795255200250001,[],"{payload}"]')


def test_bytes_in_a_header_that_are_no_text_have_a_digest_too() -> None:
    """They are written as they are."""
    odd = replace(RECORD, headers={"x": b"\xff".decode(errors="surrogateescape")})
    payload = sha('{"name":"x"}')
    written = '[7,"ro.main.signal.é",1795255200250001,[["x","'.encode() + b'\xff"]],"' + payload.encode() + b'"]'
    assert record_digest(odd) == hashlib.sha256(written).hexdigest()


def test_previous_is_what_the_contract_says() -> None:
    """Records up to `read`, and frames behind it by their bytes."""
    chain = Chain()
    records = [replace(RECORD, sequence=number) for number in (1, 2, 3, 5)]
    for record in records[:2]:
        chain.record(record)
    first = sha(f"\n{record_digest(records[0])}\n{record_digest(records[1])}\n")
    assert chain.previous(2) == first
    chain.frame(4, first, b"frame", read=2)
    chain.record(records[2])
    assert chain.previous(3) == sha(f"{first}\n{record_digest(records[2])}\n4 {sha('frame')}\n")
    chain.record(replace(RECORD, sequence=4, payload=b"frame"))
    whole = [record_digest(records[2]), record_digest(replace(RECORD, sequence=4, payload=b"frame"))]
    assert chain.previous(4) == sha(f"{first}\n{whole[0]}\n{whole[1]}\n")


@pytest.fixture(scope="module")
def log() -> list[StoredMessage]:
    """A story of three failures, its commands among it, and junk."""
    written = WrittenLog()
    written.signal(0)
    written.fails(1, "wfe-2")
    written.signal(2, "Other", target=Target("elsewhere"))
    written.store(3, "ro.main.signal.junk", b"\xff{")
    written.decide(3)
    written.fails(4, "wfe-8")
    written.signal(9, "Last", target=Target("nowhere"))
    assert list(audit(written.messages)) == []
    return written.messages


def covered(log: list[StoredMessage]) -> int:
    """How far the newest frame had read."""
    fold = Fold()
    for message in log:
        fold.take(message)
    return fold.chain.read


CHANGES = {
    "a byte": lambda one: replace(one, payload=one.payload + b" "),
    "its stamp": lambda one: replace(one, recorded_at=one.recorded_at + timedelta(microseconds=1)),
    "its subject": lambda one: replace(one, subject=one.subject[:-1] + "~"),
    "a header": lambda one: replace(one, headers={**(one.headers or {}), "X": "1"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_record_is_covered_whole_by_the_first_frame_that_had_read_it(
    log: list[StoredMessage], change: str
) -> None:
    """Whatever is changed of whichever record, of every kind: the chain does not hold any more."""
    for number, message in enumerate(log[: covered(log)]):
        if change == "its subject" and message.subject.endswith(".decision"):
            continue  # It would be no frame at all.
        wrong = [*log[:number], CHANGES[change](message), *log[number + 1 :]]
        assert Drift.CHAIN in {one.drift for one in audit(wrong)}, (message, change)


def test_a_frame_that_nobody_has_read_back_is_covered_by_its_bytes() -> None:
    """Its stamp is not known yet to the next frame, which is stored right behind it."""
    written = WrittenLog()
    place = int(written.signal(0)) + 1
    fold = Fold()
    for message in written.messages:
        fold.take(message)
    frame = next(one for one in written.messages if one.sequence == place)
    first = fold.head_of_next("o1", minute(1))
    assert first.read == fold.read
    chain = Fold().chain
    for message in written.messages[: place - 1]:
        chain.record(message)
    head = msgspec.json.decode(frame.payload)[0]["data"]
    chain.frame(place, head["previous"], frame.payload, read=head["read"])
    stated = chain.previous(head["read"])
    chain = Fold().chain
    for message in written.messages[: place - 1]:
        chain.record(message)
    chain.frame(place, head["previous"], frame.payload + b" ", read=head["read"])
    assert chain.previous(head["read"]) != stated


def test_a_snapshot_goes_on_where_frames_before_its_own_were_not_read_back() -> None:
    """The frame behind it still tells of them: who began from such a snapshot called a good log not whole."""
    written = WrittenLog()
    written.signal(0)
    messages, writer = list(written.messages), Fold()
    for message in messages:
        writer.take(message)
    frames = [_stored_and_not_read_back(writer, messages) for _ in range(2)]
    image = Image(writer, frames[-1].payload, minute(1), code="")
    parts = list(image.parts())
    _stored_and_not_read_back(writer, messages)
    begun = Fold()
    restore(begun, replace(image.head, digest=hashlib.sha256(b"".join(parts)).hexdigest()), frames[-1], parts)
    for message in messages[begun.read :]:
        begun.take(message)
    assert begun.broken is None


def _stored_and_not_read_back(writer: Fold, messages: list[StoredMessage]) -> StoredMessage:
    """One more frame of one that reads late: it says of the frames before it only what their bytes are."""
    head = writer.head_of_next("o1", minute(1))
    payload = join_frame([encode(head, decision_attributes(head, "/test", minute(1)))])
    headers = {EXPECTED: str(writer.chain.last)}
    messages.append(StoredMessage(len(messages) + 1, minute(1), "ro.main.decision", payload, headers))
    writer.stored(len(messages), [head], payload)
    return messages[-1]


def test_a_log_that_is_not_whole_is_known_while_it_is_folded(log: list[StoredMessage]) -> None:
    """A missing record, and a digest that is not what came before it."""
    fold = Fold()
    for message in log:
        fold.take(message)
    assert fold.broken is None
    fold = Fold()
    for message in log[:4] + log[5:]:
        fold.take(message)
    assert fold.broken == "5 is missing, the next is 6"
    fold = Fold()
    for message in [*log[:1], replace(log[1], payload=log[1].payload + b" "), *log[2:]]:
        fold.take(message)
    assert fold.broken is not None
    assert "what the frame" in fold.broken
