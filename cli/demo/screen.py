"""What `ro demo` looks like: colours on a terminal, plain lines in a pipe."""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from rich.console import Console
from rich.text import Text

from remediation_orchestrator.cli.support.output import STYLES, plain
from remediation_orchestrator.events import Recorded, Verdict
from remediation_orchestrator.orchestrator.queries.explain import CheckAnswer, CheckLine
from remediation_orchestrator.orchestrator.routing.words import name


class Screen:
    """Prints line by line. Times are seconds of the broker's clock since the first record shown."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, emoji=False)
        self._acts = 0
        self._start: datetime | None = None

    def act(self, title: str) -> None:
        """Begin an act."""
        self._acts += 1
        self.say(f"\n{self._acts}. {title}", indent="", style="bold")

    def say(self, text: str, *, indent: str = "   ", style: str = "") -> None:
        """Say something that is no record."""
        self._console.print(Text(f"{indent}{text}", style=style), soft_wrap=True)

    def record(self, record: Recorded, text: str, verdict: Verdict | None = None) -> None:
        """Say what a record of the log says, first its verdict."""
        self._start = self._start or record.recorded_at
        seconds = (record.recorded_at - self._start).total_seconds()
        parts: list[str | tuple[str, str]] = [(f"   {seconds:6.2f} s  {record.position:>5}  ", "dim")]
        if verdict is not None:
            parts += [(name(verdict), STYLES[type(verdict).__name__]), ": "]
        self._console.print(Text.assemble(*parts, plain(text)), soft_wrap=True)

    def check(self, line: CheckLine) -> None:
        """Say what a check of the list answered, and the records behind it."""
        records = f" [{', '.join(line.because)}]" if line.because else ""
        answer = (f"{line.answer:15}", "yellow" if line.answer is CheckAnswer.OBJECTS else "dim")
        parts = Text.assemble("   ", (f"{line.check:27}", "bold"), answer, plain(line.read), records)
        self._console.print(parts, soft_wrap=True)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show on a terminal that time has to pass; in a pipe nothing."""
        return self._console.status(text) if self._console.is_terminal else nullcontext()
