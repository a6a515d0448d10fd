"""A verdict whose journal could not be written still counts: the version that failed is not exposed a second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headgate.api.rollout import RolloutStatus
from headgate.decide import types as t
from tests.simulation.world import World, spec

pytestmark = pytest.mark.simulation


class Forgetful(World):
    """A world in which the journal cannot be written for the first few times that it takes a version back."""

    most = 3
    lost = 0
    """Journals that were not written."""
    weights: tuple[int, ...] = ()

    def _write_status(self, decision: t.Decision) -> bool:
        if decision.status.rejected and self.lost < self.most:
            self.lost += 1
            self.tell("the journal of the rejection is not written")
            self.when_lost()
            return False
        return super()._write_status(decision)

    def when_lost(self) -> None:
        """What else happens then."""

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        if isinstance(action, t.SetWeight):
            self.weights += (action.weight,)
        super()._act(action, status)


class Mortal(Forgetful):
    """A world whose operator is killed before it can write the first journal that takes a version back."""

    most = 1

    def when_lost(self) -> None:
        """The process is gone, and what it knew."""
        self._crash()


@pytest.mark.parametrize(("why", "reason"), [("a gate", "VerdictLost"), ("an abort", "Aborted")])
def test_a_verdict_that_was_lost_with_its_process_is_not_asked_for_again(why: str, reason: str) -> None:
    """The write that carried it out says so, and the next process ends the attempt; a retry is another attempt."""
    wait: dict[str, Any] = {"gate": {"ref": {"name": "golden"}}} if why == "a gate" else {"pause": {"duration": "60s"}}
    world = Mortal(1, spec([{"setWeight": 20}, wait, {"setWeight": 50}]))
    world.settle(120)
    bad = world.release("v2", quality=80.0)
    while not world.weight:
        world.run_for(1)
    if why == "an abort":
        world.person("abort")
    world.run_for(400)
    assert world.lost == 1
    assert list(world.weights) == [20, 0], f"it was exposed again: weights {world.weights}"
    record = world.status.rejected[-1]
    assert (record.pod_hash, record.attempt, record.reason) == (bad, 1, reason)
    world.check_rest()
    world.quality[bad] = 100.0
    world.person("retry", pod_hash=bad, attempt=1)
    world.run_for(400)
    assert list(world.weights[2:]) == [20, 50, 0]
    assert not world.status.rejected
    world.check_rest()


def moments(world: World, until: Callable[[], bool]) -> None:
    """Decision by decision until something is so."""
    while not until():
        if not world.turn():
            world.advance()


def test_a_promotion_that_was_taken_back_is_not_begun_again() -> None:
    """Also where the write that carried it out turned the stable Service back, and nothing but that tells of it."""
    world = Mortal(1, spec([{"setWeight": 50}]))
    world.settle(120)
    assert world.status.stable
    stable = world.status.stable.pod_hash
    bad = world.release("v2")
    moments(world, lambda: world.selectors["shop"] == bad)
    world.person("abort")
    moments(world, lambda: world.lost == 1)
    world.people.clear()  # As if it had been a gate.
    assert world.selectors["shop"] == stable
    world.run_for(400)
    assert world.status.rejected, "what was taken back is promoted all the same"
    record = world.status.rejected[-1]
    assert (record.pod_hash, record.reason) == (bad, "VerdictLost")
    world.check_rest()


def test_a_failed_gate_lowers_once_and_nothing_raises_again_though_its_journal_was_lost() -> None:
    """The weight goes to 0 at once; the tries to write down why it did never bring it back."""
    world = Forgetful(1, spec([{"setWeight": 20}, {"gate": {"ref": {"name": "golden"}}}, {"setWeight": 50}]))
    world.settle(120)
    bad = world.release("v2", quality=80.0)
    world.settle(300)
    assert world.lost == 3
    assert world.status.rejected[-1].pod_hash == bad
    assert world.weights == (20, 0), "\n".join(world.story[-20:])
    world.check_rest()
