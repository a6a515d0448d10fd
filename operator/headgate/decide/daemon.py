"""A DaemonSet is released by its template, which the operator holds, and by evictions, through which pods get it.

A DaemonSet has no partition: whatever pod is made, for a node that joins or after an eviction, is of its present
template. If Git changed that one, each such pod would be of a version that nobody has judged, also of one that was
taken back, and an evicted pod would not come back old. So the wanted template stands in the Rollout, and the DaemonSet
has the stable one, with `OnDelete`, at all times but one: while the pods of a batch are evicted, one after the other. A
version is therefore taken back by one write and by evictions, and what dies meanwhile comes back stable by itself.

Two DaemonSets with complementary node affinity would keep even that time free of risk. They cost two writes for every
pod, a revision of the template for every node, and a moment without any pod where the operator dies in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headgate.api.common import LABEL_REVISION
from headgate.api.rollout import RolloutStatus, Weights
from headgate.decide import in_place
from headgate.decide.in_place import ALL, CLOSED, all_ready, new_pods, percent, place_of, seen, short
from headgate.decide.journal import AT_REST, REWRITES, running
from headgate.decide.mover import Goal, Move, anchor
from headgate.decide.types import (
    Action,
    EvictPod,
    HoldTemplate,
    InPlace,
    PodView,
    ReleaseTemplate,
    Snapshot,
    WorkloadView,
)

UNMARKED = "unmarked"
"""How the pods are called of a DaemonSet that was adopted as it was: they carry no label of the operator's."""


def mark_of(labels: Mapping[str, str]) -> str:
    """What pods with these labels are called."""
    return labels.get(LABEL_REVISION) or UNMARKED


def marked(template: Mapping[str, Any], mark: str) -> Mapping[str, Any]:
    """The template whose pods are called so; that of an adopted DaemonSet is left exactly as it was."""
    if mark == UNMARKED:
        return template
    metadata = template.get("metadata") or {}
    return {**template, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), LABEL_REVISION: mark}}}


def placed(view: WorkloadView, status: RolloutStatus) -> WorkloadView:
    """The DaemonSet with what follows from the journal: whether its template is the stable one, and how many pods are.

    Its own controller counts the pods of the present template, whichever that is.
    """
    place = view.in_place
    if place is None or place.held is None:
        return view
    noted = status.workload.revision if status.workload is not None else None
    now = noted or place.next
    closed = place.held.sure and place.next == now
    others = max(0, view.pods - view.updated)
    stable = view.updated if closed else others
    return replace(
        view,
        updated=view.pods - stable if running(status) is not None and status.stable is not None else view.updated,
        in_place=replace(place, now=now, partition=CLOSED if closed else 0, current=stable),
    )


def _reached(snapshot: Snapshot, place: InPlace, new: int, pods: int, full: int) -> bool:
    """The batch was complete once: a pod of it that has died since is stable again, and so it may be."""
    weights = snapshot.status.weights
    return place.partition >= CLOSED and weights.applied and weights.desired == percent(pods, full) and 0 < new <= pods


def _close(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move:
    """Give it the stable template again, and what keeps it from ending pods."""
    held, stable = place.held, snapshot.status.stable
    if snapshot.status.weights.reasserted > REWRITES:
        return Move(waiting=goal.hold_reason)
    if stable is None:
        run, text = snapshot.status.current, f"waiting for {workload.name} to keep its template"
        complete = seen(workload) and workload.updated == workload.pods == workload.replicas
        if run is None or run.revision != snapshot.revision or not complete:
            # Somebody has changed it in that moment: it goes on by itself, and is adopted when it is complete.
            return Move(_release(workload) if held is not None and held.noted is not None else None, waiting=text)
        return _hold(workload, place.next, None)
    if held is not None and place.next == place.now and (held.ours or held.unchanged):
        return _hold(workload, place.now, None)
    record = anchor(snapshot, stable.revision)
    if record is None:
        text = f"the record of the stable revision {stable.pod_hash} is gone, and with it the template to go back to"
        return Move(waiting=text, trouble=f"{text}; set spec.template of the Rollout to what is to run")
    return _hold(workload, place.now, marked(record.template, place.now))


def _hold(workload: WorkloadView, mark: str, template: Mapping[str, Any] | None) -> Move:
    return Move(HoldTemplate(workload.name, workload.resource_version, mark, template, exposure="lower"))


def _release(workload: WorkloadView) -> ReleaseTemplate:
    return ReleaseTemplate(workload.name, workload.resource_version)


def _taken_back(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal, pods: int) -> Move | None:
    """Before a batch: pods of a version that was left go first, and so do those that are too many."""
    new = in_place.strangers(snapshot, workload, place)
    if new is None:
        return in_place.read_pods(workload, place)
    mine = [p for p in new if p.mark == goal.canary]
    surplus = {p.uid for p in mine[: max(0, len(mine) - pods)]}
    gone = tuple(p for p in new if p.mark != goal.canary or p.uid in surplus)
    move = in_place.evict_first(snapshot, workload, place, goal, gone)
    if move is None and gone:
        return in_place.still_out(workload, place, "waiting for the pods that were taken back", goal.canary)
    return move


def _towards(
    snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal, pods: int, *, promoting: bool
) -> Move:
    """The next move towards so many new pods, while no more become new."""
    new = new_pods(snapshot, workload, place)
    if _reached(snapshot, place, new, pods, workload.replicas) and not promoting:
        return _still(goal)
    back = _taken_back(snapshot, workload, place, goal, pods) if new else None
    if back is not None:
        return back
    if goal.hold:
        return Move(waiting=goal.hold_reason, served=new >= pods and all_ready(workload, place))
    if new < pods or promoting:
        return _open(snapshot, workload, place, goal)
    why = "waiting for the batch to be ready"
    if not all_ready(workload, place):
        return Move(waiting=f"{why}: {short(workload, place)}", short_of=goal.canary)
    if in_place.known_pods(snapshot, workload) is not None and in_place.serving(snapshot) < workload.replicas:
        return in_place.still_out(workload, place, why, goal.canary)
    return Move(reached=True, served=True)


def _open(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move:
    """Give it the new template, if there is one to go back to."""
    stable, run = snapshot.status.stable, snapshot.status.current
    record = anchor(snapshot, run.revision) if run is not None else None
    if record is None or stable is None or anchor(snapshot, stable.revision) is None:
        return Move(waiting="waiting for the records of both templates")
    mark = goal.canary
    template = marked(record.template, mark)
    return _unserved(snapshot, workload, place, goal) or Move(
        HoldTemplate(workload.name, workload.resource_version, mark, template, exposure="raise")
    )


def _unserved(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move | None:
    """Why no pod may be disturbed now; None if all serve, as they were read: the counts are older than evictions."""
    waits = in_place.waits_to_raise(snapshot, workload, place, goal)
    if waits is not None:
        return waits
    known = in_place.known_pods(snapshot, workload)
    if known is None:
        return in_place.read_pods(workload, place)
    if any(p.going for p in known) or in_place.serving(snapshot) < workload.replicas:
        return in_place.still_out(workload, place, "waiting for the pod that was replaced", goal.canary)
    return None


def _replace_next(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move:
    """Evict the next pod that is old, by the names of their nodes; each waits until all are ready."""
    waits = _unserved(snapshot, workload, place, goal)
    if waits is not None:
        return waits
    known = in_place.known_pods(snapshot, workload) or ()
    old = [p for p in in_place.in_order(known, key=_by_node) if p.mark != goal.canary]
    if not old:
        return Move(waiting=f"waiting for {workload.name} to be looked at by its controller", short_of=goal.canary)
    return Move(EvictPod(old[0].name, old[0].uid, exposure="raise"))


def _by_node(pod: PodView) -> tuple[str, str]:
    return pod.node, pod.name


class ByTemplate:
    """The lever of a DaemonSet."""

    ends_by_itself = False
    named = "the template or the updateStrategy"

    def closed(self, place: InPlace) -> bool:
        """Its template is the stable one, and it ends no pod."""
        return place.partition >= CLOSED

    def observed(self, snapshot: Snapshot, status: RolloutStatus) -> int:
        """The part of the pods that are new, or of a batch that was complete once; all, if others may make them so."""
        found = place_of(snapshot)
        if found is None or snapshot.status.stable is None:
            return 0
        workload, place = found
        if place.held is None or not place.held.sure:
            return ALL
        before, new = snapshot.status, new_pods(snapshot, workload, place)
        same = (before.current, before.current_step_index) == (status.current, status.current_step_index)
        if same and before.weights.applied and before.weights.desired and new and self.closed(place):
            return status.weights.desired or percent(new, workload.replicas)
        return percent(new, workload.replicas)

    def next_move(self, snapshot: Snapshot, goal: Goal) -> Move:
        """The next safe write: close first, then what is new and may not be goes, then the next pod of the batch."""
        found = place_of(snapshot)
        if found is None:
            return Move(waiting="waiting for the workload")
        workload, place = found
        full, stable = workload.replicas, snapshot.status.stable
        pods, promoting, resting = in_place.wanted(snapshot, goal, full)
        if resting and stable is not None and stable.pod_hash != goal.stable:
            return Move(reached=True, served=True)  # It has just been promoted, and what was read is from before.
        closed = self.closed(place)
        mine = place.held is not None and place.held.sure and place.next == goal.canary and not resting
        new = new_pods(snapshot, workload, place)
        done = seen(workload) and new >= pods and not promoting
        if promoting and self.completed(snapshot, goal.canary):
            return Move(reached=True, served=True)
        if not closed and (not mine or goal.hold or done or not pods):
            return _close(snapshot, workload, place, goal)
        if not seen(workload):
            return Move(waiting=f"waiting for {workload.name} to be looked at by its controller")
        if not closed:
            return _replace_next(snapshot, workload, place, goal)
        if resting or not pods:
            back = in_place.take_back(snapshot, workload, place, goal)
            return back or _ending(snapshot, workload, place, goal) or _still(goal)
        return _towards(snapshot, workload, place, goal, pods, promoting=promoting)

    def completed(self, snapshot: Snapshot, pod_hash: str) -> bool:
        """All pods are of this revision and ready, and so is whatever comes."""
        found = place_of(snapshot)
        if found is None:
            return False
        workload, place = found
        mine = place.held is not None and place.held.sure and place.next == pod_hash
        return mine and place.now != pod_hash and all_ready(workload, place) and not place.current

    def home(self, snapshot: Snapshot, workload: WorkloadView, place: InPlace, stable: str) -> bool:
        """All pods are stable and serve, and so does whatever comes."""
        if snapshot.status.stable is not None and snapshot.status.stable.pod_hash != stable:
            return self.completed(snapshot, stable)  # It has just been promoted.
        if not self.closed(place) or place.current < workload.pods or not all_ready(workload, place):
            return False
        known = in_place.known_pods(snapshot, workload) is not None and in_place.serving(snapshot) >= workload.replicas
        return known or snapshot.status.stable is None or snapshot.status.phase in AT_REST

    def serves(self, snapshot: Snapshot, pod_hash: str, weights: Weights) -> bool:
        """The batch is there: its pods are new and ready, and no others become so."""
        del pod_hash
        found = place_of(snapshot)
        if found is None or not self.closed(found[1]):
            return False
        return all_ready(*found) and self.observed(snapshot, snapshot.status) == weights.desired

    def revisions(self, place: InPlace, stable: str, new: str) -> tuple[str, str]:
        """Their label `headgate.dev/revision`; pods that were adopted have none."""
        return (place.now if place.now != UNMARKED else stable), new

    def named_stable(self, place: InPlace) -> str:
        """What the template says that its pods are called."""
        return place.next

    def rewritten(self, workload: WorkloadView, observed: int, desired: int) -> bool:
        """The template is not what was written last, or pods get it by themselves; pods come and go at any time."""
        del observed, desired
        return workload.in_place is not None and workload.in_place.held is not None and not workload.in_place.held.sure

    def written(self, workload: WorkloadView) -> tuple[str, int | str]:
        """The template, by what its pods are called; nothing that was ever written, if anybody else has."""
        place = workload.in_place
        mark = place.next if place is not None and place.held is not None and place.held.sure else ""
        return HoldTemplate(workload.name, "", "").key, mark

    def give_back(self, workload: WorkloadView, *, judged: bool) -> Action | None:
        """Its own way of updating, which finds nothing to do: all its pods are of its template by now."""
        del judged
        place = workload.in_place
        held = place is not None and place.held is not None and place.held.noted is not None
        return _release(workload) if held else None

    def kept_back(self, workload: WorkloadView, *, judged: bool, kept: bool) -> str:
        """The stable template, where another one is wanted."""
        del kept  # Its own way of updating replaces nothing, so it has that in any case.
        if judged:
            return ""
        return (
            f"DaemonSet {workload.name} keeps its stable template, because the one in the Rollout was not promoted; "
            "when that is what you want, write it into the DaemonSet"
        )

    def traffic(self, name: str, weights: Weights) -> str:
        """How many pods are new."""
        return f"{weights.observed}% of the pods of {name} are new" if weights.observed else f"no pod of {name} is new"


def _ending(snapshot: Snapshot, workload: WorkloadView, place: InPlace, goal: Goal) -> Move | None:
    """At the end of a way back: a pod that was just evicted counts as ready until it is gone, so the pods are read."""
    stable, phase = snapshot.status.stable, snapshot.status.phase
    if stable is None or phase in AT_REST or goal.hold:
        return None
    if in_place.known_pods(snapshot, workload) is None:
        return in_place.read_pods(workload, place)
    if in_place.serving(snapshot) < workload.replicas:
        return in_place.still_out(workload, place, "waiting for all pods", goal.stable)
    return None


def _still(goal: Goal) -> Move:
    """Nothing is to be done."""
    return Move(waiting=goal.hold_reason, served=True) if goal.hold else Move(reached=True, served=True)
