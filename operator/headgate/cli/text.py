"""Turns what a cluster says into text that is safe to print: no control codes, no markup, ages that read well."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

from headgate.api.common import to_epoch

UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control codes (ANSI), invisible and direction-changing characters, lone surrogates, line separators."""


def clean(value: object) -> str:
    """The text with every character that could steer a terminal or hide text shown as its escape.

    Whoever may write a name, a message or a query label must not be able to colour, move or forge lines on another
    person's screen. Line breaks become spaces: one fact is one line.
    """
    text = "" if value is None else str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if letter in "\n\r\t":
        return " "
    if unicodedata.category(letter) not in UNSAFE:
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two hex digits


def age(since: str | None, now: float) -> str:
    """How long ago an RFC 3339 time was: `42s`, `3m05s`, `2h10m`, `3d4h`; empty without one."""
    if not since:
        return ""
    try:
        return span(now - to_epoch(since))
    except (ValueError, OverflowError):
        return "?"


def span(length: float) -> str:
    """A length in seconds for people, in two units at most."""
    seconds = max(0, int(length))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h" if days < 10 and hours else f"{days}d"  # noqa: PLR2004 - hours no longer matter
    if hours:
        return f"{hours}h{minutes:02d}m"
    if minutes >= 10:  # noqa: PLR2004 - seconds no longer matter
        return f"{minutes}m"
    return f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


def clock(now: float) -> str:
    """The time of day in UTC, as log lines begin."""
    return f"{datetime.fromtimestamp(now, UTC):%H:%M:%SZ}"


def number(value: float | None) -> str:
    """A measured value with as many digits as a person compares."""
    return "no value" if value is None else f"{value:.6g}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 pod`, `2 pods`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


@dataclass(frozen=True)
class Marks:
    """The signs before lines."""

    done: str
    now: str
    to_come: str
    failed: str
    unknown: str
    held: str


SIGNS = Marks(done="✔", now="▶", to_come="○", failed="✖", unknown="?", held="⏸")
PLAIN_SIGNS = Marks(done="+", now=">", to_come=".", failed="x", unknown="?", held="=")


def marks_for(encoding: str) -> Marks:
    """The signs that a terminal of this encoding can show."""
    try:
        "".join(vars(SIGNS).values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return PLAIN_SIGNS
    return SIGNS
