"""Text as a regular expression that means nothing but it, in RE2 and in PCRE."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
"""What either gives a meaning, https://github.com/google/re2/wiki/Syntax. Python's `re.escape` escapes spaces and line
ends, too, which RE2's documents do not promise to read back."""


def literal(text: str) -> str:
    """An expression of this text and of no other."""
    return _SPECIAL.sub(r"\\\g<0>", text)
