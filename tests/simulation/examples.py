"""The examples whose requests a route leads, for the tests that release them as their comments say."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from hack.lib.hgprove.campaign import ROOT
from headgate.api.rollout import Canary, RolloutSpec
from headgate.decide import strategies
from headgate.traffic.protocol import Router, Target
from headgate.traffic.registry import ROUTERS

TARGET = Target("checkout", "main")
"""What each of them claims."""


class Example(NamedTuple):
    """A route, the Rollout that claims it, and what its router works with and is."""

    route: dict[str, Any]
    rollout: dict[str, Any]
    canary: Canary
    router: Router


def routed(name: str) -> Example:
    """An example by its folder; its router can read its route, and do all that it asks for."""
    found = list(yaml.safe_load_all((ROOT / "examples" / name / f"{name}.yaml").read_text(encoding="utf-8")))
    route, rollout = (next(o for o in found if o["kind"] == kind) for kind in ("HTTPRoute", "Rollout"))
    canary = strategies.of(RolloutSpec.model_validate(rollout["spec"])).routed
    assert canary is not None
    router = ROUTERS["gatewayAPI"]
    assert router.read(canary, route, TARGET).problem == ""
    assert router.unable(canary, route, TARGET) == ""
    return Example(route, rollout, canary, router)
