"""What archives have put into their files, read again as anybody would."""

from dataclasses import dataclass
from pathlib import Path

from remediation_orchestrator.bus.file import messages, segment_digest
from remediation_orchestrator.events import StoredMessage


@dataclass(frozen=True)
class SegmentFile:
    """A file of an archive."""

    messages: list[StoredMessage]
    digest: str
    """SHA-256, in hex, of its lines."""


def segments(folder: Path) -> dict[str, SegmentFile]:
    """Every segment of a folder, by the name of its file."""
    return {
        path.name: SegmentFile(list(messages(path)), segment_digest(path)[1])
        for path in sorted(folder.glob("*.jsonl"))
    }
