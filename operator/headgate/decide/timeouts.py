"""How long a step may take: its time runs while nobody has paused the release, and what happens then is the step's."""

from __future__ import annotations

from headgate.api.common import round_seconds, seconds, to_epoch, to_time
from headgate.api.rollout import Step, StepTimer
from headgate.decide import journal
from headgate.decide.cycle import Cycle
from headgate.decide.planning import find_plan

REASON = "StepTimedOut"


def over(cycle: Cycle, step: Step) -> bool:
    """Whether the time of the present step is over and nothing came of that yet; starts and stops it."""
    if step.timeout is None:
        return False
    timer = cycle.status.step_timer
    if timer is not None and timer.ran_out is not None:
        return False
    if cycle.snapshot.spec.paused or cycle.status.paused is not None:
        # Whoever paused decides how long. The step has all its time again after that.
        cycle.change(step_timer=None)
        return False
    if timer is None:
        timer = StepTimer(since=to_time(cycle.now))
        cycle.change(step_timer=timer)
    ends = to_epoch(timer.since) + seconds(step.timeout)
    if cycle.now < ends:
        cycle.wake(ends)
        return False
    return True


def outcome(step: Step) -> str:
    """What is to happen when the time is over; only a pause ends by itself, whatever an older schema let pass."""
    wanted = step.on_timeout or "Hold"
    return "Hold" if wanted == "Promote" and step.pause is None else wanted


def tell(cycle: Cycle, step: Step, what: str) -> None:
    """Record that the time is over: hold the step, or only say so, once."""
    timer = cycle.status.step_timer or StepTimer(since=to_time(cycle.now))
    then = "Notify" if outcome(step) == "Notify" else "Hold"
    cycle.change(step_timer=timer.model_copy(update={"ran_out": then}))
    cycle.note("Warning", REASON, f"{what} {took(step)}" + (", so it is held" if then == "Hold" else ""))


def took(step: Step) -> str:
    """What went wrong, for people."""
    return f"took longer than its timeout of {round_seconds(seconds(step.timeout or '0s'))}"


def held(cycle: Cycle) -> str:
    """Why the present step is held; empty if no timeout holds it. Says what a person can do."""
    timer = cycle.status.step_timer
    if timer is None or timer.ran_out != "Hold":
        return ""
    run = journal.running(cycle.status)
    plan = find_plan(cycle.snapshot, run) if run is not None else None
    index = cycle.status.current_step_index
    if plan is None or index >= len(plan.plan.steps):
        return ""
    step = plan.plan.steps[index]
    why = f"it {took(step)}"
    way_on = "promote ends it, resume gives it" if step.pause is not None else "resume gives it"
    cycle.stall(REASON, f"step {index + 1} {took(step)}; {way_on} that time again, abort takes the version back")
    return why


def late(cycle: Cycle, step: Step) -> str:
    """What the message adds where only that is said; empty otherwise."""
    timer = cycle.status.step_timer
    return f" (it {took(step)})" if timer is not None and timer.ran_out == "Notify" and step.timeout else ""


def forgive(cycle: Cycle) -> bool:
    """A person goes on: the step has its time again. False if no timeout held it."""
    timer = cycle.status.step_timer
    if timer is None or timer.ran_out != "Hold":
        return False
    cycle.change(step_timer=None)
    return True
