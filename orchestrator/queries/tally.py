"""What the rows of a backtest come to. It only counts and compares: nothing is judged here."""

from msgspec import Struct, field

from remediation_orchestrator.events import Fingerprint, Position, RemediationId

from .backtest import VerdictRow
from .known import Known


class Tally(Struct):
    """The sum of one backtest, beside the log."""

    verdicts: int = 0
    differing: int = 0
    counterfactual: int = 0
    runs: int = 0
    missing: int = 0
    """Verdicts of the log that would not have been given at all."""
    runs_recorded: int = 0
    first: dict[Fingerprint, VerdictRow] = field(default_factory=dict)
    """The first divergence of each fingerprint."""
    _matched: int = 0

    def add(self, row: VerdictRow) -> None:
        """Count a row."""
        self.verdicts += 1
        self.runs += row.runs
        self.counterfactual += row.counterfactual
        self._matched += row.recorded is not None
        if row.differs:
            self.differing += 1
            self.first.setdefault(row.fingerprint, row)

    def close(self, known: Known) -> None:
        """All rows are counted: hold them against what the log decided."""
        self.missing = len(known.verdicts) - self._matched
        self.runs_recorded = known.runs

    @property
    def runs_added(self) -> int:
        """How many runs more there would have been; negative where some would have been saved."""
        return self.runs - self.runs_recorded


class VerdictDifference(Struct, frozen=True):
    """A verdict that two policies do not share; one of them may not have come to it at all."""

    position: Position
    remediation: RemediationId
    fingerprint: Fingerprint
    attempt: int
    first: VerdictRow | None
    second: VerdictRow | None


class Pairs:
    """The rows of two backtests of one log, brought together."""

    def __init__(self) -> None:
        self._waiting: tuple[dict[tuple[Position, int], VerdictRow], dict[tuple[Position, int], VerdictRow]] = (
            {},
            {},
        )

    def add(self, side: int, row: VerdictRow) -> VerdictDifference | None:
        """Take a row of the first (0) or the second (1) backtest; return what differs once both have spoken."""
        key = (row.position, row.attempt)
        other = self._waiting[1 - side].pop(key, None)
        if other is None:
            self._waiting[side][key] = row
            return None
        if other.verdict == row.verdict:
            return None
        return _difference(other, row) if side else _difference(row, other)

    def rest(self) -> list[VerdictDifference]:
        """Return what only one of them came to, in the order of its moments."""
        first, second = self._waiting
        alone = [_difference(row, None) for row in first.values()]
        alone += [_difference(None, row) for row in second.values()]
        return sorted(alone, key=lambda one: _either(one).at)


def _difference(first: VerdictRow | None, second: VerdictRow | None) -> VerdictDifference:
    row = first or second
    assert row is not None
    return VerdictDifference(row.position, row.remediation, row.fingerprint, row.attempt, first, second)


def _either(difference: VerdictDifference) -> VerdictRow:
    row = difference.first or difference.second
    assert row is not None
    return row
