"""Random walks: ten objects one after the other on one application, then back; and the last of them alone elsewhere."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hack.lib.hgprove.campaign import Result
from hack.lib.hgprove.generated import bases
from hack.lib.hgprove.generated.cases import Case, all_cases
from hack.lib.hgprove.generated.schema import Json
from hack.lib.hgprove.generated.trials import LOOK, SETTLE, Trial, Trials
from hack.lib.hgprove.generated.world import REFUSED, Plot, Sight
from tests.api.shop import Shop, gates, rollouts

LENGTH = 10
COMPARED = ("phase", "stable", "weights", "selectors", "pods")
LONGEST_PAUSE = 1.5
"""Seconds between two objects; the operator is often not done with the one before."""


@dataclass(slots=True)
class Walk:
    """One walk."""

    seed: int
    trial: Trial
    rand: random.Random
    last: Case | None = None
    version: int = 0
    alone: Plot | None = None
    """Where the last object stands that nothing was before."""

    def result(self) -> Result:
        """What came out."""
        found = self.trial.result()
        story = [f"hack/generated --walk {self.seed}", *self.trial.story] if found.problem else []
        return Result(f"walk/{self.seed}", found.ok, found.problem, story, found.seconds, "walk")


def run(trials: Trials, seeds: Sequence[int]) -> list[Result]:
    """Walk all of them at the same time, on an application each."""
    pool = [c for c in all_cases() if c.kind in ("Rollout", "QualityGate") and not c.of_status and not _huge(c)]
    walks = [Walk(s, Trial(pool[0], trials.plot()), random.Random(s)) for s in seeds]
    trials.begin([w.trial for w in walks])
    for _ in range(LENGTH):
        for walk in walks:
            _step(trials, walk, pool)
        time.sleep(max(walk.rand.uniform(0, LONGEST_PAUSE) for walk in walks[:1]))
    for walk in walks:
        _alone(trials, walk)
    _settle(trials, walks)
    _compare(trials, walks)
    trials.go_back([w.trial for w in walks])
    trials.note_complaints([w.trial for w in walks])
    return [w.result() for w in walks]


def _huge(case: Case) -> bool:
    value = case.value.value if case.value else None
    return isinstance(value, int) and case.place[-1] == "replicas" and value >= 100


def _step(trials: Trials, walk: Walk, pool: Sequence[Case]) -> None:
    """The next object that the API server takes."""
    while True:
        case = walk.rand.choice(pool)
        if case.base == "referring" or case.must_be_refused:
            continue
        plot = walk.trial.plot
        version = plot.next_version()
        if case.kind == "QualityGate":
            path = f"{gates(plot.shop.namespace)}/{plot.name}-{bases.GATE}"
            code, _ = trials.world.put(path, case.build(plot.name, version))
        else:
            code, found = trials.world.put(plot.shop.path, case.build(plot.name, version))
            if code < REFUSED:
                walk.trial.generation = int(found["metadata"]["generation"])
                walk.last, walk.version = case, version
        if code < REFUSED:
            walk.trial.story.append(case.id)
            return


def _alone(trials: Trials, walk: Walk) -> None:
    """Put the last object where nothing was before, with what is around it as it is now."""
    if walk.last is None:
        return
    world, plot = trials.world, walk.trial.plot
    # Of the same name, so that templates and hashes are the same.
    shop = Shop(world.kube, world.space(), plot.name)
    shop.deploy_surroundings()
    live = world.kube.must_get(f"{gates(plot.shop.namespace)}/{plot.name}-{bases.GATE}")
    gate = {**bases.gate(plot.name), "spec": live["spec"]}
    world.kube.create(gates(shop.namespace), gate)
    world.kube.create(rollouts(shop.namespace), walk.last.build(plot.name, walk.version))
    walk.alone = Plot(shop)


def _settle(trials: Trials, walks: Sequence[Walk]) -> None:
    end = time.monotonic() + 2 * SETTLE
    while time.monotonic() < end:
        sight = trials.world.look(p for w in walks for p in (w.trial.plot, w.alone) if p is not None)
        if all(_comparable(sight, w) for w in walks):
            return
        time.sleep(LOOK)


def _compare(trials: Trials, walks: Sequence[Walk]) -> None:
    """A person has no way to tell where an object came from: refused here is refused there, promoted is promoted."""
    for walk in walks:
        if walk.alone is None:
            continue
        sight = trials.world.look([walk.trial.plot, walk.alone])
        if not _comparable(sight, walk):
            continue  # A release that waits for a person or a metric has no counterpart in a first version.
        here, there = _end(sight, walk.trial.plot), _end(sight, walk.alone)
        if here != there:
            walk.trial.alarm(f"the last object alone ends otherwise: {there}, and after the walk {here}")


def _comparable(sight: Sight, walk: Walk) -> bool:
    if walk.alone is None:
        return True
    answered = sight.status(walk.trial.plot).get("observedGeneration") == walk.trial.generation
    ends = [_end(sight, plot) for plot in (walk.trial.plot, walk.alone)]
    refused = all(e["ready"][0] == "False" for e in ends)
    return answered and (refused or all(e["phase"] == "Healthy" and e["promoted"] for e in ends))


def _end(sight: Sight, plot: Plot) -> Json:
    end = sight.end(plot)
    ready = end["conditions"].get("Ready") or ("", "")
    if ready[0] == "False":
        return {"ready": ready, "phase": "", "promoted": False}
    promoted = end["stable"] == end["current"] and end["stable"] is not None
    return {"ready": ready, "promoted": promoted} | {
        k: end[k] for k in ("phase", "stable", "weights", "selectors", "pods")
    }
