"""The route for sessions in routers' objects: the cookie beside what others say of headers, and who is led by it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import jsonpatch
import pytest

from headgate.api.rollout import SESSION, STABLE_SESSION, Canary, Step
from headgate.api.routes import SessionAffinity
from headgate.decide.managed import all_of, keys_of, sessions, unknown
from headgate.traffic.protocol import Target
from tests.unit.router_example import AFFINITY, Example, Object, at, examples, made, step

pytestmark = pytest.mark.unit

EXAMPLES = {example.id: example for example in examples()}
NAMES = ["HTTPRoute", "GRPCRoute", "VirtualService http"]
STAY = step("sessionAffinity")
KEEP = step("sessionAffinity", name=STABLE_SESSION)
"""The same for the users of stable."""
COOKIE = "stay=headgate.next.1; Path=/checkout; Max-Age=86400; HttpOnly"


def canary_of(example: Example, *steps: dict[str, Any]) -> Canary:
    """The example's strategy, which asks for sessions, with these steps, too."""
    return example.strategy({**example.routing, "sessionAffinity": AFFINITY}, steps=steps or [STAY, KEEP])


def written(example: Example, obj: Object, *steps: dict[str, Any], weight: int = 20) -> Object:
    """The object with the routes of these steps."""
    routes = all_of(map(made, steps))
    patch = example.subject.set_weight(canary_of(example, *steps, STAY, KEEP), obj, example.target, weight, routes)
    found: Object = jsonpatch.apply_patch(copy.deepcopy(obj), patch)
    return found


def seen(example: Example, obj: Object, *steps: dict[str, Any]) -> tuple[str, ...]:
    """The keys that are read back."""
    return example.subject.read(canary_of(example, *steps, STAY, KEEP), obj, example.target).managed


def entry_of(obj: Object, example: Example) -> Object:
    """The canary's entry of the claimed rule, which is not where it was where a rule stands before it."""
    rules = at(obj, example.canary[:2])
    after = len(rules) - len(at(example.obj, example.canary[:2]))
    found: Object = at(rules[int(example.canary[2]) + after], example.canary[3:-1])
    return found


def said(entry: Object) -> list[tuple[str, str]]:
    """The headers that the answers of an entry get besides."""
    headers = entry.get("headers", {}).get("response", {}).get("add", {})
    changes = [one.get("responseHeaderModifier", {}) for one in entry.get("filters", [])]
    return [*headers.items(), *((h["name"], h["value"]) for change in changes for h in change.get("add", []))]


def with_headers(example: Example, change: dict[str, Sequence[str]]) -> Object:
    """The object whose owner changes headers of the canary's answers, by kind of change."""
    obj = copy.deepcopy(example.obj)
    entry: Object = at(obj, example.canary[:-1])
    if "destination" in entry:
        maps = {kind: list(names) if kind == "remove" else dict.fromkeys(names, "1") for kind, names in change.items()}
        entry["headers"] = {"request": {"set": {"x": "1"}}, "response": maps}
        return obj
    lists = {
        kind: list(names) if kind == "remove" else [{"name": name, "value": "1"} for name in names]
        for kind, names in change.items()
    }
    entry["filters"] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": lists},
    ]
    return obj


@pytest.mark.parametrize("name", NAMES)
def test_answers_of_the_canary_by_weight_set_the_cookie_that_leads_back(name: str) -> None:
    """Nobody else's do, and who comes back with it is not told again."""
    example = EXAMPLES[name]
    obj = written(example, example.obj, STAY)
    assert said(entry_of(obj, example)) == [("Set-Cookie", COOKIE)]
    assert str(obj).count("Set-Cookie") == 1


@pytest.mark.parametrize(
    ("more", "attributes"),
    [
        ({}, "Path=/; Max-Age=86400; HttpOnly"),
        ({"httpOnly": False, "maxAge": 60, "path": "/a"}, "Path=/a; Max-Age=60"),
        (
            {"secure": True, "sameSite": "None"},
            "Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=None",
        ),
    ],
)
def test_cookie_says_what_a_browser_needs(more: dict[str, Any], attributes: str) -> None:
    """With the revision and the attempt in its value, so that it means nothing to another one."""
    affinity = SessionAffinity.model_validate({"cookieName": "stay", **more})
    cookies = [route.cookie for attempt in (1, 2) for route in all_of(sessions(affinity, "abc", attempt))]
    assert cookies == [f"stay=headgate.abc.{attempt}; {attributes}" for attempt in (1, 2)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [{"set": ["x-a"]}, {"add": ["x-a"], "remove": ["x-b"]}], ids=["set", "add, remove"])
def test_other_headers_of_the_answers_stay_as_they_are(name: str, change: dict[str, Sequence[str]]) -> None:
    """The cookie stands beside them, and goes from there (16)."""
    example, start = EXAMPLES[name], with_headers(EXAMPLES[name], change)
    obj = written(example, start, STAY)
    assert ("Set-Cookie", COOKIE) in said(entry_of(obj, example))
    assert len(entry_of(obj, example).get("filters", [1, 2])) == 2
    assert seen(example, obj) == keys_of(all_of([made(STAY)]))
    assert written(example, obj, weight=0) == start


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["add", "set", "remove"])
def test_cookies_of_others_on_the_same_answers_are_refused(name: str, kind: str) -> None:
    """What would become of both no router says; the cookie of another header is the neighbour that is taken."""
    example = EXAMPLES[name]
    canary = canary_of(example, {"setWeight": 5})
    start = with_headers(example, {kind: ["set-cookie"]})
    why = example.subject.unable(canary, start, example.target)
    assert why.startswith("spec.strategy.canary.trafficRouting.sessionAffinity: ")
    assert "Set-Cookie already; take that out" in why
    with pytest.raises(ValueError, match="Set-Cookie already"):
        example.subject.set_weight(canary_of(example), start, example.target, 5, all_of([made(STAY)]))
    assert example.subject.unable(canary, with_headers(example, {kind: ["x-cookie"]}), example.target) == ""


@pytest.mark.parametrize("name", NAMES)
def test_half_of_it_is_not_taken_for_the_whole(name: str) -> None:
    """A rule without its cookie, a cookie without its rule, and one of another attempt: the next write mends each."""
    example, rules = EXAMPLES[name], EXAMPLES[name].canary[:2]
    whole = written(example, example.obj, STAY)
    mine = at(whole, (*rules, int(example.canary[2])))
    ruled, cookied = written(example, example.obj), copy.deepcopy(whole)
    at(ruled, rules).insert(int(example.canary[2]), mine)
    at(cookied, rules).remove(mine)
    other = written(example, example.obj, step("sessionAffinity", "later"))
    mixed = copy.deepcopy(other)
    at(mixed, rules)[int(example.canary[2])] = mine
    for obj in (ruled, cookied, mixed, other):
        assert seen(example, obj) == (unknown(SESSION),)
        assert written(example, obj, STAY) == whole
        assert written(example, obj, weight=0) == example.obj


@pytest.mark.parametrize("name", NAMES)
def test_cookie_goes_from_a_place_that_cannot_be_worked_with(name: str) -> None:
    """With the rule, and nothing else is touched."""
    example = EXAMPLES[name]

    def spoiled(obj: Object) -> Object:
        found = copy.deepcopy(obj)
        rule = next(r for r in at(found, example.canary[:2]) if r.get("name") in {"main", "primary"})
        listed = rule.get("backendRefs") or rule["route"]
        listed.append({"name": "third", "port": 80} if "backendRefs" in rule else {"destination": {"host": "third"}})
        return found

    obj = spoiled(written(example, example.obj, STAY))
    assert seen(example, obj)
    patch = example.subject.set_weight(canary_of(example), obj, example.target, 0)
    assert jsonpatch.apply_patch(obj, patch) == spoiled(written(example, example.obj))


@pytest.mark.parametrize("name", NAMES)
def test_users_of_stable_are_led_to_it_by_a_cookie_of_their_own(name: str) -> None:
    """It is the canary's one with another value, so that nobody has both; each goes without the other."""
    example, rules = EXAMPLES[name], EXAMPLES[name].canary[:2]
    both = written(example, example.obj, STAY, KEEP)
    assert seen(example, both) == keys_of(all_of(map(made, (STAY, KEEP))))
    canary, stable = at(both, rules)[1:3]
    listed = [rule.get("backendRefs") or [one["destination"] for one in rule["route"]] for rule in (canary, stable)]
    names = [[one.get("name") or one["host"].partition(".")[0] for one in rule] for rule in listed]
    assert names == [["checkout-canary"], ["checkout"]]
    rule = at(both, rules)[3]
    told = [said(one) for one in rule.get("backendRefs") or rule["route"]]
    assert told == [[("Set-Cookie", COOKIE.replace("next.1", "next.1.stable"))], [("Set-Cookie", COOKIE)]]
    assert [str(one).count("Set-Cookie") for one in (canary, stable)] == [0, 0]
    alone = written(example, example.obj, STAY)
    assert written(example, both, STAY) == alone
    assert written(example, alone, STAY, KEEP) == both
    cookied = copy.deepcopy(both)
    at(cookied, rules).remove(stable)
    assert seen(example, cookied) == (unknown(STABLE_SESSION), *keys_of(all_of([made(STAY)])))
    assert written(example, cookied, weight=0) == written(example, both, weight=0) == example.obj


def test_routes_for_sessions_are_known_where_names_are_dropped() -> None:
    """By where they lead, and the cookie that they ask for; the claimed rule is the one that is none of them."""
    example = EXAMPLES["HTTPRoute"]
    routing = {"gatewayAPI": {"httpRoutes": [{"name": "checkout"}]}, "sessionAffinity": AFFINITY}
    strategy, target = example.strategy(routing, steps=[STAY, KEEP]), Target("checkout")

    def dropped(obj: Object) -> Object:
        rules = [{k: v for k, v in rule.items() if k != "name"} for rule in obj["spec"]["rules"]]
        return {**obj, "spec": {**obj["spec"], "rules": rules}}

    start, routes = dropped(example.obj), all_of(map(made, (STAY, KEEP)))
    led = dropped(jsonpatch.apply_patch(start, example.subject.set_weight(strategy, start, target, 20, routes)))
    view = example.subject.read(strategy, led, target)
    assert (view.weight, view.managed, view.problem) == (20, keys_of(routes), "")
    assert jsonpatch.apply_patch(led, example.subject.set_weight(strategy, led, target, 0)) == start


@pytest.mark.parametrize("name", NAMES)
def test_testers_by_header_stay_too(name: str) -> None:
    """A rule of a step is the claimed one again, with the cookie while there is one; it comes and goes with it."""
    example, header = EXAMPLES[name], step("setHeaderRoute")
    both = written(example, example.obj, STAY, header)
    assert str(both).count("Set-Cookie") == 2
    assert seen(example, both, header) == keys_of(all_of(map(made, (STAY, header))))
    assert written(example, both, header) == written(example, example.obj, header)
    assert written(example, written(example, example.obj, header), STAY, header) == both


@pytest.mark.parametrize("name", NAMES)
def test_users_of_stable_may_ask_for_the_canary_by_header(name: str) -> None:
    """Whatever they ask for more: where the rule that asks for most is served, the one of the step asks for both."""
    example, header = EXAMPLES[name], step("setHeaderRoute")
    obj = written(example, example.obj, STAY, header, KEEP)
    assert seen(example, obj, header) == keys_of(all_of(map(made, (STAY, header, KEEP))))
    rules = [rule for rule in at(obj, example.canary[:2]) if str(rule.get("name")).startswith("headgate.")]
    assert [rule["name"].rpartition(".")[2] for rule in rules] == [SESSION, "setheaderroute", STABLE_SESSION]
    if "matches" in rules[1]:
        asked = [[h["name"] for h in match["headers"]] for match in rules[1]["matches"]]
        assert asked == [["x-version"], ["Cookie", "x-version"]]
    assert written(example, obj, STAY, KEEP) == written(example, example.obj, STAY, KEEP)


def test_what_stays_is_copied_to_nobody() -> None:
    """Who asks for both is led by the rule for sessions, which also asks for what the mirror does."""
    example, mirror = EXAMPLES["HTTPRoute"], step("setMirrorRoute")
    obj = written(example, example.obj, STAY, mirror)
    ours = next(r for r in obj["spec"]["rules"] if r.get("name") == f"headgate.checkout-canary.{SESSION}")
    assert [[h["name"] for h in m["headers"]] for m in ours["matches"]] == [["Cookie"], ["x-copied", "Cookie"]]
    assert not any("requestMirror" in one for one in ours["filters"])


@pytest.mark.parametrize("name", ["VirtualService tls", "VirtualService tcp", "HTTPProxy", "ApisixRoute", "Ingress"])
def test_router_without_cookies_refuses_in_words_that_help(name: str) -> None:
    """The schema refuses most of them before; a route of Istio that knows no headers is seen only here."""
    example = EXAMPLES[name]
    why = example.subject.unable(canary_of(example, {"setWeight": 5}), example.obj, example.target)
    assert why.startswith("spec.strategy.canary.trafficRouting.sessionAffinity: ")
    assert "; " in why


def test_route_for_sessions_is_none_of_the_steps() -> None:
    """What a spec says in a step has no cookie, whatever its name."""
    spoken = Step.model_validate({"setHeaderRoute": {"name": SESSION, "match": [{"method": "GET"}], "cookie": "a=b"}})
    assert [route.cookie for route in all_of([spoken])] == [""]
