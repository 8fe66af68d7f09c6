"""Cut a case out of a log, as the command line does."""

from remediation_orchestrator.events import RemediationId, StoredMessage
from remediation_orchestrator.events.stored import export_line, import_line
from remediation_orchestrator.orchestrator.queries.case import Case, Links, read_case


def cut(log: list[StoredMessage], remediation: str) -> Case:
    """A case as `ro export --case` writes it and the plugin reads it."""
    links = Links()
    for message in log:
        links.take(message)
    excerpt = links.excerpt(RemediationId(remediation))
    assert excerpt is not None
    kept = [part for message in log if (part := excerpt.part(message)) is not None]
    return read_case(import_line(export_line(part)) for part in kept)
