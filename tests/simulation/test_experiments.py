"""An experiment runs variants beside both versions while its gate compares them, and nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import RolloutSpec
from tests.simulation.world import GATE, Faults, World, spec, stays_at_rest

pytestmark = pytest.mark.simulation

COMPARED = QualityGateSpec.model_validate(
    {
        "interval": "5s",
        "checks": [{"name": "compared", "prometheus": {"query": {"template": "compared"}}, "pass": {"min": 99}}],
    }
)


def variant(name: str, of: str, **more: Any) -> dict[str, Any]:
    """A variant of one pod, of which the gate is told by its name."""
    return {"name": name, "specRef": of, "gateArguments": [{"name": name, "value": "Revision"}], **more}


def trial(
    *, baseline: dict[str, Any] | None = None, canary: dict[str, Any] | None = None, **gate: Any
) -> dict[str, Any]:
    """A step that compares the two versions."""
    variants = [variant("baseline", "Stable", **(baseline or {})), variant("canary", "Canary", **(canary or {}))]
    return {"experiment": {"variants": variants, "gate": {"ref": {"name": "compared"}, "count": 2, **gate}}}


STEPS = [{"setWeight": 20}, trial(), {"setWeight": 60}]


def world_of(rollout: RolloutSpec, seed: int = 1, faults: Faults | None = None) -> World:
    """A world whose first version serves."""
    world = World(seed, rollout, faults)
    world.gates = {"golden": GATE, "compared": COMPARED}
    return world


def at_experiment(rollout: RolloutSpec, **release: Any) -> tuple[World, str]:
    """A world in the middle of its experiment, and the pod hash of what is released."""
    world = world_of(rollout)
    world.settle(120)
    new = world.release("v2", **release)
    for _ in range(600):
        world.run_for(0.5)
        if any(g.name == "compared" and g.checks for g in world.status.gates):
            return world, new
    world.fail("the experiment does not begin")
    raise AssertionError


def stable(world: World) -> str:
    """The pod hash of what is stable."""
    return world.status.stable.pod_hash if world.status.stable is not None else ""


def variants_of(world: World) -> dict[str, int]:
    """Ready pods by variant."""
    return {s.variant: world.ready(s) for s in world.sets.values() if s.variant}


def test_the_gate_begins_when_all_variants_serve_and_they_go_when_it_has_passed() -> None:
    """Each variant has the template that it was to have."""
    world, new = at_experiment(spec(STEPS))
    assert variants_of(world) == {"baseline": 1, "canary": 1}
    made = {s.variant: s.pod_spec["containers"][0]["image"] for s in world.sets.values() if s.variant}
    assert made == {"baseline": "v1", "canary": "v2"}
    world.settle(300)
    assert stable(world) == new
    assert not variants_of(world)
    world.check_rest()
    stays_at_rest(world)


def test_what_does_worse_in_the_experiment_is_taken_back_and_its_variants_go() -> None:
    """The verdict is the gate's."""
    world = world_of(spec([trial()]))
    world.settle(120)
    new = world.release("v2", quality=50.0)
    world.settle(300)
    assert [(r.pod_hash, r.reason) for r in world.status.rejected] == [(new, "GateFailed")]
    assert not variants_of(world)
    stays_at_rest(world)
