"""What is computed in a simulation comes to an end: in virtual time nothing else would ever stop it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A hundred times what the longest day, life or case takes. Of processor time: no load makes it longer.
PROCESSOR_SECONDS = 60.0


class EndlessError(KeyboardInterrupt):
    """It goes on and on. An interrupt, so that nobody on the way takes it for an error of theirs."""


@contextmanager
def ended(seconds: float = PROCESSOR_SECONDS) -> Iterator[None]:
    """Raise EndlessError in what takes longer than that. In the main thread alone, as signals are."""

    def say(_number: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}" if frame is not None else ""
        raise EndlessError(f"still computing after {seconds:g} s, at {where}")

    before = signal.signal(signal.SIGVTALRM, say)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
