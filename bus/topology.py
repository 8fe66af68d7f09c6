"""What a cell has on the broker, as data: its stream, and the bucket of leases.

Nothing here ever takes a record away: an existing stream is adopted as it is, or refused with a reason."""

import logging
from datetime import timedelta
from typing import Any

from msgspec import Struct
from nats.aio.client import Client

from remediation_orchestrator.events import CellName, subjects

from . import api
from .port import DUPLICATE_WINDOW, ImportedLogError, LogError, LogUnreachableError, TooLargeError, stream_name

log = logging.getLogger(__name__)

NANOSECONDS = 1_000_000_000


IMPORTED = "ro-imported"
"""The mark, in a stream's metadata, of a log that was brought in from a file."""

LEASE_STREAM = "KV_RO_LEASES"
# A marker only has to outlive the readers that were away when its key lapsed; they ask again when they are back.
MARKER_TTL = timedelta(minutes=5)

# A frame is half a mebibyte, and a decision that is begun is stored whole; servers take a whole one as they come.
PAYLOAD_MIN = 768 * 1024

# JetStream's codes for "there is one of that name already, with another configuration".
NAME_IN_USE = 10058


def is_imported(config: dict[str, Any]) -> bool:
    """Whether a stream holds a log that was brought in from a file."""
    return IMPORTED in (config.get("metadata") or {})


def lease_subject(cell: CellName) -> str:
    """The key that whoever is active in a cell holds."""
    return f"$KV.RO_LEASES.{cell}"


def stream_config(cell: CellName, *, replicas: int = 1, max_bytes: int | None = None) -> dict[str, Any]:
    """A cell's stream. It never drops a record: at its limit it refuses the newest instead."""
    return {
        "name": stream_name(cell),
        "subjects": subjects.bound_subjects(cell),
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": -1 if max_bytes is None else max_bytes,
        "num_replicas": replicas,
        "allow_direct": False,  # It writes what is read wherever the reader says, be it on the log.
        "allow_atomic": True,  # Commands of one round are stored under one sync.
        "duplicate_window": int(DUPLICATE_WINDOW.total_seconds()) * NANOSECONDS,
    }


class SideStream(Struct, frozen=True):
    """A stream in which every cell keeps one projection that was written down, beside its log."""

    stream: str
    word: str

    def subject(self, cell: CellName, name: str) -> str:
        """Where a cell's projection of this name stands: beside the subjects of its log, and not among them."""
        return f"ro.{cell}.{self.word}.{name}"


SNAPSHOTS = SideStream("RO_SNAPSHOTS", "snapshot")
"""Caches, which may be lost."""
ARCHIVES = SideStream("RO_ARCHIVES", "archive")
"""From which logs go on whose beginning was archived: not to be lost."""


MARKS = SideStream("RO_MARKS", "mark")
"""How far the logs had come. Kept in a stream of their own, so that a log that is restored by itself is told."""


def side_stream_config(side: SideStream, *, replicas: int = 1) -> dict[str, Any]:
    """The stream of a side stream; whoever writes the next projection of a cell takes away the one before."""
    return {
        "name": side.stream,
        "subjects": [side.subject(CellName("*"), "*")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_msgs_per_subject": -1,  # Junk in the place of what is kept would else take its place for good.
        "max_bytes": -1,
        "num_replicas": replicas,
        "allow_direct": False,
    }


def lease_config(*, replicas: int = 1) -> dict[str, Any]:
    """The bucket of leases, one key a cell: a value lapses by its own time-to-live and leaves a marker."""
    return {
        "name": LEASE_STREAM,
        "subjects": ["$KV.RO_LEASES.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_msgs_per_subject": 1,
        "max_bytes": -1,
        "num_replicas": replicas,
        "allow_direct": False,  # A stale answer about a lease is worse than a slow one.
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,
        "subject_delete_marker_ttl": int(MARKER_TTL.total_seconds()) * NANOSECONDS,
    }


async def ensure_stream(
    connection: Client, cell: CellName, *, replicas: int = 1, max_bytes: int | None = None
) -> api.StreamInfo:
    """Make the cell's stream if there is none, else adopt it. Raises LogError where it is no log."""
    check_takes_records(connection)
    wanted = stream_config(cell, replicas=replicas, max_bytes=max_bytes)
    found = await api.stream_info(connection, stream_name(cell))
    if found is None:
        found = await _create(connection, wanted)
    if is_imported(found.config):
        raise ImportedLogError(f"the cell {cell!r} holds an imported log: it is there to be read")
    _check_keeps_everything(found.config)
    changes = _lossless_changes(cell, found, max_bytes) | missing_replicas(found, replicas)
    if not changes:
        return found
    return await update_stream(connection, found, changes)


async def ensure_leases(connection: Client, *, replicas: int = 1) -> api.StreamInfo:
    """Make the bucket of leases if there is none."""
    return await _ensure(connection, lease_config(replicas=replicas))


async def ensure_side_stream(connection: Client, side: SideStream, *, replicas: int = 1) -> api.StreamInfo:
    """Make the stream of a side stream if there is none."""
    return await _ensure(connection, side_stream_config(side, replicas=replicas))


async def _ensure(connection: Client, wanted: dict[str, Any]) -> api.StreamInfo:
    """Make a stream if there is none of its name; of one that is there only missing copies are added."""
    found = await api.stream_info(connection, wanted["name"])
    if found is None:
        found = await _create(connection, wanted)
    changes = missing_replicas(found, wanted["num_replicas"])
    return await update_stream(connection, found, changes) if changes else found


async def update_stream(connection: Client, found: api.StreamInfo, changes: dict[str, Any]) -> api.StreamInfo:
    """Change these settings of a stream and no others."""
    name = found.config["name"]
    return await api.call(connection, f"STREAM.UPDATE.{name}", {**found.config, **changes}, api.StreamInfo)


async def _create(connection: Client, config: dict[str, Any]) -> api.StreamInfo:
    try:
        return await api.call(connection, f"STREAM.CREATE.{config['name']}", config, api.StreamInfo)
    except api.ApiError as error:
        if error.err_code != NAME_IN_USE:
            raise
    # Somebody else was faster, with other settings: theirs stand.
    found = await api.stream_info(connection, config["name"])
    if found is None:
        raise LogUnreachableError(f"the stream {config['name']} was made and deleted again meanwhile")
    return found


def check_takes_records(connection: Client) -> None:
    """Raise TooLargeError where the broker takes no message as large as a record of the log may be."""
    most = connection.max_payload
    if most < PAYLOAD_MIN:
        least = f"a log needs {PAYLOAD_MIN:,}: set `max_payload` in its configuration"
        raise TooLargeError(f"the broker takes messages of at most {most:,} bytes, and {least}")


def _check_keeps_everything(config: dict[str, Any]) -> None:
    drops = [
        f"{key} is {value}"
        for key, value, kept in (
            ("retention", config.get("retention", "limits"), "limits"),
            ("discard", config.get("discard", "old"), "new"),
            ("max_age", config.get("max_age", 0), 0),
            ("storage", config.get("storage", "file"), "file"),
        )
        if value != kept
    ]
    if config.get("max_msgs_per_subject", -1) > 0:
        drops.append(f"max_msgs_per_subject is {config['max_msgs_per_subject']}")
    if drops:
        raise LogError(f"the stream {config['name']} would lose records ({', '.join(drops)}): it cannot be a log")


def _lossless_changes(cell: CellName, found: api.StreamInfo, max_bytes: int | None) -> dict[str, Any]:
    """Return what may be changed without losing anything: subjects, switches, a limit above what is stored."""
    changes: dict[str, Any] = {}
    bound = set(found.config.get("subjects", []))
    if not bound >= set(subjects.bound_subjects(cell, signals=False)):
        changes["subjects"] = subjects.bound_subjects(cell)
    if not found.config.get("allow_atomic"):
        changes["allow_atomic"] = True
    if found.config.get("allow_direct"):
        changes["allow_direct"] = False
    if max_bytes is not None and max_bytes != found.config.get("max_bytes", -1):
        if max_bytes > found.state.bytes:
            changes["max_bytes"] = max_bytes
        else:
            log.warning("limit kept", extra={"stream": found.config["name"], "stored_bytes": found.state.bytes})
    return changes


def missing_replicas(found: api.StreamInfo, replicas: int) -> dict[str, Any]:
    """Copies may be added to what is there; to take some away is the business of whoever runs the broker."""
    return {"num_replicas": replicas} if replicas > found.config.get("num_replicas", 1) else {}
