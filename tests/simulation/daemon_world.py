"""A DaemonSet in the small world of the pure core: its controller, nodes that come and go, pods that die."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import daemon, invariants
from headgate.decide import types as t
from headgate.decide.revision import pod_hash_of, revision_of
from headgate.engine.reads import EVERY
from tests.simulation.rolling_world import NAME, RollingWorld, SimPod
from tests.simulation.world import Faults, World, template


def daemon_spec(steps: list[dict[str, Any]], *, gates: bool = False, **more: Any) -> RolloutSpec:
    """A rolling release of a DaemonSet with these steps."""
    return RolloutSpec.model_validate(
        {
            "workloadRef": {"kind": "DaemonSet", "name": NAME},
            "template": template("v1"),
            "strategy": {"rolling": {"steps": steps}},
            "gates": [{"ref": {"name": "golden"}}] if gates else [],
            **more,
        }
    )


@dataclass
class DaemonPod(SimPod):
    """One pod of a DaemonSet; its revision is the pod hash of what it really runs."""

    mark: str = daemon.UNMARKED
    """What its label says."""


class DaemonWorld(RollingWorld):
    """The truth about one DaemonSet, by the rules of its controller in Kubernetes 1.34. Pods are numbered by node."""

    def __init__(self, seed: int, spec: RolloutSpec, faults: Faults | None = None, *, pods: int = 3) -> None:
        self.live: dict[str, Any] = template("v1")
        self.counted = 1
        """The server's count of the changes of the template."""
        self.noted: int | None = None
        self.on_delete = False
        self.asked = (float("-inf"), "")
        """When the pods were asked for last, and for which version of the DaemonSet."""
        super().__init__(seed, spec, faults, pods=pods)
        self.allowed_kinds = ("DaemonSet",)

    # -- the controller -----------------------------------------------------------------------------------------------

    def revision(self) -> str:
        """The pod hash of what is wanted."""
        return self.wanted()[1]

    def content(self) -> str:
        """The pod hash of what the present template of the DaemonSet runs."""
        return content_of(self.live)

    @property
    def mark(self) -> str:
        """What its pods are called."""
        return daemon.mark_of(self.live["metadata"]["labels"])

    def _pod(self, revision: str, *, ready_at: float) -> DaemonPod:
        self.made += 1
        return DaemonPod(f"uid-{self.made}", revision, ready_at, mark=self.mark)

    def _new_pod(self, ordinal: int) -> SimPod:
        del ordinal
        revision = self.content()
        start = float("inf") if self.bad(revision) else self.now + self.start_delay * self.random.uniform(0.8, 1.2)
        return self._pod(revision, ready_at=start)

    def _keep_up(self) -> bool:
        """Pods for the nodes that have none, and none for nodes that are gone."""
        for node in range(self.count):
            if node not in self.pods:
                self.pods[node] = self._new_pod(node)
                self.tell(f"{NAME}-{node} is created as {self.pods[node].revision}")
        for node in [n for n, p in self.pods.items() if n >= self.count and not p.going]:
            self._end(node)
        return not self.on_delete and all(map(self.is_ready, self.pods.values()))

    def _update(self) -> bool:
        """By its own update, where nobody keeps it from that, one pod after the other."""
        for node, pod in sorted(self.pods.items()):
            if (pod.revision, self._mark(pod)) != (self.content(), self.mark):
                self._end(node)
                break
        return False

    @staticmethod
    def _mark(pod: SimPod) -> str:
        return pod.mark if isinstance(pod, DaemonPod) else daemon.UNMARKED

    def _report(self) -> dict[str, Any]:
        there = [p for n, p in self.pods.items() if n < self.count]
        return {
            "generation": self.set_generation,
            "wanted": self.count,
            "pods": len(there),
            # A pod that is on its way out is counted as ready until it is gone.
            "ready": sum(p.ready_at <= self.now < p.gone_at for p in there),
            "updated": sum((p.revision, self._mark(p)) == (self.content(), self.mark) for p in there),
            "current": 0,
        }

    # -- what is seen -------------------------------------------------------------------------------------------------

    def snapshot(self) -> t.Snapshot:
        """What the operator sees now."""
        seen = self.status_seen
        held = t.HeldTemplate(self.on_delete, self.counted, self.noted)
        place = t.InPlace(
            0, next=self.mark, ready=seen["ready"], labels="app=shop", taken_back=self.taken_back, held=held
        )
        workload = t.WorkloadView(
            NAME,
            found=True,
            kind="DaemonSet",
            resource_version=str(self.version),
            uid="set",
            generation=self.set_generation,
            observed_generation=seen["generation"],
            replicas=seen["wanted"],
            updated=seen["updated"],
            available=seen["ready"],
            pods=seen["pods"],
            template=self.live,
            in_place=place,
        )
        self.status_seen = {"now": "", "next": "", **seen}
        base = super().snapshot()
        self.status_seen = seen
        adopted = self.status.stable is not None
        return replace(
            base,
            spec=self.spec.model_copy(update={"replicas": seen["wanted"]}),
            template=self.template if adopted else self.live,
            revision=self.wanted()[0] if adopted else revision_of(self.live),
            workload=daemon.placed(workload, self.status),
        )

    def _view(self, number: int, pod: SimPod) -> t.PodView:
        view = super()._view(number, pod)
        return replace(view, ordinal=0, mark=self._mark(pod), node=f"node-{number:03}")

    def look_up(self, reads: tuple[t.ReadQuestion, ...]) -> None:
        """The same is not read again at once."""
        if self.known is None and self.reading is None:
            self.asked = (float("-inf"), "")
        fresh = tuple(r for r in reads if r.target != self.asked[1] or self.now >= self.asked[0] + EVERY)
        if fresh:
            self.asked = (self.now, fresh[0].target)
        super().look_up(fresh)

    # -- writes -------------------------------------------------------------------------------------------------------

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        if isinstance(action, t.EvictPod) and action.exposure == "raise":
            found = next((p for p in self.pods.values() if p.uid == action.uid), None)
            if found is not None and found.revision == self.content():
                self.fail(f"24: {action.name} is evicted to become what it is")
            if found is not None and found.going:
                self.fail(f"24: {action.name} is evicted again while it goes")
        super()._act(action, status)

    def apply_more(self, action: t.Action) -> None:
        """The template, its release, and evictions."""
        if isinstance(action, t.HoldTemplate):
            before = self.counted
            if action.template is not None:
                self._become(dict(action.template))
            # What is noted was worked out before the server counted.
            self.noted = before + (action.template is not None)
            self.on_delete, self.taken_back = True, action.takes_back
            self.tell(f"template {self.mark}")
            self.changed()
        elif isinstance(action, t.ReleaseTemplate):
            self.noted, self.on_delete, self.taken_back = None, False, ""
            self.changed()
        else:
            super().apply_more(action)

    def _become(self, fresh: dict[str, Any]) -> None:
        if fresh != self.live:
            self.live = fresh
            self.counted += 1

    def release(self, version: str, *, quality: float | None = 100.0, broken: bool = False) -> str:
        """Change the template of the Rollout."""
        pod_hash = World.release(self, version, quality=quality, broken=broken)
        if broken:
            self.broken_revisions |= {pod_hash}
        return pod_hash

    def write_template(self, version: str) -> None:
        """Somebody writes the template of the DaemonSet, and leaves the label of the operator as it is."""
        self.tell(f"somebody writes {version} into the DaemonSet")
        self._become(dict(daemon.marked(template(version), self.mark)))
        self.taken_back = ""
        self.changed()

    def write_strategy(self, *, on_delete: bool) -> None:
        """Somebody writes its updateStrategy."""
        self.tell(f"somebody lets it update by itself: {not on_delete}")
        self.on_delete = on_delete
        self.changed()

    def lose(self, node: int) -> None:
        """The pod of a node dies."""
        if node in self.pods and not self.pods[node].going:
            self.tell(f"{NAME}-{node} dies")
            self.pods[node].gone_at = self.now
            self.dirty()

    # -- invariants ---------------------------------------------------------------------------------------------------

    def truth(self) -> invariants.Truth:
        """How things really are."""
        there = [p for n, p in self.pods.items() if n < self.count and not p.going]
        ready = sum(map(self.is_ready, there))
        return replace(
            invariants.seen(self.snapshot()),
            replicas=self.count,
            all_ready=ready == len(there) == self.count,
            new=sum(p.revision != self.stable_content() for p in there),
            budget=not (self.kept is not None or not self.budget_open) or bool(self.allowed()),
        )

    def stable_content(self) -> str:
        """The pod hash of what is stable."""
        stable = self.status.stable
        found = (p.template for p in self.plans.values() if stable is not None and p.revision == stable.revision)
        return next((content_of(dict(t)) for t in found), self.content())

    def check_truth(self) -> None:
        """At rest, what pods are made of is what is stable."""
        closed = self.noted == self.counted and self.on_delete
        at_rest = self._at_rest() and self.status.workload is not None and self.status.workload.revision == self.mark
        if at_rest and closed and self.content() != self.stable_content():
            self.fail(f"7: pods become {self.content()}, and {self.stable_content()} is stable")

    def _moving(self) -> bool:
        return not self.gone and any(p.revision != self.stable_content() or p.going for p in self.pods.values())

    def revisions(self) -> list[str]:
        """The pod hashes of what the pods run, by node."""
        return [self.pods[n].revision for n in sorted(self.pods)]

    def _measured(self, question: t.Question) -> tuple[float | None, bool]:
        del question
        pod_hash = self.status.current.pod_hash if self.status.current else ""
        there = any(p.revision == pod_hash and self.is_ready(p) for p in self.pods.values())
        return self.quality.get(pod_hash, 100.0), there


def content_of(live: dict[str, Any]) -> str:
    """The pod hash of a template, less the operator's own label."""
    labels = {k: v for k, v in live["metadata"]["labels"].items() if not k.startswith("headgate.dev/")}
    return pod_hash_of(revision_of({**live, "metadata": {**live["metadata"], "labels": labels}}))
