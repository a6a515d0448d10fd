"""The arithmetic of batches, and what a StatefulSet, its pods and its budgets are taken for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from headgate.api.rollout import CanaryScale, RolloutSpec, Step
from headgate.decide import invariants, problems, strategies
from headgate.decide.in_place import CLOSED, percent
from headgate.decide.rolling import allowance, opened, partition_for
from headgate.decide.types import EvictPod, SetPartition
from headgate.observe import views
from tests.simulation.rolling_world import RollingWorld, rolling

PODS = some.integers(0, 10_000)
BATCHES = some.lists(
    some.one_of(
        some.builds(lambda n: Step(set_canary_scale=CanaryScale(replicas=n)), some.integers(1, 10_000)),
        some.builds(lambda p: Step(set_canary_scale=CanaryScale(weight=p)), some.integers(1, 100)),
    ),
    min_size=1,
    max_size=8,
)


@given(steps=BATCHES, replicas=PODS)
def test_batches_grow_and_leave_one_pod_to_the_promotion(steps: list[Step], replicas: int) -> None:
    """Never fewer than before, at least one where there are two, and never all: the last one is the way back."""
    before = 0
    for index in range(len(steps)):
        pods = allowance(tuple(steps), index, replicas).replicas
        assert before <= pods <= max(0, replicas - 1), f"{pods} of {replicas} pods after {before}"
        assert pods >= 1 or replicas < 2, f"{pods} of {replicas} pods"
        before = pods


@given(pods=PODS, replicas=PODS)
def test_partition_opens_as_many_pods_as_are_meant(pods: int, replicas: int) -> None:
    """Within what the API takes; for none it is closed, whatever the workload is scaled to."""
    pods = min(pods, replicas)
    partition = partition_for(pods, replicas)
    assert 0 <= partition < 2**31
    assert opened(partition, replicas) == pods
    assert pods or opened(partition, 10_000) == 0, "opened by a scale-up"


@given(pods=PODS, of=PODS)
def test_percent_is_all_or_nothing_only_for_all_or_none(pods: int, of: int) -> None:
    """One pod of ten thousand is not nothing, and all but one are not all."""
    pods = min(pods, of)
    part = percent(pods, of)
    assert 0 <= part <= 100
    assert (part == 0) == (pods == 0)
    assert (part == 100) == (0 < pods == of)


@given(one=PODS, other=PODS, of=PODS)
def test_more_pods_are_never_a_smaller_part(one: int, other: int, of: int) -> None:
    """So a smaller part is a lowering."""
    few, many = sorted((min(one, of), min(other, of)))
    assert percent(few, of) <= percent(many, of)


@pytest.mark.parametrize("batches", [(1, 1), (2, 1), ("25%", "25%"), ("50%", "9%"), (1, "25%", 1)])
def test_batches_that_do_not_grow_are_refused(batches: tuple[int | str, ...]) -> None:
    """Who writes 25% four times means something else, and would get three quarters at once."""
    with pytest.raises(ValueError, match="each is more than the one before"):
        rolling([{"setBatch": b} for b in batches])


def test_batches_that_grow_are_taken() -> None:
    """Numbers and parts may stand side by side: which is more depends on the workload."""
    rolling([{"setBatch": b} for b in (1, "9%", 2, "10%", 3)])


def test_batches_are_told_as_they_were_written() -> None:
    """A person reads of batches, not of scales of a canary."""
    strategy = strategies.of(rolling([{"setBatch": 2}, {"setBatch": "25%"}, {"pause": {}}]))
    assert [strategy.describe(s) for s in strategy.steps] == ["setBatch 2", "setBatch 25%", "pause until promoted"]


def stateful_set(**update: Any) -> dict[str, Any]:
    """A StatefulSet as the cache keeps it."""
    spec = {"replicas": 3, "serviceName": "db", "updateStrategy": update, "selector": {"matchLabels": {"app": "db"}}}
    status = {"replicas": 3, "currentReplicas": 2, "currentRevision": "db-1", "updateRevision": "db-2"}
    meta = {"name": "db", "uid": "1", "resourceVersion": "7", "generation": 1}
    return {"metadata": meta, "spec": spec, "status": status, "packed": b"{}"}


def test_absent_partition_is_an_open_update() -> None:
    """As its controller takes it."""
    for update in ({}, {"type": "RollingUpdate"}, {"type": "RollingUpdate", "rollingUpdate": {}}):
        place = views.stateful_set("db", stateful_set(**update)).in_place
        assert place is not None
        assert (place.partition, place.unfit) == (0, "")


def test_stateful_set_that_nobody_can_hold_says_what_to_do() -> None:
    """With OnDelete whoever deletes a pod gets a new one."""
    place = views.stateful_set("db", stateful_set(type="OnDelete")).in_place
    assert place is not None
    assert place.unfit == "has updateStrategy.type OnDelete, which no partition holds; make it RollingUpdate"


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "db"}}, True),
        ({"matchLabels": {"app": "web"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_budgets_speak_of_pods_as_the_server_says(selector: Any, *, fits: bool) -> None:
    """An empty selector means every pod, none at all means no pod."""
    assert views.selects(selector, {"app": "db"}) is fits


def test_selector_is_asked_for_in_the_words_of_the_api() -> None:
    """Pods are read by the StatefulSet's own selector."""
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "db"}, "matchExpressions": expressions}
    assert views.selector_text(selector) == "app=db,tier in (a,b),!old"


def test_budget_that_its_controller_has_not_seen_allows_nothing() -> None:
    """What it counted was for another spec."""
    seen = {"observedGeneration": 1, "disruptionsAllowed": 1}
    assert views.budget({"metadata": {"name": "b", "generation": 1}, "status": seen}).allowed == 1
    assert views.budget({"metadata": {"name": "b", "generation": 2}, "status": seen}).allowed == 0
    assert views.budget({"metadata": {"name": "b", "generation": 1}}).allowed == 0


def opening(world: RollingWorld, partition: int) -> list[str]:
    """What an opened update would break, by the guard that is asked before each write."""
    action = SetPartition("db", "1", partition, exposure="raise")
    return [str(b.rule.number) for b in invariants.guard(world.snapshot(), action, world.status)]


def test_guard_refuses_what_no_step_allows() -> None:
    """The same rules as for weights, asked once more before the write."""
    world = RollingWorld(1, rolling([{"setBatch": 1}, {"pause": {}}]), pods=4)
    world.settle(60)
    assert opening(world, 3) == ["6"], "nothing is released"
    world.release("v2")
    world.run_for(0.1)
    assert opening(world, 3) == []
    assert opening(world, 2) == ["2"], "the step allows one pod"
    world.budget_open = False
    assert opening(world, 3) == ["3"], "the budget allows none"
    world.change_spec(paused=True)
    assert opening(world, 3) == ["13", "3"]


def test_guard_refuses_an_eviction_under_an_open_update() -> None:
    """Closing goes first: the pod would come back as the same version."""
    world = RollingWorld(1, rolling([{"setBatch": 1}, {"pause": {}}]), pods=4)
    world.settle(60)
    action = EvictPod("db-3", "1")
    assert not invariants.guard(world.snapshot(), action, world.status)
    world.set_partition(3)
    assert invariants.guard(world.snapshot(), action, world.status)


def test_operator_that_is_not_set_up_for_it_says_who_can_change_that() -> None:
    """The rights to workloads are the admin's to give."""
    world = RollingWorld(1, rolling([{"setBatch": 1}]))
    world.allowed_kinds = ()
    world.run_for(30)
    said = next(c for c in world.status.conditions if c.type == "Ready")
    assert said.reason == "KindDisabled"
    assert "let an admin add StatefulSet to rollingKinds" in said.message
    assert world.partition == 0 != CLOSED


def test_workload_that_nobody_watches_is_not_called_missing() -> None:
    """Nothing is known of it: the one thing to do is the admin's."""
    world = RollingWorld(1, rolling([{"setBatch": 1}]))
    world.allowed_kinds = ()
    unseen = replace(world.snapshot(), template=None, workload=None)
    assert [p.reason for p in problems.find(unseen)] == ["KindDisabled"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"replicas": 3}, "remove replicas"),
        ({"workloadRef": {"kind": "Deployment", "name": "db"}}, "rolling is for a StatefulSet"),
        ({"rollbackWindow": {"revisions": 1}}, "remove rollbackWindow"),
    ],
)
def test_object_that_is_older_than_the_rules_is_refused(change: dict[str, Any], why: str) -> None:
    """The core relies on them."""
    spec = rolling([{"setBatch": 1}]).model_dump(by_alias=True, exclude_unset=True)
    with pytest.raises(ValueError, match=why):
        RolloutSpec.model_validate(spec | change)
