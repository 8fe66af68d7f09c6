"""Peers that route in one process of their own: signals come from a file, and nothing lies between.

That is in their favour: no broker stores their signals first, and no command has to reach another process."""

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks.peers.processes import process
from benchmarks.peers.systems import Figures, System
from benchmarks.stage import ROOT
from benchmarks.workload import ONE_IN_TEN, fresh, signals

INSIDE = ROOT / "benchmarks" / "peers" / "inside"
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 600.0
# A virtual machine compiles what it has run for a while; what comes before is left out.
WARM_UP_SECONDS = 5.0
PROCEEDING = 10


class Alone(Struct, frozen=True):
    """A peer and the Python that has it."""

    system: System
    python: Path

    async def throughput(self, figures: Figures, count: int) -> None:
        """Decide so many signals, kill it, and start it again on what it kept."""
        with tempfile.TemporaryDirectory(prefix="ro-bench-") as name:
            folder = Path(name)
            drawn = signals(count, ONE_IN_TEN)
            async with self._run(folder, drawn, "--rebuild") as (_, result):
                expect(result, count // 10)
                figures.decided.append(count / (result["last"] - result["began"]))
                figures.peak_mib.append(result["peak_mib"])
                if "rebuild_seconds" in result:
                    figures.rebuilt.append(count / result["rebuild_seconds"])
            async with self._run(folder, [drawn[0], fresh(0)]) as (started, result):
                figures.after_kill.append(result["first"] - started)
                figures.remembers = result["verdicts"]["Proceed"] == 1

    async def frames(self, figures: Figures, count: int, size: int) -> None:
        """Decide signals that arrive as many at once."""
        with tempfile.TemporaryDirectory(prefix="ro-bench-") as name:
            async with self._run(Path(name), signals(count, ONE_IN_TEN), "--together", str(size)) as (_, result):
                expect(result, count // 10)
                figures.in_frames.append(count / (result["last"] - result["began"]))

    async def latency(self, figures: Figures, rate: int, seconds: float) -> None:
        """Decide signals that come at fixed times, one in ten of which proceeds."""
        count = int(rate * (seconds + WARM_UP_SECONDS))
        drawn = [fresh(number // PROCEEDING) for number in range(count)]
        with tempfile.TemporaryDirectory(prefix="ro-bench-") as name:
            async with self._run(Path(name), drawn, "--rate", str(rate)) as (_, result):
                kept = result["latencies"][int(rate * WARM_UP_SECONDS) // PROCEEDING :]
        cuts = statistics.quantiles(kept, n=100, method="inclusive")
        figures.rate = rate
        figures.commands += len(kept)
        figures.p50.append(cuts[49])
        figures.p99.append(cuts[98])

    @asynccontextmanager
    async def _run(
        self, folder: Path, drawn: Sequence[bytes], *options: str
    ) -> AsyncIterator[tuple[float, dict[str, Any]]]:
        """Start it, and yield when that was and what came of it; then it is killed."""
        file, result, said = folder / "signals.jsonl", folder / "result.json", folder / "said"
        file.write_bytes(b"".join(one + b"\n" for one in drawn))
        result.unlink(missing_ok=True)
        command = [str(self.python), str(INSIDE / self.system.script)]
        command += ["--folder", str(folder), "--signals", str(file), "--result", str(result)]
        command += ["--store", self.system.store] if self.system.store else []
        started = time.monotonic()
        async with process([*command, *options], said) as running, asyncio.timeout(PATIENCE_SECONDS):
            while not result.exists():
                if running.returncode is not None:
                    raise RuntimeError(f"{self.system.name} ended: {last_line(said)}")
                await asyncio.sleep(LOOK_SECONDS)
            yield started, json.loads(result.read_text())


def expect(result: dict[str, Any], proceeding: int) -> None:
    """Whoever decides faster must not decide otherwise."""
    if (found := result["verdicts"]["Proceed"]) != proceeding:
        raise RuntimeError(f"{proceeding} signals were to proceed, and {found} did")


def last_line(said: Path) -> str:
    """What a process said last."""
    lines = said.read_text(errors="replace").strip().splitlines()
    return next(itertools.chain(reversed(lines), ["without a word"]))
