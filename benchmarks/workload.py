"""The signals that every benchmark publishes: drawn from a seed, so that two runs mean the same."""

import random
from collections.abc import Iterator

import msgspec
from msgspec import Struct

SEED = 20_261_121
# A monitoring system repeats itself within a scrape or two, not an hour later.
SHUFFLE_WINDOW = 500


class Mix(Struct, frozen=True):
    """How many signals come of one problem: the first may proceed, and what becomes of the others.

    `busy` of each group are of a second problem of the same target, which waits there and repeats itself."""

    group: int
    busy: int = 0


ONE_IN_TEN = Mix(group=10, busy=3)
"""One proceeds, one is blocked, eight are duplicates."""
STORM = Mix(group=100)
"""One proceeds, ninety-nine are duplicates."""
MIXES = {"one-in-ten": ONE_IN_TEN, "storm": STORM}


def signals(count: int, mix: Mix, *, seed: int = SEED, prefix: str = "") -> list[bytes]:
    """Draw so many bare signals, in an order that mixes the problems of about one window."""
    chance = random.Random(seed)
    drawn = list(_in_groups(count, mix, prefix))
    for start in range(0, count, SHUFFLE_WINDOW):
        window = drawn[start : start + SHUFFLE_WINDOW]
        chance.shuffle(window)
        drawn[start : start + SHUFFLE_WINDOW] = window
    return drawn


def frames(count: int, mix: Mix, size: int, *, seed: int = SEED, prefix: str = "") -> list[bytes]:
    """Draw so many signals, as arrays of `size`."""
    drawn = signals(count, mix, seed=seed, prefix=prefix)
    return [b"[" + b",".join(drawn[start : start + size]) + b"]" for start in range(0, count, size)]


def fresh(number: int, *, prefix: str = "fresh") -> bytes:
    """A signal of a problem and a target that no other signal is about: nothing objects to it."""
    return _signal("KubePodCrashLooping", f"{prefix}-{number}", f"{prefix}-{number}")


def _in_groups(count: int, mix: Mix, prefix: str) -> Iterator[bytes]:
    for number in range(count):
        group, place = divmod(number, mix.group)
        workload = f"{prefix}workload-{group}"
        if place < mix.group - mix.busy:
            yield _signal("KubePodCrashLooping", workload, f"{workload}-crash")
        else:
            yield _signal("KubeDeploymentReplicasMismatch", workload, f"{workload}-replicas")


def _signal(name: str, workload: str, fingerprint: str) -> bytes:
    return msgspec.json.encode(
        {
            "name": name,
            "severity": "critical",
            "target": {"cluster": "eu-1", "namespace": "shop", "kind": "Deployment", "name": workload},
            "labels": {"alertname": name, "namespace": "shop", "deployment": workload, "team": "checkout"},
            "annotations": {"summary": f"{workload} does not come up"},
            "starts_at": "2026-11-21T10:00:00Z",
            "fingerprint": fingerprint,
            "resolves": True,
            "workflow": {"id": "restart-deployment", "parameters": {"grace": 30}},
        }
    )
