"""What every router must do, whatever it writes to: weights in, weights read back, and nothing else touched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonpatch
import pytest

from headgate.api.common import MANAGER_TAKES_BACK
from headgate.decide.managed import all_of, keys_of, shares, unknown
from headgate.engine.trim import trim
from headgate.extensions import name_of
from headgate.traffic.plugin import Guarded
from headgate.traffic.registry import ROUTERS
from tests.unit.fake_api import copied
from tests.unit.router_example import (
    AFFINITY,
    CANARY,
    KINDS,
    STABLE,
    Example,
    Object,
    at,
    examples,
    experiment,
    leaves,
    made,
    put,
    step,
    with_routes,
)

pytestmark = pytest.mark.unit

EXAMPLES = examples()
WEIGHTS = (0, 1, 50, 99, 100)
JUNK: tuple[Any, ...] = (None, True, 0, -7, "", "junk", [], {}, [None], [[]], {"name": 3})
SHOWN = 1024
"""What a condition's message can hold."""


@dataclass(frozen=True)
class Case:
    """One part of an example, with a name to be shown."""

    example: Example
    name: str = ""
    value: Any = None


def cases(parts: Callable[[Example], dict[str, Any]] | None = None) -> pytest.MarkDecorator:
    """Parametrise by example, or by what each example lists under a name."""
    found = [
        Case(example, name, value)
        for example in EXAMPLES
        for name, value in (parts(example) if parts else {"": None}).items()
    ]
    ids = [f"{case.example.id}-{case.name}" if case.name else case.example.id for case in found]
    return pytest.mark.parametrize("case", found, ids=ids)


@pytest.fixture(autouse=True)
def counted(case: Case, request: pytest.FixtureRequest) -> None:
    """Let the summary of the run count the cases of each router."""
    request.node.user_properties.append(("router", case.example.id))


def patched(obj: Object, patch: list[dict[str, Any]]) -> Object:
    """The object as a server would store it; the patch must leave its argument alone."""
    before = copied(obj)
    after: Object = jsonpatch.apply_patch(copied(obj), patch, in_place=True)
    assert obj == before
    return after


def canonical(obj: Object) -> str:
    """The bytes that are compared."""
    return json.dumps(obj, sort_keys=True)


# --------------------------------------------------------------------------------------------------------------------
# The registry
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [Case(EXAMPLES[0])], ids=["registry"])
def test_every_router_has_an_example(case: Case) -> None:
    """A router that the suite does not know is not proven."""
    assert case.example.router in ROUTERS
    assert {example.router for example in EXAMPLES if not name_of(example.router)} == set(ROUTERS)
    assert len({example.id for example in EXAMPLES}) == len(EXAMPLES)
    assert all(key == router.key for key, router in ROUTERS.items())


@pytest.mark.parametrize("case", [Case(EXAMPLES[0])], ids=["registry"])
def test_a_kind_belongs_to_one_resource(case: Case) -> None:
    """The cache goes by kind, so that two resources must not share one."""
    assert case.example.subject.resource.kind
    resources = {example.subject.resource for example in EXAMPLES}
    assert len({resource.kind for resource in resources}) == len(resources)


@cases()
def test_a_rollout_claims_only_what_its_spec_names(case: Case) -> None:
    """The router finds its own field, and no other router finds anything in it."""
    strategy = case.example.strategy()
    routers = ROUTERS | {case.example.router: case.example.subject}
    found = {key: list(router.targets(strategy)) for key, router in routers.items() if router.targets(strategy)}
    assert found == {case.example.router: [case.example.target]}


# --------------------------------------------------------------------------------------------------------------------
# Reading
# --------------------------------------------------------------------------------------------------------------------


@cases()
def test_a_good_place_reads_back(case: Case) -> None:
    """Weight 0, no problem, served, and all that a write needs to know of the object."""
    example = case.example
    view = example.read(example.obj)
    assert (view.router, view.kind, view.name, view.rule) == (
        example.router,
        example.subject.resource.kind,
        example.target.name,
        example.target.rule,
    )
    assert view.found
    assert (view.problem, view.message) == ("", "")
    assert view.resource_version == example.obj["metadata"]["resourceVersion"]
    assert view.weight == 0
    assert view.settled
    assert view.settled_since is None


@cases()
def test_what_the_cache_keeps_is_enough(case: Case) -> None:
    """The object without what the cache leaves out reads the same, and gets the same patches."""
    example = case.example
    trimmed = trim(example.subject.resource.kind, copied(example.obj))
    assert example.read(trimmed) == example.read(example.obj)
    assert example.set_weight(trimmed, 20) == example.set_weight(example.obj, 20)
    assert example.claim(trimmed) == example.claim(example.obj)


@cases()
def test_the_cache_keeps_which_attempt_a_write_took_back(case: Case) -> None:
    """Whoever leads after a crash must know it, whatever kind the router writes to (6)."""
    obj = case.example.after()
    obj["metadata"]["managedFields"] = [{"manager": f"{MANAGER_TAKES_BACK}abc-1"}]
    assert trim(case.example.subject.resource.kind, obj)["metadata"]["takenBack"] == "abc-1"


@cases(lambda _: {f"{100 - weight}:{weight}": weight for weight in (1, 40, 99, 100)})
def test_a_weight_that_somebody_else_stored_is_seen(case: Case) -> None:
    """What the canary gets is told as it stands, whoever wrote it."""
    view = case.example.read(case.example.with_weights(100 - case.value, case.value))
    assert (view.weight, view.problem) == (case.value, "")


@cases()
def test_a_missing_object_is_named(case: Case) -> None:
    """The sentence names the field of the Rollout, the kind and the object."""
    view = case.example.read(None)
    assert not view.found
    assert not view.settled
    assert view.weight == 0
    assert view.problem.startswith(f"{case.example.field}: ")
    assert f'{view.kind} "{view.name}"' in view.problem


@cases(lambda example: dict(example.broken))
def test_a_place_that_cannot_be_worked_with_names_the_field(case: Case) -> None:
    """The problem names the object and the field in it, and nothing is written."""
    example, broken = case.example, case.value
    obj = example.after(broken.change)
    view = example.read(obj)
    assert view.found
    assert view.problem.startswith(f"{view.kind} {view.name}: ")
    assert broken.names in view.problem
    assert len(view.problem) <= SHOWN
    with pytest.raises(ValueError, match=view.kind) as refused:
        example.set_weight(obj, 5)
    assert broken.names in str(refused.value)


@cases(lambda example: {repr(value): value for value in example.odd})
def test_a_weight_that_is_none_is_a_problem_that_a_write_puts_right(case: Case) -> None:
    """It is not taken for a number; writing weights is what solves it."""
    example = case.example
    for place in [p for p in (example.stable, example.canary) if p is not None]:
        obj = example.after()
        put(obj, place, case.value)
        view = example.read(obj)
        assert str(place[-1]) in view.problem
        assert 0 <= view.weight <= 100
        assert example.read(patched(obj, example.set_weight(obj, 0))).problem == ""


# --------------------------------------------------------------------------------------------------------------------
# Writing
# --------------------------------------------------------------------------------------------------------------------


@cases(lambda _: {str(weight): weight for weight in WEIGHTS})
def test_a_weight_is_set_and_read_back(case: Case) -> None:
    """Integers that sum to 100, from wherever they were before (invariant 1)."""
    example = case.example
    for before in (example.obj, *(example.with_weights(100 - w, w) for w in WEIGHTS)):
        after = patched(before, example.set_weight(before, case.value))
        assert example.read(after).weight == case.value
        assert example.read(after).problem == ""
        wanted = [100 - case.value, case.value] if example.stable is not None else [case.value]
        assert example.weights(after) == [example.stored(weight) for weight in wanted]
        assert [type(w) for w in example.weights(after)] == [type(example.stored(0))] * len(wanted)


@cases()
def test_a_release_changes_weights_and_nothing_else(case: Case) -> None:
    """Steps up, an abort, and the way back: foreign fields, rules and backends stay byte for byte (invariant 16)."""
    example, obj = case.example, case.example.obj
    for weight in (5, 20, 50, 0, 100, 0):
        obj = patched(obj, example.set_weight(obj, weight))
        assert example.read(obj).weight == weight
        assert canonical(example.without_weights(obj)) == canonical(example.without_weights(example.obj))
    assert example.weights(obj) == example.weights(example.obj)


@cases(lambda _: {str(weight): weight for weight in WEIGHTS})
def test_an_abort_takes_all_from_the_canary(case: Case) -> None:
    """From any weight the canary gets nothing, and stable everything."""
    example = case.example
    before = example.with_weights(100 - case.value, case.value)
    after = patched(before, example.set_weight(before, 0))
    assert example.weights(after) == example.weights(example.obj)


@cases(lambda _: {str(weight): weight for weight in (-1, 101, 1000)})
def test_a_weight_is_a_percentage(case: Case) -> None:
    """Nothing else is ever written."""
    with pytest.raises(ValueError, match="0 to 100"):
        case.example.set_weight(case.example.obj, case.value)


@cases(lambda example: {"": example.moved} if example.moved else {})
def test_a_patch_for_what_has_moved_is_refused(case: Case) -> None:
    """What is named by its position is tested before anything is replaced."""
    example = case.example
    patch = example.set_weight(example.obj, 5)
    assert [op["op"] for op in patch] == sorted((op["op"] for op in patch), key=lambda op: op != "test")
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(example.after(case.value), patch)


@cases()
def test_a_patch_is_plain(case: Case) -> None:
    """Nothing is taken away, and neither status nor what the server keeps is written."""
    example = case.example
    for op in [op for weight in WEIGHTS for op in example.set_weight(example.obj, weight)]:
        assert op["op"] in {"test", "add", "replace"}
        assert op["path"].startswith(("/spec/", "/metadata/annotations"))


@cases(lambda example: {} if name_of(example.router) else {str(total): total for total in (100, 200, 999)})
def test_weights_may_be_parts_of_another_whole(case: Case) -> None:
    """What is stored sums to it, what somebody else stored is seen as parts of it, and nothing beyond it is written."""
    example, total = case.example, case.value
    strategy = example.strategy({**example.routing, "maxTrafficWeight": total})
    obj = example.after(example.whole(total) if example.whole else None)
    for weight in (1, total // 2, total - 1, total, 0):
        obj = patched(obj, example.subject.set_weight(strategy, obj, example.target, weight))
        view = example.subject.read(strategy, obj, example.target)
        assert (view.weight, view.problem) == (weight, "")
        wanted = [total - weight, weight] if example.stable is not None else [weight]
        assert example.weights(obj) == [example.stored(part) for part in wanted]
    if example.stable is not None:
        halves = example.subject.read(strategy, example.with_weights(40, 40), example.target)
        assert halves.weight == -(-total // 2)
    with pytest.raises(ValueError, match=f"0 to {total}"):
        example.subject.set_weight(strategy, obj, example.target, total + 1)


@cases(lambda example: {"": None} if example.stable is not None else {})
def test_the_two_services_may_take_turns(case: Case) -> None:
    """What is written in one role reads in the other as what that leaves; routes of ours lead to whoever is the canary.

    Not where the canary alone has a weight: its Ingress leads to one Service for good, and the schema refuses turns.
    """
    example, router, obj = case.example, case.example.subject, case.example.obj
    turned = with_routes(example).model_copy(update={"stable_service": CANARY, "canary_service": STABLE})
    for weight in WEIGHTS:
        obj = patched(obj, router.set_weight(turned, obj, example.target, weight))
        view = router.read(turned, obj, example.target)
        assert (view.weight, view.problem) == (weight, "")
        assert example.read(obj).weight == 100 - weight
        assert canonical(example.without_weights(obj)) == canonical(example.without_weights(example.obj))
    for kind in sorted(example.routes):
        routes = all_of([made(step(kind))])
        led = patched(obj, router.set_weight(turned, obj, example.target, 50, routes))
        assert router.read(turned, led, example.target).managed == keys_of(routes)
        through = patched(led, router.set_weight(turned, led, example.target, 100))
        assert canonical(through) == canonical(obj)


# --------------------------------------------------------------------------------------------------------------------
# Routes by header, mirrors, and sessions
# --------------------------------------------------------------------------------------------------------------------


def can(*kinds: str) -> Callable[[Example], dict[str, Any]]:
    """Those of the kinds that the router can do, each with its route."""
    return lambda example: {kind: step(kind) for kind in kinds or KINDS if kind in example.routes}


def lead(example: Example, obj: Object, weight: int, *steps: dict[str, Any]) -> Object:
    """The object with this weight and the routes of these steps, and no others."""
    routes = all_of(map(made, steps))
    return patched(obj, example.subject.set_weight(with_routes(example), obj, example.target, weight, routes))


def seen(example: Example, obj: Object) -> tuple[int, tuple[str, ...], str]:
    """Weight, routes and problem as they are read back."""
    view = example.subject.read(with_routes(example), obj, example.target)
    return view.weight, view.managed, view.problem


def keys(*steps: dict[str, Any]) -> tuple[str, ...]:
    """The keys of the routes of these steps."""
    return keys_of(all_of(map(made, steps)))


@cases(can())
def test_a_route_is_set_and_read_back(case: Case) -> None:
    """At every weight, whatever was there before, and again with another weight; the second time nothing changes."""
    example = case.example
    for before in (0, 50, 100):
        start = example.with_weights(100 - before, before)
        for weight in WEIGHTS:
            after = lead(example, start, weight, case.value)
            assert seen(example, after) == (weight, keys(case.value), "")
            assert canonical(lead(example, after, weight, case.value)) == canonical(after)
            assert seen(example, lead(example, after, 30, case.value)) == (30, keys(case.value), "")


@cases(can())
def test_a_route_is_another_one_once_it_is_set_anew(case: Case) -> None:
    """Its name is the same, and what it asks for is not."""
    example, later = case.example, step(case.name, "later")
    assert keys(later) != keys(case.value)
    after = lead(example, lead(example, example.obj, 5, case.value), 5, later)
    assert seen(example, after) == (5, keys(later), "")


@cases(can())
def test_routes_leave_nothing_behind(case: Case) -> None:
    """Taken out by a step, or by an abort with the weight: the object is what it was, byte for byte (7, 25)."""
    example = case.example
    led = lead(example, example.obj, 20, case.value)
    assert canonical(led) != canonical(lead(example, example.obj, 20))
    assert canonical(lead(example, led, 20)) == canonical(lead(example, example.obj, 20))
    assert canonical(lead(example, led, 0)) == canonical(lead(example, example.obj, 0))
    assert seen(example, lead(example, led, 0)) == (0, (), "")


@cases(can())
def test_routes_leave_the_rest_alone(case: Case) -> None:
    """Everything that was in the object is in it still, in its order, but for the weights (16)."""
    example = case.example
    led = lead(example, example.obj, 20, case.value)
    assert contains(example.without_weights(led), example.without_weights(example.obj))
    assert seen(example, led) == (20, keys(case.value), "")
    strategy = with_routes(example)
    assert example.subject.claims(strategy, led, example.target)


def contains(whole: Any, part: Any) -> bool:
    """Whether every list of the whole has the entries of the part's in their order, and every object its keys."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        rest = iter(whole)
        return all(any(contains(entry, wanted) for entry in rest) for wanted in part)
    return bool(whole == part)


@cases(can())
def test_a_patch_tests_nothing_that_users_write(case: Case) -> None:
    """The API server compares what is tested as it is escaped: `<` is not what it has stored, and nothing would go."""
    example = case.example
    odd = step(case.name, "<&>")
    strategy = example.strategy(steps=[odd])
    routes = all_of([made(odd)])
    led = patched(example.obj, example.subject.set_weight(strategy, example.obj, example.target, 20, routes))
    assert "<&>" in canonical(led) or re.escape("<&>") in canonical(led)
    patch = example.subject.set_weight(strategy, led, example.target, 0)
    assert canonical(patched(led, patch)) == canonical(lead(example, example.obj, 0))
    for op in [op for op in patch if op["op"] == "test"]:
        assert re.fullmatch(r"[\w.-]+", op["value"]), op


@cases(can())
def test_a_patch_for_routes_that_have_moved_is_refused(case: Case) -> None:
    """What is taken out is tested to be what was read."""
    example = case.example
    led = lead(example, example.obj, 20, case.value)
    patch = example.subject.set_weight(with_routes(example), led, example.target, 0)
    if example.moved is not None:
        with pytest.raises((jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict)):
            jsonpatch.apply_patch(example.obj, patch)


@cases(lambda example: can()(example) if example.owner else {})
def test_a_route_that_is_not_as_it_was_made_is_not_taken_for_it(case: Case) -> None:
    """The owner changed the claimed place, which the route shares: it is set anew with the next write."""
    example = case.example
    led = lead(example, example.obj, 20, case.value)
    assert example.owner is not None
    example.owner(led)
    assert seen(example, led) == (20, (unknown(case.value[case.name]["name"]),), "")
    assert seen(example, lead(example, led, 20, case.value)) == (20, keys(case.value), "")


def breakable(example: Example) -> dict[str, Any]:
    """What can be wrong with a claimed rule that has others beside it, with each kind of route."""
    rules = example.canary[:2]
    return {
        f"{name} {kind}": (found, kind)
        for name, found in example.broken.items()
        for kind in can()(example)
        if isinstance(at(example.after(found.change), rules), list)
    }


@cases(breakable)
def test_routes_go_from_a_place_that_cannot_be_worked_with(case: Case) -> None:
    """Whatever became of it, our own go, and nothing else is touched."""
    example, (broken, kind) = case.example, case.value
    rules, index = example.canary[:2], int(example.canary[2])
    ours = at(lead(example, example.obj, 0, step(kind)), rules)[index]
    start = example.after(broken.change)
    at(start, rules).insert(index, ours)
    assert len(seen(example, start)[1]) == 1
    assert canonical(lead(example, start, 0)) == canonical(example.after(broken.change))


@cases(lambda example: {kind: kind for kind in KINDS if kind not in example.routes})
def test_a_route_that_cannot_be_made_is_refused(case: Case) -> None:
    """With the step that asks for it and what to do; nothing is written."""
    example = case.example
    strategy, wanted = example.strategy(steps=[{"setWeight": 5}]), made(step(case.value))
    assert example.subject.unable(strategy, example.obj, example.target) == ""
    asked, field = strategy.model_copy(update={"steps": [*strategy.steps, wanted]}), f"steps[1].{case.value}"
    if case.value == "sessionAffinity":
        asked, field = example.strategy({**example.routing, case.value: AFFINITY}), f"trafficRouting.{case.value}"
    why = example.subject.unable(asked, example.obj, example.target)
    assert why.startswith(f"spec.strategy.canary.{field}: ")
    assert "; " in why
    with pytest.raises(ValueError, match="route"):
        example.subject.set_weight(asked, example.obj, example.target, 5, all_of([wanted]))


@cases(can())
def test_a_route_that_can_be_made_is_not_refused(case: Case) -> None:
    """The neighbour of the one before."""
    example, strategy = case.example, with_routes(case.example)
    if case.name == "sessionAffinity":
        strategy = example.strategy({**example.routing, case.name: AFFINITY}, steps=strategy.steps)
    assert example.subject.unable(strategy, example.obj, example.target) == ""


# --------------------------------------------------------------------------------------------------------------------
# Shares of variants
# --------------------------------------------------------------------------------------------------------------------

SHARED = experiment(baseline=10)
BASELINE = unknown("service/checkout-baseline")


def sharing(example: Example) -> dict[str, Any]:
    """The example, if its router can give shares."""
    return {"": None} if example.shares else {}


def share(example: Example, obj: Object, weight: int, asked: dict[str, Any] | None = SHARED) -> Object:
    """The object with this weight and the shares of this step, and no others."""
    parts = shares(made(asked)) if asked else ()
    return patched(obj, example.subject.set_weight(with_routes(example), obj, example.target, weight, parts))


@cases(sharing)
def test_a_share_is_set_and_read_back(case: Case) -> None:
    """At every weight that leaves room for it, whatever was there before; the second time nothing changes (1)."""
    example, wanted = case.example, keys_of(shares(made(SHARED)))
    for before in (0, 50, 100):
        for weight in (0, 1, 50, 90):
            after = share(example, example.with_weights(100 - before, before), weight)
            assert seen(example, after) == (weight, wanted, "")
            assert example.weights(after) == [90 - weight, weight]
            assert canonical(share(example, after, weight)) == canonical(after)


@cases(sharing)
def test_a_share_leaves_no_more_than_the_rest_to_the_canary(case: Case) -> None:
    """Stable never gets less than nothing: more than is there is refused, and not cut."""
    with pytest.raises(ValueError, match="0 to 90 beside shares of 10, not 91"):
        share(case.example, case.example.obj, 91)


@cases(sharing)
def test_a_share_is_another_one_once_it_is_another_part(case: Case) -> None:
    """Its Service is the same, and stable has the difference."""
    example, later = case.example, experiment(baseline=20)
    after = share(example, share(example, example.obj, 5), 5, later)
    assert seen(example, after) == (5, keys_of(shares(made(later))), "")
    assert example.weights(after) == [75, 5]


@cases(sharing)
def test_shares_leave_nothing_behind(case: Case) -> None:
    """Taken out when the step is over, or by an abort with the weight: all is as it was, byte for byte (7, 25)."""
    example = case.example
    shared = share(example, example.obj, 20)
    assert canonical(share(example, shared, 20, None)) == canonical(share(example, example.obj, 20, None))
    assert canonical(share(example, shared, 0, None)) == canonical(example.obj)


@cases(sharing)
def test_shares_leave_the_rest_alone(case: Case) -> None:
    """Everything that was in the object is in it still, in its order, but for the weights (16)."""
    example = case.example
    shared = share(example, example.obj, 20)
    assert contains(example.without_weights(shared), example.without_weights(example.obj))
    assert example.subject.claims(with_routes(example), shared, example.target) == example.claim(example.obj)


@cases(sharing)
def test_a_patch_for_a_share_that_has_moved_is_refused(case: Case) -> None:
    """What is taken out is tested to be what was read."""
    example = case.example
    patch = example.subject.set_weight(with_routes(example), share(example, example.obj, 20), example.target, 0)
    with pytest.raises((jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict)):
        jsonpatch.apply_patch(example.obj, patch)


@cases(lambda example: dict(example.broken) if example.shares else {})
def test_shares_go_from_a_place_that_cannot_be_worked_with(case: Case) -> None:
    """To stable, so that nobody else gets more than before; where that cannot be, they are seen and stay."""
    example, broken = case.example, case.value
    start = share(example, example.obj, 20)
    left = example.with_weights(80, 20)
    for obj in (start, left):
        broken.change(obj)
    start = json.loads(canonical(start))  # So that what stands there twice is two things.
    if case.name == "no backends":
        assert seen(example, start)[1] == ()
        return
    assert seen(example, start)[1] == (BASELINE,)
    if case.name in {"no stable Service", "stable Service twice"}:
        with pytest.raises(ValueError, match=re.escape(broken.names)):
            share(example, start, 0, None)
    else:
        assert canonical(share(example, start, 0, None)) == canonical(left)


@cases(lambda example: {} if example.shares else {"": None})
def test_a_share_that_cannot_be_given_is_refused(case: Case) -> None:
    """With the variant that asks for it and what to do; nothing is written. One without a weight is its neighbour."""
    example, router = case.example, case.example.subject
    router = Guarded(router, example.router) if name_of(example.router) else router
    asked = example.strategy(steps=[{"setWeight": 5}, SHARED])
    why = router.unable(asked, example.obj, example.target)
    assert why.startswith(
        "spec.strategy.canary.steps[1].experiment.variants[baseline].weight: "
        'the Service "checkout-baseline" can have no share'
    )
    assert "; take the weight out, or use gatewayAPI" in why
    with pytest.raises(ValueError, match='the Service "checkout-baseline" can have no share'):
        router.set_weight(asked, example.obj, example.target, 5, shares(made(SHARED)))
    neighbour = example.strategy(steps=[experiment(baseline=None)])
    assert router.unable(neighbour, example.obj, example.target) == ""


@cases(sharing)
def test_a_share_that_can_be_given_is_not_refused(case: Case) -> None:
    """By the routers whose lists may have more entries than two."""
    asked = case.example.strategy(steps=[{"setWeight": 5}, SHARED])
    assert case.example.subject.unable(asked, case.example.obj, case.example.target) == ""


# --------------------------------------------------------------------------------------------------------------------
# Read-back
# --------------------------------------------------------------------------------------------------------------------


@cases()
def test_a_router_reports_what_it_serves_or_says_that_it_does_not(case: Case) -> None:
    """One without a read-back is blind: what is stored is settled, whatever the object's status may say."""
    example = case.example
    view = example.read(example.obj)
    assert view.blind == (not example.unserved)
    if view.blind:
        bare = example.read({key: value for key, value in example.obj.items() if key != "status"})
        assert (bare.settled, bare.blind, bare.message) == (True, True, "")


@cases(lambda example: dict(example.unserved))
def test_a_version_that_the_router_does_not_report_is_not_settled(case: Case) -> None:
    """The message says what is missing, and nothing of another controller's free text gets into it."""
    example = case.example
    obj = example.after(case.value)
    for place in list(leaves(obj.get("status"))):
        if place[-1] == "message":
            put(obj["status"], place, "s3cret\x1b[31m")
    view = example.read(obj)
    assert not view.settled
    assert view.message
    assert view.message.isprintable()
    assert "s3cret" not in view.message
    assert len(view.message) <= SHOWN
    assert view.problem == ""


# --------------------------------------------------------------------------------------------------------------------
# Claims
# --------------------------------------------------------------------------------------------------------------------


@cases(lambda example: {str(number): routing for number, routing in enumerate((example.routing, *example.same))})
def test_one_place_has_one_claim(case: Case) -> None:
    """However each of two Rollouts found it, and whatever weights it has."""
    example = case.example
    claim = example.claim(example.obj)
    assert example.claim(example.obj, case.value) == claim
    assert example.claim(example.with_weights(1, 99), case.value) == claim
    assert example.target.name in claim


@cases(lambda example: {str(number): routing for number, routing in enumerate(example.different)})
def test_two_places_have_two_claims(case: Case) -> None:
    """Two Rollouts may share an object, each with a place of its own."""
    example = case.example
    assert example.claim(example.obj, case.value) != example.claim(example.obj)


@cases(lambda example: {str(number): routing for number, routing in enumerate((example.routing, *example.same))})
def test_a_claim_needs_no_object(case: Case) -> None:
    """While the object is away nothing breaks, and the same Rollout goes on claiming the same."""
    example = case.example
    assert example.claim(None, case.value) == example.claim(None, case.value)
    assert example.target.name in example.claim(None, case.value)


# --------------------------------------------------------------------------------------------------------------------
# Objects that are not what they should be
# --------------------------------------------------------------------------------------------------------------------


@cases(lambda _: {repr(junk): junk for junk in JUNK})
def test_junk_anywhere_is_a_problem_or_none_but_never_a_crash(case: Case) -> None:
    """Each part of the object in turn: what reads well can be written."""
    example = case.example
    start = example.with_weights(70, 30)
    for place in leaves(start):
        if place[0] in {"spec", "status"} or place[:2] == ("metadata", "annotations"):
            obj = copied(start)
            put(obj, place, case.value)
            bears(example, obj, place)


def bears(example: Example, obj: Object, place: tuple[str | int, ...]) -> None:
    """The router can live with the object."""
    view = example.read(obj)
    assert isinstance(view.weight, int), place
    assert 0 <= view.weight <= 100, place
    for services in ((STABLE, CANARY), (CANARY, STABLE)):
        strategy = example.strategy(None, *services)
        assert example.subject.claims(strategy, obj, example.target), place
    if not view.problem:
        written = patched(obj, example.set_weight(obj, 50))
        assert (example.read(written).weight, example.read(written).problem) == (50, ""), place
        assert at(written, ("metadata", "name")) == at(obj, ("metadata", "name"))
