"""A DaemonSet and its pods by the rules of its controller: one pod on each node, of the template as it is then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from headgate.decide import types as t
from headgate.decide.daemon import UNMARKED, mark_of, marked

COUNTED = 5
"""The server's count of the changes of the template; what was noted of it is a difference to that."""


class Template(NamedTuple):
    """What pods are made of: the version, and what their label calls it; nothing if they have no label of ours."""

    version: str
    mark: str


class NodePod(NamedTuple):
    """The pod of one node."""

    of: Template
    ready: bool
    going: bool = False

    @property
    def serves(self) -> bool:
        """It can be sent requests."""
        return self.ready and not self.going


class Read(NamedTuple):
    """A pod as it was read."""

    node: int
    pod: NodePod
    gone: bool = False
    """It is not there any more, or another one is."""


class DaemonSet(NamedTuple):
    """The object: what its pods are made of, whether they get that by themselves, and its controller's counts."""

    template: Template
    on_delete: bool
    noted: int | None
    """By how much what the operator noted is ahead of the count of the template's changes; None: it noted nothing."""
    settled: bool
    """Its controller has looked at its present spec."""
    pods: int
    ready: int
    updated: int
    taken_back: str = ""

    @property
    def foreign(self) -> bool:
        """Somebody else has written its template since, under the operator's label.

        A pod made of it looks like one of the operator's, and nobody could tell (docs/rolling.md): none is made here.
        """
        return self.noted is not None and self.noted < 0

    @property
    def sure(self) -> bool:
        """The template is what the operator has written, and no pod gets it by itself."""
        return self.noted == 0 and self.on_delete


class Nodes(NamedTuple):
    """The pods, and what is known of them."""

    pods: tuple[NodePod | None, ...] = ()
    behind: Template | None = None
    """The template by which its controller may still make pods, because it has not seen the present one."""
    known: tuple[Read, ...] | None = None
    """As the operator has read them for the DaemonSet as it sees it."""

    @property
    def serving(self) -> int:
        """Pods that can be sent requests."""
        return sum(p is not None and p.serves for p in self.pods)

    def new(self, stable: str) -> int:
        """Pods that stay and are not of this version."""
        return sum(p is not None and not p.going and p.of.version != stable for p in self.pods)


def complete(version: str, nodes: int) -> tuple[DaemonSet, Nodes]:
    """A DaemonSet that is complete, as nobody has touched it."""
    template = Template(version, "")
    found = DaemonSet(template, on_delete=False, noted=None, settled=True, pods=nodes, ready=nodes, updated=nodes)
    return found, Nodes((NodePod(template, ready=True),) * nodes)


# ---------------------------------------------------------------------------------------------------- what happens


def looked(found: DaemonSet, nodes: Nodes) -> DaemonSet:
    """What the controller reports. A pod that is on its way out counts as ready until it is gone."""
    there = [p for p in nodes.pods if p is not None]
    updated = sum(p.of == found.template for p in there)
    return found._replace(settled=True, pods=len(there), ready=sum(p.ready for p in there), updated=updated)


def following(found: DaemonSet, nodes: Nodes, *, late: bool, lossy: bool) -> Iterator[tuple[str, Nodes, str]]:
    """What can become of a pod next, and what of the budget that takes.

    Args:
        found: the DaemonSet.
        nodes: its pods.
        late: its controller may make a pod of a template that is not there any more.
        lossy: pods die.
    """
    for node, pod in enumerate(nodes.pods):
        if pod is None and found.foreign:
            continue
        if pod is None:
            yield f"node {node} gets a pod of {found.template.version}", _with(nodes, node, found.template), ""
            if late and nodes.behind not in (None, found.template):
                old = nodes.behind
                assert old is not None
                yield (
                    f"node {node} gets a pod of {old.version}, which was the template",
                    _with(nodes, node, old),
                    "stale",
                )
        elif pod.going:
            yield f"the pod of node {node} is gone", _ended(nodes, node), ""
        elif not pod.ready:
            yield f"the pod of node {node} is ready", _put(nodes, node, pod._replace(ready=True)), ""
        elif lossy:
            yield f"the pod of node {node} dies", going(nodes, node), "loss"
    if not found.on_delete and found.settled and nodes.serving == len(nodes.pods):
        old_ones = [n for n, p in enumerate(nodes.pods) if p is not None and p.of != found.template]
        if old_ones:
            yield f"its own update ends the pod of node {old_ones[0]}", going(nodes, old_ones[0]), ""


def going(nodes: Nodes, node: int) -> Nodes:
    """A pod is on its way out."""
    pod = nodes.pods[node]
    return nodes if pod is None else _put(nodes, node, pod._replace(going=True))


def _put(nodes: Nodes, node: int, pod: NodePod | None) -> Nodes:
    return nodes._replace(pods=(*nodes.pods[:node], pod, *nodes.pods[node + 1 :]))


def _with(nodes: Nodes, node: int, template: Template) -> Nodes:
    return _put(nodes, node, NodePod(template, ready=False))


def _ended(nodes: Nodes, node: int) -> Nodes:
    known = nodes.known
    if known is not None:
        known = tuple(r._replace(gone=True) if r.node == node else r for r in known)
    return _put(nodes, node, None)._replace(known=known)


def read(nodes: Nodes) -> Nodes:
    """The operator has read the pods."""
    return nodes._replace(known=tuple(Read(n, p) for n, p in enumerate(nodes.pods) if p is not None))


# ---------------------------------------------------------------------------------------------------- writes


WRITES = (t.HoldTemplate, t.ReleaseTemplate, t.EvictPod)
"""What the operator writes."""


def after(found: DaemonSet, nodes: Nodes, action: t.Action, wanted: Template | None) -> tuple[DaemonSet, Nodes]:
    """After a write of the operator's; `wanted` is the template that it sets, if it sets one."""
    match action:
        case t.HoldTemplate():
            # What it notes was worked out before the server counts.
            ahead = int(wanted is not None and wanted == found.template)
            held = found._replace(on_delete=True, noted=ahead, taken_back=action.takes_back)
            return _become(found, held, nodes, wanted or found.template)
        case t.ReleaseTemplate():
            released = found._replace(on_delete=False, noted=None, taken_back="")
            return _become(found, released, nodes, found.template)
        case t.EvictPod() if (node := node_of(action, nodes)) is not None:
            return found, going(nodes, node)
    return found, nodes


def rewritten(found: DaemonSet, nodes: Nodes, version: str) -> tuple[DaemonSet, Nodes]:
    """After somebody has written another version into its template, who left the label as it was."""
    noted = None if found.noted is None else max(-1, found.noted - 1)
    return _become(found, found._replace(noted=noted, taken_back=""), nodes, found.template._replace(version=version))


def let_loose(found: DaemonSet, nodes: Nodes) -> tuple[DaemonSet, Nodes]:
    """After somebody has let it end its pods by itself."""
    return _become(found, found._replace(on_delete=False), nodes, found.template)


def _become(before: DaemonSet, after: DaemonSet, nodes: Nodes, template: Template) -> tuple[DaemonSet, Nodes]:
    changed = template != before.template
    settled = before.settled and not changed and after.on_delete == before.on_delete
    behind = before.template if changed and nodes.behind is None else nodes.behind
    return after._replace(template=template, settled=settled), nodes._replace(behind=behind)


# ---------------------------------------------------------------------------------------------------- what is seen


def name_of(node: int) -> str:
    """The name of a node's pod."""
    return f"shop-{node}"


def uid_of(found: Read) -> str:
    """The identity of a pod; one that is gone is no other's."""
    return f"{name_of(found.node)}{' that was' if found.gone else ''}"


def node_of(action: t.EvictPod, nodes: Nodes) -> int | None:
    """Whose pod is evicted; None if it is not there any more."""
    return next((r.node for r in nodes.known or () if uid_of(r) == action.uid and not r.gone), None)


def pods_view(known: tuple[Read, ...] | None, hashes: Mapping[str, str]) -> t.PodsView | None:
    """The pods as they were read."""
    if known is None:
        return None
    return t.PodsView(
        "1",
        tuple(
            t.PodView(
                name_of(r.node),
                uid_of(r),
                0,
                r.pod.of.version,
                ready=r.pod.serves,
                going=r.pod.going,
                mark=hashes.get(r.pod.of.mark, UNMARKED),
                node=f"node-{r.node}",
            )
            for r in known
        ),
    )


def workload_view(found: DaemonSet, nodes: int, template: Mapping[str, Any], mark: str) -> t.WorkloadView:
    """The DaemonSet, before the journal says which of its pods are stable."""
    noted = None if found.noted is None else COUNTED + found.noted
    place = t.InPlace(
        partition=0,
        next=mark,
        ready=found.ready,
        labels="app=shop",
        taken_back=found.taken_back,
        held=t.HeldTemplate(found.on_delete, COUNTED, noted),
    )
    return t.WorkloadView(
        "shop",
        found=True,
        kind="DaemonSet",
        resource_version="1",
        uid="daemon",
        generation=1,
        observed_generation=int(found.settled),
        replicas=nodes,
        updated=found.updated,
        available=found.ready,
        pods=found.pods,
        template=marked(template, mark),
        in_place=place,
    )


def mark_in(template: Mapping[str, Any]) -> str:
    """What pods of a template are called."""
    return mark_of(template["metadata"]["labels"])
