"""What a person has named, found among what a log knows; what is near it where it is not there."""

from remediation_orchestrator.events import Fingerprint
from remediation_orchestrator.events.identity import named_by
from remediation_orchestrator.orchestrator.queries.chronicle import Chronicle
from remediation_orchestrator.orchestrator.queries.views import fingerprints_like, near, unjudged
from remediation_orchestrator.orchestrator.routing.projection import Projection
from remediation_orchestrator.orchestrator.routing.state import Remediation

from .output import RefusedError


def the_remediation(view: Projection, chronicle: Chronicle, name: str) -> Remediation:
    """The remediation that is named. Raises RefusedError where there is none, or none yet."""
    known, wanted = chronicle.known(view), named_by(name)
    if any(one.id == wanted for one in unjudged(view)):
        raise RefusedError(f"{wanted} has no verdict yet: an orchestrator has to judge its signal first")
    found = known.get(wanted) if wanted else None
    if found is None:
        close = ", ".join(near(known, name))
        raise RefusedError(f"{name}: no such remediation{f'; near it: {close}' if close else ''}")
    return found


def the_fingerprint(view: Projection, chronicle: Chronicle, text: str) -> Fingerprint:
    """The one fingerprint that begins so. Raises RefusedError where there is none, or several."""
    like = fingerprints_like(view, text, chronicle) if text else []
    if not like:
        raise RefusedError(f"{text}: no such fingerprint")
    if len(like) > 1:
        some = ", ".join(one[: len(text) + 8] for one in like[:3])
        raise RefusedError(f"{text}: {len(like)} fingerprints begin so: {some}{', ...' if len(like) > 3 else ''}")
    return like[0]
