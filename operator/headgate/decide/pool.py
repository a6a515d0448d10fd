"""How many pods each revision has where the pods are the weight: never too few in all, and never too many."""

from __future__ import annotations

import math
from collections.abc import Mapping

from headgate.api.rollout import Canary, RolloutSpec
from headgate.api.values import dataclass
from headgate.decide.types import ReplicaSetView

DEFAULT = "25%"
ALL = 100


@dataclass(frozen=True, slots=True)
class Bounds:
    """How few pods may be available and how many may be wanted, all revisions together."""

    least: int
    most: int


def split(replicas: int, weight: int) -> tuple[int, int]:
    """Pods of the stable and of the new revision at a weight in percent.

    The new one gets no more than its weight, but for its first pod; the stable one keeps a pod below 100. Together they
    are `replicas`, or two pods where one cannot be divided.
    """
    if not replicas or weight <= 0:
        return replicas, 0
    if weight >= ALL:
        return 0, replicas
    new = max(1, replicas * weight // ALL)
    return max(1, replicas - new), new


def bounds(spec: RolloutSpec, canary: Canary) -> Bounds:
    """As a Deployment counts them: the surge is rounded up, what may be missing down, and not both are nothing."""
    surge = _count(canary.max_surge, spec.replicas, up=True)
    missing = _count(canary.max_unavailable, spec.replicas, up=False)
    if not surge and not missing:
        missing = 1
    return Bounds(least=max(0, spec.replicas - missing), most=spec.replicas + surge)


def _count(amount: int | str | None, replicas: int, *, up: bool) -> int:
    found = DEFAULT if amount is None else amount
    if isinstance(found, int):
        return found
    part = replicas * int(found.removesuffix("%")) / ALL
    return math.ceil(part) if up else math.floor(part)


def serving(found: ReplicaSetView) -> int:
    """Available pods that its next size leaves; none while its controller has not seen the last change."""
    return min(found.available, found.replicas) if found.settled else 0


def grows_to(pod_hash: str, wanted: int, sizes: Mapping[str, int], most: int) -> int:
    """How many pods a revision may be given now on its way up."""
    have = sizes.get(pod_hash, 0)
    return min(wanted, have + max(0, most - sum(sizes.values())))


def shrinks_to(pod_hash: str, wanted: int, sizes: Mapping[str, int], there: Mapping[str, int], least: int) -> int:
    """How many pods must be left to a revision now on its way down; pods that are not available go first."""
    others = sum(count for other, count in there.items() if other != pod_hash)
    needed = min(there.get(pod_hash, 0), max(0, least - others))
    return min(sizes.get(pod_hash, 0), max(wanted, needed))
