"""The decision chain: each frame names the digest of every whole record that its writer had read back before it.

The digest of a record is the SHA-256, in hex, of the JSON array [sequence, subject, stamp in microseconds since
1970, [[header, value], ... in their order], SHA-256 of its bytes in hex] in UTF-8, unescaped and without
spaces. `previous` of a frame is the SHA-256, in hex, over lines that each end with a newline: `previous` of the
frame before (empty for the first), the digest of every record behind that frame's `read` up to this one's, in
order, and then, for every frame behind this one's `read` that stands before it, "<sequence> <SHA-256 of its
bytes>".

So each record is covered whole by the first frame whose writer had read it back: its stamp, which an
acknowledgement does not tell, its subject and its headers. Until then frames are covered by their bytes. And
since only a digest of the bytes goes into it, bytes can one day be taken out of a log, and its chain stays."""

import json
from collections import deque
from hashlib import sha256

from msgspec.json import Encoder

from remediation_orchestrator.events import StoredMessage
from remediation_orchestrator.events.durations import EPOCH

SECONDS_A_DAY = 24 * 60 * 60

_encoder = Encoder()


def digest_of(payload: bytes) -> str:
    """SHA-256, in hex, of stored bytes."""
    return sha256(payload).hexdigest()


def record_digest(message: StoredMessage) -> str:
    """The digest of a whole record."""
    since = message.recorded_at - EPOCH
    stamp = (
        since.days * SECONDS_A_DAY + since.seconds
    ) * 1_000_000 + since.microseconds  # // takes twice as long.
    headers = sorted(message.headers.items()) if message.headers else ()
    whole = (message.sequence, message.subject, stamp, headers, sha256(message.payload).hexdigest())
    try:
        written = _encoder.encode(whole)
    except UnicodeEncodeError:  # Bytes in a header that are no text: they are written as they are.
        written = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogateescape")
    return sha256(written).hexdigest()


class Chain:
    """Where the chain stands: its newest record, how far it covers the log, and what the next frame has to say."""

    def __init__(self) -> None:
        self.last = 0
        """Sequence of the newest record on the decision subject; what the next append expects."""
        self.newest = 0
        """Sequence of the newest frame."""
        self.as_of = 0
        """Sequence of the last fact folded."""
        self.covered = 0
        """How far the newest frame covers the facts."""
        self.stated = ""
        """What the newest frame says of all before it."""
        self.read = 0
        """How far the newest frame covers whole records."""
        self._records: deque[tuple[int, str]] = deque()
        """The digests of the records behind that."""
        self._frames: deque[tuple[int, str]] = deque()
        """The frames behind that, by their bytes."""

    def record(self, message: StoredMessage) -> None:
        """One more record has been read."""
        if message.sequence > self.read:
            self._records.append((message.sequence, record_digest(message)))

    def before(self, sequence: int, stored: bytes) -> None:
        """A frame is read again that stands before the newest, which was known already."""
        if sequence > self.read:
            self._frames = deque(sorted({*self._frames, (sequence, digest_of(stored))}))

    def previous(self, read: int) -> str:
        """Say what a frame has to say that stands behind all this and whose writer had read so far."""
        lines = [self.stated]
        lines += [digest for sequence, digest in self._records if sequence <= read]
        lines += [f"{sequence} {digest}" for sequence, digest in self._frames if sequence > read]
        return digest_of("\n".join([*lines, ""]).encode())

    def frame(self, sequence: int, previous: str, stored: bytes, *, read: int) -> None:
        """Stand behind a frame, which said `previous` and `read` itself."""
        self.last, self.covered, self.stated = max(self.last, sequence), self.as_of, previous
        self.newest = sequence
        self.read = max(self.read, min(read, sequence - 1))
        for behind in (self._records, self._frames):
            while behind and behind[0][0] <= self.read:
                behind.popleft()
        self._frames.append((sequence, digest_of(stored)))
