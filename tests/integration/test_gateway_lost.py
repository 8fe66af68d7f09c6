"""A door whose newest record is not there any more, on the real server: it stores on, and answers what is so."""

from collections.abc import AsyncIterator

import pytest
from doors import Sender, alert, opened, webhook
from nats.aio.client import Client

from remediation_orchestrator.bus import api
from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.bus.port import stream_name
from remediation_orchestrator.events import subjects

A, B = (webhook(alert(pod=name)) for name in "ab")


@pytest.fixture
async def sender(log: JetStreamLog) -> AsyncIterator[Sender]:
    """Somebody who sends to a door of the cell, which has stored A."""
    async with opened(log) as found:
        assert (await found.post("/v1/alertmanager", A)).said == {"positions": ["1-0"]}
        yield found


async def test_a_door_stores_on_when_all_that_it_has_stored_was_archived(
    sender: Sender, log: JetStreamLog
) -> None:
    """What was stored within the window is stored still, and no second time."""
    await log.append(subjects.decision(log.cell), b"[]", expect=0)
    await log.purge(2)
    assert (await sender.post("/v1/alertmanager", A)).said == {"positions": ["1-0"], "duplicate": True}
    assert (await sender.post("/v1/alertmanager", B)).said == {"positions": ["3-0"]}
    assert (await sender.post("/v1/alertmanager", A)).said == {"positions": ["1-0"], "duplicate": True}


async def test_a_body_that_the_log_has_lost_is_stored_again(
    connection: Client, sender: Sender, log: JetStreamLog
) -> None:
    """As where a store comes back that is older: what was stored in it is not, whatever this door remembers."""
    assert (await sender.post("/v1/alertmanager", B)).said == {"positions": ["2-0"]}
    body = {"seq": 2, "no_erase": True}
    await api.call(connection, f"STREAM.MSG.DELETE.{stream_name(log.cell)}", body, api.Done)
    assert (await sender.post("/v1/alertmanager", B)).said == {"positions": ["3-0"]}
    assert (await sender.post("/v1/alertmanager", A)).said == {"positions": ["1-0"], "duplicate": True}


async def test_a_door_stores_on_behind_what_others_have_stored_where_it_had_stored(
    connection: Client, sender: Sender, log: JetStreamLog
) -> None:
    """Its record is gone, and another door has gone on meanwhile."""
    assert (await sender.post("/v1/alertmanager", B)).said == {"positions": ["2-0"]}
    body = {"seq": 2, "no_erase": True}
    await api.call(connection, f"STREAM.MSG.DELETE.{stream_name(log.cell)}", body, api.Done)
    async with opened(log) as other:
        assert (await other.post("/v1/alertmanager", webhook(alert(pod="c")))).said == {"positions": ["3-0"]}
    assert (await sender.post("/v1/alertmanager", B)).said == {"positions": ["4-0"]}
