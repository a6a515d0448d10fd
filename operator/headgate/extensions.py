"""Finds what the admin has switched on in other installed packages, by entry point; nothing else of them is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

from headgate.api.rollout import PLUGINS

DECLARED = "headgate_protocol"
"""The attribute by which an extension says what version of the protocol it was written for."""


def name_of(key: str) -> str:
    """The name of the extension that the configuration calls so; empty if it is one of Headgate's own."""
    prefix, dot, name = key.partition(".")
    return name if dot and prefix == PLUGINS else ""


def load(group: str, key: str, protocol: int, field: str) -> Callable[..., Any]:
    """The class or function that an installed package registers under this entry point group and name.

    Raises:
        ValueError: if there is none or more than one, if it cannot be imported, or is for another protocol; the message
            begins with `field`.
    """
    name = name_of(key)
    installed = entry_points(group=group)
    found = {entry.value: entry for entry in installed if entry.name == name}
    if not found:
        there = ", ".join(sorted(f"{PLUGINS}.{entry}" for entry in installed.names)) or "none"
        raise ValueError(
            f"{field}: no installed package has an entry point {name!r} in the group {group}; there are: {there}. "
            "Install the package in the operator's image, or correct the name"
        )
    if len(found) > 1:
        raise ValueError(
            f"{field}: several installed packages have an entry point {name!r} in the group {group} "
            f"({', '.join(sorted(found))}); leave one of them"
        )
    ((value, entry),) = found.items()
    try:
        made = entry.load()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{field}: the extension {key} ({value}) cannot be imported: {said(error)}") from error
    declared = getattr(made, DECLARED, None)
    if declared != protocol or not callable(made):
        raise ValueError(
            f"{field}: the extension {key} ({value}) is written for version {declared!r} of the protocol of {group}, "
            f"and this operator speaks {protocol}; install a version of the package that sets {DECLARED} = {protocol}"
        )
    return made  # type: ignore[no-any-return]  # What a package registers has no type that could be known.


def make(
    group: str,
    key: str,
    protocol: int,
    field: str,
    what: str,
    methods: Sequence[str],
    *arguments: Any,
    **options: Any,
) -> Any:
    """What the class or function of an extension makes of the arguments; it is a `what` that has these methods.

    Raises:
        ValueError: as `load`, and if it fails, or makes something else; the message begins with `field`.
    """
    factory = load(group, key, protocol, field)
    try:
        made = factory(*arguments, **options)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{field}: the extension {key} cannot be made: {said(error)}") from error
    missing = [method for method in methods if not callable(getattr(made, method, None))]
    if missing:
        raise ValueError(f"{field}: the extension {key} is no {what}: it has no {', '.join(missing)}")
    return made


def said(error: BaseException) -> str:
    """An error of somebody else's code in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
