"""What the door is told on the command line: its files, read and checked before anything is opened."""

import functools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from pydantic import BaseModel

from remediation_orchestrator.documents.files import FileError, read
from remediation_orchestrator.gateway import identity, processing
from remediation_orchestrator.gateway.access import Access, check_sources
from remediation_orchestrator.gateway.bodies import Source
from remediation_orchestrator.gateway.formats.mapping import Mapping
from remediation_orchestrator.gateway.identity import IdentityRules
from remediation_orchestrator.gateway.processing import Processing
from remediation_orchestrator.gateway.sources import Rules, built_in

from .files import file_option
from .output import BadInputError

Verb: TypeAlias = Callable[..., None]
T = TypeVar("T", bound=BaseModel)

identity_option = file_option("--identity", "identity_file", "How a target is found in labels.")
_PROCESSING = file_option("--processing", "processing_file", "Severity, environment and priority.")
mapping_option = file_option(
    "--mapping",
    "mapping_files",
    "Another system's bodies; may be given again, and a folder is all of its files.",
    multiple=True,
)
tokens_option = file_option("--tokens", "tokens_file", "Who may send, from where, and what.")


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
        rules = Rules(
            identity=read_rules(identity_file, IdentityRules) if identity_file else identity.DEFAULT,
            processing=read_rules(processing_file, Processing) if processing_file else processing.NONE,
        )
        verb(*given, sources=sources_of(mapping_files), rules=rules, **rest)

    return mapping_option(identity_option(_PROCESSING(wired)))


def check_files(identity_file: Path | None, mapping_files: Sequence[Path], tokens_file: Path | None) -> list[str]:
    """Read the door's files, and say them again as its options. Raises BadInputError where one cannot be used."""
    if identity_file is not None:
        read_rules(identity_file, IdentityRules)
    sources = sources_of(mapping_files)
    if tokens_file is not None:
        read_access(tokens_file, sources)
    given = [
        ("--identity", identity_file),
        ("--tokens", tokens_file),
        *(("--mapping", one) for one in mapping_files),
    ]
    return [word for option, file in given if file is not None for word in (option, str(file))]


def read_rules(file: Path, kind: type[T]) -> T:
    """Read a file of the door's. Raises BadInputError saying what is wrong, and where."""
    try:
        return read(file, kind, secret=True)  # Any of them may be the file of tokens, given for another.
    except FileError as error:
        raise BadInputError(str(error)) from error


def read_access(file: Path, sources: Collection[str]) -> Access:
    """Read who may send. Raises BadInputError, also where somebody may send to what is not here."""
    access = read_rules(file, Access)
    try:
        check_sources(access, sources)
    except ValueError as error:
        raise BadInputError(f"{file}: {error}") from error
    return access


def sources_of(given: Sequence[Path]) -> dict[str, Source]:
    """Every source, those of mappings too; a folder is all of its files. Raises BadInputError."""
    files = [file for path in given for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    mappings = [read_rules(file, Mapping) for file in files]
    try:
        return built_in(mappings)
    except ValueError as error:
        raise BadInputError(str(error)) from error
