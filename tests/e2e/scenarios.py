"""Scenarios that need a namespace each and disturb nobody, so that they run at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hack.lib.hgdemo import judging
from hack.lib.hgdemo.judging import TIME_TO_SAFE
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.watching import Seen, Watch
from tests.e2e.strategies import by_header, by_pods, http_proxy, in_place
from tests.e2e.together import by_switch, release_group
from tests.e2e.town import ENDPOINTS, ONE_STEP, QUICK_GATE, ROLLOUT, Lab, Town, canary, town
from tests.e2e.trials import compared
from tests.e2e.turns import in_a_hurry, taking_turns

Scenario = Callable[[Lab], None]
HELD_FOR = 6.0
"""Seconds for which a hold is looked at."""


def good_version(lab: Lab) -> None:
    """A live Deployment is adopted and a good version promoted under load: each step has its share, nothing fails."""
    with town(lab, "good", strategy="canary, HTTPRoute") as here:
        since = time.time()
        end = here.release("v2")
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v2")
        here.expect_share("v2", since, weights={20, 50})
        here.expect_no_failure()
        here.expect_home()
        old = next(s.status.stable.pod_hash for s in here.watch.seen if s.status.stable)
        here.until_gone(old)
        here.expect_no_failure()


def bad_version(lab: Lab) -> None:
    """A bad version is taken back by itself; from then on no request reaches it and nothing refers to it."""
    with town(lab, "bad", strategy="canary, HTTPRoute") as here:
        end = here.release("v2", fail_ratio=0.2)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        bad = end.status.history[-1].pod_hash
        assert end.condition("Rejected")[:2] == ("True", "GateFailed")
        assert "success-rate" in end.status.message, "the message names the check that failed"
        here.expect_only("release-1")
        here.expect_home()
        failed, last = judging.first_failure(here.watch, bad), judging.last_request(here.users.requests, "v2")
        assert failed is not None, "the failed measurement is on record"
        assert last is not None, "the bad version was reached at all"
        assert last - failed < TIME_TO_SAFE, (
            f"{last - failed:.1f} s from the first failed measurement to the last request"
        )
        here.until_gone(bad)
        here.expect_no_failure()


def no_traffic(lab: Lab) -> None:
    """A version that nobody uses is held, not promoted; when requests come it is judged, and goes on by itself."""
    with town(lab, "silent", rollout=ONE_STEP) as here:
        here.users.pause()
        generation = here.shop.release("v2")
        held = here.watch.until("held", lambda s: s.status.phase == "Held", timeout=60)
        assert held.condition("Stalled")[:2] == ("True", "GateHeld"), held.line
        _stays(here, HELD_FOR, phase="Held", weight=20)
        here.users.start("again")
        end = here.watch.at_rest(generation, timeout=120)
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v2")
        here.expect_no_failure()


def bad_references(lab: Lab) -> None:
    """A live Rollout that refers to what is not there says so, and nothing moves; its neighbour is released."""
    with town(lab, "inputs") as here:
        other = Shop(lab.cluster, "inputs", name="other")
        other.deploy(1)
        other.govern({"replicas": 1, **_plain(name="other")}, QUICK_GATE)
        with Watch(lab.cluster, "inputs", "other") as watch:
            watch.until("adopted", lambda s: s.status.phase == "Healthy" and bool(s.status.history), timeout=60)
            before = (here.shop.weights(), here.shop.selected())
            for change, field, name in (
                ({"gates": [{"ref": {"name": "missing"}}]}, "spec.gates[0].ref.name", "missing"),
                (_plain(canaryService="nowhere"), "canaryService", "nowhere"),
                (_plain(trafficRouting={"gatewayAPI": {"httpRoutes": [{"name": "noroute"}]}}), "", "noroute"),
            ):
                _edit(here, change)
                seen = here.watch.until(f"a condition about {name}", _complains(name), timeout=30)
                _, reason, message = seen.condition("Ready")
                assert reason == "InvalidSpec", message
                assert field in message, "the message names the field"
                assert (here.shop.weights(), here.shop.selected()) == before
            end = watch.at_rest(other.release("v2"), timeout=60)
            assert end.status.history[-1].outcome == "Promoted", end.line
        _edit(here, _plain())
        here.condition("Ready", "Accepted")
        assert (here.shop.weights(), here.shop.selected()) == before
        here.expect_only("release-1")
        here.expect_no_failure()


def nonsense_query(lab: Lab) -> None:
    """A query that Prometheus cannot parse is an error, which never passes: the release is held with the reason."""
    _unanswerable(lab, "nonsense", _check(template="nonsense"), "QueryRefused")


def silent_provider(lab: Lab) -> None:
    """A provider that does not answer is an error, which never passes: the release is held with the reason."""
    check = _check(template="request-count", provider="silent", arguments=[{"name": "port", "value": "80"}])
    _unanswerable(lab, "provider", check, "Unreachable")


def deletion(lab: Lab) -> None:
    """A Rollout that is deleted hands its pods and traffic back to the Deployment without losing a request."""
    with town(lab, "deletion") as here:
        here.cluster.delete(ROLLOUT, "shop", "deletion", timeout=120)
        deployment = here.cluster.get("deployment", "shop", "deletion") or {}
        assert deployment["spec"]["replicas"] == 2
        assert deployment["status"].get("availableReplicas") == 2
        assert set(here.shop.selected().values()) == {""}, "the Services select by the application's own labels again"
        assert here.shop.weights() == {"shop": 100, "shop-canary": 0}
        here.expect_only("release-1")
        here.expect_no_failure()
        left = here.cluster.all("replicasets,controllerrevisions", "deletion", "headgate.dev/rollout=shop")
        assert not left, [item["metadata"]["name"] for item in left]


def deletion_in_mid_release(lab: Lab) -> None:
    """Deleted in the middle of a release, traffic goes to the stable version only: nobody has judged the template's."""
    with town(lab, "cut-short") as here:
        here.shop.release("v2")
        here.watch.until("weight 20 is served", lambda s: s.status.weights.observed == 20, timeout=60)
        here.cluster.delete(ROLLOUT, "shop", "cut-short", timeout=120)
        here.expect_only("release-1")
        assert here.shop.weights() == {"shop": 100, "shop-canary": 0}
        events = here.cluster.all("events", "cut-short")
        said = [event["message"] for event in events if event["involvedObject"]["kind"] == "Rollout"]
        assert any("Deployment" in message for message in said), f"an Event says how to go on: {said}"
        here.expect_no_failure()


def blue_green(lab: Lab) -> None:
    """Under load one version is switched to and promoted, the next one taken back, and all is left; nothing is lost."""
    strategy = Shop(lab.cluster, "switched").objects("blue-green.yaml")[0]["spec"]["strategy"]
    with town(lab, "switched", rollout={"strategy": strategy, "gates": []}, strategy="blue-green") as here:
        end = here.release("v2")
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        assert {s.status.weights.observed for s in here.watch.seen} == {0, 100}
        here.expect_only("v2")
        here.expect_home()
        here.expect_no_failure()
        end = here.release("v3", fail_ratio=0.2)
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        bad = end.status.history[-1].pod_hash
        assert any(each.version == "v3" for each in here.users.read()), "the users were switched to it"
        here.expect_only("v2", within=ENDPOINTS)
        here.expect_home()
        here.until_gone(bad)
        here.leave("v2")
        assert set(here.shop.selected().values()) == {""}
        here.expect_no_failure()


SCENARIOS: dict[str, Scenario] = {
    "two applications as one": release_group,
    "a StatefulSet in place": in_place,
    "a blue-green switch and its way back": blue_green,
    "two Services take turns": taking_turns,
    "the number of pods is the weight": by_pods,
    "a switch by a route": by_switch,
    "a hotfix, and younger pods": in_a_hurry,
    "fresh pods of both versions are compared": compared,
    "behind an HTTPProxy": http_proxy,
    "by header and mirrored": by_header,
    "a query that does not parse holds": nonsense_query,
    "a provider that is down holds": silent_provider,
    "a good version is promoted": good_version,
    "a version without traffic is held": no_traffic,
    "bad references move nothing": bad_references,
    "a bad version is taken back": bad_version,
    "deletion in the middle of a release": deletion_in_mid_release,
    "deletion hands back": deletion,
}
"""What takes longest comes first, so that nothing long is left alone at the end."""


# ---------------------------------------------------------------------------------------------------------------------


def _unanswerable(lab: Lab, namespace: str, check: dict[str, Any], reason: str) -> None:
    with town(lab, namespace, rollout=ONE_STEP, gate={"checks": [check], "consecutiveErrorLimit": 1}) as here:
        here.shop.release("v2")
        # A Prometheus that is busy may not be reached for a moment, which holds as well.
        held = here.watch.until(
            f"held because of {reason}",
            lambda s: s.status.phase == "Held" and reason in s.condition("Stalled")[2],
            timeout=60,
        )
        assert held.condition("Stalled")[:2] == ("True", "GateHeld"), held.line
        _stays(here, HELD_FOR, phase="Held", weight=20)
        # A gate that can be asked is for the next attempt; this one has pinned its own, so a person ends it.
        here.shop.govern({"replicas": 2, **ONE_STEP}, QUICK_GATE)
        generation = here.shop.release("v3")
        end = here.watch.at_rest(generation, timeout=120)
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        here.expect_only("v3")
        here.expect_no_failure()


def _check(
    *, template: str, provider: str = "default", arguments: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    query = {"template": template, **({"arguments": arguments} if arguments else {})}
    return {"name": "success-rate", "prometheus": {"provider": provider, "query": query}, "pass": {"min": 99}}


def _plain(**fields: Any) -> dict[str, Any]:
    return {"gates": [], "strategy": canary({"setWeight": 50}, **fields)}


def _complains(name: str) -> Callable[[Seen], bool]:
    def check(each: Seen) -> bool:
        status, _, message = each.condition("Ready")
        return status == "False" and name in message

    return check


def _edit(here: Town, change: dict[str, Any]) -> None:
    here.cluster.patch(ROLLOUT, here.shop.name, here.shop.namespace, {"spec": change})


def _stays(here: Town, seconds: float, *, phase: str, weight: int) -> None:
    """For so long the phase is the same, and the weight neither seen nor wanted above what it is."""
    since = time.time()
    while time.time() < since + seconds:
        last = here.watch.last
        assert last is not None
        assert last.status.phase == phase, last.line
        assert max(last.status.weights.desired, last.status.weights.observed) <= weight, last.line
        time.sleep(0.2)
