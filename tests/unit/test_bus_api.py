"""Asking the broker, where the client would let something get lost."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from remediation_orchestrator.bus import api


class Answering(Client):
    """The client as far as it waits for an answer; the test decides when one comes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

    @property
    def is_connected(self) -> bool:
        """It never went anywhere."""
        return True

    async def request(self, *_: object, **__: object) -> Msg:
        """Wait for the answer as the client does."""
        self.asked.set()
        return await asyncio.wait_for(self.answer, 5)


async def test_being_cancelled_when_the_answer_comes_is_being_cancelled() -> None:
    """Else a loop that asks again and again would never end, and whoever awaits its end neither."""
    client = Answering()
    asking = asyncio.create_task(api.request(client, "subject", b""))
    await client.asked.wait()
    client.answer.set_result(Msg(client, data=b"answer"))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_answer_is_handed_on_to_whoever_was_cancelled_before() -> None:
    """Cleaning up may ask, too."""
    client = Answering()
    client.answer.set_result(Msg(client, data=b"answer"))

    started = asyncio.Event()

    async def clean_up() -> bytes:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return (await api.request(client, "subject", b"")).data
        return b""

    task = asyncio.create_task(clean_up())
    await started.wait()
    task.cancel()
    assert await task == b"answer"
