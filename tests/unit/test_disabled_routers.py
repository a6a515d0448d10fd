"""Routers that the admin did not choose: nothing of theirs is watched, and a Rollout that names one is told so."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from pydantic import ValidationError

from headgate.api.config import OperatorConfig
from headgate.api.rollout import RolloutSpec, TrafficRouting
from headgate.decide import problems
from headgate.engine.operator import Operator
from headgate.engine.options import Options
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import ROLLOUT, World, rollout
from tests.unit.fake_api import FakeAPI

pytestmark = pytest.mark.looptime


def watched(*routers: str) -> set[str]:
    """The kinds that an operator with these routers watches, less those that every operator does."""

    def kinds(config: OperatorConfig) -> set[str]:
        options = Options(config, None, None, "info", "json", 0, "l", "n", "i")
        return {source.kind for source in Operator(options, FakeAPI(), ROUTERS, {}).sources}

    always = kinds(OperatorConfig()) - {"HTTPRoute", "GRPCRoute"}
    return kinds(OperatorConfig(routers=routers)) - always


async def test_only_chosen_routers_are_watched() -> None:
    """The operator may have no right to the other kinds, and would wait for their lists for ever."""
    await asyncio.sleep(0)
    assert watched("gatewayAPI") == {"HTTPRoute", "GRPCRoute"}
    assert watched("contour") == {"HTTPProxy"}
    assert watched("gatewayAPI", "contour") == {"HTTPRoute", "GRPCRoute", "HTTPProxy"}


async def test_a_rollout_with_another_router_is_told_so() -> None:
    """It could not shift traffic, and would take each weight for served."""
    world = World()
    routing = {"contour": {"httpProxies": [{"name": "checkout"}]}, "gatewayAPI": {"grpcRoutes": [{"name": "checkout"}]}}
    canary = rollout()["spec"]["strategy"]["canary"] | {"trafficRouting": routing}
    world.put("Rollout", ROLLOUT, rollout(strategy={"canary": canary}))
    await world.pass_over()
    found = problems.find(world.snapshots[-1])
    (told,) = [p.message for p in found if p.reason == "RouterDisabled"]
    assert told == (
        "spec.strategy.canary.trafficRouting.contour: this operator is not set up for it; let an admin add contour to "
        "routers in the operator's configuration, or use another router"
    )
    both = OperatorConfig(routers=("gatewayAPI", "contour"))
    allowed = problems.find(dataclasses.replace(world.snapshots[-1], config=both))
    assert "RouterDisabled" not in {p.reason for p in allowed}


def test_a_router_that_does_not_exist_is_a_mistake_of_the_admin() -> None:
    """The message names those that there are."""
    with pytest.raises(ValidationError, match="there is no router 'traefic'; there are gatewayAPI, contour"):
        OperatorConfig(routers=("gatewayAPI", "traefic"))


def test_routers_go_by_the_names_in_the_spec() -> None:
    """What a Rollout names is what the configuration calls it."""
    assert TrafficRouting.routers()[:2] == ("gatewayAPI", "contour")
    spec = RolloutSpec.model_validate(rollout()["spec"])
    assert spec.strategy.canary is not None
    assert spec.strategy.canary.routing.named() == (("gatewayAPI", "gatewayAPI"),)
