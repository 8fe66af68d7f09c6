"""Whoever may not send is told so, clearly; whoever may is named in the log of accesses, and no token ever is."""

import hashlib
import hmac
import json
import logging

import pytest
from cell import events_of
from doors import alert, opened, webhook

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.support.records import JsonLines
from remediation_orchestrator.gateway.access import Access

PATH = "/v1/alertmanager"
TOKEN, SECRET = "a-token-of-this-very-test", "a-secret-of-this-very-test"
TOOLS, TRUSTED = "a-token-of-our-own-tools", "a-token-that-is-trusted-more"
ACCESS = Access.model_validate(
    {
        "tokens": [
            {"name": "am-2026", "sources": ["alertmanager"], "token": TOKEN},
            {"name": "tools", "sources": ["cloudevents"], "token": TOOLS},
            {"name": "trusted", "sources": ["cloudevents"], "token": TRUSTED, "workflows": True},
        ],
        "signers": [{"name": "grafana", "sources": ["alertmanager"], "secret": SECRET}],
    }
)


async def test_only_who_shows_a_token_or_a_signature_is_let_in(log: JetStreamLog) -> None:
    """A refusal says what is missing; nothing of it is stored."""
    body = webhook(alert())
    signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    async with opened(log, access=ACCESS) as sender:
        nobody = await sender.post(PATH, body)
        wrong = await sender.post(PATH, body, headers={"authorization": "Bearer wrong-wrong-wrong-wrong"})
        forged = await sender.post(PATH, body + b" ", headers={"x-signature-256": signed})
        assert await log.last_sequence() == 0
        known = await sender.post(PATH, body, headers={"authorization": f"Bearer {TOKEN}"})
        grafana = await sender.post(PATH, body, headers={"x-signature-256": f"sha256={signed}"})
    assert [one.status for one in (nobody, wrong, forged, known, grafana)] == [401, 401, 401, 200, 200]
    assert nobody.headers["www-authenticate"] == 'Bearer realm="ro"'
    assert nobody.said["detail"] == "a bearer token or a signature is missing"


async def test_health_and_metrics_need_no_token(log: JetStreamLog) -> None:
    """Those who ask for them are machines of one's own; they tell nothing of what was sent."""
    async with opened(log, access=ACCESS) as sender:
        pages = [await sender.get(path) for path in ("/livez", "/readyz", "/metrics", "/openapi.json")]
    assert {page.status for page in pages} == {200}


async def test_who_sends_more_than_its_rate_is_told_when_to_come_again(log: JetStreamLog) -> None:
    """Per sender, and before its body is read; Alertmanager, for which 429 is final, in its own words."""
    grafana = json.dumps({"version": "1", "alerts": []}).encode()
    async with opened(log, rate=0.5) as sender:
        taken = await sender.post(PATH, webhook(alert()))
        later = await sender.post(PATH, webhook(alert()))
        other = await sender.post("/v1/grafana", grafana)
    assert [one.status for one in (taken, later, other)] == [200, 503, 429]
    assert int(later.headers["retry-after"]) >= 1
    assert int(other.headers["retry-after"]) >= 1


async def test_the_log_of_accesses_names_the_sender_and_the_positions(
    log: JetStreamLog, caplog: pytest.LogCaptureFixture
) -> None:
    """And never a token, whatever is sent."""
    caplog.set_level(logging.INFO, logger="remediation_orchestrator.gateway.door")
    body = webhook(alert(pod="a"), alert(pod="b"))
    async with opened(log, access=ACCESS) as sender:
        await sender.post(PATH, body, headers={"authorization": f"Bearer {TOKEN}"})
        await sender.post(PATH, body, headers={"authorization": f"Bearer {TOKEN}x"})
        await sender.post(PATH, b"{", headers={"authorization": f"Bearer {TOKEN}"})
    lines = [JsonLines().format(record) for record in caplog.records if record.getMessage() == "answered"]
    assert len(lines) == 3
    assert '"sender":"am-2026"' in lines[0]
    assert '"stored":"1-0..1-1"' in lines[0]
    assert '"status":401' in lines[1]
    assert all(TOKEN not in line for line in lines)


async def test_a_page_in_a_browser_sends_nothing(log: JetStreamLog) -> None:
    """Any page may have a browser post text to this machine, and every browser says from which."""
    async with opened(log) as sender:
        reply = await sender.post(PATH, webhook(alert()), headers={"origin": "https://page.example"})
        assert (reply.status, await log.last_sequence()) == (403, 0)


EVENT = {"specversion": "1.0", "id": "1", "source": "/me", "type": "SignalReceived.v1", "authid": "somebody"}
RUN_IT = {"name": "X", "target": {"name": "t"}, "workflow": {"id": "delete-everything"}}


async def test_a_token_is_for_the_sources_that_it_names(log: JetStreamLog) -> None:
    """Alertmanager's cannot post a CloudEvent; what is sent to another source is not even read."""
    event = json.dumps({**EVENT, "data": RUN_IT}).encode()
    kind = "application/cloudevents+json"
    async with opened(log, access=ACCESS) as sender:
        wrong = await sender.post("/v1/cloudevents", event, kind=kind, headers=bearer(TOKEN))
        other = await sender.post(PATH, webhook(alert()), headers=bearer(TOOLS))
    assert (wrong.status, other.status, await log.last_sequence()) == (403, 403, 0)
    assert wrong.said["detail"] == "'am-2026' is not for 'cloudevents'"


async def test_only_a_token_that_says_so_may_name_workflows(log: JetStreamLog) -> None:
    """What else it sends is taken; what runs is for the analysis to say."""
    batch = json.dumps([{**EVENT, "data": RUN_IT}, {**EVENT, "data": {**RUN_IT, "workflow": None}}]).encode()
    kind = "application/cloudevents-batch+json"
    async with opened(log, access=ACCESS) as sender:
        tools = await sender.post("/v1/cloudevents", batch, kind=kind, headers=bearer(TOOLS))
        trusted = await sender.post("/v1/cloudevents", batch + b" ", kind=kind, headers=bearer(TRUSTED))
    assert tools.said["rejected"] == ["[0]: names a workflow, and 'tools' may name none"]
    assert "rejected" not in trusted.said
    named = [getattr(event, "workflow", None) for event in await events_of(log)]
    assert [workflow and workflow.id for workflow in named] == [None, "delete-everything", None]


async def test_the_name_of_a_token_stands_in_what_it_sent(log: JetStreamLog) -> None:
    """Whatever its sender says of itself; where everybody may send, nobody is named."""
    event = json.dumps({**EVENT, "data": {"name": "X", "target": {"name": "t"}}}).encode()
    async with opened(log, access=ACCESS) as sender:
        await sender.post("/v1/cloudevents", event, kind="application/cloudevents+json", headers=bearer(TOOLS))
    async with opened(log) as sender:
        await sender.post(PATH, webhook(alert()))
    stored = [json.loads(message.payload)[0] async for message in log.read()]
    assert (stored[0]["authtype"], stored[0]["authid"]) == ("api_key", "tools")
    assert "authid" not in stored[1]


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"authorization": f"Bearer {token}"}
