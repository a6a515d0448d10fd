"""Which of two Rollouts has a claim."""

from __future__ import annotations

from typing import Any

from headgate.engine.cache import Cache
from headgate.observe.reading import Models
from headgate.observe.references import References, _older


def rollout(uid: str, created: str = "2026-01-01T00:00:00Z", *, serves: bool = False) -> dict[str, Any]:
    """A Rollout as the cache holds it."""
    status = {"stable": {"podHash": "abc"}} if serves else {}
    return {"metadata": {"uid": uid, "creationTimestamp": created}, "status": status}


def test_the_older_one_has_the_claim() -> None:
    """By its creation, whatever serves."""
    younger = rollout("a", "2026-01-01T00:00:01Z", serves=True)
    assert _older(rollout("b"), younger)
    assert not _older(younger, rollout("b"))


def test_of_two_in_one_second_the_one_that_serves_has_the_claim() -> None:
    """A newcomer must not take the Service of a release that is live, whichever uid it got."""
    assert _older(rollout("z", serves=True), rollout("a"))
    assert not _older(rollout("a"), rollout("z", serves=True))


def test_of_two_equals_one_has_the_claim() -> None:
    """Exactly one, for ever the same."""
    assert _older(rollout("a"), rollout("b"))
    assert not _older(rollout("b"), rollout("a"))


def test_the_services_of_variants_are_referred_to_and_claimed() -> None:
    """What becomes of one is heard of, and no other Rollout has it."""
    variant = {"name": "a", "specRef": "Stable", "service": "apart"}
    steps = [{"experiment": {"variants": [variant], "gate": {"ref": {"name": "compared"}}}}]
    canary: dict[str, Any] = {"stableService": "shop", "canaryService": "shop-canary", "steps": steps}
    canary["trafficRouting"] = {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}
    obj = rollout("a")
    obj["metadata"] |= {"namespace": "sim", "name": "shop", "generation": 1}
    obj["spec"] = {"replicas": 1, "template": {}, "strategy": {"canary": canary}}
    models = Models()
    references = References(models, ())
    assert {"Service/sim/apart", "QualityGate/sim/compared"} <= references.of(obj)
    spec, _ = models.spec(obj)
    assert spec is not None
    assert "Service/apart" in dict(references._claims(Cache(), "sim", spec))
