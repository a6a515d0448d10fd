"""A Rollout that goes: with `onDelete: Revert` nothing is left of it, with `Keep` what serves goes on serving."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.rollout import decide
from tests.simulation.rolling_world import RollingWorld, rolling
from tests.simulation.world import World, spec

PAUSED: list[dict[str, Any]] = [{"setWeight": 50}, {"pause": {}}]
ALL = ("Deployment/shop", "Service/shop", "Service/shop-canary", "HTTPRoute/shop")


class Owned(World):
    """A world that remembers of which objects the operator owns fields."""

    owned: tuple[str, ...] = ()

    def snapshot(self) -> t.Snapshot:
        """As the operator sees it."""
        seen = super().snapshot()
        services = (seen.stable_service, seen.canary_service)
        stable, canary = (replace(s, signed=f"Service/{s.name}" in self.owned) for s in services)
        routes = tuple(replace(r, signed=f"HTTPRoute/{r.name}" in self.owned) for r in seen.routes)
        workload = seen.workload
        if workload is not None:
            workload = replace(workload, signed=f"Deployment/{workload.name}" in self.owned)
        return replace(seen, stable_service=stable, canary_service=canary, routes=routes, workload=workload)

    def apply_more(self, action: t.Action) -> None:
        """Take the operator off the owners."""
        assert isinstance(action, t.Disown)
        self.owned = tuple(o for o in self.owned if o != f"{action.kind}/{action.name}")


def adopted(**more: Any) -> Owned:
    """A world whose Deployment was adopted."""
    world = Owned(1, spec(PAUSED, template=None, workload_ref={"name": "shop"}, **more))
    world.deployment = 4
    world.settle(120)
    world.run_for(60)
    world.owned = ALL
    world.writes.clear()
    return world


def kept_by(world: World) -> str:
    """The ReplicaSet of what is stable."""
    assert world.status.stable
    return f"shop-{world.status.stable.pod_hash}"


def test_it_is_no_owner_any_more_once_all_is_handed_back() -> None:
    """One write for each object, after the last one that changes anything, and before the finalizer goes."""
    world = adopted()
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert world.owned == ()
    disowned = [w for w in world.writes if w.startswith("Disown")]
    assert sorted(disowned) == sorted(f"Disown/{place}" for place in ALL)
    assert [w for w in world.writes if not w.startswith("SetFinalizer")][-len(ALL) :] == disowned


def test_what_stays_as_it_wrote_it_stays_its_own() -> None:
    """The Deployment stays at 0 in mid-release: who compares it with Git is to know who wrote that."""
    world = adopted()
    world.release("v2")
    world.settle(120, until=("Paused",))
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert world.owned == ALL


@pytest.mark.parametrize("kind", [t.OutcomeKind.REFUSED, t.OutcomeKind.UNKNOWN])
def test_an_owner_that_cannot_be_changed_keeps_nobody_waiting(kind: t.OutcomeKind) -> None:
    """A refusal is the end of it; what fails is tried again as long as a gateway is waited for."""
    world = adopted()
    world.deleting = True
    action = decide(world.snapshot(), world.now).action
    while not isinstance(action, t.Disown):
        assert not world.gone
        if not world.turn():
            world.advance()
        action = decide(world.snapshot(), world.now).action
    failed = t.Outcome(action.key, kind, "Forbidden", "a webhook says no")
    seen = replace(world.snapshot(), outcome=failed, barred=frozenset({action.key}))
    again = decide(seen, world.now).action
    late = decide(seen, world.now + 120).action
    assert late is not None
    assert late.key != action.key
    assert again is not None
    assert (again.key == action.key) == (kind is t.OutcomeKind.UNKNOWN)


def test_kept_pods_go_on_serving_as_they_do() -> None:
    """Deleted by mistake: no selector changes, the Deployment stays at 0, the stable pods and their record stay."""
    world = adopted(on_delete="Keep")
    stable = kept_by(world)
    before = dict(world.selectors)
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert [w for w in world.writes if not w.startswith(("SetFinalizer", "status"))] == []
    assert world.sets[stable].replicas == 4
    assert (world.deployment, world.selectors, world.owned) == (0, before, ALL)
    assert [p.name.rpartition("-")[0] for p in world.plans.values()] == [stable], "the record is what owns the pods"


def test_kept_is_what_is_stable_and_nothing_else() -> None:
    """In mid-release the canary loses its traffic, and then its pods and its record, as it always does."""
    world = Owned(1, spec(PAUSED, on_delete="Keep"))
    world.settle(120)
    stable = kept_by(world)
    canary = world.release("v2")
    world.settle(120, until=("Paused",))
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert world.weight == 0
    assert {name: s.replicas for name, s in world.sets.items()} == {stable: 4, f"shop-{canary}": 0}
    assert set(world.selectors.values()) == {stable.removeprefix("shop-")}
    assert {p.pod_hash for p in world.plans.values()} == {stable.removeprefix("shop-")}


def test_before_anything_is_stable_a_workload_keeps_its_own_pods() -> None:
    """While the Deployment is adopted it has all its pods: what came up beside it goes, whatever onDelete says."""
    world = Owned(1, spec(PAUSED, template=None, workload_ref={"name": "shop"}, on_delete="Keep"))
    world.deployment = 4
    while not world.sets:
        world.run_for(0.5)
    assert world.status.stable is None
    world.deleting = True
    world.run_for(300)
    assert world.gone
    assert (world.deployment, set(world.selectors.values()), world.plans) == (4, {""}, {})


def test_a_kept_stateful_set_stays_closed() -> None:
    """A template that is committed while no Rollout is there goes out only when somebody opens the update."""
    made = rolling([{"setBatch": 1}, {"pause": {}}], onDelete="Keep")
    world = RollingWorld(1, made, pods=3)
    world.settle(120)
    closed = world.partition
    assert closed
    world.deleting = True
    world.run_for(120)
    assert world.gone
    assert world.partition == closed
