"""What waits for its verdict, counted from signals, retries and verdicts alone: a line for each problem.

A resolution takes effect when every occurrence before it has its verdict."""

from collections import defaultdict

from remediation_orchestrator.events import Position


class ProblemLines:
    """The lines of all problems."""

    def __init__(self) -> None:
        self._lines: dict[str, list[tuple[Position, bool]]] = defaultdict(list)
        """True for a resolution."""

    def came(self, fingerprint: str, occurrence: Position) -> None:
        """A problem has shown itself, or somebody wants it judged again."""
        self._lines[fingerprint].append((occurrence, False))

    def is_over_at_once(self, fingerprint: str, resolution: Position) -> bool:
        """Whether a resolution takes effect as it comes; else it waits for its turn."""
        if not self._lines[fingerprint]:
            return True
        self._lines[fingerprint].append((resolution, True))
        return False

    def is_asked_for(self, fingerprint: str, occurrence: Position) -> bool:
        """Whether an occurrence waits for its verdict."""
        return (occurrence, False) in self._lines[fingerprint]

    def answer(self, fingerprint: str, occurrence: Position) -> list[Position]:
        """An occurrence has its verdict: return the resolutions that take effect by it."""
        line = self._lines[fingerprint]
        if (occurrence, False) in line:
            line.remove((occurrence, False))
        effective = []
        while line and line[0][1]:
            effective.append(line.pop(0)[0])
        return effective
