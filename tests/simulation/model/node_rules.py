"""What must hold of a DaemonSet that is released: of its template, of the pods that are evicted, and at the end."""

from __future__ import annotations

from dataclasses import replace

from headgate.api.rollout import RolloutStatus
from headgate.decide import invariants
from headgate.decide import types as t
from headgate.decide.daemon import UNMARKED
from headgate.decide.invariants import Truth
from headgate.decide.journal import running
from headgate.decide.rolling import allowance
from tests.simulation.model import nodes
from tests.simulation.model.nodes import NodePod
from tests.simulation.model.state import DELETING, State
from tests.simulation.model.views import Sight, Views
from tests.simulation.model.violation import demand


class NodeRules:
    """The rules of one world; `blind`: pods die or somebody else writes, so a write is judged by what was seen."""

    def __init__(self, views: Views, *, blind: bool) -> None:
        self._views = views
        self._blind = blind

    def _stable(self, status: RolloutStatus) -> str:
        return self._views.version_of[status.stable.pod_hash] if status.stable else ""

    def truth(self, state: State, seen: Sight) -> Truth:
        """The DaemonSet and its pods as they are; where that cannot be known, as they were seen."""
        snapshot = self._views.snapshot(seen)
        base, found = invariants.seen(snapshot), state.daemon
        if self._blind or found is None:
            return base
        mark = self._views.hashes.get(found.template.mark, UNMARKED)
        return replace(
            base,
            held=mark if found.sure else "",
            all_ready=state.nodes.serving == len(state.nodes.pods),
            new=state.nodes.new(self._stable(snapshot.status)) if snapshot.status.stable else 0,
        )

    # ------------------------------------------------------------------------------------------------ decisions

    @staticmethod
    def taken_back(snapshot: t.Snapshot, decision: t.Decision) -> None:
        """After a failing verdict or an abort the next write takes the template out."""
        status, action, workload = decision.status, decision.action, snapshot.workload
        if status.stable is None or running(status) is not None or workload is None or workload.in_place is None:
            return
        bad = {r.pod_hash for r in status.rejected} - {status.stable.pod_hash}
        if workload.in_place.next in bad and isinstance(action, (t.HoldTemplate, t.EvictPod)):
            lowers = isinstance(action, t.HoldTemplate) and action.exposure == "lower"
            demand(lowers, 6, f"{action.key} comes before the template of what was taken back is out")

    @staticmethod
    def question(snapshot: t.Snapshot, question: t.Question) -> None:
        """A batch is judged while its pods are there and no others become new."""
        seen = invariants.seen(snapshot)
        demand(seen.closed, 9, f"{question.key} is asked while pods become new")
        demand(seen.new > 0, 9, f"{question.key} is asked while no pod is new")

    def journal(self, state: State, before: RolloutStatus, after: RolloutStatus, plan: t.Plan | None) -> None:
        """A batch is over, or everything is promoted, when its pods are there."""
        if self._blind or after.stable is None or before.stable is None:
            return
        if before.stable.revision != after.stable.revision:
            version = self._stable(after)
            there = sum(p is not None and p.serves and p.of.version == version for p in state.nodes.pods)
            demand(there == len(state.nodes.pods), 3, f"{version} is promoted with {there} pods")
            return
        index, run = before.current_step_index, running(after)
        if run is None or plan is None or after.current_step_index == index or before.current != after.current:
            return
        if plan.steps[index].set_canary_scale is None:
            return
        full, new = len(state.nodes.pods), state.nodes.new(self._stable(after))
        wanted = allowance(plan.steps, index, full).replicas
        demand(new == wanted, 10, f"batch {index + 1} is left with {new} of {wanted} pods")
        demand(state.nodes.serving == full, 3, f"batch {index + 1} is left while pods are not ready")

    # ------------------------------------------------------------------------------------------------ writes

    def action(self, state: State, status: RolloutStatus, action: t.Action) -> None:
        """No pod is evicted that is as it should be, none that serves while another one does not."""
        if not isinstance(action, t.EvictPod) or state.daemon is None or self._blind:
            return
        node = nodes.node_of(action, state.nodes)
        pod = state.nodes.pods[node] if node is not None else None
        if pod is None:
            return
        demand(not pod.going, 24, f"{action.name} is evicted again while it goes")
        demand(pod.of != state.daemon.template, 24, f"{action.name} is evicted to become what it is")
        others = state.nodes.serving == len(state.nodes.pods)
        demand(others or not pod.serves, 3, f"{action.name} serves and is evicted before the others are back")
        if action.exposure != "raise":
            version = self._stable(status)
            demand(self._astray(state, pod, version), 24, f"{action.name} is taken back and is {version}")

    @staticmethod
    def _astray(state: State, pod: NodePod, stable: str) -> bool:
        return pod.of.version != stable or (state.daemon is not None and pod.of.mark != state.daemon.template.mark)

    def let_go(self, state: State, seen: Sight, status: RolloutStatus, *, patient: bool) -> None:
        """It is its own again, and all its pods are stable: by its own update, too, none of them is ended."""
        found, version = state.daemon, self._stable(status)
        if found is None:
            return
        demand(found.noted is None and not found.on_delete, 29, "the Rollout goes and the DaemonSet stays held")
        demand(not state.plans, 29, f"the Rollout goes and leaves {len(state.plans)} records")
        if not version or self._blind:
            return
        demand(found.template.version == version, 29, f"the Rollout goes while pods become {found.template.version}")
        back = all(p is not None and p.of == found.template and p.serves for p in state.nodes.pods)
        demand(back or not patient, 29, f"the Rollout goes before all pods are {version}")
        demand(seen.wanted.life == DELETING, 29, "the Rollout goes though nobody deleted it")

    def end(self, state: State, status: RolloutStatus) -> str:
        """Why this is not how a DaemonSet should be in the end; empty if it is."""
        found, version = state.daemon, self._stable(status)
        if found is None:
            return "25: the DaemonSet is gone"
        if not found.sure or found.template.version != version:
            return f"7: pods become {found.template.version}, and {version} is stable"
        astray = [p for p in state.nodes.pods if p is None or not p.serves or p.of != found.template]
        return f"7: pods are not {version}: {astray}" if astray else ""
