"""The engines that workflows name, one module each, and the line that names it."""

from remediation_orchestrator.executor.engine import EngineType

from . import script

ENGINES: dict[str, EngineType] = {
    "script": script.ENGINE,
}
