"""End what a run has left behind where its supervisor and its guard are both gone. It is found by a mark in its
environment, which whatever a script starts inherits unless it clears it."""

import os
import signal
import time
from contextlib import suppress

MARK = "RO_RUN"
"""The variable that marks the processes of one run."""
# A process that may be killed is gone at once; what is not by then cannot be ended by us.
ENDING_SECONDS = 1.0
_LOOK_SECONDS = 0.02


def end_marked(mark: str) -> list[int]:
    """Kill all processes of a run, until none is left. Returns those that may not be killed, or do not go."""
    wanted = f"{MARK}={mark}".encode()
    until = time.monotonic() + ENDING_SECONDS
    while (left := _marked(wanted)) and time.monotonic() < until:
        for process in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)
    return left


def _marked(wanted: bytes) -> list[int]:
    found = []
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(entry))
    return found
