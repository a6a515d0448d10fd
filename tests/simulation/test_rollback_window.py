"""Going back to what was stable before, by the template: within the rollback window at once, beyond it by the steps."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.decide import types as t
from headgate.decide.journal import promoted_lately, running
from tests.simulation.recorded import Recorded, at_every_moment, settled

pytestmark = pytest.mark.simulation

STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"gate": {"ref": {"name": "golden"}, "count": 2}}]


def after(*versions: str, window: int | None) -> Recorded:
    """A world in which these versions were stable, one after the other, and only the last one has pods."""
    more: dict[str, Any] = {} if window is None else {"rollbackWindow": {"revisions": window}}
    world = settled(STEPS, **more)
    for version in versions:
        world.release(version)
        world.settle(300)
        world.run_for(120)
        assert world.status.history[-1].outcome == "Promoted"
    return world


def gone_back(world: Recorded, version: str, *, quality: float | None = 100.0) -> bool:
    """Whether the way back to this version skips the steps; it is seen to its end."""
    pod_hash = world.release(version, quality=quality)
    world.turn()
    run = running(world.status)
    assert run is not None
    assert run.pod_hash == pod_hash
    began = len(world.acts)
    world.settle(300, until=("Healthy", "Degraded", "Held"))
    weights = [w.action for w in world.acts[began:] if isinstance(w.action, t.SetWeight)]
    assert run.fast != bool(weights)
    return run.fast


@pytest.mark.parametrize(
    ("window", "version", "fast"),
    [(1, "v3", True), (1, "v2", False), (2, "v2", True), (2, "v1", False), (8, "v1", True), (0, "v3", False)],
)
def test_as_many_as_the_window_says_are_gone_back_to_without_steps(window: int, version: str, fast: bool) -> None:  # noqa: FBT001
    """Counted from the one before the present one; their pods are gone, so they come up before the switch."""
    world = after("v2", "v3", "v4", window=window)
    assert gone_back(world, version) is fast
    assert world.status.phase == "Healthy"
    world.check_rest()


def test_without_a_window_only_pods_that_are_there_are_switched_to() -> None:
    """What was always so: after the delay the way back takes the steps."""
    assert not gone_back(after("v2", window=None), "v1")


def test_window_of_nothing_makes_even_a_version_with_pods_take_the_steps() -> None:
    """With 0 whatever is released is judged."""
    world = after(window=0)
    world.release("v2")
    world.settle(300)
    assert not gone_back(world, "v1")


def test_way_back_within_the_window_is_not_judged() -> None:
    """Nobody can say anything of it, and it is promoted all the same: that is what the window says."""
    world = after("v2", window=1)
    assert gone_back(world, "v1", quality=None)
    assert world.status.phase == "Healthy"
    assert world.status.gates == []


def test_version_that_failed_since_it_was_stable_takes_the_steps() -> None:
    """What was taken back in between is no way back, whatever it was before."""
    world = after("v2", "v3", window=1)
    world.change_spec(rollback_window=None)
    world.release("v2", quality=60.0)
    world.settle(300)
    assert world.status.phase == "Degraded"
    assert promoted_lately(world.status) == [world.status.history[0].revision]


def test_ways_back_of_the_window_outlast_failures() -> None:
    """Ten versions in a row that fail do not push them out of the history."""
    world = after("v2", "v3", "v4", "v5", window=4)
    for number in range(10):
        world.release(f"bad{number}", quality=60.0)
        world.settle(300)
        assert world.status.phase == "Degraded"
    assert len(world.status.history) == 10
    assert gone_back(world, "v1")


def test_way_back_in_mid_run_is_at_once_and_takes_the_share_of_the_one_under_way_first() -> None:
    """At every moment of a release: no request of the new version's share is served by anything that was not stable."""

    def under_way() -> Recorded:
        world = after("v2", window=1)
        world.release("v3")
        world.moment()
        return world

    for world in at_every_moment(under_way):
        run = running(world.status)
        world.release("v1")
        world.settle(300)
        world.run_for(60)
        assert run is not None
        assert [h.outcome for h in world.status.history[-2:]] == ["Superseded", "Promoted"]
        assert world.status.stable is not None
        assert world.status.stable.revision == world.status.history[0].revision
        world.check_rest()
