"""Catalogs that change while they are in use: what is served is what the folder has, and a rule fits what it says.

Any bytes tell which files are written, replaced by others of the same age and size, and removed, and what is asked
for between. Held against a folder that is read anew, and against rules that are compared by hand."""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from remediation_orchestrator.events import (
    AnalyzeSignal,
    Fingerprint,
    Position,
    RemediationId,
    Severity,
    Target,
    TriedRun,
)
from remediation_orchestrator.executor.analyser import choose
from remediation_orchestrator.executor.catalog import Catalog, load_catalog
from remediation_orchestrator.executor.folder import CatalogFolder

from .clock import MIDNIGHT
from .histories_tale import OverError, Tale

IDS = ("a", "b", "c")
# One second for all: whoever replaces a file may keep its age.
STAMP_NS = 1_790_000_000 * 10**9
PARTS = ("", "x", "y")
GIVEN = (None, None, *PARTS)


def refresh(told: bytes) -> Iterator[str]:
    """Change a folder as the bytes say, and name whatever is served or chosen otherwise than it should be."""
    tale = Tale(told)
    with tempfile.TemporaryDirectory(prefix="ro-catalog-") as name:
        folder = Path(name)
        served = CatalogFolder(folder)
        try:
            while True:
                _change(folder, tale)
                asyncio.run(served.refresh())
                fresh = load_catalog(folder)
                if _says(served()) != _says(fresh):
                    yield f"served is {_says(served())}, and the folder has {_says(fresh)}"
                if set(served().workflows) != (once := set(_unique(folder))):
                    yield f"served are {sorted(served().workflows)}, and one file alone has {sorted(once)}"
                yield from _choose(folder, served(), tale)
        except OverError:
            return


def _change(folder: Path, tale: Tale) -> None:
    path = folder / f"{tale.pick(IDS)}.yaml"
    if tale.pick((False, False, False, True)):
        path.unlink(missing_ok=True)
        return
    given = [tale.pick(GIVEN) for _ in range(4)]
    target = {
        part: value
        for part, value in zip(("cluster", "namespace", "kind"), given[:3], strict=True)
        if value is not None
    }
    after = tale.pick((0, 0, 1, 2))
    rule = {
        "name": given[3] or "N",
        **({"target": target} if target else {}),
        **({"after": after} if after else {}),
    }
    document = {
        "id": tale.pick((*[path.stem] * 5, *IDS)),  # A copy was left, and its id with it.
        "timeout": tale.pick(("5m", "9m")),
        "script": {"command": ["true"]},
        "match": [rule],
    }
    other = folder / "other"
    other.write_bytes(msgspec.json.encode(document))  # Which YAML is, too.
    os.utime(other, ns=(STAMP_NS, STAMP_NS))
    other.replace(path)


def _says(catalog: Catalog) -> dict[str, str]:
    return {name: f"{one.digest[:8]} {one.spec.timeout}" for name, one in sorted(catalog.workflows.items())}


def _unique(folder: Path) -> dict[str, Path]:
    """The ids that one file alone has, with the file, in the order of their names."""
    ids = [(msgspec.json.decode(path.read_bytes())["id"], path) for path in sorted(folder.glob("*.yaml"))]
    count = Counter(one for one, _ in ids)
    return {one: path for one, path in ids if count[one] == 1}


def _choose(folder: Path, catalog: Catalog, tale: Tale) -> Iterator[str]:
    target = Target("web", tale.pick(PARTS), tale.pick(PARTS), tale.pick(PARTS))
    named = AnalyzeSignal(
        analysis="rr-1",
        remediation=RemediationId("rr-1"),
        fingerprint=Fingerprint("f"),
        signal=Position("1"),
        name=tale.pick(("N", "x", "y")),
        severity=Severity.UNKNOWN,
        target=target,
        deadline=MIDNIGHT,
        decided_at=Position("2"),
        tried=(TriedRun("w", "Failed"),) * tale.pick((0, 1, 2)),
    )
    chosen = choose(catalog.workflows.values(), named)
    fitting = [(-_after(path), path.stem, one) for one, path in _unique(folder).items() if _fits(path, named)]
    expected = min(fitting)[2] if fitting else None
    found = chosen.spec.id if chosen is not None else None
    if found != expected:
        yield f"{found} is chosen for {named.name} on {target}, and {expected} is the first of the last that fit"


def _after(path: Path) -> int:
    after: int = msgspec.json.decode(path.read_bytes())["match"][0].get("after", 0)
    return after


def _fits(path: Path, command: AnalyzeSignal) -> bool:
    """Whether all that is given is equal, read from the file itself."""
    rule = msgspec.json.decode(path.read_bytes())["match"][0]
    wanted = rule.get("target", {})
    if rule["name"] != command.name or len(command.tried) < rule.get("after", 0):
        return False
    return all(getattr(command.target, part) == wanted[part] for part in wanted)
