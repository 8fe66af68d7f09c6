"""Written logs, for our own tests: what users have too, by its short name."""

from remediation_orchestrator.testing.written import SOURCE, WrittenLog

__all__ = ["SOURCE", "WrittenLog"]
