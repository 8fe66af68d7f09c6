"""The life of a remediation, as one table: in which phases a thing can happen to it, and which phase follows.

A phase is assigned here and nowhere else. Who folds a record asks `may` first: what cannot happen to a
remediation as it stands fits nothing and changes nothing, whoever has recorded it. To let it happen all the
same is our own mistake, and raises."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from remediation_orchestrator.events import Phase
from remediation_orchestrator.events.decisions import ENDED

from .state import Remediation


class Happening(StrEnum):
    """What changes a remediation's phase, in the words of the docs. A guard is a happening of its own."""

    TO_BE_ANALYSED = "Proceed without a workflow"
    TO_BE_RUN = "Proceed with a workflow"
    BLOCKED = "Block"
    SKIPPED = "Skip"
    REFUSED = "Refuse"
    WORKFLOW_CHOSEN = "the analysis names a workflow"
    APPROVAL_WANTED = "the analysis names a workflow that a person has to approve"
    NONE_FITS = "the analysis finds that no workflow fits"
    ANALYSIS_FAILED = "the analysis fails"
    APPROVED = "a person approves its plan"
    REJECTED = "a person rejects it"
    RUN_COMPLETED = "its run completes, and nothing verifies it"
    RUN_TO_VERIFY = "its run completes, and has to show that it has helped"
    VERIFIED = "its repair is known to have helped, or nobody will know"
    INEFFECTIVE = "its repair has not helped, its source resolves and has not said that it is over"
    INEFFECTIVE_FOR_GOOD = "its repair has not helped, and nobody waits for another"
    RUN_FAILED = "its run fails, its source resolves and has not said that it is over"
    RUN_FAILED_FOR_GOOD = "its run fails, and nobody waits for another"
    RUN_REVOKED = "nobody begins its run in time, and it is revoked"
    RESOLVED = "its source says that it is over, and no run has begun"
    CANCELLED = "an operator cancels it"
    TOO_LATE = "the phase's time limit is exceeded"


class Transition(Struct, frozen=True):
    """One line of the table."""

    before: tuple[Phase, ...]
    happening: Happening
    after: Phase


# What may be judged: what is new or was just freed to be, what waits, and, by a retry, what has ended.
JUDGED = (Phase.PENDING, Phase.BLOCKED, *(one for one in Phase if one in ENDED))
ALIVE = (Phase.PENDING, Phase.BLOCKED, Phase.ANALYZING, Phase.AWAITING_APPROVAL, Phase.EXECUTING)
VERIFYING = (Phase.VERIFYING,)
LIMITED = (Phase.ANALYZING, Phase.AWAITING_APPROVAL, Phase.EXECUTING)

ROWS = (
    Transition(JUDGED, Happening.TO_BE_ANALYSED, Phase.ANALYZING),
    Transition(JUDGED, Happening.TO_BE_RUN, Phase.EXECUTING),
    Transition(JUDGED, Happening.BLOCKED, Phase.BLOCKED),
    Transition(JUDGED, Happening.SKIPPED, Phase.SKIPPED),
    Transition(JUDGED, Happening.REFUSED, Phase.FAILED),
    Transition((Phase.ANALYZING,), Happening.WORKFLOW_CHOSEN, Phase.PENDING),
    Transition((Phase.ANALYZING,), Happening.APPROVAL_WANTED, Phase.AWAITING_APPROVAL),
    Transition((Phase.ANALYZING,), Happening.NONE_FITS, Phase.COMPLETED),
    Transition((Phase.ANALYZING,), Happening.ANALYSIS_FAILED, Phase.FAILED),
    Transition((Phase.AWAITING_APPROVAL,), Happening.APPROVED, Phase.PENDING),
    Transition((Phase.AWAITING_APPROVAL,), Happening.REJECTED, Phase.FAILED),
    Transition((Phase.EXECUTING,), Happening.RUN_COMPLETED, Phase.COMPLETED),
    Transition((Phase.EXECUTING,), Happening.RUN_TO_VERIFY, Phase.VERIFYING),
    Transition((Phase.EXECUTING,), Happening.RUN_FAILED, Phase.PENDING),
    Transition((Phase.EXECUTING,), Happening.RUN_FAILED_FOR_GOOD, Phase.FAILED),
    Transition((Phase.EXECUTING,), Happening.RUN_REVOKED, Phase.PENDING),
    Transition(ALIVE, Happening.RESOLVED, Phase.CANCELLED),
    Transition(VERIFYING, Happening.VERIFIED, Phase.COMPLETED),
    Transition(VERIFYING, Happening.INEFFECTIVE, Phase.PENDING),
    Transition(VERIFYING, Happening.INEFFECTIVE_FOR_GOOD, Phase.FAILED),
    Transition((*ALIVE, *VERIFYING), Happening.CANCELLED, Phase.CANCELLED),
    Transition(LIMITED, Happening.TOO_LATE, Phase.TIMED_OUT),
)
LIFE: Mapping[tuple[Phase, Happening], Phase] = {
    (before, row.happening): row.after for row in ROWS for before in row.before
}


class ImpossibleError(Exception):
    """Something was let happen to a remediation that cannot happen in its phase."""


def may(remediation: Remediation, happening: Happening) -> bool:
    """Whether this can happen to a remediation as it stands."""
    return (remediation.phase, happening) in LIFE


def enter(remediation: Remediation, happening: Happening, due: datetime | None = None) -> Remediation:
    """The remediation once this has happened to it, and time will next have it looked at when this is due.

    Raises ImpossibleError where it cannot."""
    after = LIFE.get((remediation.phase, happening))
    if after is None:
        raise ImpossibleError(f"{remediation.id} is {remediation.phase}, where this cannot happen: {happening}")
    return replace(remediation, phase=after, due=due, verifying=None)
