"""When whoever stands by takes the lead: a pure reckoning over what it was told, and when. It reads no clock.

The fence keeps two leaders apart whatever is said here. This keeps a leader that works from being replaced:
neither a late renewal, nor a broker that answered nobody, nor a sleep of one's own says that it is dead."""

from datetime import datetime, timedelta

from remediation_orchestrator.bus.port import Holding, LeaseState

# All in renewals. A holder that works renews within one, and takes back what has lapsed.
GRACE = 1.2
# A lease lapses after four. So long no frame must have come, either: its holder is dead, or as good as.
SILENT = 4
# An answer so late is one of a broker that answered nobody; such a pause of one's own is a sleep.
LATE = 3
# A client is back at its broker within three, and the former holder is to be the first.
BACK = 8
# A lease lapses by the broker's clock, and where that was set back, not for hours. One that nobody has renewed for
# so long by one's own clock has lapsed in truth: after the four of its life, a grace, and some for a late broker.
STUCK = 7


class Succession:
    """What one that stands by knows of the leader. Moments are in the event loop's seconds."""

    def __init__(self, name: str, renew: float) -> None:
        self._name = name
        self._renew = renew
        self._known = False
        """Whether anybody was seen to hold the lease."""
        self._lapsed: float | None = None
        """Since when the lease is known to have lapsed."""
        self._not_before = 0.0
        """When the former holder has had its time to come back."""
        self._answered: float | None = None
        self._revision: int | None = None
        """Of the lease, as another holds it."""
        self._revision_seen = 0.0
        """When it was seen first."""
        self._frame = 0
        """The leader's newest frame, by its sequence."""
        self._frame_seen: float | None = None
        """When it was seen first."""

    def unanswered(self, at: float) -> None:
        """The broker did not answer."""
        self._answered, self._lapsed = at, None
        self._not_before = at + BACK * self._renew

    def heard(self, frame: int, at: float) -> None:
        """The newest frame that was read has this sequence; 0 where none was."""
        if self._frame_seen is None or frame > self._frame:
            self._frame, self._frame_seen = frame, at

    def is_due(self, holding: Holding, asked: float, at: float) -> bool:
        """Take what the broker said of the lease. Whether it may be taken; unless free, from who is silent."""
        late = LATE * self._renew
        if at - asked > late:
            self.unanswered(at)
        elif self._answered is not None and asked - self._answered > late:
            self._lapsed, self._not_before = None, max(self._not_before, at + SILENT * self._renew)
        self._answered = at
        if holding.standing is LeaseState.HELD and holding.holder != self._name:
            self._known, self._lapsed = True, None
            return self._is_stuck(holding, at)
        self._revision = None
        if holding.holder == self._name or (holding.standing is LeaseState.FREE and not self._is_gone(holding)):
            return True
        if self._lapsed is None:
            self._lapsed = at
            if self._is_gone(holding):
                self._not_before = at + BACK * self._renew
        return at >= max(self._not_before, self._lapsed + GRACE * self._renew)

    def is_silent(self, holding: Holding, frame: int, stamp: datetime | None, at: float) -> bool:
        """Whether the leader's newest frame is too long ago for one that works: by its stamp, or as seen here.
        `frame` is its sequence; it has no stamp where it is not the newest record of its subject, which is junk.

        A broker's clock may have stepped between two stamps; nobody waits for years because of that."""
        self.heard(frame, at)
        if self._frame == 0 or self._frame_seen is None:
            return True
        enough = SILENT * self._renew
        if at - self._frame_seen >= enough:
            return True
        if stamp is None or holding.since is None or self._lapsed is None:
            return False  # What is not known to be old by its stamp is waited for.
        return holding.since - stamp + timedelta(seconds=at - self._lapsed) >= timedelta(seconds=enough)

    def _is_stuck(self, holding: Holding, at: float) -> bool:
        """Whether another's lease is held by the broker's clock alone: nobody has renewed it for too long."""
        if holding.revision != self._revision:
            self._revision, self._revision_seen = holding.revision, at
        return at >= max(self._not_before, self._revision_seen + STUCK * self._renew)

    def _is_gone(self, holding: Holding) -> bool:
        """Whether the lease of somebody who was seen to hold it is not there any more: nobody gave it back."""
        return self._known and holding.standing is LeaseState.FREE and holding.since is None
