"""HTTPRoutes: the rule is found or the field is named, weights are read honestly, patches touch weights only."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.api.rollout import Canary
from headgate.decide.types import RouteView
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS

pytestmark = pytest.mark.unit

ROUTER = ROUTERS["gatewayAPI"]
NAMED = Target("checkout", "main")
UNNAMED = Target("checkout")


def canary(*routes: dict[str, str]) -> Canary:
    """A canary strategy behind these routes."""
    return Canary.model_validate(
        {
            "stableService": "checkout",
            "canaryService": "checkout-canary",
            "trafficRouting": {"gatewayAPI": {"httpRoutes": list(routes) or [{"name": "checkout", "rule": "main"}]}},
            "steps": [{"setWeight": 5}],
        }
    )


CANARY = canary()


def backend(name: str, weight: int | None = None, **more: Any) -> dict[str, Any]:
    """One backendRef; without a weight, none stands there."""
    return {"name": name, "port": 80} | ({} if weight is None else {"weight": weight}) | more


def route(*backends: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A served HTTPRoute whose second rule, `main`, has these backends."""
    refs = list(backends) or [backend("checkout", 100), backend("checkout-canary", 0)]
    conditions = [
        {"type": kind, "status": "True", "reason": kind, "observedGeneration": 7}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    parent = {"name": "edge", "namespace": "infra", "sectionName": "https"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "checkout", "namespace": "shop", "generation": 7, "resourceVersion": "42"},
        "spec": {
            "parentRefs": [parent],
            "hostnames": ["shop.test"],
            "rules": [
                {"matches": [{"path": {"type": "Exact", "value": "/health"}}], "backendRefs": [backend("health", 1)]},
                {
                    "name": "main",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}],
                    "timeouts": {"request": "10s"},
                    "backendRefs": refs,
                },
            ],
        },
        "status": {
            "parents": [
                {
                    "controllerName": "test/gateway",
                    "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", **parent},
                    "conditions": conditions,
                }
            ]
        },
        **more,
    }


def read(obj: dict[str, Any] | None, target: Target = NAMED) -> RouteView:
    """What the router makes of it."""
    return ROUTER.read(CANARY, obj, target)


def test_targets_are_the_listed_routes() -> None:
    """One place per route, in the order of the spec."""
    subject = canary({"name": "b", "rule": "main"}, {"name": "a"})
    assert list(ROUTER.targets(subject)) == [Target("b", "main"), Target("a", "")]


def test_good_route_reads_back() -> None:
    """Weight, version and that it is served."""
    view = read(route(backend("checkout", 80), backend("checkout-canary", 20)))
    assert view == RouteView(
        "gatewayAPI", "HTTPRoute", "checkout", "main", found=True, resource_version="42", weight=20, settled=True
    )


def test_rule_is_found_by_its_stable_service() -> None:
    """Without a name, the one rule that lists the stable Service is meant."""
    assert read(route(), UNNAMED).problem == ""


@pytest.mark.parametrize(
    ("stable", "share_of", "expected"),
    [(1, 0, 0), (80, 20, 20), (4, 1, 20), (None, None, 50), (None, 0, 0), (0, None, 100), (999, 1, 1), (2, 1, 34),
     (1_000_000, 1, 1), (0, 100, 100)],
)  # fmt: skip
def test_share_is_never_smaller_than_it_is(stable: int | None, share_of: int | None, expected: int) -> None:
    """Stored weights of any sum become percent, rounded up; a missing weight is 1."""
    assert read(route(backend("checkout", stable), backend("checkout-canary", share_of))).weight == expected


BACKENDS = "HTTPRoute checkout: spec.rules[1].backendRefs"
OTHER = 'a claimed rule has the two Services "checkout" and "checkout-canary" of this namespace and no other backend'


@pytest.mark.parametrize(
    ("backends", "problem"),
    [
        (
            [backend("checkout", 1)],
            f'{BACKENDS} does not list the canary Service "checkout-canary"; add it with weight 0',
        ),
        ([backend("checkout-canary", 1)], f'{BACKENDS} does not list the stable Service "checkout"; add it'),
        (
            [backend("checkout", 1), backend("checkout", 1), backend("checkout-canary", 0)],
            f'{BACKENDS} lists the stable Service "checkout" 2 times; leave one of them',
        ),
        (
            [backend("checkout", 1), backend("checkout-canary", 0), backend("third", 1)],
            f"{BACKENDS}[2] is the Service 'third'; {OTHER}",
        ),
        (
            [backend("checkout", 1), backend("checkout-canary", 0), backend("checkout", 1, namespace="other")],
            f"{BACKENDS}[2] is the Service 'checkout' of the namespace 'other'; {OTHER}",
        ),
        (
            [backend("checkout", 1), backend("checkout-canary", 0), backend("b", 1, group="x.test", kind="Bucket")],
            f"{BACKENDS}[2] is the Bucket 'b'; {OTHER}",
        ),
        (
            [backend("checkout", 0), backend("checkout-canary", 0)],
            f'{BACKENDS}: every weight is 0, so that no request is answered; set that of "checkout" to 100',
        ),
    ],
)
def test_rule_that_cannot_be_worked_with(backends: list[dict[str, Any]], problem: str) -> None:
    """Each names the field and what to do."""
    assert read(route(*backends)).problem == problem


def test_own_namespace_and_kind_may_be_spelled_out() -> None:
    """The defaults of the API, written down, are the same backend."""
    view = read(
        route(backend("checkout", 1, namespace="shop", kind="Service", group=""), backend("checkout-canary", 0))
    )
    assert view.problem == ""


def test_route_or_rule_that_is_not_there() -> None:
    """The field of the Rollout, or of the route, is named."""
    missing = read(None)
    assert not missing.found
    assert missing.problem == (
        'spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes: there is no HTTPRoute "checkout" in '
        "this namespace; create it or correct the name"
    )
    assert 'has no rule named "nope"' in read(route(), Target("checkout", "nope")).problem
    empty = route()
    empty["spec"]["rules"] = []
    assert 'has no rule with the stable Service "checkout"' in read(empty, UNNAMED).problem


def test_ambiguous_rule() -> None:
    """Two candidates are one too many, by Service or by name."""
    obj = route()
    obj["spec"]["rules"].append(copy.deepcopy(obj["spec"]["rules"][1]))
    assert "has 2 rules with the stable Service" in read(obj, UNNAMED).problem
    assert "httpRoutes[name=checkout].rule" in read(obj, UNNAMED).problem
    assert 'has 2 rules named "main" (1, 2)' in read(obj).problem


def test_exposure_shows_through_a_problem() -> None:
    """A rule with a foreign backend still tells the canary's share."""
    view = read(route(backend("checkout", 1), backend("checkout-canary", 1), backend("third", 2)))
    assert view.problem
    assert view.weight == 25


# --------------------------------------------------------------------------------------------------------------------
# Served or not
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observedGeneration": 6}, "Gateway infra/edge section https: Accepted is reported for another generation"),
        (
            {"status": "False", "reason": "No\x1b[31mMatching Parent"},
            "Gateway infra/edge section https: Accepted is not True (No31mMatchingParent)",
        ),
        ({"status": "Unknown", "reason": ""}, "Accepted is not True (NoReason)"),
        ({"type": "Other"}, "Accepted is not reported yet"),
    ],
)
def test_route_that_is_not_served_yet(change: dict[str, Any], message: str) -> None:
    """Each parent must have accepted this very generation, or the message says which one has not, and why."""
    obj = route()
    obj["status"]["parents"][0]["conditions"][0] |= change
    view = read(obj)
    assert not view.settled
    assert message in view.message


def partially(**more: Any) -> dict[str, Any]:
    """A route whose gateway has accepted it, and dropped a part."""
    condition = {"type": "PartiallyInvalid", "status": "True", "reason": "UnsupportedValue", "observedGeneration": 7}
    obj = route()
    obj["status"]["parents"][0]["conditions"].append(condition | {"message": "Dropped Rule(s) 1"} | more)
    return obj


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "UnsupportedValue"),
        ({"reason": "Dropped\x1b[31m Rule"}, "Dropped31mRule"),
        ({"reason": ""}, "NoReason"),
    ],
)
def test_weight_of_a_route_that_is_partly_dropped_is_not_served(more: dict[str, Any], reason: str) -> None:
    """Accepted tells nothing of a rule that the gateway left out or kept as it was; the message has its reason only."""
    view = read(partially(**more))
    assert not view.settled
    told = f"Gateway infra/edge section https: PartiallyInvalid is True ({reason}), so the weights may not be served"
    assert view.message.startswith(told)
    assert "Rule(s)" not in view.message


@pytest.mark.parametrize("more", [{"status": "False"}, {"status": "Unknown"}, {"observedGeneration": 6}])
def test_route_that_is_whole_again_is_served(more: dict[str, Any]) -> None:
    """What a gateway said of an earlier generation is over once it accepts this one without saying it again."""
    assert read(partially(**more)).settled


def test_conflict_of_a_route_with_itself_drops_nothing() -> None:
    """Contour reports a rule that repeats a match, as one that copies requests does; the first of the two is served."""
    conflict = partially(reason="RuleMatchPartiallyConflict")
    assert not read(conflict).settled, "another route may have taken the match"
    conflict["spec"]["rules"].append({**conflict["spec"]["rules"][0], "name": "again", "backendRefs": []})
    assert read(conflict).settled


def test_route_that_is_not_accepted_says_that_first() -> None:
    """What is dropped of a route matters only where the rest is taken."""
    obj = partially()
    obj["status"]["parents"][0]["conditions"][0]["status"] = "False"
    assert "Accepted is not True" in read(obj).message


def test_every_parent_must_answer() -> None:
    """A gateway that says nothing may still serve the old version."""
    obj = route()
    obj["spec"]["parentRefs"].append({"name": "inner"})
    assert read(obj).message == "Gateway shop/inner has not answered yet"
    obj["spec"]["parentRefs"] = []
    assert read(obj).message == "spec.parentRefs is empty: no gateway serves this route"


def test_leftover_of_a_former_parent_does_not_count() -> None:
    """A controller that went away cannot hold a route for ever."""
    obj = route()
    obj["status"]["parents"].append({"parentRef": {"name": "gone"}, "controllerName": "old", "conditions": []})
    assert read(obj).settled


def test_second_controller_of_a_parent_counts() -> None:
    """If two controllers answer for one parent, both must serve."""
    obj = route()
    obj["status"]["parents"].append({**obj["status"]["parents"][0], "controllerName": "two", "conditions": []})
    assert not read(obj).settled


# --------------------------------------------------------------------------------------------------------------------
# Patches
# --------------------------------------------------------------------------------------------------------------------


def weights(obj: dict[str, Any]) -> list[Any]:
    """The stored weights of the claimed rule."""
    return [ref.get("weight") for ref in obj["spec"]["rules"][1]["backendRefs"]]


@given(
    weight=st.integers(0, 100),
    stable=st.sampled_from([None, 0, 1, 37, 1_000_000]),
    share=st.sampled_from([None, 0, 1, 63]),
    swap=st.booleans(),
)
def test_patch_changes_the_two_weights_only(weight: int, stable: int | None, share: int | None, *, swap: bool) -> None:
    """Weights become integers that sum to 100; all else stays byte for byte (invariants 1 and 16)."""
    refs = [backend("checkout", stable, filters=[]), backend("checkout-canary", share)]
    before = route(*(reversed(refs) if swap else refs))
    after = jsonpatch.apply_patch(before, ROUTER.set_weight(CANARY, before, NAMED, weight))
    view = read(after)
    assert view.weight == weight
    assert sum(weights(after)) == 100
    assert all(type(each) is int for each in weights(after))
    for obj in (before, after):
        for ref in obj["spec"]["rules"][1]["backendRefs"]:
            ref.pop("weight", None)
    assert json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)


def test_patch_tests_the_names_first() -> None:
    """If the backends moved since they were read, the server refuses the patch."""
    patch = ROUTER.set_weight(CANARY, route(backend("checkout"), backend("checkout-canary", 0)), NAMED, 5)
    assert [(op["op"], op["path"], op["value"]) for op in patch] == [
        ("test", "/spec/rules/1/backendRefs/0/name", "checkout"),
        ("test", "/spec/rules/1/backendRefs/1/name", "checkout-canary"),
        ("add", "/spec/rules/1/backendRefs/0/weight", 95),
        ("replace", "/spec/rules/1/backendRefs/1/weight", 5),
    ]
    moved = route(backend("other", 1), backend("checkout", 1), backend("checkout-canary", 0))
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(moved, patch)


@pytest.mark.parametrize("weight", [-1, 101])
def test_weight_is_a_percentage(weight: int) -> None:
    """Nothing else is ever written."""
    with pytest.raises(ValueError, match="0 to 100"):
        ROUTER.set_weight(CANARY, route(), NAMED, weight)


def test_no_patch_for_a_rule_with_a_problem() -> None:
    """What cannot be read cannot be written; the error names the field."""
    with pytest.raises(ValueError, match=r"spec\.rules\[1\]\.backendRefs does not list the canary"):
        ROUTER.set_weight(CANARY, route(backend("checkout", 1)), NAMED, 5)
    with pytest.raises(ValueError, match="has no rule named"):
        ROUTER.set_weight(CANARY, route(), Target("checkout", "nope"), 5)


def test_weights_of_zero_can_be_put_right() -> None:
    """The problem that a write would solve does not forbid the write."""
    before = route(backend("checkout", 0), backend("checkout-canary", 0))
    assert weights(jsonpatch.apply_patch(before, ROUTER.set_weight(CANARY, before, NAMED, 0))) == [100, 0]


# --------------------------------------------------------------------------------------------------------------------
# Claims, and objects that are not what they should be
# --------------------------------------------------------------------------------------------------------------------


def test_claim_is_the_same_by_name_and_by_service() -> None:
    """Two Rollouts that mean one rule have one claim, however each found it."""
    obj = route()
    assert ROUTER.claims(CANARY, obj, NAMED) == ROUTER.claims(CANARY, obj, UNNAMED) == "HTTPRoute/checkout/main"
    del obj["spec"]["rules"][1]["name"]
    assert ROUTER.claims(CANARY, obj, UNNAMED) == "HTTPRoute/checkout/#1"


def test_nobody_contends_for_a_rule_that_is_not_there() -> None:
    """While a shared route is away, two Rollouts of different Services stay apart."""
    other = CANARY.model_copy(update={"stable_service": "cart"})
    assert ROUTER.claims(CANARY, None, UNNAMED) != ROUTER.claims(other, None, UNNAMED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "main", "checkout"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["spec", "rules", "name", "backendRefs", "weight", "parentRefs", "status", "parents", "conditions", "metadata"]
    ), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["spec", "status", "metadata"]), JSON, max_size=3))
def test_odd_object_is_a_problem_not_a_crash(obj: dict[str, Any]) -> None:
    """Whatever shape it has, reading says so and nothing is written."""
    for target in (NAMED, UNNAMED):
        assert read(obj, target).problem
        ROUTER.claims(CANARY, obj, target)
