"""Two replicas with one Lease: whatever happens to the leader, its late writes never go over the new leader's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hack.lib.hgbench.cluster import Cluster
from hack.lib.hgprove.campaign import rotation
from hack.lib.hgprove.faults.calls import Call, call_of
from hack.lib.hgprove.faults.runner import prover
from hack.lib.hgprove.replicas import WAYS, Pair, Replica, violations
from tests.api.cluster import LightCluster

ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/shop"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/headgate"


def accepted(at: float, target: str, letter: str = "") -> Call:
    """Return a patch that the server carried out."""
    made = call_of(1, at, "PATCH", target, letter.encode())
    made.code, made.applied, made.ended = 200, True, at
    return made


class Told(Replica):
    """A replica of which only the requests are told."""

    def __init__(self, letter: str, calls: Sequence[Call]) -> None:
        self.letter = letter
        self._calls = list(calls)

    def accepted(self) -> list[Call]:
        """Return what was told."""
        return self._calls


def told(first: Sequence[Call], second: Sequence[Call]) -> Iterator[Replica]:
    """Yield two replicas with these requests."""
    yield Told("a", first)
    yield Told("b", second)


def test_write_over_a_new_leaders_is_found() -> None:
    """The checker sees a write that the old leader gets through after the new one wrote the same object."""
    first = [accepted(1, LEASE), accepted(2, ROUTE), accepted(9, ROUTE)]
    second = [accepted(7, LEASE), accepted(8, ROUTE)]
    assert violations(list(told(first, second))) == [
        "a wrote patch httproutes/shop 1.000 s after b's patch httproutes/shop"
    ]


def test_late_write_to_what_nobody_else_wrote_is_none() -> None:
    """A late write is no violation before the new leader has written that object, nor after the Lease came back."""
    late = [accepted(1, LEASE), accepted(7.5, ROUTE)]
    back = [accepted(1, LEASE), accepted(20, LEASE), accepted(21, ROUTE)]
    second = [accepted(7, LEASE), accepted(8, ROUTE)]
    assert violations(list(told(late, second))) == []
    assert violations(list(told(back, second))) == []


@pytest.mark.timeout(300)
async def test_old_leader_writes_over_nothing(light_cluster: LightCluster, tmp_path: Path) -> None:
    """Killed, frozen, cut off or held up in the middle of a release: the other goes on, and nothing is written over."""
    if light_cluster.name is None:
        pytest.skip("the operator's user is known by a token, which an existing cluster does not have")
    cluster = Cluster(light_cluster.name, light_cluster.environment)
    cluster.install()
    async with prover(cluster, tmp_path, while_seconds=0.0) as made:
        pair = Pair(made, "two-replicas")
        try:
            await pair.up()
            # Two of the four ways with each commit.
            first = rotation(len(WAYS))
            results = [await pair.operation(seed) for seed in (first, first + 1)]
        finally:
            await pair.down()
    wrong = ["\n  ".join([r.problem, *r.story]) for r, _ in results if not r.ok]
    assert not wrong, "\n".join(wrong)
    assert all(decided is not None for _, decided in results)
