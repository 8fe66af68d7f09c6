"""What `ro demo` looks like: colours on a terminal, plain lines in a pipe."""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from rich.console import Console
from rich.text import Text

from remediation_orchestrator.cli.support.output import STYLES, plain
from remediation_orchestrator.events import Proceed, Recorded, RoutingDecided
from remediation_orchestrator.orchestrator.queries.explain import Answer, Line


class Screen:
    """Prints line by line. Times are seconds of the broker's clock since the first record shown."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._acts = 0
        self._start: datetime | None = None

    def act(self, title: str) -> None:
        """Begin an act."""
        self._acts += 1
        self._print(Text(f"\n{self._acts}. {title}", style="bold"))

    def say(self, text: str) -> None:
        """Say something that is no record."""
        self._print(Text(f"   {text}"))

    def event(self, record: Recorded, text: str) -> None:
        """Say what a record of the log says."""
        self._print(Text.assemble(self._place(record), plain(text)))

    def verdict(self, record: Recorded, decided: RoutingDecided, text: str) -> None:
        """Say a verdict and what follows from it."""
        verdict = decided.verdict
        kind = type(verdict).__name__
        words = kind if isinstance(verdict, Proceed) else f"{kind} {verdict.reason}"
        self._print(Text.assemble(self._place(record), (words, STYLES[kind]), f": {text}"))

    def check(self, line: Line) -> None:
        """Say what a check of the list answered, and the records behind it."""
        records = f" [{', '.join(line.because)}]" if line.because else ""
        answer = (f"{line.answer:15}", "yellow" if line.answer is Answer.OBJECTS else "dim")
        self._print(Text.assemble("   ", (f"{line.check:27}", "bold"), answer, plain(line.read), records))

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show on a terminal that time has to pass; in a pipe nothing."""
        return self._console.status(text) if self._console.is_terminal else nullcontext()

    def frame(self, text: str) -> None:
        """Say what stands before or after the story."""
        self._print(Text(f"\n{text}"))

    def _place(self, record: Recorded) -> Text:
        self._start = self._start or record.recorded_at
        seconds = (record.recorded_at - self._start).total_seconds()
        return Text(f"   {seconds:6.2f} s  {record.position:>5}  ", style="dim")

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
