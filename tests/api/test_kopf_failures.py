"""What kopf by itself would not survive, against the running operator: it recovers by itself and the release ends well.

Each failure meets an operator of its own, all at the same time, so that the slowest of them is what all of them take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from hack.lib.hgbench.cluster import Cluster
from hack.lib.hgprove.campaign import Result
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.plans import Plan, Point
from hack.lib.hgprove.faults.runner import Prover, prover
from hack.lib.hgprove.faults.scenarios import SCENARIOS
from hack.lib.hgprove.faults.streams import SILENCE
from tests.api.cluster import LightCluster

FAULT_SECONDS = 8.0
PODS_COME = Point("create replicasets/APP-v2", 1)
"""From this write on the release waits for events."""
JOURNAL = Point("patch rollouts/APP/status", 2)
WEIGHT = Point("patch httproutes/APP", 1)
FAILURES: dict[str, Plan] = {
    "a list is not found": Plan("promote", PODS_COME, "list-not-found-once", "replicasets"),
    "lists are not found for a while": Plan("promote", PODS_COME, "list-not-found-while", "rollouts"),
    "a kind is not served for a while": Plan("promote", PODS_COME, "unserved", "services"),
    "a list is gone": Plan("promote", PODS_COME, "list-gone-once", "replicasets"),
    "lists fail past all retries": Plan("promote", PODS_COME, "list-failed-while", "replicasets"),
    "lists are forbidden for a while": Plan("promote", PODS_COME, "list-forbidden-while", "replicasets"),
    "a watch ends with an error that is not 410": Plan("promote", PODS_COME, "watch-error", "replicasets"),
    "a watch ends with 410": Plan("promote", PODS_COME, "watch-expired", "replicasets"),
    "a line is cut": Plan("promote", PODS_COME, "watch-truncated", "replicasets"),
    "a watch is silent": Plan("promote", PODS_COME, SILENCE, "replicasets"),
    "the status conflicts for a while": Plan("promote", JOURNAL, "conflict-while"),
    "the status is refused": Plan("promote", JOURNAL, "invalid"),
    "the write of a weight hangs": Plan("promote", WEIGHT, "timeout"),
    "the write of the status hangs": Plan("promote", JOURNAL, "timeout-applied"),
}


@pytest.fixture(scope="module")
def outcomes(light_cluster: LightCluster, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Result]:
    """Return what came out of each failure."""
    if light_cluster.name is None:
        pytest.skip("the operator's user is known by a token, which an existing cluster does not have")
    cluster = Cluster(light_cluster.name, light_cluster.environment)
    cluster.install()
    return asyncio.run(_all(cluster, tmp_path_factory.mktemp("failures")))


async def _all(cluster: Cluster, folder: Path) -> dict[str, Result]:
    async with prover(cluster, folder, while_seconds=FAULT_SECONDS) as made:
        lane = Lane(made.site, "kopf-clean")
        await lane.up()
        try:
            await made.record([SCENARIOS["promote"]], lane)
        finally:
            await lane.down()
        lanes = [Lane(made.site, f"kopf-{number}") for number in range(len(FAILURES))]
        results = await asyncio.gather(
            *(_one(made, lane, plan) for lane, plan in zip(lanes, FAILURES.values(), strict=True))
        )
    return dict(zip(FAILURES, results, strict=True))


async def _one(made: Prover, lane: Lane, plan: Plan) -> Result:
    await lane.up()
    try:
        return await made.carry_out(plan, lane)
    finally:
        await lane.down()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("failure", FAILURES)
def test_operator_recovers_by_itself(failure: str, outcomes: Mapping[str, Result]) -> None:
    """The release ends as if nothing had been, with the same writes, within 30 s of the failure's end."""
    result = outcomes[failure]
    assert result.ok, "\n  ".join([result.problem, *result.story])
