"""The policy in shadow: what it says of a situation that was judged. The same `decide`; it only never counts.

It has no projection of its own: its verdict is on the situation that the policy in force has led to."""

from msgspec.structs import replace

from remediation_orchestrator.events import RoutingDecided, ShadowDecided

from .checks import decide
from .policy import Policy


def shadow_verdict(shadow: Policy | None, decided: RoutingDecided) -> ShadowDecided | None:
    """What a policy says of a verdict's situation; None where it says the same, and where there is no policy."""
    if shadow is None:
        return None
    verdict = decide(replace(decided.situation, policy=shadow.digest), shadow)
    if verdict == decided.verdict:
        return None
    return ShadowDecided(decided.signal, decided.attempt, shadow.digest, verdict)
