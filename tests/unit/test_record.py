"""The record of a release, second by second, for pictures."""

from __future__ import annotations

from pathlib import Path

from hack.lib.hgdemo.record import Record, Second, State
from hack.lib.hgdemo.traffic import Request
from hack.lib.hgdemo.watching import Seen
from headgate.api.rollout import RevisionRef, RolloutStatus, Weights

BEGAN = 1_000.0


def request(at: float, version: str = "v1", status: int = 200, failure: str = "") -> Request:
    """A request that was answered at once."""
    return Request(BEGAN + at, 0.01, version, status, failure, "all")


def revision(pod_hash: str) -> RevisionRef:
    """A revision of that hash."""
    return RevisionRef(revision=f"sha256:{pod_hash}", pod_hash=pod_hash, since="2026-01-01T00:00:00Z")


def seen(at: float, *, current: str = "a", replicas: int = 2, updated: int = 2, weight: int = 0) -> Seen:
    """A version of the status, with the revision `a` as what is stable."""
    status = RolloutStatus(
        phase="Healthy" if current == "a" else "Progressing",
        stable=revision("a"),
        current=revision(current),
        replicas=replicas,
        updated_replicas=updated,
        weights=Weights(observed=weight),
        message="said",
    )
    return Seen(BEGAN + at, "1", 1, deleted=False, status=status)


def test_requests_are_counted_by_second_and_version() -> None:
    """Those before the beginning are left out, and one that failed counts for no version."""
    sent = [request(-0.5), request(0.1), request(0.9, "v2"), request(1.0), request(1.5, "v2", 500)]
    sent.append(request(1.6, "", 0, "refused"))
    record = Record.of("a name", sent, [], BEGAN)
    assert record.seconds == [Second(0, {"v1": 1, "v2": 1}, 0), Second(1, {"v1": 1}, 2)]


def test_pods_are_new_while_their_revision_is_not_the_stable_one() -> None:
    """After the promotion all of them are what is stable."""
    record = Record.of("a name", [], [seen(1), seen(2, current="b", replicas=3, updated=1, weight=20), seen(9)], BEGAN)
    assert [(s.at, s.old, s.new, s.weight) for s in record.states] == [(1, 2, 0, 0), (2, 2, 1, 20), (9, 2, 0, 0)]
    assert record.states[1] == State(2, "Progressing", "", 20, 1, 2, "said")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """As JSON, in a folder that is made."""
    record = Record.of("a name", [request(0.1)], [seen(1)], BEGAN)
    record.write(tmp_path / "e2e" / "one.json")
    assert Record.read(tmp_path / "e2e" / "one.json") == record
