"""How the demonstration and the end-to-end tests judge a release by its requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.lib.hgdemo.judging import Span, Verdict, last_request, odd_share, spans
from hack.lib.hgdemo.traffic import Request, Traffic, describe, recent, shares, success
from hack.lib.hgdemo.waiting import Trouble, until
from hack.lib.hgdemo.watching import Seen
from headgate.api.rollout import RolloutStatus, Weights


def request(at: float, version: str = "v1", *, status: int = 200, failure: str = "") -> Request:
    """One request that took 10 ms."""
    return Request(at=at, seconds=0.01, version=version, status=status, failure=failure, phase="all")


def seen(at: float, desired: int, observed: int, *, applied: bool = True) -> Seen:
    """A Rollout with these weights."""
    weights = Weights(desired=desired, observed=observed, applied=applied)
    return Seen(at=at, version=str(at), generation=1, deleted=False, status=RolloutStatus(weights=weights))


def test_only_the_bad_version_may_fail_and_only_by_its_own_answers() -> None:
    """A 500 of the bad version is its own; any other failure is blamed on shifting and said in a sentence."""
    verdict = Verdict("v2", "taken back")
    verdict.blame([request(1, "v2", status=500), request(2, "v2"), request(3)], bad="v2")
    assert (verdict.requests, verdict.reached, verdict.own_failures, verdict.shifting_failures) == (3, 2, 1, 0)
    assert not verdict.wrong
    verdict.blame([request(4, "", status=503, failure="gateway_503"), request(5, "v1", status=500)], bad="v2")
    assert verdict.shifting_failures == 2
    assert verdict.wrong == ["v2: 2 requests failed by shifting: 1 x - gateway_503, 1 x v1 500."]


def test_a_span_is_a_time_in_which_one_weight_was_served() -> None:
    """From where the weight is applied to the next change, less the margin; weight 0 and changes under way are none."""
    history = [
        seen(0, 0, 0),
        seen(10, 20, 0, applied=False),
        seen(12, 20, 20),
        seen(15, 20, 20),
        seen(20, 50, 20, applied=False),
        seen(22, 50, 50),
        seen(30, 0, 50, applied=False),
        seen(31, 0, 0),
    ]
    assert spans(history) == [Span(20, 13, 19), Span(50, 23, 29)]


def test_a_share_is_odd_only_beyond_chance() -> None:
    """20 % of 200 requests may be 30 or 60, and may not be 80 or none."""
    span = Span(20, 0, 200)

    def having(reached: int) -> list[Request]:
        return [request(at, "v2" if at < reached else "v1") for at in range(200)]

    assert not odd_share(having(30), "v2", span)
    assert not odd_share(having(60), "v2", span)
    assert "got 80 of 200" in odd_share(having(80), "v2", span)
    assert odd_share(having(0), "v2", span)


def test_the_last_request_counts_from_its_answer() -> None:
    """A slow answer of the bad version is harm until it has ended."""
    assert last_request([request(1, "v2"), request(5, "v1")], "v2") == pytest.approx(1.01)
    assert last_request([request(5, "v1")], "v2") is None


def test_shares_and_success_by_version() -> None:
    """Requests that no version answered stand under a dash, and are no success."""
    found = [request(1), request(2), request(3, "v2", status=500), request(4, "", failure="reset")]
    assert shares(found) == {"-": 25, "v1": 50, "v2": 25}
    assert success(found) == {"-": 0, "v1": 100, "v2": 0}
    assert describe(found) == "2 x v1 200, 1 x v2 500, 1 x - reset"
    assert [each.at for each in recent(found, 1.5, now=4)] == [4, 3]


def test_the_record_is_read_as_it_grows(tmp_path: Path) -> None:
    """Half a line waits for its other half; times are of the wall clock."""
    users = Traffic(Path("/bin/true"), "http://127.0.0.1:1", "host", tmp_path)
    users.start("all")
    log = tmp_path / "requests-1.tsv"
    log.write_text("# started 1970-01-01T00:00:10.5Z\n# offset_us\tversion\n1000000\tv1\t200\t2500\t-\tall\n20000")
    users.pause()
    assert [(each.at, each.version, each.failed) for each in users.requests] == [(11.5, "v1", False)]
    with log.open("a") as file:
        file.write("00\t-\t503\t900\tgateway_503\tall\n")
    assert users.read()[1] == Request(12.5, 0.0009, "", 503, "gateway_503", "all")


def test_a_wait_in_vain_says_what_was_seen() -> None:
    """Who reads the failure need not start a debugger."""
    with pytest.raises(Trouble, match="a miracle did not come within 0 s; seen instead: nothing"):
        until("a miracle", lambda: None, timeout=0, seen=lambda: "nothing", pause=0)
