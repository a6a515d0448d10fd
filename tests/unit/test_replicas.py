"""The checker of `hack/replicas`: it sees a write over a new leader's, in the server's order, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from hack.lib.hgprove.faults.calls import Call, call_of
from hack.lib.hgprove.replicas import Replica, violations

ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/shop"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/system/leases/headgate"


def accepted(version: int, target: str, *, ended: float = 0.0, method: str = "PATCH", body: bytes = b"[]") -> Call:
    """Return a write that the server carried out; it was answered at once unless told otherwise."""
    made = call_of(1, 0.0, method, target, body)
    made.code, made.applied, made.version, made.ended = 200, True, version, ended or float(version)
    return made


class Told(Replica):
    """A replica of which only the requests are told."""

    def __init__(self, letter: str, calls: Sequence[Call]) -> None:
        self.letter = letter
        self._calls = list(calls)

    def accepted(self) -> list[Call]:
        """Return what was told."""
        return self._calls


def found(first: Sequence[Call], second: Sequence[Call]) -> list[str]:
    """Return what the checker says of two replicas, a and b."""
    return violations([Told("a", first), Told("b", second)])


LEADS = [accepted(7, LEASE), accepted(8, ROUTE)]
"""b takes the Lease from a, and writes the route."""


def test_write_over_a_new_leaders_is_found() -> None:
    """The old leader gets a write through after the new one wrote the same object."""
    assert found([accepted(1, LEASE), accepted(2, ROUTE), accepted(9, ROUTE)], LEADS) == [
        "a wrote patch httproutes/shop 1.000 s after b's patch httproutes/shop"
    ]


def test_late_write_to_what_nobody_else_wrote_is_none() -> None:
    """Before the new leader has written that object, an old write is late and nothing more."""
    other = ROUTE.replace("shop/httproutes/shop", "shop/httproutes/other")
    assert found([accepted(1, LEASE), accepted(9, other)], LEADS) == []
    assert found([accepted(1, LEASE), accepted(8, ROUTE)], [accepted(7, LEASE), accepted(9, ROUTE)]) == []


def test_write_of_one_who_leads_again_is_none() -> None:
    """With the Lease back, it may write over everything."""
    assert found([accepted(1, LEASE), accepted(20, LEASE), accepted(21, ROUTE)], LEADS) == []


def test_order_is_the_servers_and_not_that_of_the_answers() -> None:
    """A write whose answer comes late was carried out before the Lease changed hands."""
    early = accepted(2, ROUTE, ended=30.0)
    assert found([accepted(1, LEASE), early], LEADS) == []
    hasty = accepted(9, ROUTE, ended=6.5)
    assert len(found([accepted(1, LEASE), hasty], LEADS)) == 1


def test_deletion_has_its_place_by_its_answer() -> None:
    """The server tells no version for a deletion; what had been answered before it came before it."""
    gone = accepted(0, ROUTE, ended=8.5, method="DELETE", body=b"")
    assert len(found([accepted(1, LEASE), gone], LEADS)) == 1
    before = accepted(0, ROUTE, ended=6.5, method="DELETE", body=b"")
    assert found([accepted(1, LEASE), before], LEADS) == []


def test_giving_the_lease_back_is_not_taking_it() -> None:
    """Who gives the Lease back leads no more until it takes it anew."""
    given = accepted(9, LEASE, body=b'[{"op":"add","path":"/spec/holderIdentity","value":""}]')
    assert len(found([accepted(1, LEASE), given, accepted(10, ROUTE)], LEADS)) == 1
