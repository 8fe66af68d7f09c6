"""JetStream's API as it is on the wire: raw JSON both ways, so that no field of a configuration is dropped.

Everything here may be asked twice: a request that changes nothing when repeated, or that the caller fences."""

from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError, Error, MaxPayloadError, NoRespondersError

from .port import LogError, LogUnreachableError, TooLargeError
from .waiting import LostError, waiting_on

T = TypeVar("T")

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
