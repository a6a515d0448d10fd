"""What a DaemonSet and its pods are taken for, how its template is written and released, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from headgate.act import in_place
from headgate.act.context import Context, Stale
from headgate.act.kube import Kube
from headgate.api.common import ANNOTATION_HELD, ANNOTATION_TEMPLATE_GENERATION, ANNOTATION_UPDATE_STRATEGY
from headgate.api.rollout import RolloutSpec, RolloutStatus, WorkloadStatus
from headgate.decide import daemon, invariants
from headgate.decide.in_place import CLOSED
from headgate.decide.types import EvictPod, HoldTemplate, InPlace, ReleaseTemplate, RolloutMeta
from headgate.engine.trim import trim
from headgate.observe import views
from tests.simulation.daemon_world import DaemonWorld, daemon_spec
from tests.unit.fake_api import FakeAPI

PATH = "/apis/apps/v1/namespaces/shop/daemonsets/agent"
TEMPLATE = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []}}
META = RolloutMeta("shop", "agent", "uid", "1", 1, 0.0)


def daemon_set(held: str | None = None, counted: int = 3, kind: str = "OnDelete", label: str = "") -> dict[str, Any]:
    """A DaemonSet as the server has it."""
    annotations = {ANNOTATION_TEMPLATE_GENERATION: str(counted)} | ({ANNOTATION_HELD: held} if held is not None else {})
    return {
        "metadata": {"name": "agent", "namespace": "shop", "uid": "1", "resourceVersion": "7", "generation": 5}
        | {"annotations": annotations},
        "spec": {
            "updateStrategy": {"type": kind, **({"rollingUpdate": {"maxSurge": 1}} if kind != "OnDelete" else {})},
            "selector": {"matchLabels": {"app": "agent"}},
            "template": dict(daemon.marked(TEMPLATE, label or daemon.UNMARKED)),
        },
        "status": {
            "observedGeneration": 5,
            "desiredNumberScheduled": 4,
            "currentNumberScheduled": 4,
            "updatedNumberScheduled": 3,
            "numberReady": 4,
            "numberAvailable": 4,
        },
    }


def place_of(obj: dict[str, Any], noted: str | None = None) -> InPlace:
    """What the operator makes of it, with this noted in the journal as what stable pods are called."""
    status = RolloutStatus(workload=WorkloadStatus(revision=noted) if noted else None)
    place = daemon.placed(views.daemon_set("agent", trim("DaemonSet", obj)), status).in_place
    assert place is not None
    return place


@pytest.mark.parametrize(
    ("obj", "sure"),
    [
        (daemon_set(held="3"), True),
        (daemon_set(held="3", kind="RollingUpdate"), False),
        (daemon_set(held="2"), False),
        (daemon_set(held="4"), False),
        (daemon_set(held="none"), False),
        (daemon_set(), False),
    ],
    ids=["held", "updates by itself", "written since", "counted once less", "made unreadable", "never held"],
)
def test_template_is_sure_while_the_count_is_the_noted_one(obj: dict[str, Any], *, sure: bool) -> None:
    """And pods get it by evictions alone."""
    place = place_of(obj)
    assert place.held is not None
    assert place.held.sure is sure
    assert (place.partition == CLOSED) is sure


def test_pods_are_counted_by_what_the_template_is() -> None:
    """Its controller counts those of the present template: old ones while that is stable, new ones while it is not."""
    closed = place_of(daemon_set(held="3"), daemon.UNMARKED)
    opened = place_of(daemon_set(held="3", label="newnewneww"), daemon.UNMARKED)
    assert (closed.current, closed.partition) == (3, CLOSED)
    assert (opened.current, opened.partition, opened.next) == (1, 0, "newnewneww")


def test_template_of_an_adopted_daemon_set_is_left_as_it_is() -> None:
    """A label in it would be another revision to its controller, which would end all pods once it may."""
    assert daemon.marked(TEMPLATE, daemon.UNMARKED) is TEMPLATE
    new = daemon.marked(TEMPLATE, "newnewneww")
    assert daemon.mark_of(views.labels_of(new)) == "newnewneww"
    assert daemon.mark_of(views.labels_of(TEMPLATE)) == daemon.UNMARKED


class Server:
    """A server with one DaemonSet, and the cache of it."""

    def __init__(self, obj: dict[str, Any]) -> None:
        self.api = FakeAPI()
        kept = self.api.put(PATH, obj)
        self.version = str(kept["metadata"]["resourceVersion"])
        self.context = Context(Kube(self.api), self, {}, META, None, 0.0)
        self.known = trim("DaemonSet", kept)

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, as the cache keeps it."""
        return self.known if (kind, namespace, name) == ("DaemonSet", "shop", "agent") else None

    @property
    def obj(self) -> dict[str, Any]:
        """The DaemonSet as it is now."""
        return self.api.objects[PATH]


async def test_template_is_written_with_what_the_server_will_count() -> None:
    """And with what was there before, for the day on which all is given back."""
    server = Server(daemon_set(kind="RollingUpdate"))
    new = daemon.marked(TEMPLATE, "newnewneww")
    await in_place.hold_template(server.context, HoldTemplate("agent", server.version, "newnewneww", new))
    annotations = server.obj["metadata"]["annotations"]
    assert server.obj["spec"]["template"] == new
    assert server.obj["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert annotations[ANNOTATION_HELD] == "4"
    before = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    assert json.loads(annotations[ANNOTATION_UPDATE_STRATEGY]) == before
    server.known = trim("DaemonSet", server.obj)
    version = server.obj["metadata"]["resourceVersion"]
    await in_place.release_template(server.context, ReleaseTemplate("agent", version))
    assert server.obj["spec"]["updateStrategy"] == before
    assert set(server.obj["metadata"]["annotations"]) == {ANNOTATION_TEMPLATE_GENERATION}
    assert server.obj["spec"]["template"] == new, "pods of it would be ended"


async def test_template_that_stays_is_counted_as_it_is() -> None:
    """At the adoption nothing of it changes."""
    server = Server(daemon_set())
    await in_place.hold_template(server.context, HoldTemplate("agent", server.version, daemon.UNMARKED))
    assert server.obj["metadata"]["annotations"][ANNOTATION_HELD] == "3"
    assert server.obj["spec"]["template"] == TEMPLATE


async def test_what_somebody_made_unreadable_is_not_put_back() -> None:
    """It goes on with what it has, rather than with nothing."""
    obj = daemon_set(held="3")
    obj["metadata"]["annotations"][ANNOTATION_UPDATE_STRATEGY] = "{"
    server = Server(obj)
    await in_place.release_template(server.context, ReleaseTemplate("agent", server.version))
    assert server.obj["spec"]["updateStrategy"] == {"type": "OnDelete"}


async def test_count_of_another_moment_is_not_gone_by() -> None:
    """The DaemonSet is another one by now: nothing is sent."""
    server = Server(daemon_set())
    action = HoldTemplate("agent", "1", "newnewneww", TEMPLATE)
    with pytest.raises(Stale):
        await in_place.hold_template(server.context, action)
    assert not server.api.written()


def refused(world: DaemonWorld, action: HoldTemplate | EvictPod) -> list[int]:
    """The rules that the guard, which is asked before each write, sees broken."""
    return [b.rule.number for b in invariants.guard(world.snapshot(), action, world.status)]


def test_guard_refuses_what_no_step_allows() -> None:
    """The same rules as for a partition; and a pod is evicted for the version only that it will get."""
    world = DaemonWorld(1, daemon_spec([{"setBatch": 1}, {"pause": {}}]), pods=4)
    world.settle(60)
    onward, back = EvictPod("db-3", "1", exposure="raise"), EvictPod("db-3", "1")
    assert refused(world, back) == []
    assert refused(world, onward) == [10, 6], "nothing is released"
    new = world.release("v2")
    action = HoldTemplate("db", "1", new, {}, exposure="raise")
    while world.content() != new:
        world.advance(world.now + 0.1)
        world.turn()
    assert 10 in refused(world, back), "its template is not the stable one"
    world.settle(60, until=("Paused",))
    assert refused(world, action) == [2], "the step allows one pod"
    assert refused(world, replace(action, revision="other")) == [19, 2]
    world.change_spec(paused=True)
    assert 13 in refused(world, action)


def test_daemon_set_without_a_template_in_its_rollout_is_refused() -> None:
    """The core relies on it."""
    spec = daemon_spec([{"setBatch": 1}]).model_dump(by_alias=True, exclude_unset=True)
    with pytest.raises(ValueError, match="set template"):
        RolloutSpec.model_validate({k: v for k, v in spec.items() if k != "template"})


def test_operator_that_is_not_set_up_for_it_says_who_can_change_that() -> None:
    """The rights to DaemonSets are the admin's to give."""
    world = DaemonWorld(1, daemon_spec([{"setBatch": 1}]))
    world.allowed_kinds = ("StatefulSet",)
    world.run_for(30)
    said = next(c for c in world.status.conditions if c.type == "Ready")
    assert said.reason == "KindDisabled"
    assert "let an admin add DaemonSet to rollingKinds" in said.message
    assert not world.on_delete
