"""Remediation orchestrator: decides, from one event log, whether a repair may run now.

The folders beside this one are its packages; each is imported as
`remediation_orchestrator.<folder>` and never by its bare name."""
