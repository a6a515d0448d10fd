"""Looks at every state of a world breadth-first, and tells the shortest story of what breaks an invariant.

A state is what the world is and what of the budget is left. What can follow is the same whatever is left, so it is
worked out once per world and kept as numbers.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any

from headgate.api.rollout import RolloutStatus
from headgate.decide.rollout import decide
from tests.simulation.model.events import Surroundings
from tests.simulation.model.journals import NOW, Journals
from tests.simulation.model.nodes import Nodes, complete
from tests.simulation.model.objects import Objects, tidied
from tests.simulation.model.rules import Rules
from tests.simulation.model.state import GONE, Deployment, State, initial
from tests.simulation.model.trials import Trial
from tests.simulation.model.turns import Decide, Operator
from tests.simulation.model.views import Views, sight
from tests.simulation.model.violation import Violation
from tests.simulation.model.worlds import KINDS, TICK, World

LIMIT = 20_000_000


@dataclass
class Report:
    """What was looked at."""

    world: str
    states: int = 0
    """Worlds with what of the budget is left."""
    worlds: int = 0
    """The same without the budget."""
    transitions: int = 0
    depth: int = 0
    decisions: int = 0
    calm: int = 0
    """Most events from any state to the end, when nothing goes wrong any more."""
    complete: bool = True
    seconds: float = 0.0
    problem: str = ""
    story: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        whole = "all of them" if self.complete else "NOT all of them"
        return (
            f"{self.world}: {self.states:,} states ({whole}; {self.worlds:,} without the budget), "
            f"{self.transitions:,} transitions, depth {self.depth}, {self.decisions:,} decisions, at most {self.calm} "
            f"calm events to the end, {self.seconds:.1f} s, {self.states / max(self.seconds, 0.001):,.0f} states/s"
        )


class Search:
    """One exploration."""

    def __init__(self, world: World, budget: Mapping[str, int], decide: Decide = decide) -> None:
        world = replace(world, budget={k: n for k, n in budget.items() if n})
        self.world = world
        self.journals = Journals(world)
        self.views = Views(world, self.journals)
        self.objects = Objects(world, self.views, self.journals)
        self.operator = Operator(world, self.views, self.journals, self.objects, decide)
        self.surroundings = Surroundings(world, self.views, self.journals, self.objects, self.operator)
        self.rules = Rules(world, self.views, self.journals)
        self._numbers: dict[State, int] = {}
        self._worlds: list[State] = []
        self._parts: dict[Any, Any] = {}
        """Each part of a state once: many states share it."""
        self._labels: dict[str, int] = {}
        self._edges: list[array[int] | None] = []
        """For each world that was looked at: label, world and cost of each event, one after the other."""
        self._budgets = list(product(*(range(world.budget.get(kind, 0) + 1) for kind in KINDS[1:])))
        self._left = self._spending()

    def _spending(self) -> list[list[int]]:
        """By budget and cost: the budget that is left, or -1."""
        numbers = {budget: number for number, budget in enumerate(self._budgets)}
        left = []
        for budget in self._budgets:
            row = [numbers[budget]]
            for kind in range(len(KINDS) - 1):
                spent = (*budget[:kind], budget[kind] - 1, *budget[kind + 1 :])
                row.append(numbers.get(spent, -1))
            left.append(row)
        return left

    def _number(self, state: State) -> int:
        found = self._numbers.get(state)
        if found is None:
            state = State._make(self._parts.setdefault(part, part) for part in state)
            found = self._numbers[state] = len(self._worlds)
            self._worlds.append(state)
            self._edges.append(None)
        return found

    def _expand(self, number: int) -> array[int]:
        state = self._worlds[number]
        edges = array("i")
        if state.wanted.life != GONE:
            for label, after, cost in self.operator.turns(state):
                self._edge(edges, state, after, label, cost)
        for label, after, cost in self.surroundings.events(state):
            there = self._edge(edges, state, after, label, cost)
            if label == "time passes":
                self._wakes(state, there)
        self._edges[number] = edges
        return edges

    def _edge(self, edges: array[int], state: State, after: State, label: str, cost: int) -> State:
        after = self.objects.timed(state, self.objects.forgetting(tidied(after)))
        if after != state:
            edges.append(self._labels.setdefault(label, len(self._labels)))
            edges.append(self._number(after))
            edges.append(cost)
        return after

    def _wakes(self, before: State, after: State) -> None:
        """Where only time makes a difference, the operator has set itself an alarm."""
        idle = self.operator.choice(sight(before)).decision
        if idle.write or idle.action is not None or idle.questions or before.asked:
            return
        later = self.operator.choice(sight(after)).decision
        if later.write or later.action is not None or (later.questions and not after.asked):
            woken = idle.wake_at is not None and idle.wake_at <= NOW + TICK
            if not woken:
                raise Violation(f"28: nothing wakes the operator, though it would then do {later.action or 'a write'}")

    def explore(self, limit: int = LIMIT, until: float | None = None) -> Report:
        """Look at every state, at most `limit` of them, until a monotonic time at the latest."""
        began = time.process_time()
        report = Report(self.world.name)
        budgets = len(self._budgets)
        replicas = self.world.specs[0].replicas
        deployment = Deployment(replicas, replicas, settled=True) if self.world.adopts else None
        version, nodes = self.world.versions[0], self.world.nodes
        daemon = complete(version, nodes) if nodes else (None, Nodes())
        first = initial(version, self.journals.number(RolloutStatus()), deployment, daemon)
        keys = array("q", [self._number(first) * budgets + budgets - 1])
        seen = set(keys)
        parents, labels = array("i", [-1]), array("i", [-1])
        here, level_ends, transitions = 0, 1, 0
        try:
            while here < len(keys):
                if here == level_ends:
                    report.depth += 1
                    level_ends = len(keys)
                if len(keys) >= limit or (until is not None and not here % 1024 and time.monotonic() > until):
                    report.complete = False
                    break
                number, budget = divmod(keys[here], budgets)
                edges = self._edges[number]
                if edges is None:
                    edges = self._expand(number)
                left = self._left[budget]
                for i in range(0, len(edges), 3):
                    rest = left[edges[i + 2]]
                    if rest < 0:
                        continue
                    transitions += 1
                    key = edges[i + 1] * budgets + rest
                    if key not in seen:
                        seen.add(key)
                        keys.append(key)
                        parents.append(here)
                        labels.append(edges[i])
                here += 1
        except Violation as violation:
            report.complete = False
            report.problem = str(violation)
            report.story = self._story(keys, parents, labels, here)
        report.states, report.transitions = len(keys), transitions
        report.worlds = sum(e is not None for e in self._edges)
        report.decisions = self.operator.decisions
        if not report.problem and report.complete:
            report.problem, culprit = self._liveness(report)
            if report.problem:
                index = next(i for i, key in enumerate(keys) if key // budgets == culprit)
                report.story = self._story(keys, parents, labels, index)
        report.seconds = time.process_time() - began
        return report

    # ------------------------------------------------------------------------------------------------ liveness

    def _calm(self, number: int) -> list[int]:
        """What follows with faults off. While writes are refused, that they are again accepted.

        A route that is gone comes back only when nothing else goes on.
        """
        edges = self._edges[number] or array("i")
        free = [edges[i + 1] for i in range(0, len(edges), 3) if not edges[i + 2]]
        if self._worlds[number].route.refuses:
            return [n for n in free if not self._worlds[n].route.refuses]
        if self._worlds[number].route.gone:
            return [n for n in free if self._worlds[n].route.gone] or free
        return free

    def _liveness(self, report: Report) -> tuple[str, int]:
        """With faults off, every order of events ends, and ends right: no event follows for ever, none is missing.

        Stronger than that the end can be reached: the calm events form no circle, so the longest way is the bound.
        """
        looked = [n for n, e in enumerate(self._edges) if e is not None]
        follow = {n: self._calm(n) for n in looked}
        before: dict[int, list[int]] = {n: [] for n in looked}
        for n, nexts in follow.items():
            for m in nexts:
                before[m].append(n)
        ends = [n for n in looked if not follow[n]]
        for n in (*(n for n in looked if self._stands_still(n, follow)), *ends):
            wrong = self.rules.end(self._worlds[n]) if not follow[n] else self.rules.without_route(self._worlds[n])
            if wrong:
                return f"{wrong}; and nothing goes on: {self.told(n)}", n
        missing = {n: len(nexts) for n, nexts in follow.items()}
        length = dict.fromkeys(ends, 0)
        queue = deque(ends)
        while queue:
            m = queue.popleft()
            for n in before[m]:
                missing[n] -= 1
                length[n] = max(length.get(n, 0), length[m] + 1)
                if not missing[n]:
                    queue.append(n)
        report.calm = max(length.values(), default=0)
        for n in looked:
            if missing[n]:
                return f"22: it goes round and round: {self._circle(n, follow, missing)}", n
        return "", -1

    def _stands_still(self, number: int, follow: dict[int, list[int]]) -> bool:
        """Nothing is left to be waited for but the route."""
        there = bool(follow[number]) and all(not self._worlds[n].route.gone for n in follow[number])
        return there and self._worlds[number].route.gone

    def _circle(self, number: int, follow: dict[int, list[int]], missing: dict[int, int]) -> str:
        """The events of a circle that begins near a state."""
        way, place, here = [number], {number: 0}, number
        while (here := next(n for n in follow[here] if missing[n])) not in place:
            place[here] = len(way)
            way.append(here)
        circle = [*way[place[here] :], here]
        return " / ".join(self._label(a, b) for a, b in pairwise(circle))

    def _label(self, number: int, there: int) -> str:
        edges = self._edges[number] or array("i")
        names = list(self._labels)
        return next(names[edges[i]] for i in range(0, len(edges), 3) if edges[i + 1] == there)

    # ------------------------------------------------------------------------------------------------ stories

    def told(self, number: int) -> str:
        """A world for people."""
        state = self._worlds[number]
        status = self.journals.status(state.wanted.journal)
        parts = [
            f"phase {status.phase}, step {status.current_step_index}",
            f"stable {self._version(status.stable)}, current {self._version(status.current)}",
            f"gates {[(g.name, g.step, g.window, g.verdict) for g in status.gates]}",
            f"pods {[(s.version, f'{s.ready}/{s.replicas}') for s in state.sets]}",
            f"selectors {state.services[0].selected or 'all'}, {state.services[1].selected or 'all'}",
            f"weight {state.route.weight} (served {state.route.least} to {state.route.most}) {state.route.serves}",
        ]
        if state.daemon is not None:
            parts = [*parts[:3], f"DaemonSet {tuple(state.daemon)}", f"pods {tuple(state.nodes)}"]
        if state.deployment is not None:
            parts.append(f"Deployment {state.deployment.ready}/{state.deployment.replicas}")
        if state.trial != Trial():
            parts.append(f"trial {state.trial}")
        if any(s is not None for s in state.seen):
            parts.append(f"not seen yet: {[k for k, v in state.seen._asdict().items() if v is not None]}")
        return "; ".join(parts)

    def _version(self, ref: object) -> str:
        return self.views.version_of[getattr(ref, "pod_hash", "")]

    def _story(self, keys: array[int], parents: array[int], labels: array[int], end: int) -> list[str]:
        names = list(self._labels)
        lines = [f"    there: {self.told(keys[end] // len(self._budgets))}"]
        while end > 0:
            lines.append(names[labels[end]])
            end = parents[end]
        return lines[::-1]


def explore(
    world: World, budget: Mapping[str, int] | None = None, *, limit: int = LIMIT, seconds: float | None = None
) -> Report:
    """Look at one world, within its own budget if no other is given."""
    until = None if seconds is None else time.monotonic() + seconds
    return Search(world, world.budget if budget is None else budget).explore(limit, until)


__all__ = ["Report", "Search", "explore"]
