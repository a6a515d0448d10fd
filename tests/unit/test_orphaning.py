"""`--cascade=orphan`: the server's finalizer is gone in a moment, and what it asked for is not forgotten."""

from __future__ import annotations

from typing import Any

from headgate.engine.cache import Cache
from headgate.observe.views import rollout_meta


def rollout(version: int, finalizers: list[str], uid: str = "one") -> dict[str, Any]:
    """A version of a Rollout that is being deleted."""
    return {
        "metadata": {
            "name": "shop",
            "namespace": "shop",
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionTimestamp": "2026-01-01T00:01:00Z",
            "finalizers": finalizers,
        }
    }


def orphaning(cache: Cache) -> bool:
    """What a decision is told."""
    found = cache.get("Rollout", "shop", "shop")
    assert found is not None
    return rollout_meta(found).orphaning


def test_it_is_remembered_when_the_finalizer_is_gone() -> None:
    """The garbage collector is quicker than the hand-back, and may be quicker than the first look."""
    cache = Cache()
    cache.put("Rollout", rollout(5, ["headgate.dev/hand-back", "orphan"]))
    cache.put("Rollout", rollout(6, ["headgate.dev/hand-back"]))
    cache.put("Rollout", rollout(7, ["headgate.dev/hand-back"]))
    assert orphaning(cache)


def test_another_rollout_of_the_name_knows_nothing_of_it() -> None:
    """What is remembered is one uid's."""
    cache = Cache()
    cache.put("Rollout", rollout(5, ["orphan"]))
    cache.put("Rollout", rollout(6, ["headgate.dev/hand-back"], uid="two"))
    assert not orphaning(cache)
