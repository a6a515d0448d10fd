"""Random histories of the whole operator, in virtual time, with faults: no write breaks an invariant, all end well.

A slice of known seeds is run, for `HEADGATE_SLICE_SECONDS` (30 unless told), from where the commit says. Others:
`hack/simulate`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from hack.lib.hgprove.campaign import ROOT, rotation
from hack.lib.hgprove.simulate import of_seed, told
from tests.simulation.shell.history import run
from tests.simulation.shell.scenario import (
    BLUE_GREEN,
    ENOUGH,
    EXPERIMENT,
    FOLLOWING,
    LACKING,
    OPTIONS,
    SNAPSHOTS,
    STAYING,
    TURNING,
)

SECONDS = float(os.environ.get("HEADGATE_SLICE_SECONDS", "30"))
GOOD = (*range(1_000_000, 1_001_700), *range(3_700_000, 3_701_300))
"""Seeds that a campaign found good: what turns one bad is a change. `hack/simulate` looks for new ones."""
FURTHER = {
    "blue-green": range(BLUE_GREEN, BLUE_GREEN + 300),
    "options": range(OPTIONS, OPTIONS + 300),
    "snapshots": range(SNAPSHOTS, SNAPSHOTS + 300),
    "pods": range(FOLLOWING, FOLLOWING + 300),
    "users": range(STAYING, STAYING + 300),
    "turns": range(TURNING, TURNING + 300),
    "enough": range(ENOUGH, ENOUGH + 300),
    "experiment": range(EXPERIMENT, EXPERIMENT + 300),
    "lacking": range(LACKING, LACKING + 300),
}
"""The same: of blue-green Rollouts, and of canaries with timeouts, with copies of their configuration, with a say over
the pods of both versions, with users who stay, with Services that take turns, whose steps go on with enough of their
pods, and whose route goes and comes back."""
SLOWEST = 2.0
"""Seconds that a seed may take on a busy machine; the slice has at least as many as then fit."""
FOUND = {
    168: "the server forgets --cascade=orphan before the hand-back is over",
    142: "an attempt whose record and template are gone was waited for for ever",
    2000117: "a process that began in mid hand-back did not know that the deletion orphans",
    2000302: "a verdict was lost with its process, and the version was exposed again",
    19742: "a canary lost its pods while the stable Service, let go by somebody, selected them too",
    3723612: "a gate that waited for its weight, and so for pods that never came, had no deadline",
    3702292: "pods that the slices never told of drained from before the Service was switched away from them",
    3703225: "a replica whose watch of the routes hung took over, and took the weight of its predecessor for none",
    3705154: "a deleted Rollout went while a weight was there that somebody had just set and no watch had told of",
    3715109: "the stable Service led elsewhere as a version with all requests fell: two writes take it back, not one",
    3720241: "what was to stay at the deletion had been deleted by somebody before",
    3721251: "pods lost their requests for ever, and somebody led some there while the write was under way",
    70000498: "the weight waited for stable's pods, and routes by header went: that was taken for nothing at all",
    10000283: "the active Service led to the preview by hand, no watch had told, and the preview Service turned first",
    90002270: "somebody let the stable Service select all while pods of a bad version were still to become ready",
    90000129: "after a deletion the operator owned the Service of a variant that only a record had named",
    90001282: "a Service that the spec named no more was handed back, and the step under way needed it",
    90000429: "a gate that waited for variants asked before the journal said that its window had begun",
    90000297: "the stable Service was not put right while a variant had a share, as if that were a promotion",
    10000115: "a preview lost pods that the users' Service still led to, because its record was lost after the switch",
}
"""Seeds that failed once, and what they found."""
UNSERVED = range(4_000_000, 4_000_060)
"""Seeds that are run with whole kinds gone now and then."""
DIGESTS = """
from tests.simulation.shell.history import run
from tests.simulation.shell.scenario import scenario
for seed in range({first}, {last}):
    print(seed, run(scenario(seed)).digest)
"""


def holds(seed: int, *, unserved: bool = False) -> None:
    """Fail with what broke and how to see the whole story."""
    of = of_seed(seed, unserved=unserved)
    if run(of).problem:
        pytest.fail("\n".join(told(run(of, trace=True))), pytrace=False)


@pytest.mark.timeout(SECONDS + 120)
def test_no_history_breaks_an_invariant(record_testsuite_property: Callable[[str, object], None]) -> None:
    """As many seeds as fit into the time, none of which may fail."""
    first, count, end = rotation(len(GOOD)), 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        holds(GOOD[(first + count) % len(GOOD)])
        count += 1
    record_testsuite_property("simulated seeds", count)
    assert count >= SECONDS / SLOWEST


@pytest.mark.parametrize("kind", FURTHER)
@pytest.mark.timeout(SECONDS + 120)
def test_no_history_of_another_kind_breaks_an_invariant(
    kind: str, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """The same for the other strategy and for what a canary may say besides, in half of the time together."""
    share = SECONDS / 2 / len(FURTHER)
    seeds, count, end = FURTHER[kind], 0, time.monotonic() + share
    first = rotation(len(seeds))
    while time.monotonic() < end:
        holds(seeds[(first + count) % len(seeds)])
        count += 1
    record_testsuite_property(f"simulated {kind} seeds", count)
    assert count >= share / SLOWEST


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_stays_mended(seed: int) -> None:
    """Each of these histories broke an invariant once."""
    holds(seed)


@pytest.mark.parametrize("seed", UNSERVED)
def test_kinds_that_are_not_served_for_a_while_are_borne(seed: int) -> None:
    """Definitions that are made again and servers that start: what they know nothing of is not taken for gone."""
    holds(seed, unserved=True)


def test_a_seed_repeats_exactly_whatever_the_order_of_sets_is() -> None:
    """Every write of every operator, its time and its body are the same in a process that hashes text differently."""
    code = DIGESTS.format(first=100, last=112)
    said = []
    for hashing in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hashing, "PYTHONPATH": f"{ROOT}/operator:{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        said.append(done.stdout)
    assert said[0] == said[1]
    assert len(said[0].splitlines()) == 12
