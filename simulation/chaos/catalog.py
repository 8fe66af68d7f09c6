"""What the cell under chaos runs, and by which policy: scripts that keep a diary, and rules with short waits.

The diary is the scripts' own word: each line is on disk before the script goes on, and its times are of one
monotonic clock. Nobody else writes there."""

import sys
from pathlib import Path

import msgspec
from msgspec import Struct

WORK, ONCE = "work", "once"
"""A workflow that may run again after it failed half-way, and one that may not."""
TIMEOUT_SECONDS = 5
ANALYSED = "Analysed"
"""The name of the signals that leave the choice of a workflow to the catalog's analyser."""

POLICY = """\
routing:
  consecutive_failure_threshold: 3
  consecutive_failure_cooldown: 1s
  retry_limit: 1000
  failure_memory: 10s
  backoff_base: 100ms
  backoff_cap: 400ms
  jitter: 0.1
  signal_cooldown: 200ms
  workflow_cooldown: 100ms
  signal_max_age: 15s
  alert_memory: 10s
timeouts:
  starting: 3s
  analyzing: 10s
  executing: 6s
  approval: 5s
"""
"""What is older than a quarter of a minute is nobody's business any more, so that it can be archived."""

# The lock belongs to the process: the kernel takes it back at its death, however it dies, and not before.
_SCRIPT = """\
import fcntl, json, os, signal, sys, time
diary, milliseconds, (fails, stubborn, leaves) = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
execution, target = os.environ["RO_EXECUTION"], os.environ["RO_TARGET_NAME"]
if stubborn == "true":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = os.open(f"{diary}.{target}.lock", os.O_RDWR | os.O_CREAT)
book = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def say(word, alone):
    line = {"word": word, "execution": execution, "target": target, "pid": os.getpid(), "alone": alone}
    os.write(book, json.dumps(line | {"at": time.monotonic_ns()}).encode() + b"\\n")
    os.fsync(book)

try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    alone = True
except BlockingIOError:
    alone = False
say("begin", alone)
if leaves == "true" and os.fork() == 0:
    os.setsid()  # As a daemon does; the lock is its own as well.
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    os._exit(0)
time.sleep(min(milliseconds, 1_000 if "-r" in execution else milliseconds) / 1000)
say("end", alone)
sys.exit(1 if fails == "true" and "-r" not in execution else 0)
"""


class DiaryLine(Struct, frozen=True):
    """A line of the diary. `alone`: no other run held the target when this one began."""

    word: str
    execution: str
    target: str
    pid: int
    alone: bool
    at: int


_lines = msgspec.json.Decoder(DiaryLine)


def write_catalog(folder: Path, diary: Path) -> None:
    """Write the workflows into a folder that is not there yet. JSON is YAML."""
    folder.mkdir()
    (folder / "work.py").write_text(_SCRIPT)
    for name in (WORK, ONCE):
        placeholders = [f"{{parameters.{one}}}" for one in ("milliseconds", "fails", "stubborn", "leaves")]
        workflow: dict[str, object] = {
            "id": name,
            "script": {"command": [sys.executable, "-I", "-S", "work.py", str(diary), *placeholders]},
            "timeout": f"{TIMEOUT_SECONDS}s",
            "idempotent": name == WORK,
            "parameters": {
                "milliseconds": {"type": "integer", "default": 50},
                "fails": {"type": "boolean", "default": False},
                "stubborn": {"type": "boolean", "default": False},
                "leaves": {"type": "boolean", "default": False},
            },
        }
        if name == WORK:
            workflow["match"] = [{"name": ANALYSED}]
        (folder / f"{name}.yaml").write_bytes(msgspec.json.encode(workflow))


def read_diary(diary: Path) -> list[DiaryLine]:
    """What the scripts wrote, in the order of the file."""
    return [_lines.decode(line) for line in diary.read_bytes().splitlines()] if diary.exists() else []
