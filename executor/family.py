"""End what a run has left behind where its supervisor and its guard are both gone. It is found by a mark in its
environment, which whatever a script starts inherits unless it clears it."""

import os
from contextlib import suppress

from .supervisor import end_all

MARK = "RO_RUN"
"""The variable that marks the processes of one run."""


def end_marked(mark: str) -> list[int]:
    """Kill all processes of a run, until none is left. Returns those that may not be killed, or do not go."""
    wanted = f"{MARK}={mark}".encode()
    return end_all(lambda: _marked(wanted))


def _marked(wanted: bytes) -> list[int]:
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(entry))
    return found
