"""Config snapshots by the operator on a real API server, with the chart's rights for them and no others."""

from __future__ import annotations

from typing import Any

import yaml

from tests.api.cluster import ROOT
from tests.api.kube import Json, Kube
from tests.api.shop import Shop, replica_sets, rollouts, services

SNAPSHOT_KINDS = ("ConfigMap",)
"""For the operator of `conftest.py`."""
EXAMPLE = ROOT / "examples/config-snapshots/config-snapshots.yaml"


def reads(kube: Kube, namespace: str, pod_hash: str) -> tuple[str, Json]:
    """The name of the ConfigMap that the pods of a revision mount, and the ConfigMap."""
    found = kube.must_get(replica_sets(namespace, f"greeter-{pod_hash}"))
    spec = found["spec"]["template"]["spec"]
    name = spec["volumes"][0]["configMap"]["name"]
    assert spec["containers"][0]["env"][0]["valueFrom"]["configMapKeyRef"]["name"] == name
    assert spec["containers"][0]["envFrom"][0]["configMapRef"]["name"] == "greeter-overrides"
    return name, kube.must_get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")


def test_example_is_applied_and_released_with_its_configuration(kube: Kube, namespace: str) -> None:
    """The objects of examples/config-snapshots do what docs/config-snapshots.md says of them."""
    objects: dict[str, Any] = {o["kind"]: o for o in yaml.safe_load_all(EXAMPLE.read_text())}
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    objects["Rollout"]["spec"]["strategy"]["canary"]["steps"][1]["pause"]["duration"] = "1s"
    kube.create(maps, objects["ConfigMap"])
    kube.create(services(namespace), objects["Service"])
    kube.create(rollouts(namespace), objects["Rollout"])
    shop = Shop(kube, namespace, name="greeter")
    shop.expect_phase("Healthy")
    old = shop.status()["stable"]["podHash"]
    _, copied = reads(kube, namespace, old)
    assert copied["immutable"] is True
    assert copied["data"] == objects["ConfigMap"]["data"]
    kube.patch(f"{maps}/greeter", {"data": {"greeting": "good day"}})
    # By itself the change would be seen within a minute, as the simulation shows; no test waits for that here.
    kube.patch(shop.path, {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}})
    shop.expect("the change is released", lambda: shop.status()["stable"]["podHash"] != old, seconds=120)
    name, copied = reads(kube, namespace, shop.status()["stable"]["podHash"])
    assert copied["data"]["greeting"] == "good day"
    assert reads(kube, namespace, old)[1]["data"]["greeting"] == "hello"
    kube.delete(shop.path)
    shop.expect("the Rollout is gone", lambda: kube.get(shop.path) is None)
    shop.expect("its copies are gone", lambda: kube.get(f"{maps}/{name}") is None)
    assert kube.get(f"{maps}/greeter") is not None
