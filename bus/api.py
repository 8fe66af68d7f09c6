"""JetStream's API as it is on the wire: raw JSON both ways, so that no field of a configuration is dropped.

Everything here may be asked twice: a request that changes nothing when repeated, or that the caller fences.

Nobody waits for what cannot come any more. The client tells nobody that a connection was lost under a request.
So one look, ten times a second, serves all who wait on a connection, however many: none of them has a timer, a
task or a look of its own."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadSubjectError, Error, MaxPayloadError, NoRespondersError

from .port import LogError, LogUnreachableError, TooLargeError

T = TypeVar("T")

# A lost connection is only seen by looking.
LOOK_SECONDS = 0.1
_STATUS, _NO_RESPONDERS = "Status", "503"


class LostError(Exception):
    """The connection was lost before it came."""


class _HandedOver(asyncio.Queue[Msg]):
    """Takes the place of a subscription's queue: each message is taken as it is read, and no task is woken."""

    def __init__(self, take: Callable[[Msg], None]) -> None:
        super().__init__()
        self._take = take

    def put_nowait(self, message: Msg) -> None:
        self._take(message)


async def hear(connection: Client, subject: str, take: Callable[[Msg], None]) -> Subscription:
    """Have each message on an inbox taken as soon as the connection has read it. `take` never raises."""
    subscription = await connection.subscribe(subject, pending_msgs_limit=0, pending_bytes_limit=0)
    subscription._pending_queue = _HandedOver(take)
    return subscription


class Waiting:
    """Those who wait on one connection: how often it had been lost when they began, and until when they wait."""

    def __init__(self, connection: Client) -> None:
        self._connection = ref(
            connection
        )  # Who waits keeps no connection alive: it is the key under which this stands.
        self._waiting: dict[asyncio.Future[Any], tuple[int, float]] = {}
        self._looking = False
        self._beginning = asyncio.Lock()
        self._inbox = ""
        """Where all answers come in; empty where nobody has asked yet."""
        self._asked = 0
        self._asking: dict[str, asyncio.Future[Msg | Exception]] = {}
        """By the last word of where its answer comes in."""

    async def wait(self, coming: "asyncio.Future[T | Exception]", seconds: float, lost: int) -> T:
        """Wait for what is coming. Raises LostError where the connection was lost since then, or TimeoutError."""
        loop = asyncio.get_running_loop()
        self._waiting[coming] = lost, loop.time() + seconds
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_SECONDS, self._look)
        try:
            found = await coming
        finally:
            del self._waiting[coming]
        if isinstance(found, Exception):
            raise found
        return found

    async def ask(self, subject: str, payload: bytes, seconds: float, headers: dict[str, str] | None) -> Msg:
        """Ask once, and leave nothing behind. Raises LostError, TimeoutError, or nats-py's errors."""
        connection = self._connection()
        if connection is None:
            raise LostError
        lost: int = connection.stats["reconnects"]
        if not self._inbox:
            await self._begin(connection)
        self._asked += 1
        word = str(self._asked)
        coming = self._asking[word] = asyncio.get_running_loop().create_future()
        try:
            await connection.publish(subject, payload, reply=f"{self._inbox}{word}", headers=headers)
            answer: Msg = await self.wait(coming, seconds, lost)
        finally:
            del self._asking[word]
        if answer.headers and answer.headers.get(_STATUS) == _NO_RESPONDERS:
            raise NoRespondersError
        return answer

    async def _begin(self, connection: Client) -> None:
        """Hear answers, before anybody asks."""
        async with self._beginning:
            if not self._inbox:
                inbox = f"{connection.new_inbox()}."
                await hear(connection, f"{inbox}*", self._on_answer)
                self._inbox = inbox

    def _on_answer(self, answer: Msg) -> None:
        coming = self._asking.get(answer.subject[len(self._inbox) :])
        if coming is not None and not coming.done():
            coming.set_result(answer)

    def _look(self) -> None:
        loop, connection = asyncio.get_running_loop(), self._connection()
        reconnects = -1 if connection is None or not connection.is_connected else connection.stats["reconnects"]
        for coming, (lost, until) in self._waiting.items():
            if not coming.done():
                if reconnects != lost:
                    coming.set_result(LostError())
                elif loop.time() >= until:
                    coming.set_result(TimeoutError())
        self._looking = bool(self._waiting)
        if self._looking:
            loop.call_later(LOOK_SECONDS, self._look)


_all: WeakKeyDictionary[Client, Waiting] = WeakKeyDictionary()


def waiting_on(connection: Client) -> Waiting:
    """Who waits on a connection."""
    found = _all.get(connection)
    if found is None:
        found = _all[connection] = Waiting(connection)
    return found


API = "$JS.API"
# A healthy server answers within milliseconds, an election takes up to seven seconds and is worth another try.
ANSWER_SECONDS = 5.0

STREAM_NOT_FOUND = 10059
MESSAGE_NOT_FOUND = 10037
CONSUMER_NOT_FOUND = 10014
NOT_FOUND = {STREAM_NOT_FOUND, MESSAGE_NOT_FOUND, CONSUMER_NOT_FOUND}
"""What was asked for is not there."""


class ApiError(LogError):
    """The server understood the request and refused it."""

    def __init__(self, err_code: int, description: str) -> None:
        super().__init__(f"the broker refused it: {description}")
        self.err_code = err_code
        self.description = description


class NoAnswerError(LogUnreachableError):
    """The request went out and no answer came back: it may have been done."""


class NobodyThereError(LogUnreachableError):
    """The broker itself says that nobody takes this subject."""


class NoStreamError(LogUnreachableError):
    """The broker answers, and has no stream of that name."""


class Refusal(Struct):
    """The error in an answer of JetStream."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(Struct):
    error: Refusal | None = None


class StreamState(Struct):
    """How far a stream has come."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    deleted: list[int] = []
    """Sequences without a message, where they were asked for."""


class StreamInfo(Struct):
    """What a stream is. `config` is kept as it came, so that an update changes only what it means to."""

    config: dict[str, Any]
    created: str
    state: StreamState


class ConsumerInfo(Struct):
    """What a consumer has before it."""

    num_pending: int = 0


class Done(Struct):
    """An answer of which only its not being an error matters."""


class FoundMessage(Struct):
    """A message as STREAM.MSG.GET gives it; msgspec undoes the base64 of data and headers."""

    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: bytes = b""


class MessageAnswer(Struct):
    """The answer of STREAM.MSG.GET."""

    message: FoundMessage


_answer = msgspec.json.Decoder(_Answer)


async def request(
    connection: Client,
    subject: str,
    payload: bytes,
    *,
    headers: dict[str, str] | None = None,
    seconds: float = ANSWER_SECONDS,
) -> Msg:
    """Ask once, and say in our own words what went wrong. Never leaves a request behind for later."""
    if not connection.is_connected:
        raise LogUnreachableError("the broker cannot be reached: the connection is down")
    try:
        return await waiting_on(connection).ask(subject, payload, seconds, headers or None)
    except LostError as error:
        raise NoAnswerError("the connection was lost before the answer came") from error
    except TimeoutError as error:
        raise NoAnswerError(f"{subject}: no answer within {seconds:g} s") from error
    except (NoRespondersError, BadSubjectError) as error:
        raise NobodyThereError(f"{subject}: nobody takes it") from error
    except MaxPayloadError as error:
        raise TooLargeError(f"{subject}: {len(payload):,} bytes are more than the broker takes") from error
    except Error as error:
        raise LogUnreachableError(f"the broker cannot be reached: {error}") from error


async def call(
    connection: Client, verb: str, body: object, kind: type[T], *, seconds: float = ANSWER_SECONDS
) -> T:
    """Call a verb of the API, such as `STREAM.INFO.RO_main`. Raises ApiError or LogUnreachableError."""
    try:
        answer = await request(connection, f"{API}.{verb}", msgspec.json.encode(body), seconds=seconds)
    except NobodyThereError as error:
        raise LogUnreachableError("the broker has no JetStream, or it is not ready") from error
    refusal = _answer.decode(answer.data).error
    if refusal is not None:
        raise ApiError(refusal.err_code, refusal.description)
    return msgspec.json.decode(answer.data, type=kind)


async def stream_info(connection: Client, stream: str, *, deleted: bool = False) -> StreamInfo | None:
    """What the stream is, or None where there is none of that name; `deleted`: with what is missing in it."""
    body = {"deleted_details": True} if deleted else {}
    try:
        return await call(connection, f"STREAM.INFO.{stream}", body, StreamInfo)
    except ApiError as error:
        if error.err_code == STREAM_NOT_FOUND:
            return None
        raise


async def last_message(connection: Client, stream: str, subject: str) -> FoundMessage | None:
    """The newest message on a literal subject, from the stream's leader: a direct get may be stale."""
    return await _message(connection, stream, {"last_by_subj": subject})


async def next_message(connection: Client, stream: str, subject: str, after: int) -> FoundMessage | None:
    """The first message on a subject, which may be a pattern, behind a sequence, from the stream's leader."""
    return await _message(connection, stream, {"seq": after + 1, "next_by_subj": subject})


async def message_at(connection: Client, stream: str, sequence: int) -> FoundMessage | None:
    """The message of a sequence, from the stream's leader."""
    return await _message(connection, stream, {"seq": sequence})


async def _message(connection: Client, stream: str, which: dict[str, Any]) -> FoundMessage | None:
    try:
        found = await call(connection, f"STREAM.MSG.GET.{stream}", which, MessageAnswer)
    except ApiError as error:
        if error.err_code == MESSAGE_NOT_FOUND:
            return None
        if error.err_code == STREAM_NOT_FOUND:  # Where there is no stream, nobody may conclude "no record".
            raise NoStreamError(f"the broker has no stream {stream}") from error
        raise
    return found.message
