"""Release groups by the operator on a real API server."""

from __future__ import annotations

import pytest
import yaml

from headgate.api.common import to_epoch
from tests.api.cluster import ROOT
from tests.api.kube import Kube
from tests.api.shop import Shop, rollouts, services

EXAMPLE = ROOT / "examples/release-group/release-group.yaml"


def stable_leaves(one: Shop, before: str) -> None:
    """Wait until another revision than this one is stable."""
    one.expect("it is promoted", lambda: one.status()["stable"]["podHash"] != before, seconds=120)


@pytest.mark.usefixtures("operator")
def test_example_is_released_as_one_and_goes_back_as_one(kube: Kube, namespace: str) -> None:
    """The objects of examples/release-group do what docs/release-groups.md says of them."""
    for obj in yaml.safe_load_all(EXAMPLE.read_text()):
        if obj["kind"] == "Rollout":
            obj["spec"]["strategy"]["canary"]["steps"][1]["pause"]["duration"] = "1s"
        kube.create((services if obj["kind"] == "Service" else rollouts)(namespace), obj)
    orders, cart = Shop(kube, namespace, name="orders"), Shop(kube, namespace, name="cart")
    both = (orders, cart)
    for one in both:
        one.expect_phase("Healthy")
    old = [one.status()["stable"]["podHash"] for one in both]
    change = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
    for one in both:
        kube.patch(one.path, change)
    for one, before in zip(both, old, strict=True):
        stable_leaves(one, before)
    ends = [to_epoch(one.status()["stable"]["since"]) for one in both]
    assert abs(ends[0] - ends[1]) < 5
    steps = {"strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}}
    for one in both:
        kube.patch(one.path, {"spec": {"template": {"metadata": {"annotations": {"version": "3"}}}, **steps}})
    waits = "waiting for orders to finish step 2, which comes before this one's"
    cart.expect("it waits for the pause of the other", lambda: waits in cart.status()["message"], seconds=120)
    assert cart.status()["weights"]["observed"] == 50
    assert cart.condition("Stalled")["status"] == "False"
    orders.act("abort")
    message = cart.expect_condition("Rejected", "True", "GroupTakenBack")
    assert "orders was taken back (Aborted)" in message
