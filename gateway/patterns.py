"""Regular expressions that users write, in RE2's syntax: whatever the pattern, time is linear in the text.

Python's own engine may take hours over a name of forty letters, and holds up everybody else meanwhile."""

import re
from typing import Annotated, Any

import re2  # type: ignore[import-untyped]
from pydantic import PlainValidator

# Far more than any rule about names needs; what a pattern may take of the machine follows from it.
PATTERN_LENGTH_MAX = 1_000
_MEMORY_MAX = 1 << 20
_GROUP = re.compile(r"\\(?:([0-9]|\\)|g<([0-9A-Za-z_]+)>)")


class CompiledPattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Raises ValueError saying what is wrong with it."""
        if len(text) > PATTERN_LENGTH_MAX:
            raise ValueError(f"a regular expression has at most {PATTERN_LENGTH_MAX:,} characters")
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MEMORY_MAX
        try:
            self._compiled: Any = re2.compile(text, options)
        except (re2.error, UnicodeEncodeError) as error:
            raise ValueError(f"no regular expression (RE2): {_said(error)}") from error

    def replaced(self, text: str, replacement: str = "") -> str:
        r"""The text with every match replaced; `\1` and `\g<name>` in the replacement are the match's groups."""
        found: str = self._compiled.sub(lambda match: _expanded(match, replacement), text)
        return found

    def found(self, text: str) -> str:
        """What is found in a text: the pattern's first group, or all of the text where it has none; else `""`."""
        match = self._compiled.search(text)
        if match is None:
            return ""
        return (match.group(1) or "") if self._compiled.groups else text

    def check(self, replacement: str) -> None:
        """Raises ValueError where a replacement names a group that the pattern does not have."""
        known = {*map(str, range(self._compiled.groups + 1)), *self._compiled.groupindex, "\\"}
        for group in _GROUP.finditer(replacement):
            if (group[1] or group[2]) not in known:
                raise ValueError(f"the replacement's {group[0]} is no group of the pattern")


def _expanded(match: Any, replacement: str) -> str:
    return _GROUP.sub(lambda group: _group(match, group[1] or group[2]), replacement)


def _group(match: Any, name: str) -> str:
    found: str | None = "\\" if name == "\\" else match.group(int(name) if name.isdecimal() else name)
    return found or ""


def _said(error: Exception) -> str:
    found = error.args[0] if error.args else ""
    return found.decode(errors="replace") if isinstance(found, bytes) else str(error)


def _compiled(pattern: object) -> CompiledPattern:
    if not isinstance(pattern, str):
        raise ValueError("a regular expression is text")
    return CompiledPattern(pattern)


Regex = Annotated[CompiledPattern, PlainValidator(_compiled)]
