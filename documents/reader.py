"""Read a YAML file that a person wrote: plain data, and the line of every place for the messages.

What would be lost in silence, or is not what it seems, is refused with its line: a key that is said twice, aliases
(a few of them may stand for gigabytes) and tags. A file has a size, a depth and a number of values. Dates are
text: whoever wants one reads it with its own grammar. Whatever the bytes, there is a value or a DocumentError."""

from pathlib import Path

import yaml

from remediation_orchestrator.events.places import Place, path_of

# Far above any file that a person writes, far below what would hurt: at the bounds reading takes about a second.
FILE_BYTES_MAX = 256 * 1024
VALUES_MAX = 20_000
# Twice as deep as anything that these files mean.
DEPTH_MAX = 20
# Longer digits are no number that anybody means, and to read them takes the square of their length.
NUMBER_LENGTH_MAX = 100
# As a person mends a file: the rest is seen when these are gone.
WRONG_MAX = 100

_AS_TEXT = {f"tag:yaml.org,2002:{one}" for one in ("timestamp", "merge", "value")}
_TEXT = "tag:yaml.org,2002:str"


class DocumentError(ValueError):
    """What is wrong with a file, and in which line. It quotes keys, and never a value."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class Document:
    """What a file says, the line of every place in it, and what is wrong although it could be read."""

    def __init__(self) -> None:
        self.data: object = None
        self.wrong: list[tuple[int, str]] = []
        self._lines: dict[Place, int] = {}

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest place around it."""
        return self._lines.get(self.known(place), 1)

    def known(self, place: Place) -> Place:
        """As much of a place as stands in the file."""
        while place and place not in self._lines:
            place = place[:-1]
        return place

    def note(self, place: Place, line: int) -> None:
        """Remember the line of a place; the first counts."""
        self._lines.setdefault(place, line)

    def complain(self, line: int, message: str) -> None:
        """Say what is wrong. Raises DocumentError where it was enough."""
        if len(self.wrong) == WRONG_MAX:
            raise DocumentError(f"more than {WRONG_MAX} things are wrong", line)
        self.wrong.append((line, message))


def read_file(path: Path) -> bytes:
    """The bytes of a file, of which no more is read than it may have. Raises OSError, DocumentError."""
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise DocumentError(f"larger than the {FILE_BYTES_MAX:,} bytes that a file has at most")
    return content


def read_document(content: bytes | str) -> Document:
    """Read a file's content. Raises DocumentError where it cannot be read at all."""
    document = Document()
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _Reading(loader, document).value(node, ())
    except UnicodeDecodeError as error:
        raise DocumentError("not UTF-8", error.object[: error.start].count(b"\n") + 1) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(
            f"not YAML: {error.problem or error.context}", mark.line + 1 if mark else None
        ) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise DocumentError(f"not YAML: a character that it does not have, {error.character!r}", line) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError("not YAML") from error
    return document


class _Loader(yaml.SafeLoader):
    """Plain values only: no aliases, no tags, no dates, and not too many or too deep."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            raise DocumentError("aliases (`*name`) are not used here: write it out", line)
        if getattr(event, "tag", None) is not None:
            raise DocumentError("tags (`!name`) are not used here", line)
        self._values += 1
        self._depth += 1
        if self._values > VALUES_MAX:
            raise DocumentError(f"more than {VALUES_MAX:,} values", line)
        if self._depth > DEPTH_MAX:
            raise DocumentError(f"nested deeper than {DEPTH_MAX}", line)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _AS_TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Reading:
    """From nodes to values."""

    def __init__(self, loader: _Loader, document: Document) -> None:
        self._loader = loader
        self._document = document

    def value(self, node: yaml.Node, place: Place) -> object:
        """Return what a node says."""
        self._document.note(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one, (*place, index)) for index, one in enumerate(node.value)]
        if node.tag == _TEXT or len(node.value) > NUMBER_LENGTH_MAX:
            return str(node.value)
        try:
            found: object = self._loader.construct_object(node)
        except (ValueError, OverflowError):  # Looks like a number, and is none: text.
            return str(node.value)
        return found

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.complain(line, "a key must be one word")
                continue
            key = str(key_node.value)
            here = (*place, key)
            if key in found:
                first = self._document.line(here)
                self._document.complain(line, f"{path_of(here)}: said twice, first on line {first}")
                continue
            self._document.note(here, line)
            found[key] = self.value(value_node, here)
        return found
