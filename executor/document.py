"""Read a YAML file that a person wrote: plain data, and the line of every key for the messages.

Two equal keys are refused, since one of them would be lost in silence; so are aliases, which can make a small
file endlessly large."""

from typing import TypeAlias

import yaml

# Far above any workflow that a person writes, far below what would hurt.
DOCUMENT_BYTES_MAX = 256 * 1024

Place: TypeAlias = tuple[int | str, ...]
Lines: TypeAlias = dict[Place, int]


class DocumentError(Exception):
    """What is wrong with a file, and in which line."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Safe values only, and no aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise DocumentError("aliases (`*name`) are not used here", self.line + 1)
        return super().compose_node(parent, index)


def read_document(content: bytes) -> tuple[object, Lines]:
    """Return a file's data and the line of each of its places. Raises DocumentError."""
    if len(content) > DOCUMENT_BYTES_MAX:
        raise DocumentError(f"{len(content):,} bytes, and a file has at most {DOCUMENT_BYTES_MAX:,}")
    lines: Lines = {}
    try:
        loader = _Loader(content)
        node = loader.get_single_node()
        data = None if node is None else _value(loader, node, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(f"not YAML: {error.problem}", mark.line + 1 if mark else None) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError(f"not YAML: {error}") from error
    if not isinstance(data, dict):
        raise DocumentError("not a mapping of keys to values", 1)
    return data, lines


def _value(loader: _Loader, node: yaml.Node, place: Place, lines: Lines) -> object:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, one, (*place, index), lines) for index, one in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, place, lines)
    value: object = loader.construct_object(node, deep=True)
    return value


def _mapping(loader: _Loader, node: yaml.MappingNode, place: Place, lines: Lines) -> dict[str, object]:
    read: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise DocumentError("a key is one word", line)
        key = str(key_node.value)
        if key in read:
            raise DocumentError(f"the key {key!r} stands here twice", line)
        lines[(*place, key)] = line
        read[key] = _value(loader, value_node, (*place, key), lines)
    return read
