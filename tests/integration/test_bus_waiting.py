"""Who asks on a connection hears the answer to it, or that none can come."""

import asyncio
import gc
import weakref
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from remediation_orchestrator.bus.api import LOOK_SECONDS, LostError, Waiting, hear, waiting_on
from remediation_orchestrator.bus.connection import connected
from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.events import CellName


async def ask(connection: Client, subject: str, payload: bytes, seconds: float = 5.0) -> bytes:
    """Ask, and return what was answered."""
    return (await waiting_on(connection).ask(subject, payload, seconds, None)).data


async def echoed(connection: Client, subject: str) -> None:
    """Answer every question with itself."""

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await connection.subscribe(subject, cb=answer)


async def test_many_who_ask_at_once_hear_their_own_answer(connection: Client, cell: CellName) -> None:
    """Also those who ask while the first one is beginning to listen."""
    await echoed(connection, f"play.{cell}")
    questions = [str(number).encode() for number in range(500)]
    assert await asyncio.gather(*(ask(connection, f"play.{cell}", one) for one in questions)) == questions


async def test_where_nobody_listens_whoever_asks_is_told(connection: Client, cell: CellName) -> None:
    """By the server, at once."""
    with pytest.raises(NoRespondersError):
        await ask(connection, f"play.{cell}", b"x")


async def test_an_answer_that_comes_too_late_is_nobodys(connection: Client, cell: CellName) -> None:
    """Whoever asked has gone; whoever asks next hears its own."""
    asked: list[Msg] = []

    async def keep(message: Msg) -> None:
        asked.append(message)

    await connection.subscribe(f"slow.{cell}", cb=keep)
    with pytest.raises(TimeoutError):
        await ask(connection, f"slow.{cell}", b"x", seconds=0.05)
    await asked[0].respond(b"late")
    await echoed(connection, f"play.{cell}")
    assert await ask(connection, f"play.{cell}", b"next") == b"next"


async def test_being_cancelled_when_the_answer_comes_is_being_cancelled(
    connection: Client, cell: CellName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a loop that asks again and again would never end, and whoever awaits its end neither."""
    await echoed(connection, f"play.{cell}")
    took = Waiting._on_answer

    def cancelling(waiting: Waiting, answer: Msg) -> None:
        took(waiting, answer)
        asking.cancel()

    monkeypatch.setattr(Waiting, "_on_answer", cancelling)
    asking = asyncio.create_task(ask(connection, f"play.{cell}", b"x"))
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_answer_is_handed_on_to_whoever_was_cancelled_before(connection: Client, cell: CellName) -> None:
    """Cleaning up may ask, too."""
    await echoed(connection, f"play.{cell}")
    started = asyncio.Event()

    async def clean_up() -> bytes:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await ask(connection, f"play.{cell}", b"answer")
        return b""

    task = asyncio.create_task(clean_up())
    await started.wait()
    task.cancel()
    assert await task == b"answer"


async def test_whoever_waits_is_told_that_its_connection_was_lost(tmp_path: Path) -> None:
    """Within two looks at it, and not when its time is up."""
    server = EmbeddedServer(tmp_path).start()
    try:
        async with connected(server.url) as connection:
            asked = asyncio.Event()

            async def keep(_message: Msg) -> None:
                asked.set()

            await connection.subscribe("play", cb=keep)
            asking = asyncio.create_task(ask(connection, "play", b"x", seconds=60))
            await asked.wait()
            server.stop()
            async with asyncio.timeout(5):
                with pytest.raises(LostError):
                    await asking
    finally:
        server.stop()


async def test_what_is_heard_is_taken_in_its_order_until_it_is_left(connection: Client) -> None:
    """And what comes behind that is nobody's."""
    taken: list[bytes] = []
    heard = asyncio.Event()
    inbox, end = connection.new_inbox(), connection.new_inbox()
    subscription = await hear(connection, inbox, lambda message: taken.append(message.data))
    await hear(connection, end, lambda _message: heard.set())
    sent = [str(number).encode() for number in range(100)]
    for number in sent:
        await connection.publish(inbox, number)
    await connection.publish(end, b"")
    await heard.wait()
    assert taken == sent
    await subscription.unsubscribe()
    heard.clear()
    await connection.publish(inbox, b"late")
    await connection.publish(end, b"")
    await heard.wait()
    assert taken == sent


async def test_who_waits_on_a_connection_does_not_keep_it(server: EmbeddedServer, cell: CellName) -> None:
    """A process that opens many, one after the other, lets each go."""
    async with connected(server.url) as connection:
        await echoed(connection, f"play.{cell}")
        assert await ask(connection, f"play.{cell}", b"x") == b"x"
        gone = weakref.ref(connection)
    del connection
    await asyncio.sleep(LOOK_SECONDS * 2)  # Who looks, looks once more.
    gc.collect()
    assert gone() is None
