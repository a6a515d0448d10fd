"""Scenarios of two Rollouts that are released as one, and of a switch by a route after copies of real requests."""

from __future__ import annotations

from typing import Any

from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.watching import Seen
from tests.e2e.town import GATE, Lab, Town, town


def by_switch(lab: Lab) -> None:
    """A route switches all users at once to what has answered copies well; what answers them badly nobody meets."""
    strategy: dict[str, Any] = Shop(lab.cluster, "by-switch").objects("blue-green.yaml")[0]["spec"]["strategy"]
    golden = strategy["blueGreen"]["postPromotionGates"]
    strategy["blueGreen"] |= {
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop", "rule": "main"}]}},
        "mirror": {"percentage": 100, "gates": golden},
        "scaleDownDelaySeconds": 5,
    }
    shown = "blue-green, HTTPRoute, mirrored first"
    with town(lab, "by-switch", rollout={"strategy": strategy, "gates": []}, strategy=shown) as here:
        rules = here.shop.rules()
        end = here.release("v2")
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        assert {s.status.weights.observed for s in here.watch.seen} == {0, 100}
        here.expect_only("v2")
        here.expect_home()
        assert here.shop.rules() == rules, "the route is what it was"
        end = here.release("v3", fail_ratio=0.2)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.condition("Rejected")[:2] == ("True", "GateFailed"), end.line
        here.expect_only("v2")
        here.expect_home()
        assert here.shop.rules() == rules, "no copies are made any more"
        assert not [each for each in here.users.read() if each.version == "v3"], "no user met the bad version"


def release_group(lab: Lab) -> None:
    """Two applications go step by step together; when one of them is bad, both go back."""
    shown, steps = "release group of two canaries, HTTPRoute", [{"setWeight": 50}, GATE]

    def of(name: str, **group: Any) -> dict[str, Any]:
        spec: dict[str, Any] = Shop(lab.cluster, "together", name=name).objects("headgate.yaml")[-1]["spec"]
        spec["strategy"]["canary"] |= {"steps": steps, "scaleDownDelaySeconds": 5, "abortScaleDownDelaySeconds": 5}
        return {"strategy": spec["strategy"], "gates": [], "group": {"name": "till", **group}}

    with (
        town(lab, "together", rollout=of("shop"), strategy=shown) as here,
        town(
            lab, "together", name="cart", joins=True, rollout=of("cart", after=[{"name": "shop"}]), strategy=shown
        ) as cart,
    ):
        ends = _released_together(here, cart, "v2")
        for one, end in zip((here, cart), ends, strict=True):
            assert one.outcome() == ("Promoted", "Healthy"), end.line
            one.expect_only("v2")
            one.expect_home()
        begun = [
            next(s.at for s in one.watch.seen if s.status.message == "promoting: switching") for one in (here, cart)
        ]
        assert begun[0] < begun[1], "what comes after the other switches after it"
        ends = _released_together(here, cart, "v3", fail_ratio=0.2)
        for one, end in zip((here, cart), ends, strict=True):
            assert one.outcome() == ("Rejected", "Degraded"), end.line
            one.expect_only("v2")
            one.expect_home()
        reasons = [end.condition("Rejected")[1] for end in ends]
        assert reasons == ["GroupTakenBack", "GateFailed"], "the good one went back because of the bad one"


# ---------------------------------------------------------------------------------------------------------------------


def _released_together(one: Town, other: Town, version: str, *, fail_ratio: float = 0) -> tuple[Seen, Seen]:
    """Release a version of both; that of the other may be bad."""
    ends: list[Seen] = []
    end = one.release(version, meanwhile=lambda: ends.append(other.release(version, fail_ratio=fail_ratio)))
    return end, ends[0]
