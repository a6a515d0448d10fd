"""Two replicas with one Lease: whatever happens to the leader, its late writes never go over the new leader's.

`hack/replicas` does it 200 times, and measures how soon the other one decides.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from hack.lib.hgbench.cluster import Cluster
from hack.lib.hgprove.campaign import rotation
from hack.lib.hgprove.faults.runner import prover
from hack.lib.hgprove.replicas import PATIENCE, WAYS, Pair
from tests.api.cluster import LightCluster

OPERATIONS = 200
"""Those that `hack/replicas` does unless told otherwise."""


@pytest.mark.timeout(5 * PATIENCE)
async def test_old_leader_writes_over_nothing(light_cluster: LightCluster, tmp_path: Path) -> None:
    """Killed, frozen, cut off or held up at one of its writes: the other goes on, and breaks no rule."""
    if light_cluster.name is None:
        pytest.skip("the operator's user is known by a token, which an existing cluster does not have")
    cluster = Cluster(light_cluster.name, light_cluster.environment)
    cluster.install()
    # Each way once, at other writes with each commit.
    first = rotation(OPERATIONS)
    async with prover(cluster, tmp_path, while_seconds=0.0) as made:
        # On a cluster that was kept, the namespaces of the run before may still be going.
        name = f"two-replicas-{secrets.token_hex(2)}"
        pairs = [Pair(made, f"{name}-{number}") for number in range(len(WAYS))]
        try:
            await asyncio.gather(*(pair.up() for pair in pairs))
            results = await asyncio.gather(*(pair.operation(first + n) for n, pair in enumerate(pairs)))
        finally:
            await asyncio.gather(*(pair.down() for pair in pairs))
    told = [f"operation {r.item} ({r.kind}): " + "\n  ".join([r.problem, *r.story]) for r in results if not r.ok]
    assert not told, "\n".join(told)
    assert all(result.figure is not None for result in results)
