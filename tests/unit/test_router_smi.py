"""TrafficSplits: the two backends, whatever the root Service is."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.api.rollout import Canary
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS

pytestmark = pytest.mark.unit

ROUTER = ROUTERS["smi"]
TARGET = Target("checkout")
CANARY = Canary.model_validate(
    {
        "stableService": "checkout",
        "canaryService": "checkout-canary",
        "trafficRouting": {"smi": {"trafficSplitName": "checkout"}},
        "steps": [{"setWeight": 5}],
    }
)


def split(stable: Any, canary: Any, root: str = "checkout-root") -> dict[str, Any]:
    """A TrafficSplit with these weights."""
    return {
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {
            "service": root,
            "backends": [{"service": "checkout", "weight": stable}, {"service": "checkout-canary", "weight": canary}],
        },
    }


@pytest.mark.parametrize(("stable", "canary", "expected"), [(90, 10, 10), (9, 1, 10), (500, 1, 1), (0, 7, 100)])
def test_share_of_any_sum(stable: int, canary: int, expected: int) -> None:
    """Rounded up."""
    assert ROUTER.read(CANARY, split(stable, canary), TARGET).weight == expected


@pytest.mark.parametrize("weight", [0.5, "500m", None])
def test_weight_is_a_whole_number(weight: Any) -> None:
    """The schema says only that it is a number; older versions had quantities."""
    obj = split(weight, 10)
    view = ROUTER.read(CANARY, obj, TARGET)
    if weight is not None:
        assert "spec.backends[0].weight is not a whole number from 0" in view.problem
    assert [op["value"] for op in ROUTER.set_weight(CANARY, obj, TARGET, 5)[2:]] == [95, 5]


@pytest.mark.parametrize("root", ["checkout", "checkout-canary", "other"])
def test_root_service_is_the_users_business(root: str) -> None:
    """It says who asks, not who answers."""
    assert ROUTER.read(CANARY, split(100, 0, root), TARGET).problem == ""
    assert ROUTER.claims(CANARY, split(100, 0, root), TARGET) == "TrafficSplit/checkout"
