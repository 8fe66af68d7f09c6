"""What is known to fire for each problem: alerts by their sources' own ids, and when each was last heard of.

A problem is over when every alert that is known to fire for it has resolved. What is asked here is answered as if
each were forgotten to the microsecond; when it really goes is a matter of room alone, and ends nothing."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from remediation_orchestrator.events import Fingerprint
from remediation_orchestrator.events.durations import later

from .schedule import ExpiryQueue

# The pods of one Deployment, the disks of one node: far more than one problem has. Each has an id of up to 1 KiB.
ALERTS_MAX = 256

AlertRow = tuple[Fingerprint, str, datetime]


class Alerts:
    """One short table for each problem that somebody fires for by an id."""

    def __init__(self) -> None:
        self.firing: dict[Fingerprint, dict[str, datetime]] = {}
        """In each short table the alert that was heard of longest ago stands first. They are never changed, but
        replaced: so a copy of this one is a copy of all."""
        self._expiring = ExpiryQueue()
        self._noted: dict[Fingerprint, datetime] = {}
        """By when each problem is noted there: no later than its newest alert, however often that is heard of."""

    def known(self, fingerprint: Fingerprint, now: datetime, memory: timedelta) -> dict[str, datetime]:
        """Return what is known to fire for a problem, and when each was last heard of."""
        return _remembered(self.firing.get(fingerprint, {}), now, memory)

    def fire(self, fingerprint: Fingerprint, alert: str, at: datetime, memory: timedelta) -> None:
        """An alert fires for a problem; one beyond the bound is not told apart, and ends and holds nothing."""
        known = dict(self.firing.get(fingerprint, {}))
        if known.pop(alert, None) is None and len(known) >= ALERTS_MAX:
            known = _remembered(known, at, memory)
        if len(known) < ALERTS_MAX:
            self.firing[fingerprint] = {**known, alert: at}
            if fingerprint not in self._noted:
                self._note(fingerprint, at, memory)

    def resolve(self, fingerprint: Fingerprint, alert: str, at: datetime, memory: timedelta) -> bool:
        """An alert has resolved, or "" all of them; whether none is known any more to fire for the problem."""
        known = dict(self.firing.get(fingerprint, {}))
        known.pop(alert, None)
        fires = bool(alert and known) and at - _last(known) <= memory
        if not fires:
            self._drop(fingerprint)
            return True
        self.firing[fingerprint] = known
        if _last(known) < self._noted[fingerprint]:
            self._note(fingerprint, _last(known), memory)
        return False

    def let_go(self, now: datetime, memory: timedelta, most: int) -> None:
        """Forget problems of which nothing was heard for so long, with so many looks at most."""
        for key in self._expiring.due(now, most):
            fingerprint = Fingerprint(str(key))
            noted = self._noted.get(fingerprint)
            if noted is None or now - noted <= memory:
                continue  # It is over, or noted anew since.
            last = _last(self.firing[fingerprint])
            if now - last > memory:
                self._drop(fingerprint)
            else:
                self._note(fingerprint, last, memory)

    def forget(self, now: datetime, memory: timedelta) -> None:
        """Forget every alert of which nothing was heard for so long, to the last."""
        for fingerprint, known in list(self.firing.items()):
            left = _remembered(known, now, memory)
            if not left:
                self._drop(fingerprint)
            elif len(left) < len(known):
                self.firing[fingerprint] = left

    def rows(self) -> Iterable[AlertRow]:
        """All of it as it is now, whatever is changed before it is read."""
        tables = list(self.firing.items())
        return ((fingerprint, alert, at) for fingerprint, known in tables for alert, at in known.items())

    def restore(self, rows: Iterable[AlertRow]) -> None:
        """Know some of what was written down, in whatever order it comes."""
        for fingerprint, alert, at in rows:
            self.firing.setdefault(fingerprint, {})[alert] = at

    def sort(self) -> None:
        """All that was written down is known: put each table into the order in which it was heard of."""
        for fingerprint, known in self.firing.items():
            self.firing[fingerprint] = dict(sorted(known.items(), key=lambda one: one[1]))

    def plan(self, memory: timedelta) -> None:
        """Note anew when each problem is to be looked at."""
        self._expiring, self._noted = ExpiryQueue(), {}
        for fingerprint, known in self.firing.items():
            self._note(fingerprint, _last(known), memory)

    def _note(self, fingerprint: Fingerprint, at: datetime, memory: timedelta) -> None:
        self._noted[fingerprint] = at
        self._expiring.add(later(at, memory), fingerprint)

    def _drop(self, fingerprint: Fingerprint) -> None:
        self.firing.pop(fingerprint, None)
        self._noted.pop(fingerprint, None)


def _last(known: dict[str, datetime]) -> datetime:
    return next(reversed(known.values()))


def _remembered(known: dict[str, datetime], now: datetime, memory: timedelta) -> dict[str, datetime]:
    return {alert: at for alert, at in known.items() if now - at <= memory}
