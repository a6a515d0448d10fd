"""A new revision at every moment of a release, by each policy: who is released, who waits, and who is refused."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.journal import running
from tests.simulation.recorded import Recorded, at_every_moment, settled

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [
    {"setWeight": 20},
    {"pause": {}},
    {"gate": {"ref": {"name": "golden"}, "count": 1}},
    {"setWeight": 60},
]


def under(policy: str, *, quality: float = 100.0) -> Recorded:
    """A release of v2 under way, by this policy."""
    world = settled(STEPS, on_new_revision=policy)
    world.release("v2", quality=quality)
    world.moment()
    return world


def end(world: Recorded) -> None:
    """Whatever is to come; who is asked to promote does."""
    for _ in range(20):
        world.run_for(60)
        if "until someone promotes" in world.status.message:
            world.person("promote")
        elif world.status.phase in ("Healthy", "Degraded"):
            break
    assert world.status.phase in ("Healthy", "Degraded"), world.status.message


def promote_on(world: Recorded) -> None:
    """To the end of the release, and not one moment further."""
    while not world.released():
        world.moment()
        if "until someone promotes" in world.status.message and not world.people:
            world.person("promote")


def superseded(world: Recorded, pod_hash: str) -> bool:
    """Nothing of the attempt was recorded yet, so that there was nothing that could go on."""
    return (pod_hash, "Superseded") in attempts(world)


def attempts(world: Recorded) -> list[tuple[str, str]]:
    """Pod hash and outcome of every attempt, the installation apart."""
    return [(h.pod_hash, h.outcome) for h in world.status.history[1:]]


def made_for(world: Recorded, pod_hash: str) -> bool:
    """A ReplicaSet was created for this revision."""
    return any(isinstance(w.action, t.CreateReplicaSet) and w.action.pod_hash == pod_hash for w in world.acts)


def test_queued_revision_waits_for_the_end_of_the_release_whenever_it_comes() -> None:
    """Queue: the release under way is promoted by its own verdicts; not one pod of the newcomer is made before."""
    waited = 0
    for world in at_every_moment(lambda: under("Queue")):
        run = running(world.status)
        third = world.release("v3")
        promote_on(world)
        assert run is not None
        if superseded(world, run.pod_hash):
            continue
        assert attempts(world) == [(run.pod_hash, "Promoted")]
        assert not made_for(world, third)
        end(world)
        assert attempts(world)[-1] == (third, "Promoted")
        world.check_rest()
        waited += 1
    assert waited > 20


def test_refused_revision_leaves_the_release_as_it_is_whenever_it_comes() -> None:
    """Reject: the newcomer is remembered as refused, never gets a pod, and a retry after the end releases it."""
    refused = 0
    for world in at_every_moment(lambda: under("Reject")):
        run = running(world.status)
        third = world.release("v3")
        end(world)
        assert run is not None
        if superseded(world, run.pod_hash):
            continue
        assert attempts(world) == [(run.pod_hash, "Promoted")]
        assert not made_for(world, third)
        assert world.status.phase == "Degraded"
        assert f"revision {third} is not released: onNewRevision is Reject" in world.status.message
        assert world.condition("Rejected")[:2] == ("True", "ReleaseUnderWay")
        world.person("retry", pod_hash=third, attempt=world.status.rejected[-1].attempt)
        end(world)
        assert attempts(world)[-1] == (third, "Promoted")
        refused += 1
    assert refused > 20


def test_superseding_revision_begins_at_the_first_step_whenever_it_comes() -> None:
    """Supersede: the share of the one under way goes first, and none of its verdicts counts for the newcomer."""
    for world in at_every_moment(lambda: under("Supersede")):
        run = running(world.status)
        third = world.release("v3")
        end(world)
        assert run is not None
        assert attempts(world) == [(run.pod_hash, "Superseded"), (third, "Promoted")]
        assert {(g.pod_hash, g.verdict) for g in world.status.gates} == {(third, "Pass")}


def test_the_newest_of_those_that_wait_is_released() -> None:
    """What Git wants by the time that the release ends; those in between are never tried."""
    world = under("Queue")
    world.settle(120, until=("Paused",))
    between, last = world.release("v3"), world.release("v4")
    end(world)
    assert attempts(world)[-1] == (last, "Promoted")
    assert not made_for(world, between)


def test_waiting_revision_is_named_in_the_message() -> None:
    """Who looks at the status sees what waits, and for what."""
    world = under("Queue")
    world.settle(120, until=("Paused",))
    third = world.release("v3")
    world.run_for(1)
    assert world.status.phase == "Paused"
    waits = f"paused until someone promotes; revision {third} waits for the end of this release (onNewRevision: Queue)"
    assert world.status.message.endswith(waits)


def test_waiting_revision_begins_after_an_abort_too() -> None:
    """Nobody needs to do more than abort for the fix that waits behind a bad version."""
    world = under("Queue")
    world.settle(120, until=("Paused",))
    bad, third = world.status.current, world.release("v3")
    world.person("abort")
    end(world)
    assert bad is not None
    assert attempts(world) == [(bad.pod_hash, "Rejected"), (third, "Promoted")]


@pytest.mark.parametrize("policy", ["Supersede", "Queue", "Reject"])
def test_the_way_back_to_stable_is_open_under_every_policy(policy: str) -> None:
    """A template that is the stable one again ends the release at once: it waits for nothing and is refused nothing."""
    world = under(policy)
    world.settle(120, until=("Paused",))
    run = world.status.current
    world.release("v1")
    world.turn()
    assert run is not None
    assert world.share(run.pod_hash) == 0
    end(world)
    assert attempts(world) == [(run.pod_hash, "Reverted")]
    assert world.status.phase == "Healthy"
