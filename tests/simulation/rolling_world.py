"""A StatefulSet in the small world of the pure core: its controller, its pods, a PodDisruptionBudget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from headgate.api.rollout import RolloutSpec, RolloutStatus
from headgate.decide import invariants
from headgate.decide import types as t
from headgate.decide.in_place import CLOSED
from tests.simulation.world import CONFIG, INFINITE, Faults, World

NAME = "db"


def rolling(steps: list[dict[str, Any]], *, gates: bool = False, **more: Any) -> RolloutSpec:
    """A rolling release with these steps."""
    return RolloutSpec.model_validate(
        {
            "workloadRef": {"kind": "StatefulSet", "name": NAME},
            "strategy": {"rolling": {"steps": steps}},
            "gates": [{"ref": {"name": "golden"}}] if gates else [],
            **more,
        }
    )


@dataclass
class SimPod:
    """One pod: of which revision, when it is ready, and when it is gone."""

    uid: str
    revision: str
    ready_at: float
    gone_at: float = INFINITE

    @property
    def going(self) -> bool:
        """It is on its way out."""
        return self.gone_at < INFINITE


class RollingWorld(World):
    """The truth about one StatefulSet, by the rules of its controller in Kubernetes 1.34 (OrderedReady)."""

    def __init__(self, seed: int, spec: RolloutSpec, faults: Faults | None = None, *, pods: int = 3) -> None:
        super().__init__(seed, spec, faults)
        self.count = pods
        self.partition = 0
        self.version = 1
        self.set_generation = 1
        self.status_seen: dict[str, Any] = {}
        self.kept: int | None = None
        """minAvailable of a PodDisruptionBudget."""
        self.budget_open = True
        self.allowed_kinds: tuple[str, ...] = ("StatefulSet",)
        self.pods: dict[int, SimPod] = {}
        self.known: t.PodsView | None = None
        self.reading: tuple[float, str] | None = None
        self.sync_at = self.now
        self.current = self.revision()
        self.made = 0
        self.most_rejected: dict[str, int] = {}
        for ordinal in range(pods):
            self.pods[ordinal] = self._pod(self.current, ready_at=self.now)
        self._sync()

    # -- the controller -----------------------------------------------------------------------------------------------

    def revision(self) -> str:
        """What the StatefulSet calls the revision of its present template."""
        return f"{NAME}-{self.wanted()[1]}"

    def _pod(self, revision: str, *, ready_at: float) -> SimPod:
        self.made += 1
        return SimPod(f"uid-{self.made}", revision, ready_at)

    def _new_pod(self, ordinal: int) -> SimPod:
        revision = self.current if ordinal < self.partition else self.revision()
        start = INFINITE if self.bad(revision) else self.now + self.start_delay * self.random.uniform(0.8, 1.2)
        return self._pod(revision, ready_at=start)

    def bad(self, revision: str) -> bool:
        """Pods of this revision never come up."""
        return revision in self.broken_revisions

    broken_revisions: frozenset[str] = frozenset()

    def is_ready(self, pod: SimPod) -> bool:
        """The pod can serve."""
        return pod.ready_at <= self.now and not pod.going

    def dirty(self) -> None:
        """The controller looks soon."""
        self.sync_at = min(self.sync_at, self.now + self.random.uniform(0.01, 0.4))

    def _sync(self) -> None:
        """One look of the controller: at most one pod is created or deleted, and the status is reported."""
        for ordinal in [o for o, p in self.pods.items() if p.gone_at <= self.now]:
            del self.pods[ordinal]
        goes_on = self._keep_up()
        status = self._report()
        # As the real one does: what it says was counted before it ends the next pod.
        if goes_on and self._update():
            status["current"] -= 1
        if status != self.status_seen:
            self.status_seen = status
            self.version += 1
        self.sync_at = INFINITE

    def _keep_up(self) -> bool:
        """Create what is missing and end what is too much; whether nothing of that keeps the update waiting."""
        for ordinal in range(self.count):
            pod = self.pods.get(ordinal)
            if pod is None:
                self.pods[ordinal] = self._new_pod(ordinal)
                self.tell(f"{NAME}-{ordinal} is created as {self.pods[ordinal].revision}")
                return False
            if not self.is_ready(pod):
                return False  # One that does not come up, or is on its way out, keeps all others waiting.
        condemned = [o for o in self.pods if o >= self.count]
        if condemned:
            if not self.pods[max(condemned)].going:
                self._end(max(condemned))
            return False
        return True

    def _update(self) -> bool:
        """End the next pod that is not of the template; whether there was one."""
        for ordinal in range(self.count - 1, self.partition - 1, -1):
            if self.pods[ordinal].revision != self.revision():
                self._end(ordinal)
                return True
        return False

    def _end(self, ordinal: int) -> None:
        self.pods[ordinal].gone_at = self.now + self.random.uniform(0.1, 1.5)
        self.tell(f"{NAME}-{ordinal} ends, which was {self.pods[ordinal].revision}")

    def _report(self) -> dict[str, Any]:
        there = list(self.pods.values())
        ready, staying = sum(map(self.is_ready, there)), [p for p in there if not p.going]
        updated = sum(p.revision == self.revision() for p in staying)
        if updated == ready == len(there) == self.count:
            self.current = self.revision()
        return {
            "generation": self.set_generation,
            "pods": len(there),
            "ready": ready,
            "updated": updated,
            "now": self.current,
            "current": sum(p.revision == self.current for p in staying),
            "next": self.revision(),
        }

    # -- what is seen -------------------------------------------------------------------------------------------------

    def snapshot(self) -> t.Snapshot:
        """What the operator sees now: the status of the StatefulSet as of the last look of its controller."""
        seen = self.status_seen
        place = t.InPlace(
            partition=self.partition,
            now=seen["now"],
            next=seen["next"],
            current=seen["current"],
            ready=seen["ready"],
            labels="app=shop",
            service=NAME,
            taken_back=self.taken_back,
        )
        workload = t.WorkloadView(
            NAME,
            found=True,
            kind="StatefulSet",
            resource_version=str(self.version),
            uid="set",
            generation=self.set_generation,
            observed_generation=seen["generation"],
            replicas=self.count,
            updated=seen["updated"],
            available=seen["ready"],
            pods=seen["pods"],
            template=self.template,
            in_place=place,
        )
        absent = t.ServiceView("", found=False)
        return replace(
            super().snapshot(),
            spec=self.spec.model_copy(update={"replicas": self.count}),
            config=CONFIG.model_copy(update={"rolling_kinds": self.allowed_kinds}),
            stable_service=absent,
            canary_service=absent,
            workload=workload,
            pods=self.known,
            budgets=(t.BudgetView("budget", self.allowed()),) if self.kept is not None or not self.budget_open else (),
        )

    def allowed(self) -> int:
        """Disruptions that the budget allows now."""
        if not self.budget_open:
            return 0
        return max(0, sum(map(self.is_ready, self.pods.values())) - (self.kept or 0))

    def look_up(self, reads: tuple[t.ReadQuestion, ...]) -> None:
        """Pods are read when they are asked for, a little later."""
        for read in reads:
            if read.kind is t.ReadKind.WORKLOAD_PODS and (self.reading is None or self.reading[1] != read.target):
                self.reading = (self.now + self.random.uniform(0.01, 0.3), read.target)

    def _read(self) -> None:
        if self.reading is None or self.reading[0] > self.now:
            return
        pods = [self._view(o, p) for o, p in sorted(self.pods.items())]
        self.random.shuffle(pods)
        self.known, self.reading = t.PodsView(self.reading[1], tuple(pods)), None

    def _view(self, number: int, pod: SimPod) -> t.PodView:
        return t.PodView(f"{NAME}-{number}", pod.uid, number, pod.revision, self.is_ready(pod), pod.going)

    def _crash(self) -> None:
        super()._crash()
        self.known, self.reading = None, None

    # -- writes -------------------------------------------------------------------------------------------------------

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        if isinstance(action, t.EvictPod):
            self.known = self.reading = None
            pod = next((p for p in self.pods.values() if p.uid == action.uid), None)
            if pod is None or pod.going:
                self._note_outcome(action, t.OutcomeKind.DONE, "")
                return
            if (self.kept is not None or not self.budget_open) and not self.allowed() and self.is_ready(pod):
                self._note_outcome(action, t.OutcomeKind.UNKNOWN, "TooManyRequests")
                return
            if self.is_ready(pod) and sum(map(self.is_ready, self.pods.values())) < self.count:
                self.fail(f"3: {action.name} serves and is evicted before the others are back")
        super()._act(action, status)

    def apply_more(self, action: t.Action) -> None:
        """The partition, and evictions."""
        if isinstance(action, t.SetPartition):
            self.set_partition(action.partition)
            self.taken_back = action.takes_back
            return
        if isinstance(action, t.EvictPod):
            self._end(next(o for o, p in self.pods.items() if p.uid == action.uid))
            self.dirty()
            return
        super().apply_more(action)

    def set_partition(self, partition: int) -> None:
        """Somebody writes the partition."""
        if partition != self.partition:
            self.tell(f"partition {partition}")
            self.partition, self.taken_back = partition, ""
            self.changed()

    def changed(self) -> None:
        """The spec of the StatefulSet is another one."""
        self.set_generation += 1
        self.version += 1
        self.dirty()

    def release(self, version: str, *, quality: float | None = 100.0, broken: bool = False) -> str:
        """Change the template of the StatefulSet; the Rollout's own generation stays."""
        generation, status_version = self.generation, self.status_version
        pod_hash = super().release(version, quality=quality, broken=broken)
        self.generation, self.status_version = generation, status_version
        if broken:
            self.broken_revisions |= {self.revision()}
        self.changed()
        return pod_hash

    def scale(self, count: int) -> None:
        """Somebody scales the StatefulSet."""
        self.count = count
        self.changed()

    # -- invariants ---------------------------------------------------------------------------------------------------

    def truth(self) -> invariants.Truth:
        """How things really are."""
        there = [p for p in self.pods.values() if not p.going]
        ready = sum(map(self.is_ready, there))
        return replace(
            invariants.seen(self.snapshot()),
            replicas=self.count,
            partition=self.partition,
            all_ready=ready == len(there) == self.count,
            new=sum(p.revision != self.current for p in there),
            budget=not (self.kept is not None or not self.budget_open) or bool(self.allowed()),
        )

    def check_truth(self) -> None:
        """No pod becomes one of a revision that was taken back."""
        if not self._at_rest() or self.partition < CLOSED:
            self.most_rejected.clear()  # It may be tried again, or somebody has just let it out.
            return
        for record in self.status.rejected:
            now = sum(p.revision == f"{NAME}-{record.pod_hash}" for p in self.pods.values())
            if now > self.most_rejected.get(record.pod_hash, now):
                self.fail(f"6: {now} pods are of {record.pod_hash}, which was taken back")
            self.most_rejected[record.pod_hash] = now

    def _at_rest(self) -> bool:
        status = self.status
        return bool(status.stable and status.current and status.stable.revision == status.current.revision)

    def _moving(self) -> bool:
        return self.partition < CLOSED or any(p.revision != self.current or p.going for p in self.pods.values())

    def revisions(self) -> list[str]:
        """The pod hashes of the pods, by ordinal."""
        return [self.pods[o].revision.removeprefix(f"{NAME}-") for o in sorted(self.pods)]

    # -- time ---------------------------------------------------------------------------------------------------------

    def moments(self) -> list[float]:
        """Pods that come and go, looks of the controller, reads."""
        found = [p.ready_at for p in self.pods.values()] + [p.gone_at for p in self.pods.values()]
        found += [self.sync_at] + ([self.reading[0]] if self.reading else [])
        return super().moments() + [m for m in found if m < INFINITE]

    def _answer(self) -> None:
        changes = (p.ready_at == self.now or p.gone_at <= self.now for p in self.pods.values())
        if any(changes):
            self.dirty()
        if self.sync_at <= self.now:
            self._sync()
            self.dirty_if_more()
        self._read()
        super()._answer()

    def dirty_if_more(self) -> None:
        """The controller hears of what it did itself."""
        if self._report() != self.status_seen:
            self.dirty()

    def _measured(self, question: t.Question) -> tuple[float | None, bool]:
        del question
        run = self.status.current
        pod_hash = run.pod_hash if run else ""
        there = any(p.revision == f"{NAME}-{pod_hash}" and self.is_ready(p) for p in self.pods.values())
        return self.quality.get(pod_hash, 100.0), there
