"""The door on a real log: what is answered 2xx stands there, once, and everything else is told why not."""

import asyncio
import gzip
import json
import logging

import pytest
from cell import events_of
from doors import PATIENCE, Reply, alert, head, opened, read_reply, webhook
from nats.aio.client import Client

from remediation_orchestrator.bus.jetstream import JetStreamLog
from remediation_orchestrator.cli.support.records import JsonLines
from remediation_orchestrator.events import CellName, Recorded, SignalReceived, SignalResolved, Undecodable, decode
from remediation_orchestrator.events.stored import MESSAGE_BYTES_MAX
from remediation_orchestrator.gateway import delivery
from remediation_orchestrator.web import connection

PATH = "/v1/alertmanager"


async def test_what_is_answered_stands_in_the_log_at_the_positions_named(log: JetStreamLog) -> None:
    """One body, one message; firing and resolved, each of which says that its source resolves."""
    async with opened(log) as sender:
        reply = await sender.post(PATH, webhook(alert(pod="a"), alert(pod="b", status="resolved")))
    assert (reply.status, reply.said) == (200, {"positions": ["1-0", "1-1"]})
    one, two = await events_of(log)
    assert isinstance(one, SignalReceived)
    assert isinstance(two, SignalResolved)
    assert (one.resolves, two.resolves, two.target.name) == (True, True, "b")


async def test_the_same_body_again_stores_nothing(log: JetStreamLog) -> None:
    """By another door too, which has only the log to know it by."""
    body = webhook(alert(pod="a"), alert(pod="b"))
    async with opened(log) as sender:
        await sender.post(PATH, webhook(alert(pod="before")))
        first = await sender.post(PATH, body)
        again = await sender.post(PATH, body)
    async with opened(log) as sender:
        later = await sender.post(PATH, body)
    assert first.said == {"positions": ["2-0", "2-1"]}
    assert again.said == later.said == {"positions": ["2-0", "2-1"], "duplicate": True}
    assert await log.last_sequence() == 2


async def test_two_doors_at_once_store_each_body_once(log: JetStreamLog) -> None:
    """Every body is sent to both; wherever it stands, both name the same place."""
    bodies = [webhook(alert(pod=f"pod-{number}")) for number in range(40)]
    async with opened(log) as one, opened(log) as two:
        replies = await asyncio.gather(*(door.post(PATH, body) for body in bodies for door in (one, two)))
    assert {reply.status for reply in replies} == {200}
    places = [reply.said["positions"] for reply in replies]
    assert places[::2] == places[1::2]
    assert len(await events_of(log)) == len(bodies)


async def test_a_thousand_bodies_at_once_are_few_messages(log: JetStreamLog) -> None:
    """What is waiting is gathered; every one of them is answered with its own place."""
    bodies = [webhook(alert(pod=f"pod-{number}")) for number in range(1_000)]
    async with opened(log) as sender:
        replies = await asyncio.gather(*(sender.post(PATH, body) for body in bodies))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.said["positions"][0] for reply in replies}) == 1_000
    assert len(await events_of(log)) == 1_000
    assert await log.last_sequence() < 500


@pytest.mark.parametrize("many", [285, 2_000, 4_400])
async def test_a_group_of_any_size_is_taken(log: JetStreamLog, many: int) -> None:
    """As many messages as it needs, in a row; sent again, by another door too, they are known."""
    text = "It takes longer than it should. " * 15
    body = webhook(*(alert(pod=f"pod-{number}", annotations={"description": text}) for number in range(many)))
    async with opened(log) as sender:
        await sender.post(PATH, webhook(alert(pod="before")))
        first = await sender.post(PATH, body)
        await sender.post(PATH, webhook(alert(pod="after")))
        again = await sender.post(PATH, body)
    async with opened(log) as sender:
        later = await sender.post(PATH, body)
    assert first.status == 200
    assert again.said == later.said == {**first.said, "duplicate": True}
    records = [record async for message in log.read() for record in decode(message)]
    assert [record.position for record in records][1:-1] == first.said["positions"]
    names = [getattr(record, "event").target.name for record in records]  # noqa: B009 - all are signals
    assert names == ["before", *(f"pod-{number}" for number in range(many)), "after"]
    sizes = [len(message.payload) async for message in log.read()]
    assert max(sizes) <= MESSAGE_BYTES_MAX


async def test_a_group_for_which_there_is_no_room_is_not_stored_at_all(connection: Client, cell: CellName) -> None:
    """Neither its first messages: its sender is told to send it again, all of it."""
    log = await JetStreamLog.ensure(connection, cell, max_bytes=700_000)
    body = webhook(*(alert(pod=f"pod-{number}") for number in range(3_000)))
    async with opened(log) as sender:
        reply = await sender.post(PATH, body)
        assert (reply.status, reply.headers["retry-after"]) == (503, "60")
        assert await log.last_sequence() == 0
        assert (await sender.post(PATH, webhook(alert()))).status == 200


async def test_an_alert_that_is_larger_than_a_fact_is_refused_and_the_others_are_not(log: JetStreamLog) -> None:
    """It stands in its place, by name; alone it is 400."""
    large = alert(pod="large", annotations={"dump": "x" * MESSAGE_BYTES_MAX})
    async with opened(log) as sender:
        reply = await sender.post(PATH, webhook(alert(pod="a"), large, alert(pod="c")))
        alone = await sender.post(PATH, webhook(large))
    assert (reply.status, len(reply.said["positions"])) == (200, 3)
    assert "bytes, and a fact has at most 262,144" in reply.said["rejected"][0]
    assert alone.status == 400
    signals = [one for one in await events_of(log) if isinstance(one, SignalReceived)]
    assert [one.target.name for one in signals] == ["a", "c"]


async def test_what_fires_resolves_and_fires_again_is_stored_each_time(log: JetStreamLog) -> None:
    """The very same bytes: between them another body about the same problem was stored, by whichever door."""
    firing, resolved = webhook(alert()), webhook(alert(status="resolved"))
    async with opened(log) as one, opened(log) as two:
        for door in (one, two, one, one):
            for body in (firing, resolved):
                assert "duplicate" not in (await door.post(PATH, body)).said
            assert (await door.post(PATH, resolved)).said["duplicate"]
    kinds = [type(event) for event in await events_of(log)]
    assert kinds == [SignalReceived, SignalResolved] * 4


async def test_an_alert_whose_time_lies_ahead_is_kept_without_it(log: JetStreamLog) -> None:
    """Said in the answer; what comes over the log itself is read alike."""
    future = "2031-01-01T00:00:00Z"
    async with opened(log) as sender:
        reply = await sender.post(PATH, webhook(alert(startsAt=future)))
        odd = await sender.post(PATH, webhook(alert(pod="odd", startsAt="yesterday")))
    bare = {"name": "DiskFilling", "target": {"name": "x"}, "starts_at": future}
    await log.append(f"ro.{log.cell}.signal.cli", json.dumps(bare).encode())
    assert reply.said["remarks"] == [
        "alerts[0].startsAt: 2031-01-01T00:00:00+00:00 is more than 2 minutes in the future: left out"
    ]
    assert odd.said["remarks"] == ["alerts[0].startsAt: 'yesterday' is no time: left out"]
    assert [getattr(event, "starts_at", future) for event in await events_of(log)] == [None] * 3


async def test_what_is_refused_within_a_body_is_in_the_log_of_the_door(
    log: JetStreamLog, caplog: pytest.LogCaptureFixture
) -> None:
    """With its source and its reason; so are what is left out, and why a body was refused as a whole."""
    caplog.set_level(logging.INFO, logger="remediation_orchestrator.gateway")
    watchdog = alert(labels={"alertname": "Watchdog", "severity": "none"})
    body = webhook(alert(startsAt="soon"), alert(labels={"alertname": "X"}), watchdog)
    async with opened(log) as sender:
        await sender.post(PATH, body)
        await sender.post(PATH, body)
        await sender.post(PATH, b"{")
    said = [json.loads(JsonLines().format(record)) for record in caplog.records]
    refused, left_out, without = [line for line in said if line["event"] != "answered"]
    assert (refused["event"], refused["level"], refused["source"]) == ("items refused", "warning", "alertmanager")
    assert refused["lines"][0].startswith("alerts[1].labels: 'X' names no target")
    assert (left_out["event"], left_out["count"]) == ("items left out", 1)
    assert without["lines"] == ["alerts[0].startsAt: 'soon' is no time: left out"]
    assert [line["why"] for line in said if "why" in line] == [
        "line 1, column 2: not JSON: Expecting property name enclosed in double quotes"
    ]


async def test_an_alert_that_is_no_signal_is_stored_and_rejected_by_name(log: JetStreamLog) -> None:
    """The good ones beside it are not lost, and nothing is hidden: the answer and the log say what was wrong."""
    body = webhook(alert(pod="a"), {"status": "firing", "labels": {"alertname": "X"}}, alert(pod="c"))
    async with opened(log) as sender:
        reply = await sender.post(PATH, body)
    assert reply.said["positions"] == ["1-0", "1-1", "1-2"]
    (rejected,) = reply.said["rejected"]
    assert rejected.startswith("alerts[1].labels: 'X' names no target")
    records = [record async for message in log.read() for record in decode(message)]
    assert [type(record) for record in records] == [Recorded, Undecodable, Recorded]
    assert "alerts[1].labels: 'X' names no target" in getattr(records[1], "message", "")


async def test_an_empty_body_of_alerts_stores_nothing(log: JetStreamLog) -> None:
    """And is no error."""
    async with opened(log) as sender:
        reply = await sender.post(PATH, webhook())
    assert (reply.status, reply.said) == (200, {"positions": []})
    assert await log.last_sequence() == 0


async def test_what_is_left_out_is_said_and_not_stored(log: JetStreamLog) -> None:
    """Beside an alert, and alone."""
    watchdog = alert(labels={"alertname": "Watchdog", "severity": "none"})
    async with opened(log) as sender:
        alone = await sender.post(PATH, webhook(watchdog))
        beside = await sender.post(PATH, webhook(watchdog, alert()))
        page = (await sender.get("/metrics")).body.decode()
    line = "alerts[0]: left out: severity is 'none'"
    assert (alone.status, alone.said) == (200, {"positions": [], "left_out": [line]})
    assert (beside.status, beside.said) == (200, {"positions": ["1-0"], "left_out": [line]})
    assert len(await events_of(log)) == 1
    assert 'ro_gateway_items_total{outcome="left_out",source="alertmanager"} 2.0' in page


BIG = b'{"version": "4", "alerts": [], "pad": "' + b"x" * delivery.BODY_BYTES_MAX + b'"}'
DEEP = b'{"version": "4", "alerts": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status", "detail"),
    [
        (BIG, "application/json", {}, 413, "the body is larger than 4,194,304 bytes"),
        (gzip.compress(BIG), "application/json", {"content-encoding": "gzip"}, 413, "the unpacked body is larger"),
        (b"no", "application/json", {"content-encoding": "gzip"}, 400, "the body is not gzip"),
        (
            gzip.compress(b"{}", mtime=0)[:-4],
            "application/json",
            {"content-encoding": "gzip"},
            400,
            "not one whole gzip",
        ),
        (b"{}", "application/json", {"content-encoding": "br"}, 415, "the content encoding is 'br'"),
        (b"{}", "text/plain", {}, 415, "the content type is 'text/plain'"),
        (b"{}", "application/json; charset=utf-16", {}, 415, "the charset is 'utf-16'"),
        (b"\xff\xfe", "application/json", {}, 400, "not UTF-8"),
        (b"{", "application/json", {}, 400, "line 1, column 2: not JSON"),
        (b"{}", "application/json", {}, 400, "version: field required"),
        (webhook(alert(pod="\ud800")), "application/json", {}, 400, "half of a surrogate pair"),
        (DEEP, "application/json", {}, 400, "nested too deeply"),
        (webhook(alert(labels={"alertname": "X"})), "application/json", {}, 400, "alerts[0].labels: 'X' names no"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_told_why(
    log: JetStreamLog, body: bytes, kind: str, headers: dict[str, str], status: int, detail: str
) -> None:
    """As problem details; nothing is stored, and the next body is taken as ever."""
    async with opened(log) as sender:
        reply = await sender.post(PATH, body, kind=kind, headers=headers)
        _is_problem(reply, status)
        assert detail in reply.said["detail"]
        assert (await sender.post(PATH, webhook(alert()))).said == {"positions": ["1-0"]}


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\U0001f4a9", "‮gpj", "x" * 1_024, "\ufeff", "--all", "<script>", "☃" * 300]
)
async def test_whatever_a_label_holds_is_stored_or_refused(log: JetStreamLog, text: str) -> None:
    """And what is stored can be read."""
    async with opened(log) as sender:
        reply = await sender.post(PATH, webhook(alert(pod=text), alert()))
        assert reply.status == 200
    records = [record async for message in log.read() for record in decode(message)]
    assert len(records) == 2
    assert isinstance(records[1], Recorded)


async def test_gzip_is_taken_and_counts_as_what_it_holds(log: JetStreamLog) -> None:
    """The same body, packed or not, is one body."""
    body = webhook(alert())
    async with opened(log) as sender:
        plain = await sender.post(PATH, body)
        packed = await sender.post(PATH, gzip.compress(body), headers={"content-encoding": "gzip"})
    assert packed.said == {**plain.said, "duplicate": True}


async def test_a_gzip_bomb_is_refused(log: JetStreamLog) -> None:
    """Of a gigabyte no more than the bound is ever unpacked; here it is a modest one."""
    bomb = gzip.compress(b"0" * 100_000_000)
    async with opened(log) as sender:
        _is_problem(await sender.post(PATH, bomb, headers={"content-encoding": "gzip"}), 413)


async def test_a_sender_of_one_byte_at_a_time_is_told_to_come_back(
    log: JetStreamLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body has a time; others are served meanwhile."""
    monkeypatch.setattr(delivery.Incoming.__init__, "__kwdefaults__", {"seconds": 0.3})
    async with opened(log) as sender:
        reader, writer = await asyncio.open_connection("127.0.0.1", sender.port)
        writer.write(head("POST", PATH, {"content-type": "application/json", "content-length": "1000"}) + b"{")
        assert (await sender.post(PATH, webhook(alert()))).status == 200
        async with asyncio.timeout(PATIENCE):
            reply = await read_reply(reader)
        writer.close()
    _is_problem(reply, 408)
    assert reply.headers["connection"] == "close"


async def test_a_head_that_never_ends_is_cut_off(log: JetStreamLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a time and a size."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    async with opened(log) as sender:
        _is_problem(await sender.send(b"POST /v1/alertmanager HTTP/1.1\r\nhost: d"), 408)


@pytest.mark.parametrize("size", [33_000, 100_000, 1_000_000])
async def test_a_header_beyond_its_bound_is_refused(log: JetStreamLog, size: int) -> None:
    """Whether it comes at once or in many pieces."""
    async with opened(log) as sender:
        _is_problem(await sender.send(head("POST", PATH, {"x-big": "x" * size})), 431)


@pytest.mark.parametrize("size", [33_000, 40_000, 100_000, 1_000_000])
async def test_a_path_beyond_the_bound_of_a_head_is_refused(log: JetStreamLog, size: int) -> None:
    """Before anybody looks whether something is there."""
    async with opened(log) as sender:
        _is_problem(await sender.get("/" + "a" * size), 431)
        _is_problem(await sender.get("/livez?" + "a" * size), 431)


@pytest.mark.parametrize("endless", [b"0\r\nx-big: %s", b"1;x=%s"])
async def test_what_is_said_around_a_body_has_the_bound_of_a_head(log: JetStreamLog, endless: bytes) -> None:
    """Nobody counts it as body, and it would be kept until it ends."""
    lines = {"content-type": "application/json", "transfer-encoding": "chunked"}
    async with opened(log) as sender:
        _is_problem(await sender.send(head("POST", PATH, lines) + endless % (b"x" * 1_000_000)), 431)
        assert (await sender.get("/livez")).status == 200


@pytest.mark.parametrize("raw", [b"\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"])
async def test_what_is_no_http_is_refused(log: JetStreamLog, raw: bytes) -> None:
    """And the door goes on."""
    async with opened(log) as sender:
        _is_problem(await sender.send(raw), 400)
        assert (await sender.get("/livez")).status == 200


async def test_other_methods_and_paths_are_refused(log: JetStreamLog) -> None:
    """With what would have been right."""
    async with opened(log) as sender:
        wrong = await sender.get(PATH)
        _is_problem(wrong, 405)
        assert wrong.headers["allow"] == "POST"
        _is_problem(await sender.post("/v1/nobody", b"{}"), 404)
        _is_problem(await sender.get("/"), 404)
        _is_problem(await sender.post("/livez", b""), 405)


async def test_operators_read_health_metrics_and_the_document(log: JetStreamLog) -> None:
    """Metrics count by source and status, and never by anything that a sender chooses."""
    async with opened(log) as sender:
        await sender.post(PATH, webhook(alert()))
        await sender.post("/v1/of-my-own-making", b"{}")
        assert (await sender.get("/livez")).status == (await sender.get("/readyz")).status == 200
        page = (await sender.get("/metrics")).body.decode()
        document = (await sender.get("/openapi.json")).said
    assert 'ro_gateway_answers_total{source="alertmanager",status="200"} 1.0' in page
    assert 'ro_gateway_answers_total{source="none",status="404"} 1.0' in page
    assert "of-my-own-making" not in page
    assert PATH in document["paths"]


async def test_a_log_that_takes_no_signals_is_503_and_not_ready(log: JetStreamLog) -> None:
    """Nothing is hidden in a 2xx; when it takes them again, the same body is stored."""
    body = webhook(alert())
    async with opened(log) as sender:
        await log.take_signals(enabled=False)
        reply = await sender.post(PATH, body)
        _is_problem(reply, 503)
        assert reply.headers["retry-after"] == "60"
        await log.take_signals(enabled=True)
        assert (await sender.post(PATH, body)).said == {"positions": ["1-0"]}


def _is_problem(reply: Reply, status: int) -> None:
    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert json.loads(reply.body)["status"] == status
