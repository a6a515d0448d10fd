"""A release goes on with the pods that are said to be enough; weights and the promotion need all of theirs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
import yaml

from hack.lib.hgprove.campaign import ROOT
from headgate.api.rollout import RolloutSpec
from headgate.decide import types as t
from headgate.decide.mover import enough
from tests.simulation.world import SimReplicaSet, World, comes_to_rest, spec

pytestmark = pytest.mark.simulation

WAIT: dict[str, Any] = {"pause": {}}
ALL: dict[str, Any] = {"setCanaryScale": {"weight": 100}}
CAUSE = "2 of 10 pods of {}: Unschedulable: 0/9 nodes are available"
BY_HEADER = {"setHeaderRoute": {"name": "beta", "match": [{"headerName": "x", "headerValue": {"exact": "1"}}]}}


class Crowded(World):
    """A cluster in which a revision finds places for some pods only; why the others wait is read when it is asked."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.places: dict[str, int] = defaultdict(lambda: 1000)
        self.causes: dict[str, str] = {}
        super().__init__(*args, **more)

    def ready(self, found: SimReplicaSet) -> int:
        """Pods that are ready, as far as there are places."""
        return min(super().ready(found), self.places[found.pod_hash])

    def look_up(self, reads: tuple[t.ReadQuestion, ...]) -> None:
        """Tell why pods are missing."""
        self.causes |= {r.target: CAUSE.format(r.target) for r in reads if r.kind is t.ReadKind.PODS}

    def snapshot(self) -> t.Snapshot:
        """With what was read."""
        return replace(super().snapshot(), pod_causes=self.causes)


def threshold(kind: str, value: int) -> dict[str, Any]:
    """What a canary says of it."""
    return {"replicaProgressThreshold": {"type": kind, "value": value}}


def crowded(
    steps: list[dict[str, Any]], places: int, canary: dict[str, Any] | None = None, **more: Any
) -> tuple[Crowded, str]:
    """A release of ten pods of which only some find a place."""
    said = threshold("Percent", 80) if canary is None else canary
    rollout = spec(steps, replicas=10, canary=said, progress_deadline_seconds=120, **more)
    world = Crowded(1, rollout)
    world.settle(120)
    new = world.release("v2")
    world.places[new] = places
    world.run_for(60)
    return world, new


@pytest.mark.parametrize(
    ("kind", "value", "asked", "expected"),
    [
        ("Percent", 90, 10, 9),
        ("Percent", 90, 11, 10),
        ("Percent", 1, 3, 1),
        ("Percent", 100, 7, 7),
        ("Percent", 50, 0, 0),
        ("Pod", 3, 10, 3),
        ("Pod", 10, 3, 3),
    ],
)
def test_what_is_enough_is_rounded_up_and_never_more_than_was_asked_for(
    kind: str, value: int, asked: int, expected: int
) -> None:
    """A part of a pod is a pod."""
    assert enough(spec([WAIT], canary=threshold(kind, value)), asked) == expected
    assert enough(spec([WAIT]), asked) == asked


@pytest.mark.parametrize("said", [threshold("Percent", 80), threshold("Pod", 8)], ids=["percent", "pods"])
def test_a_step_goes_on_without_the_pods_that_find_no_place(said: dict[str, Any]) -> None:
    """The message says how many are missing, and why; without the option the step waits for them."""
    world, new = crowded([ALL, {"setWeight": 50}, WAIT], 8, said)
    assert (world.status.phase, world.weight) == ("Paused", 50)
    assert f"it goes on without 2 of 10 pods of {new} ({CAUSE.format(new)})" in world.status.message
    progressing = next(c for c in world.status.conditions if c.type == "Progressing")
    assert "it goes on without 2 of 10 pods" in progressing.message
    strict, new = crowded([ALL, {"setWeight": 50}, WAIT], 8, {})
    assert (strict.status.current_step_index, strict.weight) == (0, 0)
    assert f"waiting for the pods of {new}: 8 of 10 available" in strict.status.message


def test_one_pod_less_than_enough_is_waited_for_and_says_so() -> None:
    """And past its deadline the release is taken back because of it."""
    world, new = crowded([ALL, {"setWeight": 50}, WAIT], 7)
    assert world.status.current_step_index == 0
    assert f"waiting for the pods of {new}: 7 of 10 available, and 8 are enough" in world.status.message
    comes_to_rest(world)
    assert world.status.rejected[-1].reason == "ProgressDeadlineExceeded"


def test_no_weight_comes_before_its_own_pods_whatever_is_enough() -> None:
    """Five pods are enough for the step that asks for ten, and too few for 60 % of the requests."""
    world, new = crowded([ALL, {"setWeight": 50}, {"setWeight": 60}, WAIT], 5, threshold("Percent", 50))
    assert (world.status.current_step_index, world.weight) == (2, 50)
    assert f"waiting for the pods of {new}: 5 of 6 available" in world.status.message
    world.places[new] = 6
    world.run_for(30)
    assert (world.status.phase, world.weight) == ("Paused", 60)


def test_pods_that_are_missing_do_not_pass_the_deadline_of_later_steps() -> None:
    """Neither while a gate judges nor at a weight for which the others are enough."""
    judged = {"gate": {"ref": {"name": "golden"}, "duration": "200s"}}
    world, _ = crowded([ALL, {"setWeight": 50}, judged, {"setWeight": 80}, WAIT], 8)
    world.run_for(250)
    assert (world.status.phase, world.weight, world.status.rejected) == ("Paused", 80, [])


def test_the_promotion_waits_for_all_pods() -> None:
    """With them it ends well; without them the progress deadline takes the version back."""
    world, new = crowded([ALL, {"setWeight": 50}], 8)
    assert (world.status.phase, world.weight) == ("Promoting", 50)
    assert f"waiting for the pods of {new}: 8 of 10 available ({CAUSE.format(new)})" in world.status.message
    world.places[new] = 10
    comes_to_rest(world)
    assert world.status.stable
    assert world.status.stable.pod_hash == new
    world, new = crowded([ALL, {"setWeight": 50}], 9)
    comes_to_rest(world)
    assert (world.weight, world.status.rejected[-1].pod_hash) == (0, new)


def test_a_route_by_header_waits_for_what_is_enough_and_not_for_all() -> None:
    """How many requests it takes nobody knows: who says what is enough says it for these, too."""
    world, _ = crowded([ALL, BY_HEADER, WAIT], 8)
    assert (world.status.phase, len(world.routes)) == ("Paused", 1)
    world, _ = crowded([ALL, BY_HEADER, WAIT], 7)
    assert world.routes == ()


def test_users_who_stay_need_all_their_pods() -> None:
    """Each of their requests may come to the new version, so that no fewer are enough."""
    stay = {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}, "sessionAffinity": {"cookieName": "stay"}}
    world, new = crowded([{"setWeight": 10}, WAIT], 9, threshold("Percent", 10) | {"trafficRouting": stay})
    assert (world.weight, world.routes) == (0, ())
    world.places[new] = 10
    world.run_for(30)
    assert (world.weight, len(world.routes)) == (10, 1)


def test_example_goes_on_and_is_promoted_as_its_comments_say() -> None:
    """examples/fleet: with 19 of 20 pods, then with 38 of 40, and promoted with all."""
    objects = yaml.safe_load_all((ROOT / "examples" / "fleet" / "fleet.yaml").read_text(encoding="utf-8"))
    rollout = RolloutSpec.model_validate(next(o for o in objects if o["kind"] == "Rollout")["spec"])
    canary = rollout.strategy.canary
    assert canary is not None
    said = canary.model_dump(mode="json", by_alias=True, exclude_none=True, include={"replica_progress_threshold"})
    steps = [s.model_dump(mode="json", by_alias=True, exclude_none=True) for s in canary.steps]
    golden = {"gate": {"ref": {"name": "golden"}, "count": 1}}
    made = spec([golden if "gate" in s else s for s in steps], replicas=rollout.replicas, canary=said)
    world = Crowded(1, made)
    world.settle(120)
    new = world.release("v2")
    reached = []
    for places in (18, 19, 37, 38):
        world.places[new] = places
        world.run_for(120)
        reached.append((world.status.current_step_index, world.weight))
    assert reached == [(0, 0), (3, 25), (3, 25), (6, 50)]
    world.places[new] = 40
    comes_to_rest(world)
    assert world.status.stable
    assert world.status.stable.pod_hash == new


def test_what_is_missing_is_told_no_more_when_it_is_there() -> None:
    """And an abort takes back whatever has come up."""
    world, new = crowded([ALL, {"setWeight": 50}, WAIT], 8)
    world.places[new] = 10
    world.run_for(60)
    assert "goes on without" not in world.status.message
    world.person("abort")
    comes_to_rest(world)
    assert world.weight == 0
