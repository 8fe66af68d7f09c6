"""Which of two versions is the newer: by the numbers of their releases and by nothing else.

A pre-release, a development version and the release itself are one: what may be said on the log changes from
release to release only."""

import re

_RELEASE = re.compile(r"\d+(?:\.\d+)*")


def newer(one: str, other: str) -> bool:
    """Whether the first is the newer. What does not begin with a number is older than everything that does."""
    return _release(one) > _release(other)


def _release(version: str) -> tuple[int, ...]:
    found = _RELEASE.match(version)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:  # 0.2 is 0.2.0.
        numbers.pop()
    return tuple(numbers)
