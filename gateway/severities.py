"""How bad a source calls something, in the words of the field."""

from remediation_orchestrator.events import Severity

# What alerting rules say, in the words of the field; any other word, and none, is `unknown`.
SEVERITIES = {
    **dict.fromkeys(("critical", "page", "fatal", "emergency", "disaster"), Severity.CRITICAL),
    **dict.fromkeys(("high", "error", "major"), Severity.HIGH),
    **dict.fromkeys(("warning", "warn", "medium", "minor"), Severity.WARNING),
    **dict.fromkeys(("info", "information", "informational", "notice", "low", "none"), Severity.INFO),
}


def severity_of(word: str) -> Severity:
    """A source's word for how bad it is, in the words of the field."""
    return SEVERITIES.get(word.strip().lower(), Severity.UNKNOWN)
