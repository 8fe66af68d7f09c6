"""What fires for each problem, counted again from all that was said of it, naively.

It keeps what the contract says and no table of the core's: each alert by when it last fired, looked at anew
whenever somebody asks."""

from datetime import datetime, timedelta

from remediation_orchestrator.events import (
    OrchestratorStarted,
    PolicyAdopted,
    Recorded,
    SignalReceived,
    SignalResolved,
)
from remediation_orchestrator.orchestrator.routing.policy import DEFAULT, Policy, PolicyError, policy_of

# As the contract says: more are not told apart.
KNOWN_MAX = 256


class Firing:
    """The alerts of every problem."""

    def __init__(self, policy: Policy = DEFAULT) -> None:
        """`policy` is in force until the log says another."""
        self._memory = policy.routing.alert_memory
        self._fired: dict[tuple[str, str], datetime] = {}
        """When each alert of each fingerprint fired last, unless it has resolved since."""

    def take(self, record: Recorded) -> bool:
        """Count one event; whether it is one with which a problem is over."""
        event, at = record.event, record.recorded_at
        match event:
            case SignalReceived(fingerprint=fingerprint, alert=alert) if alert:
                known = self._known(fingerprint, at)
                if alert in known or len(known) < KNOWN_MAX:
                    self._fired[fingerprint, alert] = at
            case SignalResolved(fingerprint=fingerprint, alert=alert):
                ended = [key for key in self._fired if key[0] == fingerprint and alert in ("", key[1])]
                for key in ended:
                    del self._fired[key]
                return not self._known(fingerprint, at)
            case PolicyAdopted(policy=policy) | OrchestratorStarted(policy=dict() as policy):
                self._remember_by(policy, at)
            case _:
                pass
        return False

    def remembered(self, at: datetime) -> dict[tuple[str, str], datetime]:
        """What is known to fire at a moment: alerts of fingerprints, and when each fired last."""
        return {key: last for key, last in self._fired.items() if not self._is_forgotten(last, at)}

    def _known(self, fingerprint: str, at: datetime) -> set[str]:
        fired = self._fired.items()
        return {alert for (of, alert), last in fired if of == fingerprint and not self._is_forgotten(last, at)}

    def _is_forgotten(self, last: datetime, at: datetime) -> bool:
        return at - last > self._memory

    def _remember_by(self, document: dict[str, object], at: datetime) -> None:
        """What is forgotten no other policy brings back."""
        try:
            memory: timedelta = policy_of(document).routing.alert_memory
        except PolicyError:
            return
        self._fired = self.remembered(at)
        self._memory = memory
