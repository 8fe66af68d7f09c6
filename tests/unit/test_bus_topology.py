"""What a cell has on the broker, as data."""

from remediation_orchestrator.bus.api import StreamInfo, StreamState
from remediation_orchestrator.bus.port import identity_of
from remediation_orchestrator.bus.topology import missing_replicas, stream_config
from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.subjects import bound_subjects

CELL = CellName("main")


def test_the_stream_takes_exactly_the_subjects_of_its_cell() -> None:
    """So a misspelt one is refused by the server."""
    config = stream_config(CELL)
    assert config["name"] == "RO_main"
    assert config["subjects"] == bound_subjects(CELL)


def test_the_stream_never_drops_a_record() -> None:
    """By age, by count, by size or by being read."""
    config = stream_config(CELL, replicas=3, max_bytes=1_000)
    kept = {key: config[key] for key in ("retention", "discard", "max_age", "max_msgs", "max_msgs_per_subject")}
    assert kept == {
        "retention": "limits", "discard": "new", "max_age": 0, "max_msgs": -1, "max_msgs_per_subject": -1
    }  # fmt: skip
    assert (config["num_replicas"], config["max_bytes"], config["storage"]) == (3, 1_000, "file")


def test_an_identity_names_a_life() -> None:
    """The same for the same stream, another for another time or name; pinned, because jobs are named by it."""
    created = "2026-11-21T10:00:00.123456789Z"
    assert identity_of("RO_main", created) == identity_of("RO_main", created)
    others = {identity_of("RO_main", created[:-2] + "8Z"), identity_of("RO_x", created)}
    assert len(others | {identity_of("RO_main", created)}) == 3
    assert identity_of("RO_main", created) == "2da6b604"


def test_copies_are_added_and_never_taken_away() -> None:
    """To take some away is the business of whoever runs the broker."""
    single, triple = (StreamInfo(stream_config(CELL, replicas=n), "", StreamState()) for n in (1, 3))
    assert missing_replicas(single, 3) == {"num_replicas": 3}
    assert missing_replicas(triple, 3) == missing_replicas(triple, 1) == {}
