"""The pytest plugin, in a project of its own: cheap until it is used, quiet under any configuration."""

import sys
from pathlib import Path

import pytest
from cases import cut

from remediation_orchestrator.bus.file import messages
from remediation_orchestrator.events import Block, Recorded, RoutingDecided, decode
from remediation_orchestrator.events.stored import export_line

pytest_plugins = ["pytester"]

STORY = """
def test_it_waits_a_minute_after_a_failure(ro_story):
    ro_story.signal(0)
    ro_story.failed(0, "wfe-1")
    ro_story.wait(1)
    assert ro_story.last.execution == "wfe-1-r2"
"""
STRICT = ["-p", "no:cacheprovider", "-W", "error", "--strict-markers"]
ALONE = [*STRICT, "-p", "no:asyncio"]
BESIDE = [*STRICT, "-o", "asyncio_default_fixture_loop_scope=function"]
GOLDEN = Path(__file__).parents[1] / "golden" / "queue.jsonl"


@pytest.mark.parametrize("options", [ALONE, BESIDE], ids=["alone", "beside pytest-asyncio"])
def test_it_is_quiet_under_a_strict_configuration(pytester: pytest.Pytester, options: list[str]) -> None:
    """Warnings are errors, markers must be known, pytest-asyncio is there or not."""
    pytester.makeini("[pytest]\nxfail_strict = true\n")
    pytester.makepyfile(STORY)
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=1)


def test_it_imports_nothing_until_a_fixture_is_used(pytester: pytest.Pytester) -> None:
    """A project that only has it installed pays for neither the broker's client nor the core."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_there():
            heavy = ("nats", "faststream", "pydantic", "msgspec", "remediation_orchestrator.orchestrator")
            assert [name for name in heavy if name in sys.modules] == []
        """
    )
    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=1)


def test_a_written_log_is_one_that_every_verb_reads(pytester: pytest.Pytester) -> None:
    """It audits clean, and the policy of its test has judged in it."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.ro_policy({"routing": {"consecutive_failure_threshold": 1}})
        def test_it(ro_log, tmp_path):
            signal = ro_log.signal(0)
            ro_log.fails(1, f"wfe-{signal}")
            path = ro_log.export(tmp_path / "log.jsonl")

            from remediation_orchestrator.bus.file import messages
            from remediation_orchestrator.events import decode
            from remediation_orchestrator.orchestrator.queries.audit import audit

            read = list(messages(path))
            assert list(audit(read)) == []
            assert b"ConsecutiveFailures" in read[-1].payload
        """
    )
    pytester.runpytest_subprocess(*ALONE).assert_outcomes(passed=1)


def test_the_marker_gives_a_story_its_policy(pytester: pytest.Pytester) -> None:
    """From a mapping, or from a file beside the test; what is wrong in it is said."""
    pytester.makefile(
        ".yaml", policy="routing: {backoff_base: 3m, jitter: 0.0}\n", wrong="routing: {backof: 3m}\n"
    )
    pytester.makepyfile(
        """
        import pytest

        def ladder(story):
            story.signal(0)
            story.failed(0, "wfe-1")
            return story.verdict.until.minute

        @pytest.mark.ro_policy({"routing": {"backoff_base": "2m", "jitter": 0.0}})
        def test_a_mapping(ro_story):
            assert ladder(ro_story) == 2

        @pytest.mark.ro_policy("policy.yaml")
        def test_a_file(ro_story):
            assert ladder(ro_story) == 3

        @pytest.mark.ro_policy("wrong.yaml")
        def test_a_wrong_file(ro_story):
            pass
        """
    )
    done = pytester.runpytest_subprocess(*ALONE)
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(["*unknown key routing.backof; did you mean*"])


def test_a_case_file_is_a_test(pytester: pytest.Pytester) -> None:
    """Collected by its ending; a verdict that is no longer given fails it, and is named in one line."""
    log = list(messages(GOLDEN))
    decided = (one.event for message in log for one in decode(message) if isinstance(one, Recorded))
    second = next(one.remediation for one in decided if isinstance(one, RoutingDecided) and _place(one) == 2)
    lines = [export_line(message) for message in cut(log, second).messages]
    text = b"\n".join(lines)
    (pytester.path / "holds.case.jsonl").write_bytes(text)
    (pytester.path / "differs.case.jsonl").write_bytes(text.replace(b'"queue_position":2', b'"queue_position":7'))
    (pytester.path / "cut.case.jsonl").write_bytes(text[:-20])
    done = pytester.runpytest_subprocess(*ALONE)
    done.assert_outcomes(passed=1, failed=2)
    done.stdout.fnmatch_lines(
        ["*cut.case.jsonl, line *", f"{second} is not judged as it was: at *queue_position*"]
    )


def _place(decided: RoutingDecided) -> int | None:
    return decided.verdict.queue_position if isinstance(decided.verdict, Block) else None


def test_it_is_an_entry_point() -> None:
    """So that an installed wheel needs no configuration; here it is active already."""
    assert "remediation_orchestrator.testing.plugin" in sys.modules
