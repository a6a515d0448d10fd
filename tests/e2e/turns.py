"""Scenarios of Services that take turns, and of people who cannot wait: for pauses, or for younger pods."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Literal

from hack.lib.hgdemo.cluster import Json
from hack.lib.hgdemo.waiting import until
from hack.lib.hgdemo.watching import Seen
from headgate.api.common import to_epoch
from tests.e2e.town import AHEAD, GATE, Lab, Town, canary, ready_since, town

Role = Literal["Ping", "Pong"]
STABLE: dict[Role, str] = {"Ping": "shop", "Pong": "shop-canary"}
"""The Service that leads to what is stable, by what the status says."""
WHY = "the tills are down"
UNJUDGED, JUDGED = 40, 60
"""Weights of a hotfix: it goes past the one, and the other is before a gate."""


def taking_turns(lab: Lab) -> None:
    """Two Services take turns, there and back: a promotion moves no selector, a way back and a restart no role."""
    turns = {"pingService": STABLE["Ping"], "pongService": STABLE["Pong"]}
    rollout = {"strategy": canary({"setWeight": 20}, GATE, pingPong=turns), "gates": []}
    with town(lab, "turns", rollout=rollout, strategy="canary, HTTPRoute, Services that take turns") as here:
        _release_turning(here, "v2", "Pong")
        asked: list[str] = []
        end = here.release("v3", fail_ratio=0.2, meanwhile=lambda: asked.append(_ask_for_younger(here)))
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.status.stable_ping_pong == "Pong", end.line
        here.expect_home()
        _expect_remade(here, asked[0], after=end)
        here.expect_only("v2")
        old = _release_turning(here, "v4", "Ping")
        until("the end of old connections", lambda: old not in here.shop.selected().values(), timeout=30, pause=0.5)
        here.expect_home()


def in_a_hurry(lab: Lab) -> None:
    """A hotfix waits at no pause and only where a gate judges; then a person has its pods made anew, one by one."""
    pause: Json = {"pause": {}}
    steps = [{"setWeight": 20}, pause, {"setWeight": UNJUDGED}, pause, {"setWeight": JUDGED}, GATE, pause]
    rollout = {"strategy": canary(*steps), "gates": []}
    with town(lab, "hurry", rollout=rollout, strategy="canary, HTTPRoute, by hotfix") as here:
        since = time.time()
        end = here.release("v2", meanwhile=lambda: _hotfix(here))
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        assert {s.status.weights.desired for s in here.watch.since(since)} == {0, 20, JUDGED}
        assert end.status.history[-1].message == f"hotfix by admin ({WHY}): all gates passed"
        here.act("restart", reason="new certificates")
        asked = here.watch.until("who asked", lambda s: s.status.restart is not None, timeout=30).status.restart
        assert asked is not None
        assert (asked.by, asked.reason) == ("admin", "new certificates")
        _expect_remade(here, asked.at, after=end)
        said = [s.status.message for s in here.watch.since(end.at)]
        assert any(f"replacing pods from before {asked.at}" in each for each in said), said
        here.expect_only("v2")
        here.expect_home()
        end = here.release("v3", fail_ratio=0.2, meanwhile=lambda: _hotfix(here))
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.condition("Rejected")[:2] == ("True", "GateFailed"), "every gate still must pass"
        here.expect_only("v2")
        here.expect_home()


# ---------------------------------------------------------------------------------------------------------------------


def _release_turning(here: Town, version: str, role: Role) -> str:
    """Release a version after which the other Service is the stable one; gives the revision that was stable before."""
    before, since = here.shop.selected(), time.time()
    end = here.release(version)
    assert here.outcome() == ("Promoted", "Healthy"), end.line
    assert end.status.stable_ping_pong == role, end.line
    (left,) = set(STABLE.values()) - {STABLE[role]}
    assert here.shop.selected()[left] == before[left], "it still leads to whom it did, for who is connected"
    here.expect_only(version)
    here.expect_share(version, since, weights={20})
    return before[left]


def _hotfix(here: Town) -> None:
    """A person sees that the release waits for somebody, and cannot."""
    here.watch.until("a pause", lambda s: s.status.phase == "Paused", timeout=60)
    here.act("hotfix", reason=WHY)


def _ask_for_younger(here: Town) -> str:
    """Ask, while a version is being released, for pods that are made after this moment; gives it."""
    here.watch.until("weight 20 is served", lambda s: s.status.weights.observed == 20, timeout=60)
    asked = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    here.shop.patch({"restartAt": asked})
    return asked


def _expect_remade(here: Town, asked: str, *, after: Seen) -> None:
    """All stable pods were made anew after a release, each when the one before it served."""
    done = here.watch.until("no older pods", lambda s: s.status.restarted_at == asked, timeout=90)
    assert done.status.stable is not None, done.line
    pods = here.serving(done.status.stable.pod_hash)
    assert len(pods) == 2, "as many as are wanted serve"
    times = [(to_epoch(pod["metadata"]["creationTimestamp"]), to_epoch(ready_since(pod))) for pod in pods]
    over = to_epoch(after.status.history[-1].finished_at)
    assert times[0][0] >= int(over - AHEAD), "none was made anew while the release was under way"
    assert all(ready <= made for (_, ready), (made, _) in pairwise(times)), f"one after the other: {times}"
