"""Makes a failing scenario smaller for as long as it fails in the same way: what is left is what matters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.shell.history import run
from tests.simulation.shell.scenario import Scenario

SECONDS = 40.0


def shrink(of: Scenario, *, seconds: float = SECONDS) -> Scenario:
    """The smallest scenario found in the given time that breaks the same invariant; the same one if it breaks none."""
    problem = number_of(run(of).problem)
    if not problem:
        return of
    end, smaller = time.monotonic() + seconds, True
    while smaller:
        smaller = False
        for candidate in _candidates(of):
            if time.monotonic() > end:
                return of
            if number_of(run(candidate).problem) == problem:
                of, smaller = candidate, True
                break
    return of


def number_of(problem: str) -> str:
    """The invariant that a finding is about."""
    return problem.removeprefix("at rest: ").partition(":")[0]


def _candidates(of: Scenario) -> Iterator[Scenario]:
    if of.strength:
        yield replace(of, strength=0.0)
    for event in reversed(of.events):
        yield of.less(event=event)
    if of.strength:
        for fault in sorted(run(of).faults):
            yield of.less(fault=fault)
    if len(of.steps) > 1:
        for index in range(len(of.steps)):
            yield replace(of, steps=(*of.steps[:index], *of.steps[index + 1 :]))
    if of.background:
        yield replace(of, background=False)
    if of.workload:
        yield replace(of, workload=False)
    if of.replicas > 1:
        yield replace(of, replicas=1)
