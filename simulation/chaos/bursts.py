"""What anybody who may publish can throw at a cell: garbage, arrays of nothing, junk where it hurts, and copies.

None of it is a signal, so nothing here is in the driver's account. All of it must be answered or stepped over."""

import asyncio
import random
from collections.abc import Iterator

import msgspec
from nats.errors import Error

from remediation_orchestrator.bus.connection import Connection
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import LogError, stream_name
from remediation_orchestrator.bus.topology import lease_subject
from remediation_orchestrator.events import StoredMessage, subjects

from .faults import Planned, Strike

# Largest that a fact may be, and one element less than an array may have.
NOTHING_ITEMS, MANY_ITEMS = 131_000, 9_999
GARBAGE, JUNK, COPIES = 60, 12, 8
# So far ahead of the log are the names of executions guessed.
AHEAD = 40
COPIED = {"Nats-Stream", "Nats-Sequence"}

# Each has once stopped a reader, or could have.
PIECES = (
    b"",
    b"\0",
    b"[]",
    b"[",
    b"null",
    b"1e999",
    b'{"name":5,"x":null',
    b'{"name":5,"y":"\xff"}',
    b"\xff\xfe{}",
    b"[" * 40_000,
    b'{"a":' * 40_000,
    b'[{"name":"x"},{},1,"\\ud800"]',
    b'{"specversion":"1.0","type":"WorkflowCompleted.v1","data":{}}',
    b'{"type":"io.nats.jetstream.api.v1.pub_ack_response","stream":"RO_main","seq":1}',
)
WORDS = ("signal.chaos", "analysis.rr-1", "execution.wfe-1", "operator.clear.chaos", "operator.hold.chaos")


def is_thrown(message: StoredMessage) -> bool:
    """Whether a record is surely of a burst: an audit that calls it unreadable is right, and no promise broken."""
    answers = (b'{"type":"io.nats.jetstream.api.v1.stream_msg_get_response"', b'{"stream":"RO_', b'{"error":')
    return (
        message.payload in PIECES
        or (message.headers or {}).keys() >= COPIED
        or message.payload.startswith(answers)
    )


class Bursts:
    """Throws things, on a connection that is anybody's. What is lost on its way is lost."""

    def __init__(self, connection: Connection, log: JetStreamLog, seed: int) -> None:
        self._connection = connection
        self._log = log
        self._chance = random.Random(f"bursts {seed}")
        self.thrown = 0
        """How many pieces have left, whether they were stored or not."""

    async def throw(self, planned: Planned) -> bool:
        """One burst, all at once."""
        before = self.thrown
        match planned.strike:
            case Strike.NOTHING_BURST:
                pieces = iter([("signal.chaos", _ones(NOTHING_ITEMS)), (self._word(), _ones(MANY_ITEMS))] * 2)
                await self._send(pieces)
            case Strike.GARBAGE_BURST:
                await self._send((self._word(), self._garbage()) for _ in range(GARBAGE))
            case _:
                await self._throw_junk()
        return self.thrown > before

    def _word(self) -> str:
        return self._chance.choice(WORDS)

    def _garbage(self) -> bytes:
        """One of the known pieces, or a signal of which some bytes were changed."""
        if self._chance.random() < 0.5:
            return self._chance.choice(PIECES)
        whole = bytearray(msgspec.json.encode({"name": "Problem1", "target": {"name": "t", "kind": "Thing"}}))
        for _ in range(self._chance.randint(1, 4)):
            whole[self._chance.randrange(len(whole))] = self._chance.randrange(256)
        return bytes(whole)

    async def _throw_junk(self) -> None:
        """Junk on every subject that is fenced, and copies of what stands there."""
        try:
            newest = await self._log.last_sequence()
            found = [await self._log.at(self._chance.randint(max(1, newest - 300), newest)) for _ in range(COPIES)]
        except LogError:
            return
        await self._send(self._junk(newest))
        await self._copy([one for one in found if one is not None])
        # The broker itself stores its answer wherever somebody names as the place for it.
        await self._publish(
            f"$JS.API.STREAM.MSG.GET.{stream_name(self._log.cell)}", b'{"seq":1}', reply="decision"
        )
        await self._publish(f"ro.{self._log.cell}.signal.chaos", b"{", reply="decision")

    def _junk(self, newest: int) -> Iterator[tuple[str, bytes]]:
        for _ in range(JUNK):
            run = f"wfe-{newest + self._chance.randint(-AHEAD, AHEAD)}"
            for word in ("decision", f"command.workflow.{run}", f"execution.{run}", f"command.cancel.{run}"):
                yield word, self._chance.choice(PIECES)
        yield lease_subject(self._log.cell), b"nobody in particular"
        yield lease_subject(self._log.cell), b""

    async def _copy(self, records: list[StoredMessage]) -> None:
        for one in records:
            headers = {"Nats-Stream": stream_name(self._log.cell), "Nats-Sequence": str(one.sequence)}
            await self._publish(one.subject, one.payload, headers=headers)

    async def _send(self, pieces: Iterator[tuple[str, bytes]]) -> None:
        for word, payload in pieces:
            await self._publish(word, payload)
            await asyncio.sleep(0)

    async def _publish(
        self, word: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        root = subjects.decision(self._log.cell).removesuffix("decision")
        subject = word if word.startswith(("$", root)) else root + word
        try:
            await self._connection.publish(subject, payload, reply=root + reply if reply else "", headers=headers)
        except Error:  # The broker is away.
            return
        self.thrown += 1


def _ones(count: int) -> bytes:
    return b"[" + b",".join([b"1"] * count) + b"]"
