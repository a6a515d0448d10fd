"""Which objects a Rollout refers to, and which older Rollout claims one of them already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headgate.api.rollout import RolloutSpec
from headgate.decide import experiment, strategies
from headgate.observe.reading import Models, Once, part
from headgate.observe.store import BY_REFERENCE, Store, reference
from headgate.traffic.protocol import Router

Object = Mapping[str, Any]

EVERY = "*"
"""Stands for the name of each object of its kind in the namespace: any of them may be meant."""
SHARED = ("QualityGate/", "PodDisruptionBudget/", "Environment/")
"""How references to what many Rollouts share begin."""


class References:
    """The references and claims of Rollouts."""

    def __init__(self, models: Models, routers: Sequence[Router]) -> None:
        self._models = models
        self._routers = routers
        self._known: Once[frozenset[str]] = Once()

    def of(self, rollout: Object) -> frozenset[str]:
        """Everything that a Rollout refers to, as `BY_REFERENCE` names it."""
        metadata = rollout["metadata"]
        return self._known.get(metadata["uid"], metadata.get("generation"), lambda: self._of(rollout))

    def drop(self, uid: str) -> None:
        """Forget a Rollout."""
        self._known.drop(uid)

    def _of(self, rollout: Object) -> frozenset[str]:
        spec, _ = self._models.spec(rollout)
        if spec is None:
            return frozenset()
        namespace = rollout["metadata"]["namespace"]
        strategy = strategies.of(spec)
        named = {("Service", name) for _, name in (*strategy.services, *experiment.services(spec))}
        named |= {("QualityGate", gate.ref.name) for gate in spec.gates}
        named |= {("QualityGate", gate.ref.name) for _, gate in strategy.gates}
        if spec.workload_ref is not None:
            named.add((spec.workload_ref.kind, spec.workload_ref.name))
        if strategy.in_place:
            named.add(("PodDisruptionBudget", EVERY))
        canary = strategy.routed
        if canary is not None:
            for router in self._routers:
                named |= {(router.resource.kind, target.name) for target in router.targets(canary)}
        found = {reference(kind, namespace, name) for kind, name in named}
        if spec.group is not None and spec.group.environment is not None:
            found.add(reference("Environment", "", spec.group.environment))
        return frozenset(found)

    def contenders(self, store: Store, rollout: Object, spec: RolloutSpec) -> tuple[str, ...]:
        """What an older Rollout claims of what this one claims, one sentence each."""
        sharers = self._sharers(store, rollout)
        if not sharers:
            return ()
        namespace = rollout["metadata"]["namespace"]
        mine = dict(self._claims(store, namespace, spec))
        sentences = []
        for other in sharers:
            theirs, _ = self._models.spec(other)
            if theirs is None or not _older(other, rollout):
                continue
            name = other["metadata"]["name"]
            sentences += [
                f'{what} is claimed by Rollout "{name}", which is older; delete that one, or name another in this one'
                for claim, what in sorted(self._claims(store, namespace, theirs))
                if claim in mine
            ]
        return tuple(sorted(set(sentences)))

    def _sharers(self, store: Store, rollout: Object) -> list[Object]:
        """The other Rollouts that refer to something that this one refers to."""
        found: dict[str, Object] = {}
        for named in sorted(self.of(rollout)):
            if named.startswith(SHARED):
                continue  # By design.
            for other in store.by("Rollout", BY_REFERENCE, named):
                found[other["metadata"]["uid"]] = other
        found.pop(rollout["metadata"]["uid"], None)
        return [found[uid] for uid in sorted(found)]

    def _claims(self, store: Store, namespace: str, spec: RolloutSpec) -> Iterator[tuple[str, str]]:
        strategy = strategies.of(spec)
        for _, name in (*strategy.services, *experiment.services(spec)):
            yield f"Service/{name}", f'Service "{name}"'
        if spec.workload_ref is not None:
            ref = spec.workload_ref
            yield f"{ref.kind}/{ref.name}", f'{ref.kind} "{ref.name}"'
        canary = strategy.routed
        if canary is None:
            return
        for router in self._routers:
            kind = router.resource.kind
            for target in router.targets(canary):
                obj = store.get(kind, namespace, target.name)
                yield f"{kind}/{router.claims(canary, obj, target)}", f'the rule of {kind} "{target.name}"'


def _older(one: Object, other: Object) -> bool:
    def age(obj: Object) -> tuple[str, bool, str]:
        # Times have whole seconds. Of two in one second the one that serves already is not to be disturbed.
        serves = bool((part(obj, "status") or {}).get("stable"))
        return obj["metadata"]["creationTimestamp"], not serves, obj["metadata"]["uid"]

    return age(one) < age(other)
