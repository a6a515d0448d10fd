"""Walks every state of the model breadth-first, and tells the shortest story of what breaks an invariant."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tests.simulation.model import Budget, State, Violation, initial, is_rest, successors

TICKS_TO_RECOVER = 2


@dataclass
class Report:
    """What was looked at."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = True
    stuck: int = 0
    story: list[str] = field(default_factory=list)
    problem: str = ""

    def __str__(self) -> str:
        whole = "all states" if self.complete else "states, not all"
        return f"{self.states:,} {whole}, {self.transitions:,} transitions, depth {self.depth}"


def explore(budget: Budget, limit: int = 10_000_000) -> Report:
    """Look at every state that can be reached within the budget, at most `limit` of them.

    Safety is checked at every write. Liveness: from every state the right end can be reached without another fault.
    """
    report = Report()
    start = initial(budget)
    ids: dict[State, int] = {start: 0}
    states = [start]
    parents: list[tuple[int, str]] = [(-1, "")]
    depths = [0]
    calm_before: list[list[int]] = [[]]
    queue = deque([0])
    while queue:
        here = queue.popleft()
        try:
            for label, after, wrong in successors(states[here]):
                report.transitions += 1
                there = ids.get(after)
                if there is None:
                    if len(states) >= limit:
                        report.complete = False
                        continue
                    there = len(states)
                    ids[after] = there
                    states.append(after)
                    parents.append((here, label))
                    depths.append(depths[here] + 1)
                    calm_before.append([])
                    queue.append(there)
                if not wrong:
                    calm_before[there].append(here)
        except Violation as violation:
            report.problem = str(violation)
            report.story = story(parents, here)
            break
    report.states, report.depth = len(states), max(depths)
    if not report.problem and report.complete:
        _liveness(report, states, parents, calm_before)
    return report


def _liveness(report: Report, states: list[State], parents: list[tuple[int, str]], before: list[list[int]]) -> None:
    reaches = bytearray(len(states))
    queue = deque(i for i, s in enumerate(states) if is_rest(s))
    for i in queue:
        reaches[i] = 1
    while queue:
        for i in before[queue.popleft()]:
            if not reaches[i]:
                reaches[i] = 1
                queue.append(i)
    # Out of time in the model is not stuck in the world: a held gate needs two intervals to ask and to begin again.
    stuck = [i for i, s in enumerate(states) if not reaches[i] and s.budget.ticks >= TICKS_TO_RECOVER]
    report.stuck = len(stuck)
    if stuck:
        report.problem = f"22: from here the end is never reached: {states[stuck[0]]}"
        report.story = story(parents, stuck[0])


def story(parents: list[tuple[int, str]], end: int) -> list[str]:
    """The shortest way to a state."""
    lines = []
    while end > 0:
        end, label = parents[end]
        lines.append(label)
    return lines[::-1]
