"""Structured log lines: one JSON object a line on standard error, fields instead of prose."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one JSON object; what was given as `extra` are its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("remediation_orchestrator."),
            "event": record.getMessage(),
        }
        said |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1]:  # Asyncio says False where there is none.
            said["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        return msgspec.json.encode(said, enc_hook=str).decode()


def log_to_stderr() -> None:
    """Let this process log as a service does."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("remediation_orchestrator").setLevel(logging.INFO)
