"""What blue-green is made of: its steps from the spec, the weight of a selector, the goal of a weight, its words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headgate.api.common import LABEL_REVISION
from headgate.api.rollout import BlueGreen, RevisionRef, RolloutSpec, RolloutStatus, Step
from headgate.cli import render
from headgate.cli.text import PLAIN_SIGNS
from headgate.cli.view import picture
from headgate.decide import problems, strategies
from headgate.decide.blue_green import Switching
from headgate.decide.mover import Goal, next_move
from headgate.decide.strategies import Strategy
from headgate.decide.types import ScaleReplicaSet, ServiceView
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS
from tests.simulation.world import World, blue_green
from tests.unit import cli_objects as objects

TIME = "2026-01-01T00:00:00Z"
OLD = RevisionRef(revision="v1-old", pod_hash="old", since=TIME)
NEW = RevisionRef(revision="v1-new", pod_hash="new", since=TIME)
SERVICES: dict[str, Any] = {"activeService": "shop", "previewService": "shop-preview"}
GATE: dict[str, Any] = {"ref": {"name": "golden"}}


def switching(**more: Any) -> Switching:
    """The strategy with some fields."""
    return Switching(BlueGreen.model_validate(SERVICES | more))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, ["preview with all its pods", "switch"]),
        ({"previewReplicaCount": 1}, ["preview with 1 pod ", "switch"]),
        ({"autoPromotionEnabled": False}, ["preview", "pause until promoted", "switch"]),
        ({"autoPromotionSeconds": 90}, ["preview", "pause 90s", "switch"]),
        (
            {"prePromotionGates": [GATE, GATE], "autoPromotionSeconds": 5, "postPromotionGates": [GATE]},
            ["preview", "gate golden", "gate golden", "pause 5s", "switch", "gate golden"],
        ),
    ],
)
def test_steps_follow_from_the_spec(more: dict[str, Any], words: list[str]) -> None:
    """Preview, gates, pause, switch, gates: in this order, whatever is left out."""
    strategy = switching(**more)
    said = [strategy.describe(step) for step in strategy.steps]
    assert len(said) == len(words)
    assert all(word in line for word, line in zip(words, said, strict=True)), said


def test_gates_and_the_wait_for_a_person_have_their_time() -> None:
    """Each where it is written; the other steps have the progress deadline."""
    late: dict[str, Any] = {"autoPromotionEnabled": False, "promotionTimeout": "4h", "onPromotionTimeout": "Abort"}
    late["prePromotionGates"] = [GATE | {"count": 2, "timeout": "5m"}, GATE]
    late["postPromotionGates"] = [GATE | {"duration": "1m", "timeout": "10m", "onTimeout": "Notify"}]
    steps = switching(**late).steps
    assert [(s.timeout, s.on_timeout) for s in steps] == [
        (None, None),
        ("5m", None),
        (None, None),
        ("4h", "Abort"),
        (None, None),
        ("10m", "Notify"),
    ]
    assert [(s.gate.duration, s.gate.count) for s in steps if s.gate] == [(None, 2), (None, None), ("1m", None)]
    assert steps == tuple(Step.model_validate(s.model_dump(by_alias=True, exclude_none=True)) for s in steps)


BY_ROUTE: dict[str, Any] = {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}}


def routing(**more: Any) -> Strategy:
    """The strategy by a router with some fields."""
    strategy = {"blueGreen": SERVICES | {"trafficRouting": BY_ROUTE} | more}
    return strategies.of(RolloutSpec.model_validate({"replicas": 4, "template": {}, "strategy": strategy}))


def test_copies_come_after_the_gates_of_the_preview() -> None:
    """Then theirs, the pause and the switch; every step says what it does, and every gate where it is written."""
    mirror = {"percentage": 20, "gates": [GATE | {"timeout": "5m"}]}
    strategy = routing(prePromotionGates=[GATE], mirror=mirror, autoPromotionSeconds=5, postPromotionGates=[GATE])
    assert [strategy.describe(step) for step in strategy.steps] == [
        "preview with all its pods behind Service shop-preview",
        "gate golden",
        "copy 20% of the requests to Service shop-preview",
        "gate golden",
        "pause 5s",
        "switch Service shop to the new revision behind Service shop-preview",
        "gate golden",
    ]
    assert strategy.steps[3].timeout == "5m"
    assert [field for field, _ in strategy.gates] == [
        f"spec.strategy.blueGreen.{name}[0]" for name in ("prePromotionGates", "mirror.gates", "postPromotionGates")
    ]


def test_copies_end_with_the_switch_and_have_their_pods_until_then() -> None:
    """From the mirror on there are pods for its part; at the switch no route of ours is left."""
    strategy = routing(previewReplicaCount=1, mirror={"percentage": 50, "gates": [GATE]})
    allowed = [strategy.allowance(strategy.steps, index, 4) for index in range(4)]
    assert [(a.weight, a.replicas, len(a.routes)) for a in allowed] == [(0, 1, 0), (0, 2, 1), (0, 2, 1), (100, 4, 0)]


def test_routers_speak_of_the_fields_that_there_are() -> None:
    """What they say of a canary is said of a blue-green Rollout, where it is one."""
    canary = strategies.of(
        routed := blue_green(strategy={"trafficRouting": BY_ROUTE, "mirror": {"gates": [GATE]}})
    ).routed
    assert canary is not None
    said = ROUTERS["gatewayAPI"].read(canary, None, Target("shop")).problem
    assert said.startswith("spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes: there is no HTTPRoute")
    assert strategies.told(routed, said) == said.replace("canary", "blueGreen", 1)
    unable = ROUTERS["smi"].unable(canary, None, Target("shop"))
    assert strategies.told(routed, unable).startswith("spec.strategy.blueGreen.mirror: it cannot be made of a")
    assert strategies.told(blue_green(), "nothing of it") == "nothing of it"


def test_disabled_router_is_named_with_its_field() -> None:
    """An admin reads which field of the Rollout wants it."""
    world = World(1, blue_green(strategy={"trafficRouting": {"smi": {"trafficSplitName": "shop"}}}))
    assert [p.message.partition(":")[0] for p in problems.find(world.snapshot())] == [
        "spec.strategy.blueGreen.trafficRouting.smi"
    ]


@pytest.mark.parametrize(
    ("selects", "ready", "current", "weight"),
    [
        ("old", {"old": 4}, NEW, 0),
        ("new", {"new": 4}, NEW, 100),
        ("other", {"other": 4}, NEW, 0),
        ("", {"old": 3, "new": 1}, NEW, 25),
        ("", {"old": 2, "new": 1}, NEW, 34),
        ("", {"new": 4}, NEW, 99),
        ("", {}, NEW, 0),
        ("old", {"old": 4}, OLD, 0),
        ("new", {"new": 4}, OLD, 100),
        ("", {"old": 1, "new": 1}, OLD, 50),
    ],
)
def test_weight_is_what_the_active_service_gives_away(
    selects: str, ready: dict[str, int], current: RevisionRef, weight: int
) -> None:
    """To the revision under way; at rest and on the way back, to any but the stable one."""
    chosen = {"app": "shop"} | ({LABEL_REVISION: selects} if selects else {})
    service = ServiceView("shop", found=True, selector=chosen, ready=ready)
    snapshot = replace(World(1, blue_green()).snapshot(), stable_service=service)
    status = RolloutStatus(stable=OLD, current=current)
    assert switching().observed(snapshot, status) == weight, "the weight of the selector"
    assert switching().observed(snapshot, RolloutStatus(current=NEW)) == 0, "the first revision takes it from nobody"


def test_goal_of_a_weight_is_a_selector() -> None:
    """At 100 the active Service is to select the new revision, which is no way back; below that the stable one."""
    before = Goal(stable="old", canary="new", weight=0, replicas={"old": 4, "new": 4}, proven=True)
    for weight in (0, 1, 99):
        goal = switching().aim(before, weight)
        assert (goal.stable, goal.proven, goal.weight, switching().weight_of(goal)) == ("old", True, 0, 0)
    goal = switching().aim(before, 100)
    assert (goal.stable, goal.proven, goal.weight, switching().weight_of(goal)) == ("new", False, 0, 100)


def test_what_the_endpoints_still_hold_keeps_its_pods() -> None:
    """Switched back a moment ago, the preview needs fewer pods, but the users' Service may still lead to them."""
    world = World(1, blue_green())
    world.settle(120)
    assert world.status.stable is not None
    old, new = world.status.stable.pod_hash, world.release("v2")
    while world.status.current_step_index == 0 or world.selectors["shop"] == old:
        world.turn()
        world.advance()
    back = Goal(stable=old, canary=new, weight=0, replicas={old: 4, new: 1}, proven=True)
    seen, selector = world.snapshot(), {"app": "shop", LABEL_REVISION: old}
    held = replace(seen, stable_service=ServiceView("shop", found=True, selector=selector, ready={new: 4}))
    move = next_move(held, back, world.now)
    assert (move.action, move.waiting) == (None, f"waiting for the Service shop to leave {new}")
    left = replace(seen, stable_service=ServiceView("shop", found=True, selector=selector, ready={old: 4}))
    assert isinstance(next_move(left, back, world.now).action, ScaleReplicaSet)


def test_gates_ask_about_the_service_that_the_version_is_behind() -> None:
    """Before the switch the preview Service, after it the active one."""
    seen = World(1, blue_green()).snapshot()
    assert switching().judged(0, seen) == ("shop", "shop-preview"), "before the switch"
    assert switching().judged(100, seen) == ("shop", "shop"), "after the switch"


def test_strategy_is_the_one_that_the_spec_names() -> None:
    """Exactly one; an object that is older than that rule is refused with its sentence."""
    assert strategies.of(blue_green()).services[0] == ("spec.strategy.blueGreen.activeService", "shop")
    with pytest.raises(ValueError, match="set exactly one of canary, blueGreen and rolling"):
        RolloutSpec.model_validate({"replicas": 1, "template": {}, "strategy": {}})


def test_gate_is_asked_with_the_arguments_of_its_place() -> None:
    """One gate before and after the switch may be asked about other things."""
    given = [{"name": "route", "value": "/pay"}]
    gates = {"prePromotionGates": [GATE], "postPromotionGates": [GATE | {"arguments": given}]}
    before, after = (step.gate for step in strategies.of(blue_green(strategy=gates)).steps if step.gate is not None)
    assert before.arguments is None
    assert [(a.name, a.value) for a in after.arguments or ()] == [("route", "/pay")]


def test_missing_gate_is_named_with_its_field() -> None:
    """A gate that is not there bars the attempt, and the sentence says which field wants it."""
    world = World(1, blue_green(strategy={"postPromotionGates": [{"ref": {"name": "nowhere"}}]}))
    world.run_for(30)
    said = next(c for c in world.status.conditions if c.type == "Ready")
    assert said.message.startswith("spec.strategy.blueGreen.postPromotionGates[0].ref.name: there is no QualityGate")


def test_status_of_the_command_line_says_what_the_steps_do() -> None:
    """A person reads of a switch, not of a weight."""
    strategy = {"blueGreen": SERVICES | {"previewReplicaCount": 2, "postPromotionGates": [GATE]}}
    shown = objects.printed(render.status(picture(objects.rollout(strategy=strategy)), objects.NOW, PLAIN_SIGNS), 200)
    assert "preview with 2 pods behind Service shop-preview" in shown
    assert "switch Service shop to the new revision" in shown
    assert "weight 100%" not in shown


def test_step_of_a_canary_is_told_as_before() -> None:
    """The words of one strategy are not those of the other."""
    canary = objects.rollout()["spec"]["strategy"]["canary"]
    spec = RolloutSpec.model_validate({"replicas": 1, "template": {}, "strategy": {"canary": canary}})
    assert strategies.of(spec).describe(Step(set_weight=100)) == "setWeight 100"
