"""A verdict whose journal could not be written still counts: the version that failed is not exposed a second time."""

from __future__ import annotations

import pytest

from headgate.api.rollout import RolloutStatus
from headgate.decide import types as t
from tests.simulation.world import World, spec

pytestmark = pytest.mark.simulation


class Forgetful(World):
    """A world in which the journal cannot be written for the first few times that it takes a version back."""

    lost = 0
    weights: tuple[int, ...] = ()

    def _write_status(self, decision: t.Decision) -> bool:
        if decision.status.rejected and self.lost < 3:
            self.lost += 1
            self.tell("the journal of the rejection is not written")
            return False
        return super()._write_status(decision)

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        if isinstance(action, t.SetWeight):
            self.weights += (action.weight,)
        super()._act(action, status)


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
