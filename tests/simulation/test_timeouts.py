"""Steps that take too long: each of the four things that may happen then, and what a timeout must not do."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.decide import types as t
from tests.simulation.recorded import Recorded, settled
from tests.simulation.world import spec

pytestmark = pytest.mark.simulation

LONG = 86_400


class Telling(Recorded):
    """A world that keeps the Events, too."""

    def __init__(self, steps: list[dict[str, Any]], **more: Any) -> None:
        super().__init__(spec(steps, progressDeadlineSeconds=LONG, **more))
        self.told: list[t.EventNote] = []

    def _write_status(self, decision: t.Decision) -> bool:
        self.told += decision.events
        return super()._write_status(decision)

    def phase(self) -> str:
        """Where the release is."""
        return self.status.phase

    def late(self) -> list[str]:
        """What was told of time that ran out."""
        return [e.message for e in self.told if e.reason == "StepTimedOut"]


def released(*steps: dict[str, Any], **of: Any) -> Telling:
    """A release of v2 that has just begun."""
    world = Telling([*steps], replicas=4)
    world.settle(120)
    world.run_for(60)
    world.release("v2", **of)
    return world


def test_version_whose_pods_do_not_come_up_is_taken_back_after_the_timeout() -> None:
    """Abort: long before the progress deadline, and with the step and its time as the reason."""
    world = released({"setWeight": 20, "timeout": "40s", "onTimeout": "Abort"}, broken=True)
    world.run_for(35)
    assert world.phase() == "Progressing"
    world.settle(60)
    assert world.phase() == "Degraded"
    record = world.status.rejected[-1]
    assert record.reason == "StepTimedOut"
    assert record.message.startswith(
        "step 1 of 1: setWeight 20 took longer than its timeout of 40s: waiting for the pods"
    )
    world.check_rest()


def test_version_that_nobody_can_judge_is_taken_back_after_the_timeout() -> None:
    """A gate that is held counts as waiting: what would wait for a person goes back by itself."""
    gate = {"gate": {"ref": {"name": "golden"}}, "timeout": "10m", "onTimeout": "Abort"}
    world = released({"setWeight": 20}, gate, quality=None)
    world.settle(300, until=("Held",))
    world.settle(700)
    assert world.phase() == "Degraded"
    assert world.status.rejected[-1].reason == "StepTimedOut"
    assert "golden is held" in world.status.rejected[-1].message


def test_pause_that_nobody_ends_is_held_unless_something_else_is_said() -> None:
    """Hold: the weight stays, the condition names the way on, and nothing happens for as long as nobody comes."""
    world = released({"setWeight": 20}, {"pause": {}, "timeout": "5m"}, {"setWeight": 60})
    world.settle(120, until=("Paused",))
    world.settle(400, until=("Held",))
    assert world.weight == 20
    assert "it took longer than its timeout of 5m00s" in world.status.message
    status, reason, message = world.condition("Stalled")
    assert (status, reason) == ("True", "StepTimedOut")
    assert message.startswith(
        "step 2 took longer than its timeout of 5m00s; promote ends it, resume gives it that time"
    )
    before = len(world.writes)
    world.run_for(3600)
    assert world.writes[before:] == []
    assert world.late() == [
        "step 2 of 3: pause until promoted took longer than its timeout of 5m00s, so it is held",
    ]


@pytest.mark.parametrize(("verb", "phase"), [("promote", "Healthy"), ("resume", "Paused"), ("abort", "Degraded")])
def test_person_goes_on_after_a_timeout(verb: str, phase: str) -> None:
    """Promote ends the pause, resume begins its time anew, abort takes the version back."""
    world = released({"setWeight": 20}, {"pause": {}, "timeout": "5m"})
    world.settle(500, until=("Held",))
    name = world.person(verb)
    world.run_for(120)
    assert world.answered[name][0]
    assert world.phase() == phase
    assert world.condition("Stalled")[0] == ("True" if verb == "abort" else "False")
    if verb == "resume":
        world.run_for(200)
        assert world.phase() == "Held"


def test_held_step_raises_nothing_when_what_it_waited_for_comes() -> None:
    """Pods that come up after the time stay without requests until a person goes on."""
    world = released({"setWeight": 20, "timeout": "40s"})
    world.start_delay = 100
    world.settle(60, until=("Held",))
    world.run_for(300)
    assert (world.phase(), world.weight) == ("Held", 0)
    world.person("resume")
    world.settle(300)
    assert world.phase() == "Healthy"
    assert world.status.history[-1].outcome == "Promoted"


def test_pause_is_over_after_the_timeout_and_not_before() -> None:
    """Promote: as if somebody had promoted."""
    world = released({"setWeight": 20}, {"pause": {}, "timeout": "5m", "onTimeout": "Promote"})
    world.settle(120, until=("Paused",))
    began = world.now
    while world.phase() == "Paused":
        world.moment()
    assert began + 300 <= world.now + 0.01 < began + 310
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"


def test_pause_is_not_ended_while_the_release_is_held() -> None:
    """A background gate that cannot know holds, whatever the pause says of its time."""
    world = Telling([{"setWeight": 20}, {"pause": {}, "timeout": "5m", "onTimeout": "Promote"}], gates=True)
    world.settle(120)
    version = world.release("v2", quality=None)
    world.run_for(900)
    assert (world.phase(), world.status.current_step_index, world.weight) == ("Held", 1, 20)
    world.quality[version] = 100.0
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"


def test_promote_passes_no_gate_even_if_an_older_schema_let_it_in() -> None:
    """Only Pass passes: such a step is held."""
    gate = {"gate": {"ref": {"name": "golden"}}, "timeout": "5m", "onTimeout": "Promote"}
    world = released({"setWeight": 20}, gate, quality=None)
    world.run_for(600)
    assert (world.phase(), world.status.current_step_index) == ("Held", 1)
    assert world.condition("Stalled")[0] == "True"


def test_override_of_a_held_gate_lifts_the_hold_of_its_timeout_too() -> None:
    """One act is enough: who passes over the gate has seen that it took long."""
    world = released({"setWeight": 20}, {"gate": {"ref": {"name": "golden"}}, "timeout": "1m"}, quality=None)
    world.run_for(600)
    assert world.phase() == "Held"
    world.person("override")
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"


def test_notify_tells_once_and_goes_on_waiting() -> None:
    """One Event, a word in the message, and no other difference."""
    world = released({"setWeight": 20}, {"pause": {}, "timeout": "5m", "onTimeout": "Notify"})
    world.run_for(3600)
    assert world.phase() == "Paused"
    assert world.late() == ["step 2 of 2: pause until promoted took longer than its timeout of 5m00s"]
    assert "(it took longer than its timeout of 5m00s)" in world.status.message
    assert world.condition("Stalled")[0] == "False"
    world.person("promote")
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"


@pytest.mark.parametrize("how", ["person", "spec"])
def test_time_does_not_run_while_the_release_is_paused(how: str) -> None:
    """Who pauses decides how long; the step has all its time after that."""
    world = released({"setWeight": 20}, {"pause": {}, "timeout": "5m", "onTimeout": "Abort"})
    world.settle(120, until=("Paused",))
    world.run_for(200)
    if how == "person":
        world.person("pause")
    else:
        world.change_spec(paused=True)
    world.run_for(3600)
    assert world.phase() == "Paused"
    if how == "person":
        world.person("resume")
    else:
        world.change_spec(paused=False)
    world.run_for(290)
    assert world.phase() == "Paused"
    world.run_for(30)
    assert world.status.rejected[-1].reason == "StepTimedOut"


def test_step_that_is_done_when_the_operator_comes_back_was_done_in_time() -> None:
    """An operator that was away for longer than the timeout does not blame the version for it."""
    world = released({"setWeight": 20, "timeout": "1m", "onTimeout": "Abort"}, {"setWeight": 60})
    while world.weight != 20:
        world.moment()
    world.now += 3600
    world.settle(300)
    assert world.status.history[-1].outcome == "Promoted"


def test_step_without_a_timeout_keeps_no_time() -> None:
    """What has no timeout is written as before."""
    world = settled([{"setWeight": 20}, {"pause": {}}])
    world.release("v2")
    world.settle(120, until=("Paused",))
    assert world.status.step_timer is None
    assert "stepTimer" not in world.status.model_dump(mode="json", by_alias=True, exclude_none=True)
