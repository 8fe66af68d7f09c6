"""What drives a peer that lives in one process: signals from a file, a clock, and a file for what came of it.

Nothing lies between the signals and the peer, neither a network nor a broker, which is in the peer's favour. Times
are the machine's monotonic clock, so another process can compare them with its own."""

import argparse
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rules import Signal

Decide = Callable[[Sequence[Signal]], Sequence[str]]
"""Judge some signals; when it returns, what it decided is durable."""


def arguments() -> argparse.Namespace:
    """What the suite tells a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--folder", type=Path, required=True, help="where it keeps its data; it may have some there"
    )
    parser.add_argument("--signals", type=Path, required=True, help="JSON Lines")
    parser.add_argument("--result", type=Path, required=True, help="what to write when all are decided")
    parser.add_argument("--rate", type=float, help="signals a second; as fast as it can, if nothing is said")
    parser.add_argument("--together", type=int, default=1, help="signals that arrive as one")
    parser.add_argument("--store", default="", help="how it is to keep its data, where there is a choice")
    parser.add_argument("--rebuild", action="store_true", help="then rebuild all state from what is stored")
    return parser.parse_args()


def drive(options: argparse.Namespace, decide: Decide, rebuild: Callable[[], int] | None = None) -> None:
    """Have every signal decided, write down what came of it, and wait to be killed."""
    drawn = [json.loads(line) for line in options.signals.read_text().splitlines()]
    verdicts: Counter[str] = Counter()
    latencies = []
    began = first = last = time.monotonic()
    for number, (due, some) in enumerate(_paced(drawn, options.rate, options.together, began)):
        found = decide(some)
        last = time.monotonic()
        verdicts.update(found)
        latencies += [1_000 * (last - due)] * found.count("Proceed")
        first = last if number == 0 else first
    result = {"began": began, "first": first, "last": last, "verdicts": verdicts, "latencies": latencies}
    result["peak_mib"] = peak_mib()
    if options.rebuild and rebuild is not None:
        before = time.monotonic()
        result["rebuilt"], result["rebuild_seconds"] = rebuild(), time.monotonic() - before
    told(options.result, result)
    signal.pause()


def told(path: Path, result: object) -> None:
    """Write a result: whoever sees the file sees all of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(result))
    draft.rename(path)


def peak_mib(process: int | str = "self") -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1_024 for line in status.splitlines() if line.startswith("VmHWM"))


def _paced(
    drawn: list[Signal], rate: float | None, together: int, began: float
) -> Iterator[tuple[float, Sequence[Signal]]]:
    """Yield when each was due, and what."""
    for start in range(0, len(drawn), together):
        due = began + start / rate if rate else time.monotonic()
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        yield due, drawn[start : start + together]
