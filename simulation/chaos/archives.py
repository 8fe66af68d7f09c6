"""Archives under chaos: `ro archive` as people run it, alone or two at once, some killed at any moment.

Whatever became of them, every record is in the log or in a segment that the chain of segments leads to."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.bus.port import LogError
from remediation_orchestrator.events import StoredMessage

from .bursts import is_thrown
from .faults import Planned

RO = str(Path(sys.executable).with_name("ro"))
# It waits half a minute for an orchestrator's answer.
ARCHIVE_SECONDS = 45.0
# What hangs never ends; what a busy machine does beside ten others does.
READING_SECONDS = 300.0
# What `ro audit` says when a log does not hold, and when it cannot be read.
DRIFT = 1


class _Said(msgspec.Struct):
    """A line of `ro audit --json`."""

    kind: str
    position: str = ""
    drift: str = ""
    message: str = ""
    harmless: bool = False


_said = msgspec.json.Decoder(_Said)


class Archives:
    """The segments of a cell, and what was said when they were made."""

    def __init__(self, home: Path, url: str) -> None:
        self._folder = home / "archives"
        self._folder.mkdir()
        self._url = url
        self._count = 0
        self.purged = 0
        """How many came to their end."""

    async def strike(self, planned: Planned) -> bool:
        """As many as `size` at once; killed after `seconds`, where that is not nothing."""
        ends = await asyncio.gather(*(self._archive(planned.seconds) for _ in range(planned.size)))
        self.purged += ends.count(0)
        return True

    async def _archive(self, seconds: float) -> int:
        """Run one, and return how it ended."""
        self._count += 1
        file = self._folder / f"{self._count:04}.jsonl.zst"
        code, _ = await self._ro(
            seconds or ARCHIVE_SECONDS, "archive", file, "--reason", "chaos", "--by", "chaos", "--json"
        )
        return code

    async def check(self, read: list[StoredMessage]) -> list[str]:
        """What is wrong with the segments and the rest together: not what was read live, or not equal."""
        rest = self._folder / "rest.jsonl"
        code, said = await self._ro(READING_SECONDS, "export", rest)
        if code:
            return [f"`ro export` ends with {code}: {said[-300:].decode()}"]
        try:
            kept = list(messages(rest))
            first = kept[0].sequence if kept else read[-1].sequence + 1
            segments = self._leading_to(first, read[0].sequence)
            if segments is None:
                return [f"the log begins at {first}, and no segments lead there"]
            files = [*segments, rest]
            wrong = differs([one for file in segments for one in messages(file)] + kept, read)
        except LogError as error:
            return [f"what was archived cannot be read: {error}"]
        code, said = await self._ro(
            READING_SECONDS, "audit", "--json", *(word for file in files for word in ("--log", file))
        )
        if code > DRIFT:
            wrong.append(f"`ro audit` over {len(files)} files ends with {code}: {said[-300:].decode()}")
        thrown = {str(one.sequence) for one in read if is_thrown(one)}
        for line in said.splitlines() if code <= DRIFT else ():
            try:
                one = _said.decode(line)
            except msgspec.DecodeError:
                wrong.append(f"`ro audit --json` says what is no JSON: {line[:300].decode(errors='replace')}")
                break
            is_junk = one.drift == "unreadable" and one.position.partition("-")[0] in thrown
            if one.kind == "finding" and not one.harmless and not is_junk:
                wrong.append(f"over {len(files)} files: {one.position}: {one.drift}: {one.message}")
        return wrong

    def _leading_to(self, first: int, begins: int) -> list[Path] | None:
        """The segments that lead from the log's first record to where it begins now; None where they do not."""
        spans: dict[int, list[tuple[int, Path]]] = {}
        for file in sorted(self._folder.glob("*.jsonl.zst")):
            with suppress(LogError):  # Of an archive that did not come to its end.
                numbers = [one.sequence for one in messages(file)]
                spans.setdefault(numbers[0], []).append((numbers[-1], file))
        return path(spans, begins, first)

    async def _ro(self, seconds: float, *arguments: object) -> tuple[int, bytes]:
        """Run a verb, and kill it after so long. Returns how it ended, and what it said."""
        with (self._folder / "said").open("ab") as complaints:
            process = await asyncio.create_subprocess_exec(
                RO,
                *(str(one) for one in arguments),
                env={**os.environ, "NATS_URL": self._url},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
            )
        said = b""
        try:
            async with asyncio.timeout(seconds):
                said, _ = await process.communicate()
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:  # It may have ended in the moment in which its time was over.
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)  # `process.kill` may take its status from asyncio: 255.
            said += (await process.communicate())[0]
        assert process.returncode is not None
        return process.returncode, said


def path(spans: dict[int, list[tuple[int, Path]]], begins: int, first: int) -> list[Path] | None:
    """Files that go from one sequence to right before another."""
    if begins == first:
        return []
    for last, file in spans.get(begins, ()):
        if last < first and (rest := path(spans, last + 1, first)) is not None:
            return [file, *rest]
    return None


def differs(kept: list[StoredMessage], read: list[StoredMessage]) -> list[str]:
    """Where what is kept is not what was read as it came."""
    missing = sorted({one.sequence for one in read} - {one.sequence for one in kept})
    lost = f"{len(missing)} records are neither in the log nor in a segment, first {missing[:1]}"
    before = {one.sequence: one for one in read}
    other = [one.sequence for one in kept if before.get(one.sequence, one) != one]
    changed = f"{len(other)} records are not what they were, first {other[:1]}"
    return [*([lost] if missing else ()), *([changed] if other else ())]
