"""A world that keeps every write with the truth around it, can fail writes to order, and stops at any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headgate.api.gate import QualityGateSpec
from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import strategies
from headgate.decide import types as t
from headgate.decide.journal import running
from tests.simulation.world import World, spec

MOST_MOMENTS = 2000
Fails = Callable[[str], bool]
"""Whether a write with this key (`status` for the journal) ends with a conflict."""


@dataclass(frozen=True)
class Written:
    """One write that took effect: when, what, and percent of the requests by pod hash before and after."""

    at: float
    action: t.Action
    before: dict[str, int]
    after: dict[str, int]


class Recorded(World):
    """A world whose operator has one release to do: from v1, which is stable, to v2."""

    def __init__(self, rollout: RolloutSpec, *, seed: int = 1) -> None:
        super().__init__(seed, rollout)
        self.acts: list[Written] = []
        self.fails: Fails = lambda _key: False
        self.lens: Callable[[t.Snapshot], t.Snapshot] = lambda seen: seen
        self._held: dict[str, tuple[frozenset[str], float]] = {}
        self._ended = 1
        """Attempts that had ended before the present release; the first one is the installation."""
        self.attempts = 0
        """Writes that were tried, the journal's and the others."""

    def snapshot(self) -> t.Snapshot:
        """What the operator sees."""
        seen = super().snapshot()
        stable, canary = self._timed(seen.stable_service), self._timed(seen.canary_service)
        return self.lens(replace(seen, stable_service=stable, canary_service=canary))

    def _timed(self, view: t.ServiceView) -> t.ServiceView:
        """With the clock by which a Service drains, as observing keeps it."""
        holds = frozenset(h for h, number in view.ready.items() if number)
        before, since = self._held.get(view.name, (None, self.now))
        self._held[view.name] = (holds, since if before == holds else self.now)
        return replace(view, since=self._held[view.name][1])

    def shares(self) -> dict[str, int]:
        """Percent of the requests by pod hash."""
        return {s.pod_hash: self.share(s.pod_hash) for s in self.sets.values()}

    def _apply(self, action: t.Action) -> None:
        before = self.shares()
        super()._apply(action)
        self.acts.append(Written(self.now, action, before, self.shares()))

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        self.attempts += 1
        if self.fails(action.key):
            self._note_outcome(action, t.OutcomeKind.CONFLICT, "Conflict")
            return
        super()._act(action, status)

    def _write_status(self, decision: t.Decision) -> bool:
        self.attempts += 1
        if self.fails("status"):
            self.tell("status: Conflict")
            return False
        return super()._write_status(decision)

    def moment(self) -> None:
        """One decision, or time until the next one."""
        if not self.turn():
            self.advance()

    def run_slowly(self, length: float, *, until_released: bool = False) -> None:
        """Let time pass with at most ten decisions a second, as an engine has that is refused."""
        end = self.now + length
        while self.now < end and not (self.gone or (until_released and self.released())):
            for _ in range(10):
                if not self.turn():
                    break
            self.advance(min(end, self.now + 1))

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        found = next(c for c in self.status.conditions if c.type == kind)
        return found.status, found.reason, found.message

    def released(self) -> bool:
        """The release under way has ended."""
        return running(self.status) is None and len(self.status.history) > self._ended

    def release(self, version: str, *, quality: float | None = 100.0, broken: bool = False) -> str:
        """Change the template; what ended before is no end of this release."""
        if running(self.status) is None:
            self._ended = len(self.status.history)
        return super().release(version, quality=quality, broken=broken)


def led(world: Recorded) -> list[tuple[int, str]]:
    """The weights and routes that were written, in order, repetitions left out."""
    found = [
        (w.action.weight, " ".join(r.name for r in w.action.routes))
        for w in world.acts
        if isinstance(w.action, t.SetWeight)
    ]
    return list(dict.fromkeys(found))


def settled(
    steps: list[dict[str, Any]],
    *,
    replicas: int = 4,
    adopt: bool = False,
    known: Mapping[str, QualityGateSpec] | None = None,
    **more: Any,
) -> Recorded:
    """A world whose first revision is stable; `adopt` releases the template of a Deployment, `known` are more gates."""
    source: dict[str, Any] = {"template": None, "workload_ref": {"name": "shop"}} if adopt else {}
    delays: dict[str, Any] = {
        k: more.pop(k) for k in ("scale_down_delay_seconds", "abort_scale_down_delay_seconds") if k in more
    }
    rollout = spec(steps, replicas=replicas, **source, **more)
    assert rollout.strategy.canary is not None
    canary = rollout.strategy.canary.model_copy(update=delays)
    world = Recorded(
        rollout.model_copy(update={"strategy": rollout.strategy.model_copy(update={"canary": canary})}), seed=replicas
    )
    world.gates = {**world.gates, **(known or {})}
    if adopt:
        world.deployment = replicas
    world.settle(120)
    world.run_for(60)
    return world


def at_every_moment(make: Callable[[], Recorded]) -> Iterator[Recorded]:
    """The same release, stopped at each of its moments in turn: before every decision and every change of the world."""
    for number in _moments(make):
        yield _stopped(make, number)


def at_every_step(make: Callable[[], Recorded]) -> Iterator[Recorded]:
    """The same release, stopped in each step in turn, and in the promotion, when the next one is about to begin."""
    for number in {index: number for number, index in _moments(make).items()}.values():
        yield _stopped(make, number)


def _moments(make: Callable[[], Recorded]) -> dict[int, int]:
    """The moments of a release, and the step that each belongs to."""
    world, found = make(), dict[int, int]()
    for number in range(MOST_MOMENTS):
        if world.released():
            return found
        if running(world.status) is not None:
            found[number] = world.status.current_step_index
        _go_on(world)
    raise AssertionError(f"the release does not end: {world.status.phase}, {world.status.message}")


def _stopped(make: Callable[[], Recorded], number: int) -> Recorded:
    world = make()
    for _ in range(number):
        _go_on(world)
    return world


def _go_on(world: Recorded) -> None:
    """One moment; at a pause without an end somebody promotes."""
    world.moment()
    if world.status.phase != "Paused" or world.people:
        return
    step = strategies.of(world.spec).steps[world.status.current_step_index]
    if step.pause is not None and step.pause.duration is None:
        world.person("promote")
