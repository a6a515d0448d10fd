"""Matches in the forms of routers: regular expressions (RE2), and paths within the paths of a claimed rule."""

from __future__ import annotations

from headgate.api.routes import PathMatch, StringMatch
from headgate.decide.expressions import literal


def regex_of(value: StringMatch | PathMatch | None) -> str:
    """An expression of the whole text."""
    if value is None or value.regex is not None:
        return (value.regex if value else None) or ".*"
    return f"^{literal(value.exact)}$" if value.exact is not None else f"^{literal(value.prefix or '')}.*$"


def cookie_regex(name: str, value: StringMatch | None) -> str:
    """An expression of the whole header `Cookie`, in which one of the cookies has this name and value."""
    if value is None or value.regex is not None:
        inner = f"({value.regex})" if value else "[^;]*"
    else:
        inner = literal(value.exact) if value.exact is not None else f"{literal(value.prefix or '')}[^;]*"
    return f"^(.*; ?)?{literal(name)}={inner}(;.*)?$"


def inner_path(kind: str, value: str, wanted: PathMatch) -> tuple[str, str] | None:
    """The paths that a rule and a match both ask for, as kind (`exact`, `prefix`, `regex`) and text.

    None if there are none, or one condition cannot say it: whether an expression stays within a prefix nobody can tell,
    but for the prefix of everything.
    """
    if wanted.regex is not None:
        return ("regex", wanted.regex) if (kind, value) == ("prefix", "/") else None
    how, text = ("exact", wanted.exact) if wanted.exact is not None else ("prefix", str(wanted.prefix))
    text = str(text)
    if (how, text) == ("prefix", "/"):
        return kind, value
    if kind == "prefix" and (value in ("/", text) or text.startswith(value.rstrip("/") + "/")):
        return how, text
    if kind == "regex" or (how == "exact" and kind == "prefix"):
        return None
    return (kind, value) if value == text or (how == "prefix" and value.startswith(text.rstrip("/") + "/")) else None
