"""What the door is told on the command line: its files, read and checked before anything is opened."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import click

from remediation_orchestrator.gateway import identity, processing
from remediation_orchestrator.gateway.identity import Identity
from remediation_orchestrator.gateway.mapping import Mapping
from remediation_orchestrator.gateway.processing import Processing
from remediation_orchestrator.gateway.rules_file import RulesFileError, load
from remediation_orchestrator.gateway.sources import Rules, Source, built_in

from .output import BadInputError

Verb: TypeAlias = Callable[..., None]

_IDENTITY = click.option(
    "--identity",
    "identity_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="How a target is found in labels.",
)
_PROCESSING = click.option(
    "--processing",
    "processing_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Severity, environment and priority.",
)
_MAPPING = click.option(
    "--mapping",
    "mapping_files",
    metavar="FILE",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Another system's bodies; may be given again, and a folder is all of its files.",
)


def rules_options(verb: Verb) -> Verb:
    """Give a verb the options that say how bodies are read; it takes `sources` and `rules`."""

    @functools.wraps(verb)
    def wired(
        *given: object,
        identity_file: Path | None,
        processing_file: Path | None,
        mapping_files: Sequence[Path],
        **rest: object,
    ) -> None:
        try:
            rules = Rules(
                identity=load(identity_file, Identity) if identity_file else identity.DEFAULT,
                processing=load(processing_file, Processing) if processing_file else processing.NONE,
            )
            sources = _sources(mapping_files)
        except RulesFileError as error:
            raise BadInputError(str(error)) from error
        verb(*given, sources=sources, rules=rules, **rest)

    return _MAPPING(_IDENTITY(_PROCESSING(wired)))


def _sources(given: Sequence[Path]) -> dict[str, Source]:
    files = [file for path in given for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    try:
        return built_in([load(file, Mapping) for file in files])
    except RulesFileError:
        raise
    except ValueError as error:
        raise BadInputError(str(error)) from error
