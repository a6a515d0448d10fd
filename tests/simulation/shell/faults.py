"""What goes wrong, and when: one chance for each place where something can, so that a seed repeats exactly."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

WRITES = (
    "crash before a write",
    "crash after a write",
    "crash after the answer",
    "409",
    "422",
    "429",
    "500, not applied",
    "500, applied",
    "timeout, not applied",
    "timeout, applied",
    "connection lost, not applied",
    "connection lost, applied",
    "slow",
)
READS = ("read: 500", "read: 429", "read: timeout", "read: connection lost", "read: slow", "read: crash", "list: 410")
WATCHES = (
    "watch: cut",
    "watch: 410",
    "watch: 500",
    "watch: stall",
    "watch: late",
    "watch: events repeated",
    "watch: events coalesced",
)
CHECKS = ("provider: Timeout", "provider: Unreachable", "provider: ServerError")
SERVED = (
    "Rollout",
    "QualityGate",
    "RolloutAction",
    "ReplicaSet",
    "ControllerRevision",
    "Service",
    "EndpointSlice",
    "HTTPRoute",
    "Deployment",
    "Lease",
    "Event",
)
"""What may not be served for a while."""
AWAY = ((0.2, 5.0), (5.0, 40.0), (40.0, 120.0))
"""For how many seconds: a server that starts, a definition that is made again, an API that is installed anew."""
KINDS = (*WRITES, *READS, *WATCHES, *CHECKS, "second replica", "stop and start", "compaction")
"""Every kind of fault there is; each can be left out by itself."""


class Faults:
    """The faults of one history."""

    def __init__(
        self, seed: int, strength: float, without: frozenset[str] = frozenset(), *, unserved: float = 0.0
    ) -> None:
        self.strength = strength
        self._unserved = unserved
        self._until: dict[str, float] = {}
        # Beside the others, so that it leaves them where they are.
        self._kinds = random.Random(f"{seed}/faults/kinds")
        self.without = without
        self.on = True
        self.happened: Counter[str] = Counter()
        self._chances = {
            place: random.Random(f"{seed}/faults/{place}") for place in ("write", "read", "watch", "check")
        }

    def write(self, weight: float = 1.0) -> str:
        """What goes wrong with a write; empty if nothing does."""
        return self._draw("write", WRITES, weight)

    def read(self, weight: float = 1.0) -> str:
        """What goes wrong with a read."""
        return self._draw("read", READS, weight)

    def watch(self, weight: float = 1.0) -> str:
        """What happens to a watch before its next event."""
        return self._draw("watch", WATCHES, weight)

    def check(self) -> str:
        """What goes wrong with a question to the metric provider."""
        return self._draw("check", CHECKS, 1.0).removeprefix("provider: ")

    def unserved(self, kind: str, now: float) -> bool:
        """Whether nobody answers for a kind; looked at for each request, which is when it may begin for any kind."""
        if not self.on:
            return False
        if self._unserved and self._kinds.random() < self._unserved:
            away = self._kinds.choice(SERVED)
            self._until[away] = now + self._kinds.uniform(*self._kinds.choice(AWAY))
            self.happened[f"unserved: {away}"] += 1
        return now < self._until.get(kind, now)

    def seconds(self, place: str, longest: float) -> float:
        """How long something lasts."""
        return self._chances[place].uniform(0.05, longest)

    def _draw(self, place: str, kinds: Sequence[str], weight: float) -> str:
        # Two draws always, so that leaving a kind out leaves the others where they are.
        chance = self._chances[place]
        hit, kind = chance.random() < self.strength * weight, kinds[int(chance.random() * len(kinds))]
        if not self.on or not hit or kind in self.without:
            return ""
        self.happened[kind] += 1
        return kind
