"""Scenarios of strategies without a second Service and of routes by header, each promoted and taken back under load."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener

from hack.lib.hgdemo import judging
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.traffic import Traffic
from hack.lib.hgdemo.waiting import until
from hack.lib.hgdemo.watching import Seen
from headgate.decide.in_place import CLOSED
from tests.e2e.proxied import ProxiedShop
from tests.e2e.shared_service import CountedShop, InPlaceShop
from tests.e2e.town import AHEAD, GATE, Lab, Town, town

TESTER = "X-Tester"
VERSION = "X-Version"
COOKIE = "shop-version"
STAYING = (20, 60)
"""The weights at which a user stays with the new version."""
COPIED = 20
"""Copies of requests that show that a mirror works; there are 20 in a second."""


def in_place(lab: Lab) -> None:
    """A StatefulSet is released in judged batches, a bad version goes back pod by pod in order, and all is left."""
    with town(lab, "in-place", replicas=3, kind=InPlaceShop, strategy="rolling, StatefulSet") as here:
        shop = here.shop
        assert isinstance(shop, InPlaceShop)
        end = here.release("v2")
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        assert {s.status.weights.observed for s in here.watch.seen} >= {0, 67}, "two pods of three were judged first"
        here.expect_only("v2")
        before = shop.pods()
        end = here.release("v3", fail_ratio=0.2)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.condition("Rejected")[:2] == ("True", "GateFailed")
        after = shop.pods()
        made = [pod["metadata"]["creationTimestamp"] for pod in after]
        same = [one["metadata"]["uid"] == other["metadata"]["uid"] for one, other in zip(before, after, strict=True)]
        assert same == [True, False, False], "the pod that was never new is the one that it was"
        assert made[1] < made[2], "the last replaced went back first"
        assert shop.partition() == CLOSED
        here.expect_only("v2")
        here.leave("v2")
        assert shop.partition() == 0
        assert [pod["metadata"]["uid"] for pod in shop.pods()] == [pod["metadata"]["uid"] for pod in after]


def by_pods(lab: Lab) -> None:
    """Pods are the weight; a rollback brings back what the old pods read, and so does a timeout."""
    with town(lab, "by-pods", kind=CountedShop, strategy="canary, without a router") as here:
        shop = here.shop
        assert isinstance(shop, CountedShop)
        selector = shop.selector()
        end = here.release("v2")
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v2")
        end = here.release("v3", fail_ratio=0.2)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.condition("Rejected")[:2] == ("True", "GateFailed")
        _restart_one(here, end)
        here.expect_only("v2")
        shop.patch({"strategy": shop.steps({"setWeight": 50}, {"pause": {}, "timeout": "4s", "onTimeout": "Abort"})})
        end = here.release("v4")
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.condition("Rejected")[:2] == ("True", "StepTimedOut")
        assert any(each.version == "v4" for each in here.users.read()), "it had its share"
        here.expect_only("v2")
        assert shop.selector() == selector, "the Service leads to whom it did"


def by_header(lab: Lab) -> None:
    """Behind an HTTPRoute who sends the header gets the new version and nobody else does; copies cost nobody.

    When others get it, too, who has met it once stays with it.
    """
    strategy = Shop(lab.cluster, "by-header").objects("headgate.yaml")[-1]["spec"]["strategy"]
    weights = [step for weight in STAYING for step in ({"setWeight": weight}, {"pause": {"duration": "2s"}})]
    strategy["canary"]["steps"] = [*_tried({"method": "GET"}), GATE, *weights]
    strategy["canary"]["trafficRouting"]["sessionAffinity"] = {"cookieName": COOKIE}
    shown = "canary, HTTPRoute, by header and mirrored"
    with town(lab, "by-header", rollout={"strategy": strategy, "gates": []}, strategy=shown) as here:
        testers = here.joined_by(f"{TESTER}: yes")
        end = _release_tried(here, testers, "v2", meanwhile=lambda: _expect_staying(here, "v2"))
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v2")
        end = _release_tried(here, testers, "v3", fail_ratio=0.2)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        here.expect_only("v2")
        here.expect_home()
        assert not [each for each in here.users.read() if each.version == "v3"], "only testers met the bad version"


def http_proxy(lab: Lab) -> None:
    """Behind an HTTPProxy all of it at once: who sends the header, copies, and each weight's share of the others."""
    strategy = ProxiedShop(lab.cluster, "proxied").objects("headgate.yaml")[-1]["spec"]["strategy"]
    client = {"headerName": "User-Agent", "headerValue": {"prefix": "Go-http-client"}}
    strategy["canary"]["steps"][:0] = _tried(client)
    shown = "canary, HTTPProxy, also by header and mirrored"
    with town(lab, "proxied", kind=ProxiedShop, rollout={"strategy": strategy, "gates": []}, strategy=shown) as here:
        testers, since = here.joined_by(f"{TESTER}: yes"), time.time()
        end = _release_tried(here, testers, "v2")
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        assert end.condition("TrafficInSync")[:2] == ("True", "Served"), end.line
        here.expect_share("v2", since, weights={20, 50})
        end = _release_tried(here, testers, "v3", fail_ratio=0.2)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        here.expect_only("v2")
        here.expect_home()


# ---------------------------------------------------------------------------------------------------------------------


def _tried(copied: dict[str, Any]) -> list[dict[str, Any]]:
    """Steps that lead who sends the header to the new version, and copy to it half of the requests that match."""
    return [
        {"setCanaryScale": {"replicas": 1}},
        {"setHeaderRoute": {"name": "testers", "match": [{"headerName": TESTER, "headerValue": {"exact": "yes"}}]}},
        {"setMirrorRoute": {"name": "shadow", "percentage": 50, "match": [copied]}},
    ]


def _release_tried(
    here: Town,
    testers: Traffic,
    version: str,
    *,
    fail_ratio: float = 0,
    meanwhile: Callable[[], None] = lambda: None,
) -> Seen:
    """Release a version that all testers have first, and that copies come to; in the end nothing of it is left."""
    rules, since = here.shop.rules(), time.time()

    def looked_at() -> None:
        _expect_copies(here, version)
        meanwhile()

    end = here.release(version, fail_ratio=fail_ratio, meanwhile=looked_at)
    _expect_led(here, testers, since, version)
    assert here.shop.rules() == rules, "the route is what it was"
    return end


def _restart_one(here: Town, end: Seen) -> None:
    """Delete a pod of the stable version and wait for the one that takes its place."""
    assert end.status.stable is not None, end.line
    stable = end.status.stable.pod_hash

    def ready() -> set[str]:
        return {pod["metadata"]["name"] for pod in here.serving(stable)}

    before = ready()
    here.cluster.delete("pod", min(before), here.shop.namespace, wait=False)
    until("another pod of the stable version", lambda: len(ready()) == len(before) and ready() != before, timeout=60)


def _is_tried(each: Seen) -> bool:
    """The route by header and the mirror are both served."""
    weights = each.status.weights
    return each.status.phase == "Progressing" and weights.applied and len(weights.routes or ()) == 2


def _expect_copies(here: Town, version: str) -> None:
    """While it is tried, the new version answers more requests than anybody gets answers to."""
    tried = here.watch.until("both routes are served", _is_tried, timeout=60)
    assert tried.status.current is not None
    chosen = f"headgate.dev/revision={tried.status.current.pod_hash}"

    def copied() -> bool:
        pods = here.cluster.all("pods", here.shop.namespace, chosen)
        answered = sum(_answers(here, pod["metadata"]["name"]) for pod in pods)
        now = time.time()
        got = 0
        for users in (here.users, *here.others):
            users.recorded_until(now)
            got += sum(each.version == version and each.at <= now for each in users.requests)
        return answered - got >= COPIED

    until(f"{COPIED} copies to {version}", copied, timeout=30, seen=lambda: str(here.watch.last))


def _expect_staying(here: Town, version: str) -> None:
    """A user whom the new version has answered once has it with every request, at each weight, to the end."""
    jar = CookieJar()
    browser = build_opener(HTTPCookieProcessor(jar))

    def met() -> str:
        asked = Request(here.users.url, headers={"Host": here.users.host})  # noqa: S310  the gateway
        with browser.open(asked, timeout=5) as answer:
            return str(answer.headers[VERSION])

    here.watch.until("others get it, too", lambda s: s.status.weights.observed > 0, timeout=60)
    until("the cookie", lambda: met() == version and COOKIE in [one.name for one in jar], timeout=30)
    had: Counter[tuple[int, str]] = Counter()
    while (last := here.watch.last) is not None and last.status.phase not in ("Healthy", "Degraded"):
        had[last.status.weights.observed, met()] += 1
        time.sleep(0.02)
    assert {who for _, who in had} == {version}, f"by weight and version there were {had}"
    assert {weight for weight, _ in had} >= set(STAYING), f"there were {had}"


def _answers(here: Town, pod: str) -> int:
    """The requests that a pod says that it has answered."""
    path = f"/api/v1/namespaces/{here.shop.namespace}/pods/{pod}:8080/proxy/metrics"
    told = here.cluster.kubectl("get", "--raw", path).stdout
    return sum(int(number) for number in re.findall(r"^http_requests_total\{.*\} (\d+)$", told, flags=re.MULTILINE))


def _expect_led(here: Town, testers: Traffic, since: float, version: str) -> None:
    """While it was tried and copied to, all testers had this version; a way back may begin with the first failure."""
    seen = here.watch.since(since)
    tried = [at for at, each in enumerate(seen) if _is_tried(each)]
    current = seen[tried[0]].status.current
    assert current is not None
    failed = judging.first_failure(here.watch, current.pod_hash)
    began, ended = seen[tried[0]].at, seen[tried[-1] + 1].at if failed is None else failed - AHEAD
    met = Counter(each.version for each in testers.read() if began <= each.at <= ended)
    assert set(met) == {version}, f"with the header there were {met}"
