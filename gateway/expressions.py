"""Places in a body, in the language that others use for it: JMESPath (jmespath.org), with three functions of ours.

`from_json(text)` is what a text says that is itself JSON; `cut(text, 'pattern')` the first group of a regular
expression (RE2) where it is found, or all of the text where it has none; `split(text, ',')` its parts. What cannot
be asked of a body, as a function of the wrong kind of value, is null there: a shape is no fault of the rules."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any

import jmespath  # type: ignore[import-untyped]
from jmespath import exceptions, functions
from pydantic import PlainValidator

from .patterns import CompiledPattern

# In a template whatever stands in quotes is part of the expression, be it a brace.
_PLACE = re.compile(r"""\{((?:[^{}'"`]|'[^']*'|"[^"]*"|`[^`]*`)*)\}""")
_TEXT = {"types": ["string", "null"]}
# Of patterns in files, of which there are few.
_pattern = lru_cache(maxsize=256)(CompiledPattern)


class Functions(functions.Functions):  # type: ignore[misc]
    """The functions that an expression may use, for one body: a text that is JSON is read once, however often."""

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[str, object] = {}

    @functions.signature(_TEXT)  # type: ignore[untyped-decorator]
    def _func_from_json(self, text: str | None) -> object:
        if text is not None and text not in self._read:
            try:
                self._read[text] = json.loads(text)
            except (ValueError, RecursionError):
                self._read[text] = None
        return None if text is None else self._read[text]

    @functions.signature(_TEXT, {"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_cut(self, text: str | None, pattern: str) -> str | None:
        return (text and _pattern(pattern).found(text)) or None

    @functions.signature(_TEXT, {"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_split(self, text: str | None, separator: str) -> list[str]:
        return [part.strip() for part in text.split(separator)] if text and separator else []


class Body:
    """What is asked of one body."""

    def __init__(self, read: object) -> None:
        self.read = read
        self._options = jmespath.Options(custom_functions=Functions())
        self._known: dict[str, object] = {}

    def ask(self, expression: "Expression", of: object) -> object:
        """Return what an expression says of a part of the body; null where it cannot be asked of it."""
        return expression.said(of, self._options)

    def ask_whole(self, expression: "Expression") -> object:
        """Return what it says of the whole body, asked once."""
        if expression.text not in self._known:
            self._known[expression.text] = self.ask(expression, self.read)
        return self._known[expression.text]


class Expression:
    """A JMESPath expression."""

    def __init__(self, text: str) -> None:
        """Raises ValueError saying what is wrong with it."""
        self.text = text.strip()
        try:
            self._compiled = jmespath.compile(self.text)
        except exceptions.JMESPathError as error:
            raise ValueError(f"{{{self.text}}} is no JMESPath: {' '.join(str(error).split())[:200]}") from error
        for node in _nodes(self._compiled.parsed):
            if node["type"] == "function_expression":
                _check_function(node)

    def said(self, value: object, options: Any) -> object:
        """Return what it says of a value; null where it cannot be asked of it."""
        try:
            found: object = self._compiled.search(value, options=options)
        except (exceptions.JMESPathError, RecursionError, ValueError, TypeError, KeyError, ArithmeticError):
            return None
        return found


class Template:
    """Text with expressions in braces."""

    def __init__(self, text: str) -> None:
        """Raises ValueError saying what is wrong with it."""
        self.text = text
        pieces = _PLACE.split(text)
        if any("{" in piece or "}" in piece for piece in pieces[::2]):
            raise ValueError(f"{text!r}: an expression stands in braces, as in {{a.b[0] || c}}")
        self._pieces = [Expression(one) if number % 2 else one for number, one in enumerate(pieces)]

    def __bool__(self) -> bool:
        return bool(self.text)

    def fill(self, body: Body, item: object) -> str:
        """The text with its expressions filled in, of an item, else of the whole body."""
        return "".join(one if isinstance(one, str) else _first(one, body, item) for one in self._pieces).strip()


def text_of(value: object) -> str:
    """A value as text; a list or an object is none."""
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).encode(errors="replace").decode()


def _first(expression: Expression, body: Body, item: object) -> str:
    found = text_of(body.ask(expression, item)) if item is not body.read else ""
    return found or text_of(body.ask_whole(expression))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _nodes(child)


def _check_function(node: dict[str, Any]) -> None:
    """Functions are known, and patterns are written in the file: nobody who sends a body chooses one."""
    if node["value"] not in Functions.FUNCTION_TABLE:
        raise ValueError(f"there is no function {node['value']}()")
    if node["value"] == "cut":
        pattern = node["children"][1] if len(node["children"]) == 2 else {"type": ""}
        if pattern["type"] != "literal" or not isinstance(pattern["value"], str):
            raise ValueError("cut() takes a text and a pattern in single quotes")
        CompiledPattern(pattern["value"])


def _template(text: object) -> Template:
    if isinstance(text, Template):
        return text
    if not isinstance(text, str):
        raise ValueError("must be text, with expressions in braces")
    return Template(text)


def _expression(text: object) -> Expression:
    if not isinstance(text, str):
        raise ValueError("must be an expression, as text")
    return Expression(text)


Filled = Annotated[Template, PlainValidator(_template)]
Asked = Annotated[Expression, PlainValidator(_expression)]
