"""Snapshots of the fold, in the service: when one is written, and when one is good enough to begin from.

A snapshot is a cache. One that does not match in anything is ignored, and the log is folded from its beginning."""

import ast
import asyncio
import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib import resources

import msgspec
from msgspec.structs import replace

from remediation_orchestrator.bus.port import LogError, NotWholeError, ReadableLog, SnapshotStore
from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.subjects import Family, command_key, parse

from .routing.fold import Fold
from .routing.snapshot import Image, Manifest, Origin, SnapshotError, restore

log = logging.getLogger(__name__)

MISSING = "the projection that goes before is not kept: `ro archive --restore FILE` brings it back"

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_head = msgspec.json.Decoder(Manifest)


@cache
def code_digest() -> str:
    """SHA-256, in hex, of what reads, folds and judges: other code may fold otherwise."""
    digest = hashlib.sha256()
    for package in ("events", "orchestrator.routing"):
        folder = resources.files(f"remediation_orchestrator.{package}")
        for source in sorted(folder.iterdir(), key=lambda one: one.name):
            if source.name.endswith(".py"):
                digest.update(f"{package}/{source.name}\n".encode() + meaning_of(source.read_bytes()))
    return digest.hexdigest()


def meaning_of(source: bytes) -> bytes:
    """What a source does, however it is laid out and whatever it says to people: its tree, no docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            node.body = [one for one in node.body if not _is_said(one)]
    return ast.dump(tree).encode()


def _is_said(statement: ast.stmt) -> bool:
    """Whether it is a text that nothing is done with: a docstring, of whatever stands before it."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case _:
            return False


def image_of(fold: Fold, frame: bytes) -> Image:
    """Take the image of a fold behind its newest frame. Raises SnapshotError where something waits."""
    return Image(fold, frame, datetime.now(UTC), code=code_digest())


async def keep(store: SnapshotStore, image: Image) -> None:
    """Write an image down. Raises LogError."""
    await store.save(image.parts(), lambda digest: msgspec.json.encode(replace(image.head, digest=digest)))


async def begin(log_: ReadableLog) -> Fold:
    """Begin from the newest snapshot of a log if it can be trusted, else from where the log begins.

    Raises LogError where neither can be had."""
    try:
        found = await resume(log_)
    except (LogError, SnapshotError) as error:
        log.warning("a snapshot is ignored", extra={"why": str(error)})
        found = None
    if found is not None:
        return found
    fold = Fold()
    await from_beginning(fold, log_, strict=True)
    return fold


async def resume(log_: ReadableLog) -> Fold | None:
    """Go on from the newest snapshot; None where there is none. Raises SnapshotError, or LogError."""
    newest = await log_.snapshots.newest()
    if newest is None:
        return None
    fold = Fold()
    head = read_head(newest[0])
    if head.code != code_digest():
        raise SnapshotError("other code wrote it")
    _check_reached(head, await log_.first_sequence())
    await _restore(fold, log_, head, newest[1])
    return fold


async def from_beginning(fold: Fold, log_: ReadableLog, *, strict: bool = False) -> Origin | None:
    """Prepare a fresh fold for the first record of a log: where those before it are archived, from what is kept.

    Without that, who only reads may read on, and audit says what is missing. Raises LogError."""
    first = await log_.first_sequence()
    if first == 1:
        return None
    kept = await log_.archive.newest()
    if kept is None and strict:
        raise NotWholeError(f"the log of {log_.cell} is not whole: it begins at {first}, and {MISSING}")
    if kept is None:
        return None
    try:
        head = read_head(kept[0])
        _check_reached(head, first)
        await _restore(fold, log_, head, kept[1])
    except SnapshotError as error:
        what = f"the log of {log_.cell} is not whole: what is kept of its beginning is of no use: {error}"
        raise NotWholeError(what) from error
    return Origin(head, hashlib.sha256(kept[0]).hexdigest())


async def check_origin(log_: ReadableLog, head: Manifest, parts: Iterable[bytes]) -> None:
    """Raise SnapshotError where a log does not go on from this projection."""
    _check_reached(head, await log_.first_sequence())
    await _restore(Fold(), log_, head, parts)


async def _restore(fold: Fold, log_: ReadableLog, head: Manifest, parts: Iterable[bytes]) -> None:
    frame = await log_.at(head.sequence)
    if frame is None:
        raise SnapshotError(f"the log has no frame at {head.sequence}")
    restore(fold, head, frame, parts)


def _check_reached(head: Manifest, first: int) -> None:
    """Raise SnapshotError where records are missing between a snapshot and the first record of a log."""
    if head.through < first - 1:
        raise SnapshotError(f"it ends at {head.through}, and the log begins at {first}")


def read_head(written: bytes) -> Manifest:
    """Read the head of a snapshot. Raises SnapshotError."""
    try:
        return _head.decode(written)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"its head cannot be read: {error}") from error


class Comparison:
    """Holds a snapshot against a fold of everything, once that comes by its frame."""

    def __init__(self, written: bytes, parts: Iterable[bytes]) -> None:
        """Raises SnapshotError where it cannot be read."""
        self.head = read_head(written)
        self.begins = min(self.head.seen + 1, self.head.sequence)
        """The sequence of the first message that it has to see."""
        self._parts = parts
        self._sent: set[tuple[str, str]] = set()
        self.differs: list[str] | None = None
        """The names of the tables that are not equal; None as long as its frame has not come by."""

    @property
    def is_ours(self) -> bool:
        """Whether one would begin from it: our code wrote it, or it is what an archive leads to."""
        return self.head.code in ("", code_digest())

    def take(self, fold: Fold, message: StoredMessage) -> None:
        """The fold has taken this message. Raises SnapshotError where the snapshot is none of this log."""
        if message.sequence < self.head.sequence:
            subject = parse(message.subject)
            if subject.family is Family.COMMAND:
                self._sent.add(command_key(subject))
        elif message.sequence == self.head.sequence:
            found = Fold()
            restore(found, self.head, message, self._parts)
            for key in self._sent:  # Sent, and not read yet when it was taken.
                found.view.outbox.strike_off(key)
            whole, kept = fold.view.tables(), found.view.tables()
            self.differs = [name for name in whole if whole[name] != kept[name]]
            if (found.chain.read, found.chain.stated) != (fold.chain.read, fold.chain.stated):
                self.differs.append("chain")


class Keeper:
    """Writes a snapshot now and then, behind a frame just stored, in the background of deciding."""

    def __init__(self, store: SnapshotStore, newest: int, every: int) -> None:
        """`newest` is where the snapshot stands from which one began, or 0; `every` is in messages."""
        self._store = store
        self._every = every
        self._after = newest + every
        """No snapshot up to this sequence."""
        self._writing: asyncio.Task[None] | None = None

    def consider(self, fold: Fold, frame: bytes) -> None:
        """Write one if it is time: it costs as much as is alive, so the more that is, the rarer it comes."""
        writing = self._writing is not None and not self._writing.done()
        if writing or fold.chain.last < self._after:
            return
        alive = len(fold.view.remediations) + len(fold.view.histories)
        self._after = fold.chain.last + max(self._every, alive)
        try:
            image = image_of(fold, frame)
        except SnapshotError:
            return
        self._writing = asyncio.create_task(self._write(image))

    async def close(self) -> None:
        """Leave what is not whole: the one before it stays."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self, image: Image) -> None:
        try:
            await keep(self._store, image)
        except LogError as error:
            log.warning("no snapshot was kept", extra={"why": str(error)})
        else:
            log.info("snapshot", extra={"sequence": image.head.sequence})
