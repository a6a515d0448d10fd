"""One namespace of an end-to-end test: an application, its users, and everything that is known about them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hack.lib.hgdemo import judging
from hack.lib.hgdemo.cluster import Cluster, Json
from hack.lib.hgdemo.record import Record
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.traffic import Request, Traffic, describe
from hack.lib.hgdemo.waiting import Trouble
from hack.lib.hgdemo.watching import Seen, Watch
from tests.e2e.account import Account

QUICK_GATE: dict[str, Any] = {"interval": "2s", "initialDelay": "4s", "count": 2, "failureLimit": 0}
"""The example's gate in less time; its success rate and its minimum of requests are the same."""
RATE = 40.0
ENDPOINTS = 1.0
"""Seconds in which the gateway follows a Service that was switched: nobody tells, unlike of a route, when it has."""
AHEAD = 1.0
"""Seconds by which the operator's clock may be ahead of ours: it goes by the API server's dates, in whole seconds."""
AFTERWARDS = 3.0
"""Seconds of requests that show that something stays so."""
ROLLOUT = "rollouts.headgate.dev"
RECORDS = Path(__file__).resolve().parents[2] / "build" / "e2e"
"""What each town leaves behind."""


GATE: Json = {"gate": {"ref": {"name": "golden-signals"}}}


def canary(*steps: Json, name: str = "shop", **more: Any) -> Json:
    """The strategy of a canary behind the example's HTTPRoute, with these steps and further fields."""
    services = {} if "pingPong" in more else {"stableService": name, "canaryService": f"{name}-canary"}
    route = {"gatewayAPI": {"httpRoutes": [{"name": name, "rule": "main"}]}}
    delays = {"scaleDownDelaySeconds": 5, "abortScaleDownDelaySeconds": 5}
    return {"canary": {**services, "trafficRouting": route, **delays, "steps": [*steps], **more}}


ONE_STEP: Json = {"strategy": canary({"setWeight": 20}, GATE)}
"""Of a Rollout of which more steps would show nothing more."""


@dataclass(frozen=True)
class Lab:
    """The cluster with the operator, and the program that sends requests."""

    cluster: Cluster
    program: Path
    image: str
    keep: bool
    accounts: list[Account] = field(default_factory=list)
    """What came of the strategies that were shown."""


@dataclass(frozen=True)
class Town:
    """A namespace; the words to act in it and to expect something of it."""

    shop: Shop
    users: Traffic
    watch: Watch
    began: float
    """Wall time from which on the gateway served the application: before that Headgate has no part in it."""
    account: Account
    bad: set[str] = field(default_factory=set)
    """The versions that answer with failures of their own."""
    others: list[Traffic] = field(default_factory=list)
    """More users, who send a header of theirs."""

    @property
    def cluster(self) -> Cluster:
        """The cluster that it is in."""
        return self.shop.cluster

    def joined_by(self, header: str) -> Traffic:
        """More users: their requests have one more header, as `NAME: VALUE`, and count like all others."""
        folder = self.users.folder / f"others-{len(self.others) + 1}"
        fresh = Traffic(
            self.users.program, self.users.url, self.users.host, folder, rate=self.users.rate, header=header
        )
        self.others.append(fresh)
        fresh.start("all")
        fresh.flows()
        return fresh

    def pause(self) -> None:
        """No more requests; the record is complete."""
        for each in (self.users, *self.others):
            each.pause()

    def adopted(self, *, timeout: float = 60) -> Seen:
        """Wait until the Deployment is adopted and at rest."""
        return self.watch.until(
            "adopted", lambda s: s.status.phase == "Healthy" and bool(s.status.history), timeout=timeout
        )

    def release(
        self, version: str, *, fail_ratio: float = 0, timeout: float = 150, meanwhile: Callable[[], None] | None = None
    ) -> Seen:
        """Release a version, do something meanwhile, and wait for the end of it."""
        if fail_ratio:
            self.bad.add(version)
        since = time.time()
        generation = self.shop.release(version, fail_ratio=fail_ratio)
        if meanwhile is not None:
            meanwhile()
        end = self.watch.at_rest(generation, timeout=timeout)
        self.account.ended(end.status.history[-1].outcome, end.at - since)
        return end

    def leave(self, version: str) -> None:
        """Want the stable version again and delete the Rollout: all is handed back, and no request is lost to that."""
        self.watch.at_rest(self.shop.release(version), timeout=60)
        self.cluster.delete(ROLLOUT, self.shop.name, self.shop.namespace, timeout=120)
        self.expect_only(version)

    def act(self, verb: str, *, reason: str) -> None:
        """Ask for something by the command line, as a person does; the operator has accepted it."""
        where = f"--namespace={self.shop.namespace}"
        self.cluster.headgate(verb, self.shop.name, where, f"--reason={reason}")

    def serving(self, pod_hash: str) -> list[Json]:
        """The pods of a revision that are ready and do not go, in the order in which they were made."""
        found = [
            pod
            for pod in self.cluster.all("pods", self.shop.namespace, f"headgate.dev/revision={pod_hash}")
            if not pod["metadata"].get("deletionTimestamp") and ready_since(pod)
        ]
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], ready_since(pod)))

    def until_gone(self, pod_hash: str) -> None:
        """Wait until a revision has no pods any more."""
        what = (f"--namespace={self.shop.namespace}", f"--selector=headgate.dev/revision={pod_hash}")
        self.cluster.kubectl("wait", "--for=delete", "pods", *what, "--timeout=90s", timeout=100)

    def outcome(self) -> tuple[str, str]:
        """How the last attempt ended, and the phase."""
        last = self.watch.last
        assert last is not None
        assert last.status.history, last.line
        return last.status.history[-1].outcome, last.status.phase

    def expect_no_failure(self) -> None:
        """Every request was answered well, but for the own answers of the versions that are bad."""
        sent, lost = self._sent_and_lost()
        assert sent, "no request was sent"
        assert not lost, f"{len(lost)} of {len(sent)} requests failed: {_when(lost, self.watch)}"

    def close(self) -> None:
        """Put into the account what became of all requests."""
        sent, lost = self._sent_and_lost()
        self.account.requests, self.account.lost = len(sent), len(lost)

    def record(self) -> Record:
        """What it looked like from outside, for `hack/pictures`."""
        return Record.of(self.account.strategy or self.shop.namespace, self.users.read(), self.watch.seen, self.began)

    def _sent_and_lost(self) -> tuple[list[Request], list[Request]]:
        sent = [request for each in (self.users, *self.others) for request in each.since(self.began)]
        return sent, [each for each in sent if each.failed and each.version not in self.bad]

    def expect_only(self, version: str, *, within: float = 0) -> None:
        """From now on one version answers, whoever asks, and all is well; or not later than within some seconds."""
        now = time.time() + within
        for users in (self.users, *self.others):
            users.recorded_until(now + AFTERWARDS)
            others = [each for each in users.since(now) if each.version != version]
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
        """All traffic and both Services are with the stable revision, whichever of them is the stable one."""
        last = self.watch.last
        assert last is not None
        assert last.status.stable is not None, last.line
        stable, name = last.status.stable.pod_hash, self.shop.name
        turned = last.status.stable_ping_pong == "Pong"
        assert self.shop.weights() == {name: 0 if turned else 100, f"{name}-canary": 100 if turned else 0}
        assert set(self.shop.selected().values()) == {stable}

    def condition(self, kind: str, reason: str, *, timeout: float = 30) -> str:
        """Wait until a condition has a reason; gives its message."""
        found = self.watch.until(f"{kind} with {reason}", lambda s: s.condition(kind)[1] == reason, timeout=timeout)
        return found.condition(kind)[2]


def ready_since(pod: Json) -> str:
    """Since when a pod is ready; empty if it is not."""
    found = [c for c in pod["status"].get("conditions", []) if (c["type"], c["status"]) == ("Ready", "True")]
    return str(found[0]["lastTransitionTime"]) if found else ""


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
    strategy: str = "",
    rate: float = RATE,
    kind: type[Shop] = Shop,
    joins: bool = False,
) -> Iterator[Town]:
    """A namespace with an application under load, taken over by Headgate; `strategy` names what is shown by it.

    One that joins another has its application in the namespace of that one.
    """
    if not joins:
        lab.cluster.delete("namespace", namespace)
    shop = kind(lab.cluster, namespace, name=name)
    shop.deploy(replicas)
    users = Traffic(lab.program, lab.cluster.gateway, shop.host, lab.cluster.folder / namespace / name, rate=rate)
    users.start("all")
    here, failed = None, True
    try:
        users.flows()
        began = time.time()
        with Watch(lab.cluster, namespace, name) as watch:
            here = Town(shop, users, watch, began, Account(strategy))
            if adopt:
                shop.govern({"replicas": replicas, **(rollout or {})}, QUICK_GATE | (gate or {}))
                here.adopted()
            yield here
            here.pause()
            here.expect_no_failure()
        failed = False
    finally:
        users.pause()
        if here is not None:
            here.pause()
            here.close()
            lab.accounts.append(here.account)
            here.record().write(RECORDS / f"{namespace}{'-' + name if joins else ''}.json")
        # What went wrong can be looked at, where the cluster is kept.
        if not joins and not (failed and lab.keep):
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
