"""When whoever stands by takes the lead: a pure reckoning over what it was told, and when. It reads no clock.

The fence keeps two leaders apart whatever is said here. This keeps a leader that works from being replaced:
neither a late renewal, nor a broker that answered nobody, nor a sleep of one's own says that it is dead."""

from datetime import datetime, timedelta

from remediation_orchestrator.bus.port import Holding, Standing

# All in renewals. A holder that works renews within one, and takes back what has lapsed.
GRACE = 1.2
# A lease lapses after four. So long no frame must have come, either: its holder is dead, or as good as.
SILENT = 4
# An answer so late is one of a broker that answered nobody; such a pause of one's own is a sleep.
LATE = 3
# A client is back at its broker within three, and the former holder is to be the first.
BACK = 8


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
        self._frame: datetime | None = None
        """The leader's newest frame, by its stamp."""
        self._frame_seen = 0.0
        """When it was seen first."""

    def unanswered(self, at: float) -> None:
        """The broker did not answer."""
        self._answered, self._lapsed = at, None
        self._not_before = at + BACK * self._renew

    def is_due(self, holding: Holding, asked: float, at: float) -> bool:
        """Take what the broker said of the lease. Whether it may be taken; where it lapsed, from who is silent."""
        late = LATE * self._renew
        if at - asked > late:
            self.unanswered(at)
        elif self._answered is not None and asked - self._answered > late:
            self._lapsed, self._not_before = None, max(self._not_before, at + SILENT * self._renew)
        self._answered = at
        if holding.standing is Standing.HELD and holding.holder != self._name:
            self._known, self._lapsed = True, None
            return False
        if holding.holder == self._name or (holding.standing is Standing.FREE and not self._is_gone(holding)):
            return True
        if self._lapsed is None:
            self._lapsed = at
            if self._is_gone(holding):
                self._not_before = at + BACK * self._renew
        return at >= max(self._not_before, self._lapsed + GRACE * self._renew)

    def is_silent(self, holding: Holding, newest_frame: datetime | None, at: float) -> bool:
        """Whether the leader's newest frame is too long ago for one that works: by its stamp, or as seen here.

        A broker's clock may have stepped between two stamps; nobody waits for years because of that."""
        if newest_frame is None or holding.since is None or self._lapsed is None:
            return True
        if newest_frame != self._frame:
            self._frame, self._frame_seen = newest_frame, at
        told = holding.since - newest_frame + timedelta(seconds=at - self._lapsed)
        quiet = max(told, timedelta(seconds=at - self._frame_seen))
        return quiet >= timedelta(seconds=SILENT * self._renew)

    def _is_gone(self, holding: Holding) -> bool:
        """Whether the lease of somebody who was seen to hold it is not there any more: nobody gave it back."""
        return self._known and holding.standing is Standing.FREE and holding.since is None
