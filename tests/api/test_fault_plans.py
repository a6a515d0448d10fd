"""A slice of the fault plans: releases on a real API server, one injected fault in each, ending as if there were none.

`hack/faults` runs all of them; `hack/faults --plan ID` repeats one that failed here, with its story.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hack.lib.hgbench.cluster import Cluster
from hack.lib.hgprove.campaign import Result, in_turn, rotation
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.runner import Pool, batches_of, in_mixed_order, prover
from hack.lib.hgprove.faults.scenarios import SCENARIOS
from tests.api.cluster import LightCluster

SECONDS = float(os.environ.get("HEADGATE_SLICE_SECONDS", "50"))
OPERATORS = 6
FAULT_SECONDS = 4.0
AT_LEAST = 5


@pytest.mark.timeout(SECONDS + 300)
async def test_releases_end_as_if_there_were_no_fault(light_cluster: LightCluster, tmp_path: Path) -> None:
    """Whatever one write or one stream meets, the end, the writes and every version on the way are as without it."""
    if light_cluster.name is None:
        pytest.skip("the operator's user is known by a token, which an existing cluster does not have")
    cluster = Cluster(light_cluster.name, light_cluster.environment)
    cluster.install()
    results: list[Result] = []
    async with prover(cluster, tmp_path, while_seconds=FAULT_SECONDS) as made:
        lane = Lane(made.site, "plans-clean")
        await lane.up()
        try:
            batches = batches_of(in_mixed_order(await made.record(SCENARIOS.values(), lane)))
        finally:
            await lane.down()
        pool = Pool(made, "plans", OPERATORS, results.append)
        try:
            await pool.up()
            await pool.run(in_turn(batches, start=rotation(len(batches)), seconds=SECONDS))
        finally:
            await pool.down()
    assert len(results) >= AT_LEAST
    told = [
        "\n  ".join([f"hack/faults --plan '{result.item}'", result.problem, *result.story])
        for result in results
        if not result.ok
    ]
    assert not told, f"{len(told)} of {len(results)} plans:\n" + "\n".join(told)
