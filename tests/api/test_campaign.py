"""A slice of the campaign: short releases on a real API server, a fault drawn by seed in each, and one right end.

`hack/campaign` runs 3,000 of them; `hack/campaign --run SEED --trace` repeats one that failed here, with its story.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from hack.lib.hgbench.cluster import Cluster
from hack.lib.hgprove.campaign import Result, rotation
from hack.lib.hgprove.deployments import DEADLINE, Deployments
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.runner import prover
from tests.api.cluster import LightCluster

SECONDS = float(os.environ.get("HEADGATE_SLICE_SECONDS", "20"))
SEEDS = 3000
"""Those that `hack/campaign` runs unless told otherwise."""
OPERATORS, AT_ONCE = 2, 8
AT_LEAST = AT_ONCE


@pytest.mark.timeout(SECONDS + 4 * DEADLINE)
async def test_releases_come_to_their_one_right_end(
    light_cluster: LightCluster, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Good is promoted, bad taken back, unknown held, aborted taken back, whatever a write or a stream meets."""
    if light_cluster.name is None:
        pytest.skip("the operator's user is known by a token, which an existing cluster does not have")
    cluster = Cluster(light_cluster.name, light_cluster.environment)
    cluster.install()
    results: list[Result] = []
    first = rotation(SEEDS)
    async with prover(cluster, tmp_path, while_seconds=0.0) as made:
        # On a cluster that was kept, the namespaces of the run before may still be going.
        name = f"campaign-{secrets.token_hex(2)}"
        lanes = [Lane(made.site, f"{name}-{number}") for number in range(OPERATORS)]
        deployments = Deployments(made, lanes)
        seeds = (1 + (first + number) % SEEDS for number in range(SEEDS))
        await deployments.carry_out(seeds, results.append, parallel=AT_ONCE, seconds=SECONDS)
        loose = deployments.loose()
    record_testsuite_property("campaign runs", len(results))
    told = [
        "\n  ".join([f"hack/campaign --run {result.item} --trace", result.problem, *result.story])
        for result in results
        if not result.ok
    ]
    assert not told, f"{len(told)} of {len(results)} runs:\n" + "\n".join(told)
    assert not loose, "exceptions in the operators' logs:\n" + "\n".join(loose)
    assert len(results) >= AT_LEAST
