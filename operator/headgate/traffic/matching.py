"""Matches as regular expressions (RE2), for routers that know no other form of them."""

from __future__ import annotations

import re

from headgate.api.routes import PathMatch, StringMatch


def regex_of(value: StringMatch | PathMatch | None) -> str:
    """An expression of the whole text."""
    if value is None or value.regex is not None:
        return (value.regex if value else None) or ".*"
    return f"^{re.escape(value.exact)}$" if value.exact is not None else f"^{re.escape(value.prefix or '')}.*$"


def cookie_regex(name: str, value: StringMatch | None) -> str:
    """An expression of the whole header `Cookie`, in which one of the cookies has this name and value."""
    if value is None or value.regex is not None:
        inner = f"({value.regex})" if value else "[^;]*"
    else:
        inner = re.escape(value.exact) if value.exact is not None else f"{re.escape(value.prefix or '')}[^;]*"
    return f"^(.*; ?)?{re.escape(name)}={inner}(;.*)?$"
