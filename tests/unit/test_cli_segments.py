"""The files of an archived log, held against what its chain says of them."""

from pathlib import Path

import pytest
from written import WrittenLog

from remediation_orchestrator.bus.file import segment_digest
from remediation_orchestrator.cli.audit import segment_findings
from remediation_orchestrator.events import LogArchived, Position
from remediation_orchestrator.orchestrator.queries.audit import Auditor
from remediation_orchestrator.orchestrator.queries.findings import Report

OTHER = "e" * 64


@pytest.mark.parametrize("order", [1, -1])
def test_a_segment_may_be_any_that_the_chain_names_of_its_end(tmp_path: Path, order: int) -> None:
    """Of two archives at once both may be named, in either order; one that is named nowhere is found."""
    log = WrittenLog()
    log.signal(0)
    path = log.export(tmp_path / "old.jsonl")
    last, digest = segment_digest(path)
    auditor = Auditor(Report())
    auditor.archived = [LogArchived(Position("9"), last, one, "") for one in (digest, OTHER)[::order]]
    assert list(segment_findings([path], auditor)) == []
    auditor.archived = [LogArchived(Position("9"), last, OTHER, "")]
    assert [one.message for one in segment_findings([path], auditor)] == [
        f"{path} is not the segment that the chain names"
    ]
