"""The search: every departure from a world's schedule, the fewest first, each state's future looked at once.

Nothing is saved but choices: a life is lived again from its beginning, up to its last choice and on from there.
A state whose digest an earlier life had reached, with no more departures, is left: its future is known."""

import gc
import heapq
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .endless import EndlessError, ended
from .explore_promises import broken
from .explore_stage import ExploredStage, Life
from .explore_worlds import SmallWorld

Choices = dict[int, str]
# Whoever leads freezes what is there, cycles of ended lives included: now and then they are let go.
LIVES_BETWEEN_COLLECTIONS = 40
FAULT = "!"


@dataclass(frozen=True)
class SearchBound:
    """How far lives may depart from the schedule."""

    switches: int = 3
    """Times that another call goes first."""
    faults: int = 2

    def allows(self, switches: int, faults: int) -> bool:
        """Whether so many are within it."""
        return switches <= self.switches and faults <= self.faults


@dataclass
class SearchResult:
    """What a search has seen, and what it has not."""

    world: str
    lives: int = 0
    steps: int = 0
    seconds: float = 0.0
    states: set[bytes] = field(default_factory=set)
    whole: int = -1
    """With so many departures, everything within the bound was seen; -1: not even the schedule."""
    exhausted: bool = False
    """Whether nothing within the bound is left."""
    counterexample: Choices | None = None
    wrong: list[str] = field(default_factory=list)


class Search:
    """The search of one world, or of a share of it."""

    def __init__(self, world: SmallWorld, bound: SearchBound, share: int = 0, shares: int = 1) -> None:
        self._world = world
        self._bound = bound
        self._share, self._shares = share, shares
        self._visited: dict[bytes, list[tuple[int, int]]] = {}
        self._open: list[tuple[int, int, int, Choices]] = []
        self._made = 0
        self.found = SearchResult(world.name)

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> SearchResult:
        """Search until a promise is broken, nothing is left, or it is time (of the monotonic clock)."""
        begun = time.monotonic()
        self._push({})
        while self._open and time.monotonic() < until and not stop():
            cost, _, _, choices = heapq.heappop(self._open)
            self.found.whole = max(self.found.whole, cost - 1)
            if self._live(choices):
                break
        else:
            if not self._open:
                self.found.exhausted = True
        self.found.seconds = time.monotonic() - begun
        self.found.states = set(self._visited)
        return self.found

    def _push(self, choices: Choices) -> None:
        self._made += 1
        switches, _ = _spent(choices)  # Of as many departures, faults are the ones that more depends on.
        heapq.heappush(self._open, (len(choices), switches, self._made, choices))

    def _live(self, choices: Choices) -> bool:
        """Live one life; True where it broke a promise."""
        last = max(choices, default=-1)
        spent = _spent(choices)
        stage = ExploredStage(
            self._world, choices, lambda place, digest: place > last and self._is_known(digest, spent)
        )
        try:
            with ended():
                life = stage.live()
        except EndlessError as error:
            self.found.counterexample, self.found.wrong = choices, [f"it does not end: {error}"]
            return True
        self.found.lives += 1
        self.found.steps += len(life.steps)
        if self.found.lives % LIVES_BETWEEN_COLLECTIONS == 0:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        wrong = life.wrong if life.known else list(broken(stage))
        if wrong:
            self.found.counterexample, self.found.wrong = choices, wrong
            return True
        self._branch(choices, life, last)
        return False

    def _is_known(self, digest: bytes, spent: tuple[int, int]) -> bool:
        """Whether a life with no more departures was there; else this one is now."""
        before = self._visited.setdefault(digest, [])
        if any(switches <= spent[0] and faults <= spent[1] for switches, faults in before):
            return True
        before.append(spent)
        return False

    def _branch(self, choices: Choices, life: Life, last: int) -> None:
        """Every departure behind the last one is a life of its own."""
        switches, faults = _spent(choices)
        for place in range(last + 1, len(life.steps)):
            if not choices and place % self._shares != self._share:
                continue
            for option in life.steps[place].options[1:]:
                fault = option.startswith(FAULT)
                if self._bound.allows(switches + (not fault), faults + fault):
                    self._push({**choices, place: option})


def _spent(choices: Choices) -> tuple[int, int]:
    faults = sum(1 for one in choices.values() if one.startswith(FAULT))
    return len(choices) - faults, faults


def written(world: str, choices: Choices) -> str:
    """Choices in one word, to be lived again."""
    return f"{world}:{','.join(f'{place}={option}' for place, option in sorted(choices.items()))}"


def read_choices(word: str) -> tuple[str, Choices]:
    """Read them again. Raises ValueError."""
    world, _, rest = word.partition(":")
    pairs = [one.partition("=") for one in rest.split(",") if one]
    return world, {int(place): option for place, _, option in pairs}


def retell(world: SmallWorld, choices: Choices) -> tuple[ExploredStage, list[str]]:
    """Live through a life once more, and say what it broke."""
    stage = ExploredStage(world, choices, lambda _place, _digest: False)
    stage.live()
    return stage, list(broken(stage))


def story(stage: ExploredStage, choices: Choices) -> Iterator[str]:
    """A life as it went, a line a step."""
    for place, step in enumerate(stage.life.steps):
        chosen = choices.get(place)
        yield f"{place:4} {step.says}" if chosen is None else f"{place:4} {chosen}  (instead of: {step.says})"


def silently() -> None:
    """Services log what they meet; here they meet it by the thousand."""
    logging.getLogger("remediation_orchestrator").setLevel(logging.CRITICAL + 1)
