"""A real HorizontalPodAutoscaler scales a Rollout in mid-release, and neither version is ever overloaded."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.api.kube import Kube
from tests.api.load import METRIC, Load, told
from tests.api.shop import Shop, replica_sets

EACH = 50
"""Requests a second for which a pod is meant."""
LEAST, MOST = 2, 12
GROWTH = 1.25
"""By so much the users may grow until the autoscaler has looked."""
LOOK = 0.05
LOOKS = 11
"""So often is looked before the users go on, however long a look takes."""


@pytest.fixture(scope="module")
def load(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    """Yield the users."""
    with told(kube, tmp_path_factory.mktemp("load")) as found:
        yield found


@dataclass
class Observer:
    """Looks at the pods of both versions all the time, and remembers the worst."""

    shop: Shop
    load: Load
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    """By pod hash: the highest part of what its pods are meant for, and when that was."""
    looks: int = 0

    def look(self) -> None:
        """Share the users out by the weight, and those of a version among its ready pods.

        The weight is read first and the pods after it: those that a higher one needs are there before it is.
        """
        requests, weight = self.load.requests[self.shop.namespace], self.shop.weight()
        canary, stable = self.shop.selected("canary"), self.shop.selected("stable")
        ready = ready_pods(self.shop)
        if self.shop.weight() != weight or self.shop.selected("stable") != stable:
            return  # It was not one moment.
        self.looks += 1
        for pod_hash, share in ((canary, weight), (stable, 100 - weight)):
            mine = requests * share / 100
            used = mine / (ready.get(pod_hash, 0) * EACH) if ready.get(pod_hash) else math.inf * (mine > 0)
            if mine and used > self.worst.get(pod_hash, (0.0, ""))[0]:
                self.worst[pod_hash] = (used, f"{mine:g} requests at weight {weight} for {ready.get(pod_hash)} pods")


@dataclass
class Growth:
    """The users come and go, never by more than `GROWTH` until the autoscaler has followed and it was looked at."""

    shop: Shop
    load: Load
    seen: Observer

    def to(self, requests: int) -> None:
        """Go there in steps, and wait each time until there are pods for them."""
        now = self.load.requests[self.shop.namespace]
        while now != requests:
            up = min(requests, int(now * GROWTH))
            now = up if requests > now else max(requests, math.ceil(now / GROWTH))
            self.load.requests[self.shop.namespace] = now
            looks = self.seen.looks + LOOKS
            wanted = min(MOST, max(LEAST, math.ceil(now / EACH)))
            self.shop.expect(
                f"{wanted} pods are wanted for {now} requests",
                # Within a tenth the autoscaler leaves it as it is.
                lambda w=wanted, n=now: abs(self.pods() - w) <= 0.1 * n / EACH,  # type: ignore[misc]
            )
            self.shop.expect("they are there", self.settled)
            self.shop.expect("it was looked at", lambda n=looks: self.seen.looks >= n)  # type: ignore[misc]

    def pods(self) -> int:
        """What the autoscaler wants."""
        return int(self.shop.object()["spec"]["replicas"])

    def settled(self) -> bool:
        """Each version has the pods that its share needs: surplus ones of the other do not help it."""
        weight, pods, ready = self.shop.weight(), self.pods(), ready_pods(self.shop)
        shares = Counter({self.shop.selected("stable"): 100 - weight})
        shares[self.shop.selected("canary")] += weight
        return all(ready.get(pod_hash, 0) >= math.ceil(pods * share / 100) for pod_hash, share in shares.items())


def ready_pods(shop: Shop) -> dict[str, int]:
    """Read how many pods of each revision are ready."""
    listed = shop.kube.must_get(replica_sets(shop.namespace))["items"]
    return {
        s["metadata"]["labels"]["headgate.dev/revision"]: int(s["status"].get("readyReplicas") or 0) for s in listed
    }


def autoscaler(shop: Shop) -> None:
    """Let the Rollout be scaled by what its users do."""
    target = {"type": "AverageValue", "averageValue": str(EACH)}
    at_once = {"stabilizationWindowSeconds": 0}
    shop.kube.create(
        f"/apis/autoscaling/v2/namespaces/{shop.namespace}/horizontalpodautoscalers",
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": shop.name},
            "spec": {
                "scaleTargetRef": {"apiVersion": "headgate.dev/v1alpha1", "kind": "Rollout", "name": shop.name},
                "minReplicas": LEAST,
                "maxReplicas": MOST,
                "metrics": [{"type": "External", "external": {"metric": {"name": METRIC}, "target": target}}],
                "behavior": {"scaleDown": at_once, "scaleUp": at_once},
            },
        },
    )


def test_autoscaler_and_steps_leave_each_version_the_pods_for_its_users(kube: Kube, namespace: str, load: Load) -> None:
    """Users come and go at 25 and at 50 percent, then a promotion: no version has more of them than its pods can take.

    In the end the number of pods follows the users as before, and no more are left than are wanted.
    """
    shop = Shop(kube, namespace, replicas=4, steps=[{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}])
    load.requests[namespace] = 4 * EACH
    first = shop.deploy_healthy()
    autoscaler(shop)
    seen, over = Observer(shop, load), threading.Event()
    growth = Growth(shop, load, seen)

    def watch() -> None:
        while not over.wait(LOOK):
            seen.look()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        second = shop.change(2)
        shop.expect_at(2, 1, 25)
        growth.to(6 * EACH)
        assert shop.act("promote")[0] == "Accepted"
        shop.expect_at(2, 3, 50)
        growth.to(4 * EACH)
        assert shop.act("promote")[0] == "Accepted"
        shop.expect_promoted(2)
        growth.to(5 * EACH)
    finally:
        over.set()
        watching.join(30)
    assert seen.looks > 50, "it was looked at throughout"
    for pod_hash in (first, second):
        used, when = seen.worst[pod_hash]
        assert used <= 1.1 * GROWTH, f"{pod_hash} had {100 * used:.0f}% of what its pods are meant for: {when}"
    shop.expect("no pods are left over", lambda: (shop.pods_of(first), shop.pods_of(second)) == (0, growth.pods()))
