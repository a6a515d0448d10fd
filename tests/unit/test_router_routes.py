"""Routes of ours in routers' objects: what they match within a claimed rule, and how they are known without names."""

from __future__ import annotations

import copy
import re
from typing import Any

import jsonpatch
import pytest

from headgate.api.rollout import Canary, Step
from headgate.api.routes import PathMatch, RouteMatch, StringMatch
from headgate.decide.managed import ManagedRoute, after, all_of, keys_of, names_of, recorded, unknown
from headgate.traffic.matching import cookie_regex, inner_path, regex_of
from headgate.traffic.protocol import Target
from headgate.traffic.registry import ROUTERS
from tests.unit.router_example import Example, Object, examples

pytestmark = pytest.mark.unit

EXAMPLES = {example.id: example for example in examples()}


def a_step(name: str = "beta", kind: str = "setHeaderRoute", **match: Any) -> Step:
    """A step with one match."""
    return Step.model_validate({kind: {"name": name, "match": [match or {"headerName": "x", "headerValue": EXACT}]}})


EXACT = {"exact": "a"}
OUT = Step.model_validate({"setHeaderRoute": {"name": "beta"}})


def canary_of(example: Example, *steps: Step) -> Canary:
    """The example's strategy with these steps."""
    return example.strategy().model_copy(update={"steps": list(steps)})


def written(example: Example, obj: Object, *steps: Step, weight: int = 0) -> Object:
    """The object with the routes of these steps."""
    patch = example.subject.set_weight(canary_of(example, *steps), obj, example.target, weight, all_of(steps))
    found: Object = jsonpatch.apply_patch(copy.deepcopy(obj), patch)
    return found


def matches_of(example: Example, *steps: Step) -> list[dict[str, Any]]:
    """The matches of the one rule of ours."""
    rules = written(example, example.obj, *steps)["spec"]
    ours = next(r for r in rules.get("rules") or rules["http"] if str(r.get("name")).startswith("headgate."))
    found: list[dict[str, Any]] = ours.get("matches") or ours["match"]
    return found


def test_steps_add_up_to_the_routes_that_are_there() -> None:
    """Whose name was set first stands first, whatever is set anew; what is taken out and set again stands last."""
    first, second = a_step(), a_step("shadow", "setMirrorRoute")
    anew = a_step(headerName="x", headerValue={"exact": "b"})
    assert names_of(keys_of(after([first, second, anew]))) == "beta, shadow"
    assert after([first, second, anew])[0] == all_of([anew])[0]
    assert names_of(keys_of(after([first, second, OUT, anew]))) == "shadow, beta"
    assert after([first, OUT]) == ()
    assert [r.percentage for r in after([first, second])] == [None, 100]


def test_route_is_known_by_all_that_it_is() -> None:
    """Another match, percentage or kind is another key, and the same is the same."""
    header, mirror = all_of([a_step()])[0], all_of([a_step(kind="setMirrorRoute")])[0]
    half = ManagedRoute(mirror.name, mirror.match, 50)
    assert len({header.key, mirror.key, half.key, unknown("beta")}) == 4
    assert header.key == all_of([a_step()])[0].key


def test_every_recorded_attempt_is_known() -> None:
    """A route of an attempt that the spec does not name any more is ours all the same."""
    example = EXAMPLES["HTTPRoute"]

    class Plan:
        """A record."""

        steps = (a_step(),)
        session = None

    class View:
        """A record as it is seen."""

        plan = Plan

    found = recorded(example.strategy(), [View])  # type: ignore[list-item]
    led = written(example, example.obj, a_step())
    assert ROUTERS["gatewayAPI"].read(found, led, example.target).managed == keys_of(all_of([a_step()]))
    assert ROUTERS["gatewayAPI"].read(example.strategy(), led, example.target).managed == (unknown("beta"),)
    assert recorded(example.strategy(), []).steps == example.strategy().steps


@pytest.mark.parametrize(
    ("kind", "value", "wanted", "expected"),
    [
        ("prefix", "/", {"prefix": "/a"}, ("prefix", "/a")),
        ("prefix", "/", {"exact": "/a"}, ("exact", "/a")),
        ("prefix", "/", {"regex": "/a.*"}, ("regex", "/a.*")),
        ("prefix", "/a", {"prefix": "/a/b"}, ("prefix", "/a/b")),
        ("prefix", "/a", {"prefix": "/a"}, ("prefix", "/a")),
        ("prefix", "/a/b", {"prefix": "/a"}, ("prefix", "/a/b")),
        ("prefix", "/a", {"prefix": "/ab"}, None),
        ("prefix", "/a", {"exact": "/b"}, None),
        ("prefix", "/a", {"regex": "/a.*"}, None),
        ("exact", "/a", {"exact": "/a"}, ("exact", "/a")),
        ("exact", "/a/b", {"prefix": "/a"}, ("exact", "/a/b")),
        ("exact", "/a", {"exact": "/b"}, None),
        ("exact", "/a", {"prefix": "/b"}, None),
        ("regex", "/a.*", {"prefix": "/a"}, None),
        ("regex", "/a.*", {"prefix": "/"}, ("regex", "/a.*")),
    ],
)
def test_paths_stay_within_the_claimed_rule(
    kind: str, value: str, wanted: dict[str, str], expected: tuple[str, str] | None
) -> None:
    """A route never takes requests that the claimed rule did not have."""
    assert inner_path(kind, value, PathMatch.model_validate(wanted)) == expected


@pytest.mark.parametrize(
    ("value", "whole", "not_whole"),
    [
        ({"exact": "a.b"}, ["a.b"], ["axb", "a.bc"]),
        ({"prefix": "a+"}, ["a+", "a+1"], ["aa"]),
        ({"regex": "a|b"}, ["b"], []),
    ],
)
def test_texts_become_expressions(value: dict[str, str], whole: list[str], not_whole: list[str]) -> None:
    """What is meant as a text is not taken for an expression; a cookie is found among others and not in them."""
    asked = StringMatch.model_validate(value)
    for text in whole:
        assert re.fullmatch(regex_of(asked), text)
        for cookies in (f"v={text}", f"z=1; v={text}; y=2", f"z=1;v={text}"):
            assert re.fullmatch(cookie_regex("v", asked), cookies)
        assert not re.fullmatch(cookie_regex("v", asked), f"xv={text}")
    for text in not_whole:
        assert not re.fullmatch(regex_of(asked), text)
        assert not re.fullmatch(cookie_regex("v", asked), f"v={text}")


@pytest.mark.parametrize("name", ["HTTPRoute", "VirtualService http"])
def test_matches_are_joined_with_those_of_the_claimed_rule(name: str) -> None:
    """Each alternative with each of the rule's, every condition of both in it."""
    example = EXAMPLES[name]
    step = Step.model_validate(
        {
            "setHeaderRoute": {
                "name": "beta",
                "match": [
                    {"headerName": "X-A", "headerValue": {"prefix": "a"}, "method": "GET"},
                    {
                        "queryName": "q",
                        "queryValue": EXACT,
                        "path": {"exact": "/a"},
                        "cookieName": "c",
                        "cookieValue": EXACT,
                    },
                ],
            }
        }
    )
    http = [
        {
            "path": {"type": "PathPrefix", "value": "/"},
            "headers": [{"name": "X-A", "type": "RegularExpression", "value": "^a.*$"}],
            "method": "GET",
        },
        {
            "path": {"type": "Exact", "value": "/a"},
            "headers": [{"name": "Cookie", "type": "RegularExpression", "value": "^(.*; ?)?c=a(;.*)?$"}],
            "queryParams": [{"name": "q", "type": "Exact", "value": "a"}],
        },
    ]
    istio = [
        {"uri": {"prefix": "/"}, "headers": {"x-a": {"prefix": "a"}}, "method": {"exact": "GET"}},
        {
            "uri": {"exact": "/a"},
            "headers": {"cookie": {"regex": "^(.*; ?)?c=a(;.*)?$"}},
            "queryParams": {"q": {"exact": "a"}},
        },
    ]
    assert matches_of(example, step) == (http if name == "HTTPRoute" else istio)


def test_route_that_no_request_can_reach_is_refused_with_its_step() -> None:
    """The claimed rule is for another method, header or path."""
    example = EXAMPLES["HTTPRoute"]
    obj = copy.deepcopy(example.obj)
    obj["spec"]["rules"][1]["matches"] = [
        {"path": {"type": "PathPrefix", "value": "/a"}, "method": "POST", "headers": [{"name": "x", "value": "b"}]}
    ]
    for match in ({"method": "GET"}, {"path": {"prefix": "/b"}}, {"headerName": "X", "headerValue": EXACT}):
        why = example.subject.unable(canary_of(example, a_step(**match)), obj, example.target)
        assert why.startswith('spec.strategy.canary.steps[0].setHeaderRoute: the route "beta" matches nothing')
    assert example.subject.unable(canary_of(example, a_step(method="POST")), obj, example.target) == ""


@pytest.mark.parametrize(
    ("router", "match", "word"),
    [
        ("GRPCRoute", {"path": {"prefix": "/a"}}, "headers only"),
        ("HTTPProxy", {"method": "GET"}, "method"),
        ("ApisixRoute", {"path": {"prefix": "/a"}}, "path"),
        ("Ingress", {"cookieName": "c", "cookieValue": EXACT}, "one header"),
        ("Ingress", {"headerName": "x", "headerValue": EXACT, "method": "GET"}, "one header"),
    ],
)
def test_what_a_router_cannot_match_is_refused_with_what_to_do(router: str, match: dict[str, Any], word: str) -> None:
    """In a sentence that names the step; a header alone is no problem for any of them."""
    example = EXAMPLES[router]
    why = example.subject.unable(canary_of(example, Step(set_weight=5), a_step(**match)), example.obj, example.target)
    assert why.startswith("spec.strategy.canary.steps[1].setHeaderRoute: ")
    assert word in why
    assert "; " in why
    assert example.subject.unable(canary_of(example, a_step()), example.obj, example.target) == ""


@pytest.mark.parametrize("router", ["HTTPProxy", "ApisixRoute", "Ingress"])
def test_several_matches_are_refused_where_a_rule_has_one(router: str) -> None:
    """Nothing is matched by half."""
    example = EXAMPLES[router]
    matches = [RouteMatch.model_validate({"headerName": "x", "headerValue": {"exact": v}}) for v in "ab"]
    step = Step.model_validate({"setHeaderRoute": {"name": "beta", "match": matches}})
    assert "match" in example.subject.unable(canary_of(example, step), example.obj, example.target)


def test_one_header_at_a_time_is_what_an_ingress_knows() -> None:
    """The second one is refused until the first one is taken out."""
    example = EXAMPLES["Ingress"]
    both = canary_of(example, a_step(), a_step("other"))
    assert "at a time" in example.subject.unable(both, example.obj, example.target)
    with pytest.raises(ValueError, match="not the only one"):
        written(example, example.obj, a_step(), a_step("other", headerName="y", headerValue=EXACT))
    in_turn = canary_of(example, a_step(), OUT, a_step("other"))
    assert example.subject.unable(in_turn, example.obj, example.target) == ""


def test_header_of_somebody_else_is_a_bypass_still() -> None:
    """Of an Ingress: what is not just what a step asks for leads to the canary whatever is wanted."""
    example = EXAMPLES["Ingress"]
    led = written(example, example.obj, a_step())
    led["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-by-header-value"] = "b"
    view = example.subject.read(canary_of(example, a_step()), led, example.target)
    assert view.managed == ()
    assert "canary-by-header" in view.problem


def test_routes_are_known_where_names_are_dropped() -> None:
    """Definitions of the Gateway API before 1.4 know no names of rules in their standard channel."""
    example, kinds = EXAMPLES["HTTPRoute"], ("setHeaderRoute", "setMirrorRoute")
    steps = [a_step(kind.lower(), kind) for kind in kinds]
    strategy = canary_of(example, *steps).model_copy(
        update={"traffic_routing": example.strategy(example.same[0]).traffic_routing}
    )
    target = Target("checkout")

    def dropped(obj: Object) -> Object:
        rules = [{k: v for k, v in rule.items() if k != "name"} for rule in obj["spec"]["rules"]]
        return {**obj, "spec": {**obj["spec"], "rules": rules}}

    start = dropped(example.obj)
    patch = example.subject.set_weight(strategy, start, target, 20, all_of(steps))
    led = dropped(jsonpatch.apply_patch(start, patch))
    view = example.subject.read(strategy, led, target)
    assert (view.weight, view.managed, view.problem) == (20, keys_of(all_of(steps)), "")
    back = jsonpatch.apply_patch(led, example.subject.set_weight(strategy, led, target, 0))
    assert back == start


def test_what_a_server_adds_makes_no_difference() -> None:
    """The defaults of the Gateway API in a rule of ours; anything else does."""
    example = EXAMPLES["HTTPRoute"]
    obj = copy.deepcopy(example.obj)
    del obj["spec"]["rules"][1]["matches"]
    led = written(example, obj, a_step())
    ours = led["spec"]["rules"][1]
    assert ours["matches"] == [{"headers": [{"name": "x", "type": "Exact", "value": "a"}]}]
    ours["matches"][0]["path"] = {"type": "PathPrefix", "value": "/"}
    ours["backendRefs"][0] |= {"group": "", "kind": "Service"}
    strategy = canary_of(example, a_step())
    assert example.subject.read(strategy, led, example.target).managed == keys_of(all_of([a_step()]))
    ours["matches"][0]["path"]["value"] = "/a"
    assert example.subject.read(strategy, led, example.target).managed == (unknown("beta"),)


# --------------------------------------------------------------------------------------------------------------------
# Requests that a route by header and a mirror both match
# --------------------------------------------------------------------------------------------------------------------

SPECIFIC = ["HTTPRoute", "HTTPProxy without a mirror"]
"""Examples of routers that serve the rule that asks for most, wherever it stands."""
TESTERS = a_step("testers", headerName="x-tester", headerValue=EXACT)
ASKED: dict[str, Any] = {"path": "/checkout/a", "x-a": "a", "x-tester": "a"}
"""What a tester's requests have, and the examples' claimed rules ask for."""
COPIED: dict[str, tuple[dict[str, Any], Object]] = {
    "a path": ({"path": {"prefix": "/checkout/a"}}, {}),
    "a header": ({"headerName": "x-copy", "headerValue": EXACT}, {"x-copy": "a"}),
    "a parameter": ({"queryName": "q", "queryValue": EXACT, "path": {"exact": "/checkout/a"}}, {"q": "a"}),
}
"""What a mirror may ask for, and what requests that are copied have besides."""


def asked_by(rule: Object) -> list[Object]:
    """All that a rule asks for, for each of its matches, with the path and how much of it is asked for."""
    if "services" in rule:
        conditions = rule.get("conditions", [])
        kind, path = next(((k, c[k]) for c in conditions for k in ("prefix", "exact") if k in c), ("prefix", "/"))
        named = [c.get("header") or c["queryParameter"] for c in conditions if not {"prefix", "exact"} & c.keys()]
        return [{c["name"]: c.get("exact") for c in named} | {"path": (kind == "exact", path)}]
    found = []
    for match in rule.get("matches", [{}]):
        path = match.get("path", {"type": "PathPrefix", "value": "/"})
        named = [*match.get("headers", []), *match.get("queryParams", [])]
        found.append({c["name"]: c["value"] for c in named} | {"path": (path["type"] == "Exact", path["value"])})
    return found


def served(obj: Object, request: Object) -> str:
    """Who gets a request: `canary`, `copied` for both, or the claimed rule's `shared`; as Envoy's gateways choose."""
    rules = obj["spec"].get("rules") or obj["spec"]["routes"]
    best: list[tuple[Any, Object]] = []
    for rule in rules:
        for one in asked_by(rule):
            exact, path = one["path"]
            there = request["path"] == path if exact else request["path"].startswith(path)
            if there and all(request.get(k) and v in (None, request[k]) for k, v in one.items() if k != "path"):
                best.append(((exact, len(path), len(one)), rule))
    most = max(key for key, _ in best)
    first, *more = [rule for key, rule in best if key == most]
    assert not more or "rules" in obj["spec"], "the order decides, and routes of an HTTPProxy have none"
    mirrors = [f for f in first.get("filters", []) if "requestMirror" in f]
    if mirrors or any(to.get("mirror") for to in first.get("services", [])):
        return "copied"
    names = {to["name"] for to in first.get("backendRefs") or first["services"]}
    return "canary" if names == {"checkout-canary"} else "shared"


@pytest.mark.parametrize("name", SPECIFIC)
@pytest.mark.parametrize("copied", COPIED)
@pytest.mark.parametrize("first", ["canary", "copied"])
def test_requests_that_two_routes_match_are_of_the_first_one(name: str, copied: str, first: str) -> None:
    """However much the other one asks for; requests that only one of them matches are its own."""
    example, (match, besides) = EXAMPLES[name], COPIED[copied]
    mirror = a_step("shadow", "setMirrorRoute", **match)
    steps = [TESTERS, mirror] if first == "canary" else [mirror, TESTERS]
    led = written(example, example.obj, *steps)
    assert served(led, ASKED | besides) == first
    assert served(led, {**ASKED, "path": "/checkout/b"}) == "canary"
    assert served(led, {k: v for k, v in (ASKED | besides).items() if k != "x-tester"}) == "copied"
    assert served(led, {k: v for k, v in ASKED.items() if k != "x-tester"} | {"path": "/checkout/b"}) == "shared"
    strategy = canary_of(example, *steps)
    assert example.subject.unable(strategy, example.obj, example.target) == ""
    assert example.subject.read(strategy, led, example.target).managed == keys_of(all_of(steps))


@pytest.mark.parametrize("name", [*SPECIFIC, "GRPCRoute"])
def test_route_is_what_it_was_when_the_other_one_is_taken_out(name: str) -> None:
    """What both asked for goes with the one that it was for; until then a rule without it is not what was written."""
    example, mirror = EXAMPLES[name], a_step("shadow", "setMirrorRoute", **COPIED["a header"][0])
    strategy = canary_of(example, TESTERS, mirror)
    alone = written(example, example.obj, TESTERS)

    def then(obj: Object, *steps: Step) -> Object:
        patch = example.subject.set_weight(strategy, obj, example.target, 0, all_of(steps))
        found: Object = jsonpatch.apply_patch(obj, patch)
        return found

    both = then(alone, TESTERS, mirror)
    assert both == written(example, example.obj, TESTERS, mirror)
    assert then(both, TESTERS) == alone
    assert then(both) == example.obj
    key = "rules" if "rules" in both["spec"] else "routes"
    ours = [rule for rule in both["spec"][key] if rule not in example.obj["spec"][key]]
    stripped = copy.deepcopy(both)
    stripped["spec"][key] = [r for r in both["spec"][key] if r not in ours[:-1]]
    stripped["spec"][key][1:1] = [r for r in alone["spec"][key] if r not in example.obj["spec"][key]]
    found = example.subject.read(strategy, stripped, example.target).managed
    assert found == (unknown("testers"), keys_of(all_of([mirror]))[0])


def test_two_routes_for_the_same_requests_are_refused_where_nothing_tells_them_apart() -> None:
    """Routes of an HTTPProxy have no order: of two that ask for the same, Contour serves the last one it reads."""
    example = EXAMPLES["HTTPProxy without a mirror"]
    mirror = a_step("shadow", "setMirrorRoute", headerName="x-tester", headerValue=EXACT)
    why = example.subject.unable(canary_of(example, TESTERS, mirror), example.obj, example.target)
    assert why.startswith('spec.strategy.canary.steps[0].setHeaderRoute: the route "testers" has all requests')
