"""Where things are kept: the repository's own folders and the per-user cache."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hgcluster import ui

REPOSITORY = Path(__file__).resolve().parents[3]
TOOLS = REPOSITORY / "hack" / "tools"


def cache() -> Path:
    """The per-user cache; everything this command makes is below it."""
    named = os.environ.get("HEADGATE_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).expanduser().resolve() / "headgate"


def folder(*parts: str) -> Path:
    """A folder in the cache, made if it is not there."""
    path = cache().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def cluster(name: str) -> Path:
    """The folder of one cluster; it exists only while the cluster does."""
    return cache() / "clusters" / name


@contextmanager
def lock(name: str, what: str) -> Iterator[None]:
    """Hold a lock that other runs of this command respect, so that two of them never do the same work twice."""
    path = folder("locks") / f"{name}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            ui.say(f"another run of this command is busy with {what}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
