"""Stories, for our own tests: the given/when/then that users have too, by its short name."""

from remediation_orchestrator.testing.story import CELL, CHECKOUT, START, STEADY, Story, minute

__all__ = ["CELL", "CHECKOUT", "START", "STEADY", "Story", "minute"]
