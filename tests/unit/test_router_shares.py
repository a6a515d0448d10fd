"""Shares of variants in routes of the Gateway API: entries of the claimed list that are all ours, beside the two."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.api.rollout import SESSION, Canary
from headgate.decide.managed import (
    ManagedRoute,
    all_of,
    awaited,
    is_share,
    keys_of,
    leading,
    names_of,
    recorded,
    sessions,
    shares,
    unknown,
)
from headgate.decide.types import RouteView
from tests.unit.fake_api import copied
from tests.unit.router_example import (
    CANARY,
    STABLE,
    Example,
    Object,
    examples,
    experiment,
    made,
    step,
)

pytestmark = pytest.mark.unit

EXAMPLES = {example.id: example for example in examples() if example.shares}
KINDS = ("HTTPRoute", "GRPCRoute")
BASELINE = "checkout-baseline"
TEN = experiment(baseline=10)
BOTH = experiment(baseline=10, control=5)
UNKNOWN = unknown(f"service/{BASELINE}")

of_each_kind = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


def strategy(example: Example, *steps: Object, **routing: Any) -> Canary:
    """The example's strategy with these steps."""
    return example.strategy({**example.routing, **routing}, steps=steps)


def routes_of(*steps: Object) -> tuple[ManagedRoute, ...]:
    """The routes that these steps set, and behind them the shares."""
    return (*all_of(map(made, steps)), *(one for asked in steps for one in shares(made(asked))))


def written(example: Example, obj: Object, *steps: Object, weight: int = 20, known: tuple[Object, ...] = ()) -> Object:
    """The object with the routes and shares of these steps, as a server would store it; others are known."""
    canary = strategy(example, *steps, *known)
    patch = example.subject.set_weight(canary, obj, example.target, weight, routes_of(*steps))
    assert [op["op"] == "test" for op in patch] == sorted((op["op"] == "test" for op in patch), reverse=True)
    found: Object = jsonpatch.apply_patch(copied(obj), patch)
    return copied(found)


def seen(example: Example, obj: Object, *steps: Object) -> RouteView:
    """The place as it is read back, where these steps are recorded."""
    return example.subject.read(strategy(example, *steps), obj, example.target)


def rules_of(obj: Object) -> dict[str, Object]:
    """The rules of the route, by their names."""
    return {rule["name"]: rule for rule in obj["spec"]["rules"]}


def refs(obj: Object) -> list[Object]:
    """The entries of the claimed rule."""
    found: list[Object] = rules_of(obj)["main"]["backendRefs"]
    return found


def weights(entries: list[Object]) -> dict[str, int]:
    """The weights of a list by the names of the Services."""
    return {entry["name"]: entry["weight"] for entry in entries}


# --------------------------------------------------------------------------------------------------------------------
# What a share is
# --------------------------------------------------------------------------------------------------------------------


def test_variants_with_a_weight_have_shares_in_the_order_of_their_services() -> None:
    """So that a list that somebody has put in another order is the same; of other steps there are none."""
    parts = shares(made(experiment(late=5, early=10, quiet=None)))
    assert [(one.service, one.share, one.to) for one in parts] == [
        ("checkout-early", 10, "variant"),
        ("checkout-late", 5, "variant"),
    ]
    assert names_of(keys_of(parts)) == "service/checkout-early, service/checkout-late"
    assert all(map(is_share, keys_of(parts)))
    assert [shares(made(one)) for one in ({"setWeight": 5}, step("setHeaderRoute"))] == [(), ()]
    assert not any(map(is_share, keys_of(routes_of(step("setHeaderRoute"), step("setMirrorRoute")))))


def test_a_share_is_known_by_its_service_and_its_part() -> None:
    """Two steps may call the variant of one Service differently, and an entry of a list has no name to tell them by."""
    renamed = json.loads(json.dumps(TEN).replace('"name": "baseline"', '"name": "control"'))
    keys = [keys_of(shares(made(asked))) for asked in (TEN, renamed, experiment(baseline=11), experiment(other=10))]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_key_of_a_share_fits_into_the_journal() -> None:
    """As long as a Service's name can be."""
    longest = ManagedRoute(f"service/{'s' * 63}", (), service="s" * 63, share=1_000_000)
    assert len(longest.key) <= 80


def test_keys_of_other_routes_are_those_that_journals_have() -> None:
    """An operator of the version before wrote them, and the next one is to find its routes in step."""
    routes = routes_of(step("setHeaderRoute"), step("setMirrorRoute"), step("sessionAffinity"))
    assert keys_of(routes) == ("setheaderroute@431898f0", "setmirrorroute@0205d328", "session@43ce50d0")


def test_shares_stand_behind_the_routes_for_sessions() -> None:
    """They are read back in that order."""
    canary = strategy(EXAMPLES["HTTPRoute"], sessionAffinity={"cookieName": "stay", "stayOnStable": True})
    affinity = canary.routing.session_affinity
    assert affinity is not None
    plan: Any = SimpleNamespace(session=affinity)
    run: Any = SimpleNamespace(pod_hash="abc", attempt=1)
    found = leading(plan, run, 20, routes_of(step("setHeaderRoute"), TEN))
    first, last = all_of(sessions(affinity, "abc", 1))
    assert found == (first, *routes_of(step("setHeaderRoute")), last, *routes_of(TEN))


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        ((TEN,), (), "share the requests with service/checkout-baseline (now none)"),
        ((), (TEN,), "share the requests with none (now service/checkout-baseline)"),
        ((step("setHeaderRoute"), TEN), (), "lead to the canary by setheaderroute (now none)"),
        ((step("setHeaderRoute"),), (TEN,), "lead to the canary by setheaderroute (now none)"),
    ],
)
def test_people_are_told_whom_a_place_does_not_lead_to_yet(
    wanted: tuple[Object, ...], there: tuple[Object, ...], said: str
) -> None:
    """A variant is not the canary."""
    assert awaited(keys_of(routes_of(*wanted)), keys_of(routes_of(*there))) == said


# --------------------------------------------------------------------------------------------------------------------
# What is written
# --------------------------------------------------------------------------------------------------------------------


@of_each_kind
def test_entry_of_a_share_is_the_canarys_reference_and_nothing_else(example: Example) -> None:
    """With the port in the canary's form, and without what its owner says of the canary alone (16)."""
    start = copied(example.obj)
    said = {"group": "core", "kind": "Service", "port": 8080, "filters": [{"type": "X"}], "timeout": "1s"}
    refs(start)[1].update(said)
    after = written(example, start, TEN)
    of_baseline = {"name": BASELINE, "group": "core", "kind": "Service", "port": 8080, "weight": 10}
    assert refs(after) == [
        {**refs(start)[0], "weight": 70},
        {**refs(start)[1], "weight": 20},
        of_baseline,
    ]
    assert written(example, after, weight=0, known=(TEN,)) == start


@of_each_kind
def test_a_share_is_what_the_server_makes_of_it(example: Example) -> None:
    """The definition fills in group and kind; that is no change."""
    after = written(example, example.obj, BOTH)
    for entry in refs(after)[2:]:
        entry.update(group="", kind="Service")
    assert seen(example, after, BOTH).managed == keys_of(routes_of(BOTH))
    assert written(example, after, BOTH) == after


@of_each_kind
def test_order_of_the_entries_makes_no_difference(example: Example) -> None:
    """Whoever sorts the list is not written against."""
    after = written(example, example.obj, BOTH)
    refs(after).reverse()
    assert seen(example, after, BOTH).managed == keys_of(routes_of(BOTH))
    assert written(example, after, BOTH) == after
    assert weights(refs(written(example, after, weight=5, known=(BOTH,)))) == {STABLE: 95, CANARY: 5}


@of_each_kind
def test_of_two_shares_one_can_go_and_another_come(example: Example) -> None:
    """What is right stays where it is, in the same write."""
    after = written(example, example.obj, BOTH)
    other = experiment(baseline=10, third=7)
    found = written(example, after, other, known=(BOTH,))
    assert weights(refs(found)) == {STABLE: 63, CANARY: 20, BASELINE: 10, "checkout-third": 7}
    assert refs(found)[2] == refs(after)[2]
    assert seen(example, found, other, BOTH).managed == keys_of(routes_of(other))


@of_each_kind
def test_a_whole_may_have_more_than_a_hundred_parts(example: Example) -> None:
    """Of a thousand a variant may have one."""
    canary = strategy(example, experiment(baseline=1), maxTrafficWeight=1000)
    routes = routes_of(experiment(baseline=1))
    patch = example.subject.set_weight(canary, example.obj, example.target, 999, routes)
    after = jsonpatch.apply_patch(copied(example.obj), patch)
    assert weights(refs(after)) == {STABLE: 0, CANARY: 999, BASELINE: 1}
    assert example.subject.read(canary, after, example.target).managed == keys_of(routes)


@of_each_kind
def test_shares_stay_where_they_are_when_the_services_take_turns(example: Example) -> None:
    """Stable is the Service that it is now, and has the rest."""
    turned = strategy(example, TEN).model_copy(update={"stable_service": CANARY, "canary_service": STABLE})
    patch = example.subject.set_weight(turned, example.obj, example.target, 20, routes_of(TEN))
    after = jsonpatch.apply_patch(copied(example.obj), patch)
    assert weights(refs(after)) == {STABLE: 20, CANARY: 70, BASELINE: 10}
    view = example.subject.read(turned, after, example.target)
    assert (view.weight, view.managed, view.problem) == (20, keys_of(routes_of(TEN)), "")


@of_each_kind
def test_service_of_one_of_the_two_versions_gets_no_share_besides(example: Example) -> None:
    """The list would have it twice, and nobody could work with the place any more."""
    share = ManagedRoute(f"service/{CANARY}", (), service=CANARY, share=10)
    with pytest.raises(ValueError, match="as a variant and as one of the two versions; give the variant a Service"):
        example.subject.set_weight(strategy(example, TEN), example.obj, example.target, 20, [share])


@of_each_kind
@pytest.mark.parametrize("index", [0, 1], ids=["without stable", "without canary"])
def test_a_rule_without_one_of_the_two_gets_no_share(example: Example, index: int) -> None:
    """What is alone in a list has all requests, whatever its weight says; nothing is put beside it."""
    start = copied(example.obj)
    del refs(start)[index]
    with pytest.raises(ValueError, match="does not list the"):
        written(example, start, TEN)


# --------------------------------------------------------------------------------------------------------------------
# What is read
# --------------------------------------------------------------------------------------------------------------------


def _set(name: str, **said: Any) -> Callable[[list[Object]], None]:
    def change(entries: list[Object]) -> None:
        next(entry for entry in entries if entry["name"] == name).update(said)

    return change


NOT_OURS: Mapping[str, Callable[[list[Object]], None]] = {
    "another weight": _set(BASELINE, weight=11),
    "no weight": _set(BASELINE, weight=0),
    "more of less": _set(STABLE, weight=1),
    "less of more": _set(STABLE, weight=500),
    "a filter": _set(BASELINE, filters=[{"type": "X"}]),
    "another port": _set(BASELINE, port=9090),
    "another port of the canary": _set(CANARY, port=9090),
    "twice": lambda entries: entries.append(dict(entries[-1])),
    "twice, once without requests": lambda entries: entries.append({**entries[-1], "weight": 0}),
}
"""What may become of a list with a share, so that it is not what was written."""


@of_each_kind
@pytest.mark.parametrize("name", NOT_OURS)
def test_a_share_that_is_not_what_was_written_is_not_taken_for_it(example: Example, name: str) -> None:
    """It is told, though, and both ways lead on: to what was asked for, and to no share at all."""
    changed = written(example, example.obj, TEN)
    NOT_OURS[name](refs(changed))
    view = seen(example, changed, TEN)
    assert (view.managed, view.problem) == ((UNKNOWN,), "")
    again = written(example, changed, TEN)
    assert (seen(example, again, TEN).weight, seen(example, again, TEN).managed) == (20, keys_of(routes_of(TEN)))
    assert weights(refs(again)) == {STABLE: 70, CANARY: 20, BASELINE: 10}
    assert weights(refs(written(example, changed, weight=0, known=(TEN,)))) == {STABLE: 100, CANARY: 0}


@of_each_kind
def test_entry_without_requests_of_a_recorded_variant_is_ours_too(example: Example) -> None:
    """A list has no names to tell whose it is; it goes like every share that nobody wants."""
    start = copied(example.obj)
    refs(start).append({"name": BASELINE, "port": 80, "weight": 0})
    assert seen(example, start, TEN).managed == (UNKNOWN,)
    assert written(example, start, weight=0, known=(TEN,)) == example.obj


@of_each_kind
def test_a_service_of_no_experiment_is_a_stranger(example: Example) -> None:
    """As ever; and so is one of a variant that has no weight, or in another namespace."""
    after = written(example, example.obj, TEN)
    for known in ({"setWeight": 5}, experiment(baseline=None), experiment(other=10)):
        view = seen(example, after, known)
        assert view.managed == ()
        assert f"backendRefs[2] is the Service '{BASELINE}'" in view.problem
    refs(after)[2]["namespace"] = "elsewhere"
    assert seen(example, after, TEN).managed == ()
    assert "of the namespace 'elsewhere'" in seen(example, after, TEN).problem


@of_each_kind
def test_a_share_is_known_by_the_records_of_attempts(example: Example) -> None:
    """The spec may have another step by now."""
    record: Any = SimpleNamespace(plan=SimpleNamespace(session=None, steps=(made(TEN), made({"setWeight": 5}))))
    canary = recorded(strategy(example, {"setWeight": 5}), [record])
    after = written(example, example.obj, TEN)
    assert example.subject.read(canary, after, example.target).managed == keys_of(routes_of(TEN))


@of_each_kind
def test_a_share_in_a_rule_that_is_not_found_is_seen_and_goes(example: Example) -> None:
    """Requests go to the variant as before, whatever the rule is called now; a rule of somebody's to it is his own."""
    changed = written(example, example.obj, TEN)
    rules_of(changed)["main"]["name"] = "renamed"
    own = {"name": "own", "backendRefs": [{"name": BASELINE, "port": 80, "weight": 1}]}
    changed["spec"]["rules"].append(own)
    view = seen(example, changed, TEN)
    assert view.managed == (UNKNOWN,)
    assert 'no rule named "main"' in view.problem
    after = written(example, changed, weight=20, known=(TEN,))
    assert weights(rules_of(after)["renamed"]["backendRefs"]) == {STABLE: 80, CANARY: 20}
    assert rules_of(after)["own"] == own
    assert seen(example, after, TEN).managed == ()


@of_each_kind
def test_nothing_is_wrong_with_a_share_beside_junk(example: Example) -> None:
    """Whatever stands in the place of an entry, of its weight or of its name: a problem or none, and never a crash."""
    start = written(example, example.obj, TEN)
    odd: tuple[Any, ...] = (None, True, -7, "junk", [], {}, [[]], {"name": 3})
    for junk in odd:
        for key in ("name", "weight", "port", None):
            changed = copied(start)
            if key is None:
                refs(changed)[2] = junk
            else:
                refs(changed)[2][key] = junk
            view = seen(example, changed, TEN)
            assert 0 <= view.weight <= 100
            if not view.problem:
                assert seen(example, written(example, changed, TEN), TEN).managed == keys_of(routes_of(TEN))


# --------------------------------------------------------------------------------------------------------------------
# Beside rules of ours
# --------------------------------------------------------------------------------------------------------------------


@of_each_kind
@pytest.mark.parametrize("kind", ["setHeaderRoute", "setMirrorRoute", "sessionAffinity"])
def test_routes_stand_beside_shares(example: Example, kind: str) -> None:
    """Each comes and goes alone, and all are read back as they were asked for."""
    led = step(kind)
    one, other = written(example, example.obj, led, known=(TEN,)), written(example, example.obj, TEN, known=(led,))
    both = written(example, one, led, TEN)
    assert seen(example, both, led, TEN).managed == keys_of(routes_of(led, TEN))
    assert written(example, both, led, TEN) == both
    assert seen(example, both, led, TEN).weight == 20
    assert written(example, both, led, known=(TEN,)) == one
    assert written(example, both, TEN, known=(led,)) == other
    assert written(example, both, weight=0, known=(led, TEN)) == example.obj


@of_each_kind
@pytest.mark.parametrize("kind", ["setHeaderRoute", "sessionAffinity"])
def test_a_rule_that_leads_to_the_canary_leads_to_no_variant(example: Example, kind: str) -> None:
    """It has one Service."""
    both = written(example, example.obj, step(kind), TEN)
    rule = rules_of(both)[f"headgate.{CANARY}.{SESSION if kind == 'sessionAffinity' else kind.lower()}"]
    assert [entry["name"] for entry in rule["backendRefs"]] == [CANARY]


@of_each_kind
def test_what_is_copied_is_shared_out_with_the_variants(example: Example) -> None:
    """A mirror of all requests stands before the claimed rule, and would leave a variant without any."""
    both = written(example, example.obj, step("setMirrorRoute"), TEN)
    assert rules_of(both)[f"headgate.{CANARY}.setmirrorroute"]["backendRefs"] == refs(both)


@of_each_kind
def test_a_mirror_without_the_share_is_not_what_was_written(example: Example) -> None:
    """Half of the requests would never reach the variant; one write puts it right."""
    mirror = step("setMirrorRoute")
    both = written(example, example.obj, mirror, TEN)
    changed = copied(both)
    del rules_of(changed)[f"headgate.{CANARY}.setmirrorroute"]["backendRefs"][2]
    assert seen(example, changed, mirror, TEN).managed == (unknown("setmirrorroute"), *keys_of(routes_of(TEN)))
    assert written(example, changed, mirror, TEN) == both


# --------------------------------------------------------------------------------------------------------------------
# Whatever was there before
# --------------------------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")


@st.composite
def lists(draw: st.DrawFn) -> tuple[int, int, dict[str, int], list[tuple[str, int]]]:
    """A whole, the canary's weight and variants' shares within it, and entries of Services with weights of anybody."""
    total = draw(st.sampled_from([100, 1000, 1_000_000]))
    left = total - (weight := draw(st.integers(0, total)))
    parts: dict[str, int] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        if left:
            parts[name] = draw(st.integers(1, left))
            left -= parts[name]
    others = st.tuples(st.sampled_from([f"{STABLE}-{name}" for name in NAMES]), st.integers(0, 1_000_000))
    both = [(name, draw(st.integers(0, 1_000_000))) for name in (STABLE, CANARY)]
    return total, weight, parts, draw(st.permutations([*both, *draw(st.lists(others, max_size=6))]))


@pytest.mark.parametrize("kind", KINDS)
@given(lists())
def test_weights_sum_to_the_whole_whoever_had_written_them(
    kind: str, drawn: tuple[int, int, dict[str, int], list[tuple[str, int]]]
) -> None:
    """None is negative, each has what it is to have, and without shares nothing of them is left (1)."""
    total, weight, parts, before = drawn
    example = EXAMPLES[kind]
    known = experiment(**dict.fromkeys(NAMES, 1))
    asked = experiment(**parts) if parts else {"setWeight": 5}
    canary = strategy(example, asked, known, maxTrafficWeight=total)
    obj = copied(example.obj)
    rules_of(obj)["main"]["backendRefs"] = [{"name": name, "port": 80, "weight": part} for name, part in before]
    view = example.subject.read(canary, obj, example.target)
    assert 0 <= view.weight <= total
    assert len(view.managed) == len({name for name, _ in before} - {STABLE, CANARY})
    for routes in (routes_of(asked), ()):
        obj = jsonpatch.apply_patch(obj, example.subject.set_weight(canary, obj, example.target, weight, routes))
        shared = {one.service: one.share for one in routes}
        assert weights(refs(obj)) == {STABLE: total - weight - sum(shared.values()), CANARY: weight, **shared}
        assert len(refs(obj)) == 2 + len(shared)
        assert min(entry["weight"] for entry in refs(obj)) >= 0
        view = example.subject.read(canary, obj, example.target)
        assert (view.weight, view.managed, view.problem) == (weight, keys_of(routes), "")
