"""Places arguments in the text of a PromQL query, so that an argument never becomes more than the value it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from headgate.decide.expressions import literal

_PLACEHOLDER = re.compile(r"\{\{[ ]*([a-zA-Z][a-zA-Z0-9]*)(:regex)?[ ]*\}\}")
_BARE = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?|([0-9]{1,9}(ms|s|m|h|d|w|y))+", re.ASCII)
"""What may stand outside quotes: a plain number or a length of time."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
"""What means nothing but itself wherever it stands, in whatever language: letters, digits, _, - and single dots."""


class MisplacedArgument(ValueError):  # noqa: N818 - a finding about a query, not a fault of ours.
    """An argument that cannot stand where the query has it, or is missing; `name` is empty if none is meant."""

    def __init__(self, name: str, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.name = name
        self.missing = missing


@lru_cache(maxsize=1024)
def arguments_of(source: str) -> frozenset[str]:
    """The names of the arguments that a query asks for."""
    return frozenset(match[1] for match in _PLACEHOLDER.finditer(source))


def substitute(source: str, arguments: Mapping[str, str], *, quotes: bool = True) -> str:
    """The query with its arguments in place, in one pass: what an argument brings in is never read again.

    Without `quotes` nobody knows how the language quotes a text: then only plain words may stand in it.

    Raises:
        MisplacedArgument: if one is missing, or cannot stand where the query has it.
    """
    parts: list[str] = []
    for piece, quote in _pieces(source):
        match = _PLACEHOLDER.fullmatch(piece)
        if match is None:
            if "{{" in piece:
                raise MisplacedArgument("", "has a {{ that begins no argument like {{name}}")
            parts.append(piece)
            continue
        name, is_regex = match[1], match[2] is not None
        if name not in arguments:
            raise MisplacedArgument(name, f'needs the argument "{name}"; add it', missing=True)
        try:
            parts.append(_placed(arguments[name], quote, is_regex=is_regex) if quotes else _word(arguments[name]))
        except ValueError as problem:
            raise MisplacedArgument(name, str(problem)) from None
    return "".join(parts)


@lru_cache(maxsize=1024)
def _pieces(source: str) -> tuple[tuple[str, str], ...]:
    """The text cut into placeholders and the rest, each with what it stands in: a quote, `#` (comment) or nothing."""
    pieces: list[tuple[str, str]] = []
    quote, start, position = "", 0, 0
    while position < len(source):
        match = _PLACEHOLDER.match(source, position)
        if match:
            pieces += [(source[start:position], quote), (match[0], quote)]
            start = position = match.end()
            continue
        character = source[position]
        if quote == "#":
            quote = "" if character == "\n" else quote
        elif quote:
            if character == "\\" and quote != "`":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'`#":
            quote = character
        position += 1
    return (*pieces, (source[start:], quote))


def _placed(value: str, quote: str, *, is_regex: bool) -> str:
    """The value as it may stand inside this quote.

    Raises:
        ValueError: if it cannot stand there.
    """
    if quote in {"", "#"}:
        if _BARE.fullmatch(value) is None:
            raise ValueError("stands outside quotes, where only a number or a length of time like 5m may stand")
        return value
    if is_regex:
        value = literal(value)
    if quote == "`":
        if "`" in value:
            raise ValueError("must not contain a backquote, because it stands in backquotes")
        return value
    if value.isprintable() and quote not in value and "\\" not in value:
        return value
    return "".join(_escaped(character, quote) for character in value)


def _word(value: str) -> str:
    """The value, as it may stand anywhere.

    Raises:
        ValueError: if it may not.
    """
    if _PLAIN.fullmatch(value) is None:
        raise ValueError(
            "may hold letters, digits, _, - and single dots only, because the provider's language is not known"
        )
    return value


def _escaped(character: str, quote: str) -> str:
    if character in {"\\", quote}:
        return "\\" + character
    if character == "\n":
        return "\\n"
    if character < " " or character == "\x7f":
        return f"\\x{ord(character):02x}"
    return character
