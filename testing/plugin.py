"""The pytest plugin: fixtures `ro_...`, the marker `ro_policy`, and files `*.case.jsonl` as tests.

Importing it costs nothing: what a fixture needs is imported when the fixture is used. No fixture here is
asynchronous, so it is all the same which plugin, if any, runs a user's coroutines, and in which mode."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr, TracebackStyle

    from remediation_orchestrator.bus.embedded import EmbeddedServer
    from remediation_orchestrator.orchestrator.queries.case import Case
    from remediation_orchestrator.orchestrator.routing.policy import Policy

    from .cell import Cell
    from .story import Story
    from .written import WrittenLog

CASE_ENDING = ".case.jsonl"
MARKER = (
    "ro_policy(policy): the policy of this test's story, log or cell: a file, a mapping with its keys, or a Policy"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, so that a project with strict markers takes it."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture(scope="session")
def ro_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[EmbeddedServer]":
    """The real nats-server, started once a session and ended with it."""
    from remediation_orchestrator.bus.embedded import EmbeddedServer

    server = EmbeddedServer(tmp_path_factory.mktemp("ro_server")).start()
    yield server
    server.stop()


@pytest.fixture
def ro_cell(ro_server: "EmbeddedServer") -> "AbstractAsyncContextManager[Cell]":
    """An empty cell of this test's own: `async with ro_cell as cell`. Nobody decides in it."""
    from remediation_orchestrator.events import CellName

    from .cell import opened

    return opened(ro_server.url, CellName(f"t{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def ro_orchestrator(
    request: pytest.FixtureRequest, ro_cell: "AbstractAsyncContextManager[Cell]"
) -> "AbstractAsyncContextManager[Cell]":
    """The cell with an active orchestrator in the test's event loop: `async with ro_orchestrator as cell`."""
    from remediation_orchestrator.orchestrator.routing.policy import DEFAULT

    from .cell import orchestrated

    return orchestrated(ro_cell, _policy(request) or DEFAULT)


@pytest.fixture
def ro_story(request: pytest.FixtureRequest) -> "Story":
    """A cell that is only thought through: facts at minutes, virtual time, verdicts. No server, no event loop."""
    from .story import Story

    return Story(_policy(request))


@pytest.fixture
def ro_log(request: pytest.FixtureRequest) -> "WrittenLog":
    """A log as a cell would have written it: facts at minutes, frames and commands as they follow. No server."""
    from .written import WrittenLog

    return WrittenLog(_policy(request))


@pytest.fixture
def ro_case(request: pytest.FixtureRequest) -> "Callable[[str | Path], Case]":
    """Judge a case of `ro export --case`, by its path from the test's file; fail at the first difference."""

    def check(path: str | Path) -> "Case":
        case = _read(request.path.parent / path)
        _check(case)
        return case

    return check


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "CaseFile | None":
    """Take every case file that is found for a test."""
    if not file_path.name.endswith(CASE_ENDING):
        return None
    found: CaseFile = CaseFile.from_parent(parent, path=file_path)
    return found


class CaseFile(pytest.File):
    """A file with one case."""

    def collect(self) -> Iterable[pytest.Item]:
        """One test."""
        yield CaseItem.from_parent(self, name="as_recorded")


class CaseItem(pytest.Item):
    """Judging a case again gives the recorded verdicts."""

    def runtest(self) -> None:
        """Judge it."""
        _check(_read(self.path))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: "TracebackStyle | None" = None
    ) -> "str | TerminalRepr":
        """A line for a difference, the whole story for a fault."""
        if isinstance(excinfo.value, _DifferenceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Name it by its file."""
        return self.path, None, self.path.name


class _DifferenceError(AssertionError):
    """A case is no longer judged as it was."""


def _check(case: "Case") -> None:
    __tracebackhide__ = True
    for difference in case.differences():
        raise _DifferenceError(
            f"{case.remediation} is not judged as it was: at {difference.position}, {difference.message}"
        )


def _read(path: Path) -> "Case":
    __tracebackhide__ = True
    from remediation_orchestrator.bus.file import messages
    from remediation_orchestrator.bus.packing import UnreadableLogError
    from remediation_orchestrator.orchestrator.queries.case import read_case

    try:
        return read_case(messages(path))
    except UnreadableLogError as error:
        raise _DifferenceError(str(error)) from error
    except ValueError as error:
        raise _DifferenceError(f"{path}: {error}") from error


def _policy(request: pytest.FixtureRequest) -> "Policy | None":
    marker = request.node.get_closest_marker("ro_policy")
    if marker is None:
        return None
    if len(marker.args) != 1 or marker.kwargs:
        raise pytest.UsageError(
            "ro_policy takes one argument: a file, a mapping with a policy's keys, or a Policy"
        )
    from .policies import policy_given

    return policy_given(marker.args[0], request.path.parent)
