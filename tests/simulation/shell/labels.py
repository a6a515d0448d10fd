"""Label selectors, as the API writes them in a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

Labels = Mapping[str, str]
Test = Callable[[Labels], bool]

_SET = re.compile(r"^\s*(?P<key>[^\s,()!=]+)\s+(?P<word>in|notin)\s+\((?P<values>[^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*(?P<key>[^\s,()!=]+)\s*(?P<sign>==|=|!=)\s*(?P<value>[^\s,()!=]*)\s*$")
_EXISTS = re.compile(r"^\s*(?P<no>!?)\s*(?P<key>[^\s,()!=]+)\s*$")


class BadSelector(ValueError):  # noqa: N818  as the server's answer names it
    """It cannot be read."""


@lru_cache(maxsize=256)
def selector(text: str) -> Test:
    """The test that a selector stands for.

    Raises:
        BadSelector: if it is none.
    """
    tests = [_test(part) for part in re.split(r",(?![^(]*\))", text)] if text.strip() else []
    return lambda labels: all(test(labels) for test in tests)


def _test(part: str) -> Test:
    found = _SET.match(part)
    if found:
        key, values = found["key"], {v.strip() for v in found["values"].split(",")}
        if found["word"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    found = _EQUAL.match(part)
    if found:
        key, value = found["key"], found["value"]
        if found["sign"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    found = _EXISTS.match(part)
    if found:
        key, wanted = found["key"], not found["no"]
        return lambda labels: (key in labels) is wanted
    raise BadSelector(part)
