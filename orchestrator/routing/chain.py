"""The decision chain: each frame names the digest of all that came before it, facts and decisions alike.

`previous` of a frame is the SHA-256, in hex, over: the `previous` of the frame before (its hex, in ASCII), that
frame's stored bytes, and the stored bytes of every fact after its `as_of` up to this frame's, in their order.
Before the first frame there are only facts."""

import hashlib


class Chain:
    """Where the chain stands: its head, how far it covers the facts, and the digest so far."""

    def __init__(self) -> None:
        self.head = 0
        """Sequence of the newest record on the decision subject; what the next append expects."""
        self.as_of = 0
        """Sequence of the last fact folded."""
        self.covered = 0
        """How far the newest frame covers the facts."""
        self.stated = ""
        """What the newest frame says of all before it."""
        self._digest = hashlib.sha256()

    def fact(self, sequence: int, stored: bytes) -> None:
        """Cover one more fact."""
        self._digest.update(stored)
        self.as_of = sequence

    def previous(self) -> str:
        """What the next frame has to say."""
        return self._digest.hexdigest()

    def frame(self, sequence: int, previous: str, stored: bytes) -> None:
        """Cover a stored frame, which said `previous` itself."""
        self.head, self.covered, self.stated = sequence, self.as_of, previous
        self._digest = hashlib.sha256(previous.encode())
        self._digest.update(stored)

    def resume(self, sequence: int, as_of: int, previous: str, stored: bytes) -> None:
        """Stand behind a frame, as if everything up to it had been covered here."""
        self.as_of = as_of
        self.frame(sequence, previous, stored)
