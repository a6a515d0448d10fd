"""One namespace of an end-to-end test: an application, its users, and everything that is known about them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.lib.hgdemo import judging
from hack.lib.hgdemo.cluster import Cluster
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.traffic import Request, Traffic, describe
from hack.lib.hgdemo.waiting import Trouble
from hack.lib.hgdemo.watching import Seen, Watch

QUICK_GATE: dict[str, Any] = {"interval": "2s", "initialDelay": "4s", "count": 2, "failureLimit": 0}
"""The example's gate in less time; its success rate and its minimum of requests are the same."""
RATE = 40.0
AFTERWARDS = 3.0
"""Seconds of requests that show that something stays so."""
ROLLOUT = "rollouts.headgate.dev"


@dataclass(frozen=True)
class Lab:
    """The cluster with the operator, and the program that sends requests."""

    cluster: Cluster
    program: Path
    image: str
    keep: bool


@dataclass(frozen=True)
class Town:
    """A namespace; the words to act in it and to expect something of it."""

    shop: Shop
    users: Traffic
    watch: Watch
    began: float
    """Wall time from which on the gateway served the application: before that Headgate has no part in it."""

    @property
    def cluster(self) -> Cluster:
        """The cluster that it is in."""
        return self.shop.cluster

    def adopted(self, *, timeout: float = 60) -> Seen:
        """Wait until the Deployment is adopted and at rest."""
        return self.watch.until(
            "adopted", lambda s: s.status.phase == "Healthy" and bool(s.status.history), timeout=timeout
        )

    def release(self, version: str, *, fail_ratio: float = 0, timeout: float = 150) -> Seen:
        """Release a version and wait for the end of it."""
        return self.watch.at_rest(self.shop.release(version, fail_ratio=fail_ratio), timeout=timeout)

    def outcome(self) -> tuple[str, str]:
        """How the last attempt ended, and the phase."""
        last = self.watch.last
        assert last is not None
        assert last.status.history, last.line
        return last.status.history[-1].outcome, last.status.phase

    def expect_no_failure(self, *, of: str = "") -> None:
        """Every request was answered well, but for the own answers of one version that is bad."""
        sent = self.users.since(self.began)
        failed = [each for each in sent if each.failed and not (of and each.version == of)]
        assert sent, "no request was sent"
        assert not failed, f"{len(failed)} of {len(sent)} requests failed: {_when(failed, self.watch)}"

    def expect_only(self, version: str) -> None:
        """From now on one version answers, and all is well."""
        now = time.time()
        self.users.recorded_until(now + AFTERWARDS)
        others = [each for each in self.users.since(now) if each.version != version]
        assert not others, f"only {version} should answer, but there were {describe(others)}"

    def expect_share(self, version: str, since: float, *, weights: set[int]) -> None:
        """In each time of a constant weight the version got that share of the requests."""
        seen = self.watch.since(since)
        spans = judging.spans(seen)
        served = {span.weight for span in spans}
        assert weights <= served, f"{weights - served} should have been served for a while:\n{_story(seen)}"
        odd = [found for span in spans if (found := judging.odd_share(self.users.read(), version, span))]
        assert not odd, "; ".join(odd)

    def expect_home(self) -> None:
        """All traffic and both Services are with the stable revision."""
        last = self.watch.last
        assert last is not None
        assert last.status.stable is not None, last.line
        stable, name = last.status.stable.pod_hash, self.shop.name
        assert self.shop.weights() == {name: 100, f"{name}-canary": 0}
        assert set(self.shop.selected().values()) == {stable}

    def condition(self, kind: str, reason: str, *, timeout: float = 30) -> str:
        """Wait until a condition has a reason; gives its message."""
        found = self.watch.until(f"{kind} with {reason}", lambda s: s.condition(kind)[1] == reason, timeout=timeout)
        return found.condition(kind)[2]


@contextmanager
def town(
    lab: Lab,
    namespace: str,
    *,
    name: str = "shop",
    replicas: int = 2,
    rollout: dict[str, Any] | None = None,
    gate: dict[str, Any] | None = None,
    adopt: bool = True,
    rate: float = RATE,
    kind: type[Shop] = Shop,
) -> Iterator[Town]:
    """A namespace with an application under load, taken over by Headgate."""
    lab.cluster.delete("namespace", namespace)
    shop = kind(lab.cluster, namespace, name=name)
    shop.deploy(replicas)
    users = Traffic(lab.program, lab.cluster.gateway, shop.host, lab.cluster.folder / namespace / name, rate=rate)
    users.start("all")
    failed = True
    try:
        users.flows()
        began = time.time()
        with Watch(lab.cluster, namespace, name) as watch:
            here = Town(shop, users, watch, began)
            if adopt:
                shop.govern({"replicas": replicas, **(rollout or {})}, QUICK_GATE | (gate or {}))
                here.adopted()
            yield here
        failed = False
    finally:
        users.pause()
        # What went wrong can be looked at, where the cluster is kept.
        if not (failed and lab.keep):
            with contextlib.suppress(Trouble):
                lab.cluster.delete("namespace", namespace, wait=False)


def _story(seen: list[Seen]) -> str:
    """Each version of the status, and whether its weight was served by then."""
    return "\n".join(
        f"at {each.at:.2f} {'served' if each.status.weights.applied else 'not served'}, {each.line}" for each in seen
    )


def _when(failed: list[Request], watch: Watch) -> str:
    """The first failures, each with where the Rollout was then."""
    lines = [describe(failed)]
    for each in failed[:3]:
        before = [seen for seen in tuple(watch.seen) if seen.at <= each.at]
        where = before[-1].line if before else "no Rollout"
        lines.append(f"at {each.at:.2f} {each.version or '-'} {each.failure or each.status}, {where}")
    return "\n".join(lines)
