"""`ro approve`: what was seen is what is allowed."""

import pytest
from click.testing import CliRunner
from story import Story

from remediation_orchestrator.cli.approve import _follows
from remediation_orchestrator.cli.main import main
from remediation_orchestrator.cli.support.output import RefusedError
from remediation_orchestrator.events import RemediationId


def asked() -> Story:
    """A remediation that awaits an approval."""
    story = Story()
    story.signal(0, workflow=None)
    story.analysed(1, "rr-1", approval=True)
    return story


@pytest.mark.parametrize("digits", [0, 1, 11])
def test_a_plan_is_named_by_enough_of_its_digits(digits: int) -> None:
    """An empty variable in a shell approves nothing: a bad argument, exit 2."""
    story = asked()
    plan = story.changes[-1].plan
    waiting = story.cell.fold.view.remediations[RemediationId("rr-1")]
    done = CliRunner().invoke(main, ["approve", "rr-1", "--plan", plan[:digits], "--reason", "x"])
    assert (done.exit_code, "at least 12 digits" in done.stderr) == (2, True)
    assert "is judged for restart" in _follows(waiting, plan[:12])
    assert "is judged for restart" in _follows(waiting, None)


def test_another_plan_than_is_asked_for_is_refused() -> None:
    """And both are said."""
    story = asked()
    waiting = story.cell.fold.view.remediations[RemediationId("rr-1")]
    with pytest.raises(RefusedError, match=f"asks for plan {story.changes[-1].plan[:12]}, not for 000000000000"):
        _follows(waiting, "0" * 12)
