"""Sudden ends: Rollouts, namespaces and the operator itself go away in the middle of a release."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.cluster import LightCluster, until
from tests.api.kube import Json, Kube
from tests.api.operator_process import USER, OperatorProcess
from tests.api.shop import CANARY, STABLE, Shop, replica_sets, rollouts

PAUSED: list[Json] = [{"setWeight": 50}, {"pause": {}}]


def test_deletion_in_mid_run_hands_back(kube: Kube, namespace: str) -> None:
    """A Rollout that is deleted in mid-run leaves all traffic with the stable Service and no canary behind."""
    shop = Shop(kube, namespace, steps=PAUSED)
    shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    kube.delete(shop.path)
    shop.expect("the Rollout is gone", lambda: kube.get(shop.path) is None)
    assert shop.weight() == 0
    assert second not in (shop.selected(STABLE), shop.selected(CANARY))


def test_kept_pods_outlive_their_rollout_and_the_next_one_relieves_them(kube: Kube, namespace: str) -> None:
    """With `onDelete: Keep` no garbage collector takes the pods; created again, the Rollout leads to its own."""
    shop = Shop(kube, namespace, spec={"onDelete": "Keep"})
    first = shop.deploy_healthy()
    kept, uid = replica_sets(namespace, f"shop-{first}"), shop.object()["metadata"]["uid"]
    kube.delete(shop.path)

    def forgotten() -> bool:
        """The garbage collector has looked: the Rollout is among the owners no more."""
        return uid not in {owner["uid"] for owner in kube.must_get(kept)["metadata"]["ownerReferences"]}

    shop.expect("the pods are left to themselves", forgotten)
    assert shop.pods_of(first) == shop.replicas
    assert shop.selected(STABLE) == shop.selected(CANARY) == first
    kube.create(rollouts(namespace), shop.rollout())
    shop.expect_phase("Healthy")
    again = shop.status()["stable"]["podHash"]
    assert shop.selected(STABLE) == again
    assert shop.pods_of(again) == shop.replicas


def test_namespace_goes_in_mid_run(kube: Kube, namespace: str) -> None:
    """A namespace that is deleted in mid-run is gone within a minute: nothing of the operator's holds it."""
    shop = Shop(kube, namespace, steps=PAUSED)
    shop.deploy_healthy()
    shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    path = f"/api/v1/namespaces/{namespace}"
    kube.delete(path)
    until(lambda: kube.get(path) is None, seconds=60, what="the namespace is gone")


MOMENTS: dict[str, Callable[[Shop, str], bool]] = {
    "the attempt is recorded": lambda shop, second: shop.status()["current"]["podHash"] == second,
    "the canary gets its first requests": lambda shop, _: shop.weight() == 30,
    "the second step begins": lambda shop, _: shop.status()["currentStepIndex"] >= 3,
    "the stable Service is switched": lambda shop, second: shop.selected(STABLE) == second,
}
PROMOTED_AFTER = ("the canary gets its first requests", "the second step begins")
"""Before these moments pass, a person is waited for: however slowly one looks, the moment is still there."""


def test_killed_at_every_turn_the_end_is_the_same(kube: Kube, namespace: str, operator: OperatorProcess) -> None:
    """Killed and started again at several moments of one release, the operator promotes it once, as if nothing was."""
    steps: list[Json] = [{"setWeight": 30}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}, {"setWeight": 100}]
    shop = Shop(kube, namespace, steps=steps)
    first = shop.deploy_healthy()
    second = shop.change(2)
    for what, happens in MOMENTS.items():
        shop.expect(what, lambda happens=happens: happens(shop, second))  # type: ignore[misc]
        operator.kill()
        operator.restart()
        if what in PROMOTED_AFTER:
            shop.expect("a person is waited for", lambda: shop.status().get("phase") == "Paused")
            assert shop.act("promote")[0] == "Accepted"
    shop.expect_promoted(2)
    shop.expect("the old version is scaled to 0", lambda: shop.pods_of(first) == 0)
    assert shop.pods_of(second) == shop.replicas
    history = [(h["podHash"], h["outcome"], h["attempt"]) for h in shop.status()["history"]]
    assert history == [(first, "Promoted", 1), (second, "Promoted", 1)]


def test_killed_on_the_way_back_all_traffic_comes_home(kube: Kube, namespace: str, operator: OperatorProcess) -> None:
    """Killed while a version is taken back, the operator finishes that first, and remembers that it was taken back."""
    shop = Shop(kube, namespace, steps=PAUSED)
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    assert shop.act("abort")[0] == "Accepted"
    operator.kill()
    # The end of the dead one's Lease is waited for, as it is in a real cluster.
    operator.start()
    shop.expect_phase("Degraded")
    assert (shop.weight(), shop.selected(STABLE), shop.selected(CANARY)) == (0, first, first)
    shop.expect("the version that was taken back is scaled to 0", lambda: shop.pods_of(second) == 0)
    assert [r["podHash"] for r in shop.status()["rejected"]] == [second]


def test_nothing_is_written_at_rest(
    kube: Kube, namespace: str, operator: OperatorProcess, light_cluster: LightCluster
) -> None:
    """A fleet at rest costs nothing: over ten seconds the operator asks for its Lease and for nothing else."""
    shops = [Shop(kube, namespace, f"shop-{number}") for number in range(3)]
    for shop in shops:
        shop.deploy()
    for shop in shops:
        shop.expect_promoted(1)
    log = light_cluster.environment.get("HEADGATE_AUDIT_LOG")
    if log is None:
        pytest.skip("the cluster has no audit log")
    quiet_since, seen = time.monotonic(), Path(log).stat().st_size
    heard: Counter[str] = Counter()

    def quiet() -> bool:
        """Look whether nothing but the Lease was asked for in the last ten seconds."""
        nonlocal quiet_since, seen
        requests, seen = _requests(Path(log), seen, namespace)
        if requests:
            quiet_since = time.monotonic()
            heard.update(requests)
        return time.monotonic() - quiet_since > 10

    # The last evidence comes up to 30 s after the decision that it belongs to.
    until(quiet, seconds=60, what=f"the operator is quiet; it asked for {heard}")
    assert operator.get("/healthz") is not None
    writes = sum(number for what, number in heard.items() if not what.startswith(("get ", "list ")))
    assert writes <= len(shops) * 2, heard


def _requests(log: Path, begin: int, namespace: str) -> tuple[Counter[str], int]:
    """Give what the operator asked for since a place in the audit log, and the next place.

    Other namespaces do not count: those of earlier tests are being deleted.
    """
    found: Counter[str] = Counter()
    with log.open("rb") as file:
        file.seek(begin)
        for line in file:
            if not line.endswith(b"\n"):
                break
            begin += len(line)
            entry = json.loads(line)
            reference = entry.get("objectRef") or {}
            mine = entry["user"]["username"] == USER and entry["verb"] != "watch"
            here = reference.get("namespace") in (None, namespace) and reference.get("resource") != "leases"
            if mine and here:
                found[f"{entry['verb']} {reference.get('resource')}"] += 1
    return found, begin
