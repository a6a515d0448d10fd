"""The cluster around the operator: the store with its server, and a hand for whoever works in it by and by."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from typing import Any

from tests.simulation.shell.api import Server
from tests.simulation.shell.clock import VirtualLoop
from tests.simulation.shell.store import Change, Store


class Cluster:
    """Store, server, clock, and the chance of whatever is no fault."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.loop = loop
        self.chance = random.Random(f"{seed}/cluster")
        self.store = Store(now=loop.time, wall=loop.wall)
        self.server = Server(self.store, wall=loop.wall)

    def letters(self, count: int) -> str:
        """A random end of a name, as Kubernetes makes them."""
        return "".join(self.chance.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(count))


class Agenda:
    """Work on keys: each once, a little later than it became due, as controllers do."""

    def __init__(self, cluster: Cluster, work: Callable[[Any], None], *, shortest: float, longest: float) -> None:
        self._cluster = cluster
        self._work = work
        self._range = (shortest, longest)
        self._due: set[Hashable] = set()

    def add(self, key: Hashable, at_least: float = 0.0) -> None:
        """Work on the key soon."""
        if key not in self._due:
            self._due.add(key)
            delay = max(at_least, self._cluster.chance.uniform(*self._range))
            self._cluster.loop.call_later(delay, self._begin, key)

    def _begin(self, key: Hashable) -> None:
        self._due.discard(key)
        self._work(key)


def owner_of(obj: dict[str, Any]) -> tuple[str, str, str] | None:
    """Kind, name and uid of the controller of an object."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            return str(ref["kind"]), str(ref["name"]), str(ref["uid"])
    return None


__all__ = ["Agenda", "Change", "Cluster", "owner_of"]
