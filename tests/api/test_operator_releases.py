"""Releases by the operator as a process on a real API server: promoted, paused, aborted, retried, undone, by whom."""

from __future__ import annotations

from tests.api.kube import Json, Kube
from tests.api.prometheus import Prometheus
from tests.api.shop import CANARY, STABLE, Shop, gate, gates, replica_sets, routes, services

PAUSED: list[Json] = [{"setWeight": 50}, {"pause": {}}]


def test_first_version_comes_up_and_a_change_is_promoted(kube: Kube, namespace: str) -> None:
    """A Rollout with a template becomes Healthy, and a change goes through its steps until it alone serves."""
    shop = Shop(kube, namespace, steps=[{"setWeight": 50}, {"setWeight": 100}])
    # A budget that allows no eviction: a release evicts nobody, so it is not in the way.
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "strict"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "shop"}}},
    }
    kube.create(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", budget)
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_promoted(2)
    shop.expect("the old version is scaled to 0", lambda: shop.pods_of(first) == 0)
    assert shop.pods_of(second) == shop.replicas
    history = [(h["podHash"], h["outcome"], h["attempt"]) for h in shop.status()["history"]]
    assert history == [(first, "Promoted", 1), (second, "Promoted", 1)]


def test_operator_owns_nothing_that_others_own(kube: Kube, namespace: str) -> None:
    """Of Services and routes it changes selectors and weights only; everything else is as it was written."""
    shop = Shop(kube, namespace)
    shop.deploy_healthy()
    shop.change(2)
    shop.expect_promoted(2)
    wanted = shop.route()["spec"]
    found = kube.must_get(routes(namespace, "shop"))["spec"]
    assert found["parentRefs"][0]["name"] == wanted["parentRefs"][0]["name"]
    assert [b["name"] for b in found["rules"][0]["backendRefs"]] == ["shop", "shop-canary"]
    assert set(kube.must_get(services(namespace, "shop"))["spec"]["selector"]) == {"app", "headgate.dev/revision"}
    owned = kube.must_get(replica_sets(namespace))["items"]
    assert all(set(o["metadata"]["labels"]) == {"headgate.dev/rollout", "headgate.dev/revision"} for o in owned)


def test_two_services_take_turns(kube: Kube, namespace: str) -> None:
    """A promotion leaves weights and selectors as the steps have made them; the next release goes behind the other."""
    turns = {"pingService": "shop", "pongService": "shop-canary"}
    fixed = {"stableService": None, "canaryService": None}
    shop = Shop(kube, namespace, canary={**fixed, "pingPong": turns, "scaleDownDelaySeconds": 3})
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect("pong is the stable one", lambda: shop.status().get("stablePingPong") == "Pong")
    assert shop.status()["stable"]["podHash"] == second
    assert (shop.weight(), shop.selected(CANARY), shop.selected(STABLE)) == (100, second, first)
    shop.expect("old connections are over", lambda: shop.selected(STABLE) == second)
    third = shop.change(3)
    shop.expect("ping is the stable one again", lambda: shop.status().get("stablePingPong") == "Ping")
    shop.expect("old connections are over again", lambda: shop.selected(CANARY) == third)
    shop.expect_promoted(3)


def test_pause_step_waits_for_promote(kube: Kube, namespace: str) -> None:
    """A pause without an end waits at its weight until a person promotes, and the answer says which step is over."""
    shop = Shop(kube, namespace, steps=PAUSED)
    shop.deploy_healthy()
    shop.change(2)
    shop.expect_phase("Paused")
    shop.expect_at(2, step=1, weight=50)
    assert shop.act("promote") == ("Accepted", "the pause at step 2 is over")
    shop.expect_promoted(2)


def test_person_pauses_and_resumes(kube: Kube, namespace: str) -> None:
    """A person's pause holds the release where it is; promoting is refused until the same release is resumed."""
    shop = Shop(kube, namespace, steps=[{"setWeight": 50}, {"pause": {}}, {"setWeight": 100}])
    shop.deploy_healthy()
    shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    assert shop.act("pause")[0] == "Accepted"
    message = shop.expect_condition("Paused", "True", "PausedByPerson")
    assert "carol" in message
    assert shop.act("promote") == ("Refused", "the Rollout is paused as a whole; resume it first")
    assert shop.act("resume") == ("Accepted", "resumed")
    assert shop.act("promote")[0] == "Accepted"
    shop.expect_promoted(2)


def test_abort_takes_back_and_retry_tries_again(kube: Kube, namespace: str) -> None:
    """An aborted version gets no traffic and is not tried again by itself; a retry is attempt 2, which goes through."""
    shop = Shop(kube, namespace, steps=PAUSED)
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    assert shop.act("abort") == ("Accepted", f"revision {second} is taken back")
    shop.expect_phase("Degraded")
    assert (shop.weight(), shop.selected(STABLE), shop.selected(CANARY)) == (0, first, first)
    shop.expect("the version that was taken back is scaled to 0", lambda: shop.pods_of(second) == 0)
    assert "the test says so" in shop.expect_condition("Rejected", "True", "Aborted")

    answer = shop.act("retry", pod_hash=second, attempt=1)
    assert answer == ("Accepted", f"attempt 2 of revision {second} begins")
    shop.expect_at(2, step=1, weight=50)
    assert shop.status()["current"]["attempt"] == 2
    assert shop.act("promote")[0] == "Accepted"
    shop.expect_promoted(2)


def test_undo_goes_back_and_stays_there(kube: Kube, namespace: str) -> None:
    """An undo goes back to the version before, and the template that Git still wants is not released again."""
    shop = Shop(kube, namespace)
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_promoted(2)
    phase, message = shop.act("undo")
    assert phase == "Accepted"
    assert message.startswith(f"going back to revision {first}")
    shop.expect("the first version is stable again", lambda: shop.status()["stable"]["podHash"] == first)
    shop.expect_phase("Degraded")
    assert (shop.selected(STABLE), shop.weight()) == (first, 0)
    assert second in shop.expect_condition("Rejected", "True", "Undone")


def test_stale_action_is_refused_with_a_sentence(kube: Kube, namespace: str) -> None:
    """Who acts on what is not current any more is told what is, and nothing happens."""
    shop = Shop(kube, namespace, steps=PAUSED)
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    phase, message = shop.act("abort", pod_hash=first, attempt=1)
    assert phase == "Refused"
    assert message == (
        f"you saw revision {first} attempt 1, now it is {second} attempt 1; "
        "look again and repeat it if you still want it"
    )
    assert shop.weight() == 50
    assert shop.status()["phase"] == "Paused"


def test_paused_spec_holds_and_goes_on(kube: Kube, namespace: str) -> None:
    """With `spec.paused` no traffic is raised, and a person's promote does not change that; without it, it goes on."""
    shop = Shop(kube, namespace, steps=[{"setWeight": 50}, {"pause": {}}, {"setWeight": 100}])
    shop.deploy_healthy()
    shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    shop.pause_by_spec(paused=True)
    shop.expect_condition("Paused", "True", "PausedBySpec")
    assert shop.act("promote")[0] == "Refused"
    assert shop.weight() == 50
    shop.pause_by_spec(paused=False)
    shop.expect_condition("Paused", "True", "PauseStep")
    assert shop.act("promote")[0] == "Accepted"
    shop.expect_promoted(2)


def test_newer_version_takes_the_place_of_the_one_under_way(kube: Kube, namespace: str) -> None:
    """A change in mid-run supersedes the release under way, which leaves no traffic and no pods behind."""
    shop = Shop(kube, namespace, steps=PAUSED)
    shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    shop.change(3)
    shop.expect_at(3, step=1, weight=50)
    assert shop.act("promote")[0] == "Accepted"
    shop.expect_promoted(3)
    shop.expect("the superseded version is scaled to 0", lambda: shop.pods_of(second) == 0)
    assert [h["outcome"] for h in shop.status()["history"]] == ["Promoted", "Superseded", "Promoted"]


def test_way_back_by_git_is_a_release_that_is_left(kube: Kube, namespace: str) -> None:
    """Reverting the template in mid-run takes all traffic home at once, without a mark of rejection."""
    shop = Shop(kube, namespace, steps=PAUSED)
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_at(2, step=1, weight=50)
    shop.change(1)
    shop.expect_promoted(1)
    assert shop.selected(CANARY) == first
    shop.expect("the version that was left is scaled to 0", lambda: shop.pods_of(second) == 0)
    assert shop.condition("Rejected")["status"] == "False"


def test_gate_passes_and_the_evidence_is_kept(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """A gate that passes lets the version through, and the status keeps the number, the query and the rule."""
    prometheus.values[namespace] = 0.25
    kube.create(gates(namespace), gate("golden"))
    shop = Shop(kube, namespace, steps=[{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}}}, {"pause": {}}])
    shop.deploy_healthy()
    shop.change(2)
    shop.expect_at(2, step=2, weight=50)
    run = shop.status()["gates"][0]
    check = run["checks"][0]
    assert (run["verdict"], check["measurements"][-1]["value"], check["rule"]) == ("Pass", 0.25, "<= 1")
    assert f'namespace="{namespace}"' in check["query"]
    assert shop.act("promote")[0] == "Accepted"
    shop.expect_promoted(2)


def test_gate_fails_and_the_version_is_taken_back(kube: Kube, namespace: str, prometheus: Prometheus) -> None:
    """A gate that fails takes the version back at once, says with which number, and the old version serves alone."""
    prometheus.values[namespace] = 7.0
    kube.create(gates(namespace), gate("golden"))
    shop = Shop(kube, namespace, steps=[{"setWeight": 50}, {"gate": {"ref": {"name": "golden"}}}])
    first = shop.deploy_healthy()
    second = shop.change(2)
    shop.expect_phase("Degraded")
    assert (shop.weight(), shop.selected(STABLE), shop.selected(CANARY)) == (0, first, first)
    message = shop.expect_condition("Rejected", "True", "GateFailed")
    assert second in message
    assert "golden" in message
    shop.expect("the version that was taken back is scaled to 0", lambda: shop.pods_of(second) == 0)


def test_route_that_no_gateway_answers_does_not_count(kube: Kube, namespace: str) -> None:
    """While the gateway has not accepted the written weight, the step waits and says so; then it goes on by itself."""
    shop = Shop(kube, namespace, steps=[{"setWeight": 50}, {"setWeight": 100}])
    shop.deploy_healthy()
    path = routes(namespace, "shop")
    kube.patch(path, {"metadata": {"annotations": {"headgate.dev/stand-in": "off"}}})
    shop.change(2)
    shop.expect_at(2, step=0, weight=50)
    # The answer to an action is a decision that was taken after the weight was written.
    assert shop.act("promote")[0] == "Refused"
    status = shop.status()
    assert (status["currentStepIndex"], status["weights"].get("applied", False)) == (0, False)
    assert "waiting for the gateway" in status["message"]
    kube.patch(path, {"metadata": {"annotations": {"headgate.dev/stand-in": None}}})
    shop.expect_promoted(2)


def test_more_replicas_are_there_at_once(kube: Kube, namespace: str) -> None:
    """Scaling the Rollout scales the stable version, and is no release."""
    shop = Shop(kube, namespace)
    first = shop.deploy_healthy()
    kube.patch(f"{shop.path}/scale", {"spec": {"replicas": 4}})
    shop.expect("four pods are wanted", lambda: shop.pods_of(first) == 4)
    kube.patch(f"{shop.path}/scale", {"spec": {"replicas": 1}})
    shop.expect("one pod is wanted", lambda: shop.pods_of(first) == 1)
    assert len(shop.status()["history"]) == 1
