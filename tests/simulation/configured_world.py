"""ConfigMaps and Secrets in the small world of the pure core: read on demand, edited and deleted by others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headgate.api.rollout import ConfigSnapshots, RolloutSpec, RolloutStatus
from headgate.decide import configuration
from headgate.decide import types as t
from headgate.decide.revision import pod_hash_of, revision_of, with_contents
from tests.simulation.world import CONFIG, Faults, World, template

Content = dict[str, str]
READ_AGAIN = 30.0
"""Seconds between two reads of the same thing on one occasion, as the engine has it."""
BOTH = ("ConfigMap", "Secret")


def referring(version: str, *, broken: bool = False) -> dict[str, Any]:
    """A pod template of one version that refers to two ConfigMaps, one of which may be missing, and to a Secret."""
    made = template(version, broken=broken)
    made["spec"]["volumes"] = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "extras", "projected": {"sources": [{"configMap": {"name": "extras", "optional": True}}]}},
    ]
    made["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "keys"}}]
    return made


class Configured(World):
    """The truth about the configuration, and what one process has read of it."""

    def __init__(self, seed: int, rollout: RolloutSpec, faults: Faults | None = None) -> None:
        super().__init__(seed, rollout, faults)
        self.template = referring("v1")
        self.kinds: tuple[str, ...] = BOTH
        """What the operator is set up to copy."""
        self.sources: dict[str, Content] = {"ConfigMap/settings": {"colour": "blue"}, "Secret/keys": {"key": "one"}}
        self.copies: dict[str, Content] = {}
        self.copy_of: dict[str, str] = {}
        self.copy_owners: dict[str, str] = {}
        """The record that owns a copy, by name."""
        self.squatters: set[str] = set()
        self.reads: list[tuple[float, str]] = []
        self._known: dict[str, t.ConfigView] = {}
        self._asked: dict[tuple[str, str], float] = {}
        self._under_way: list[tuple[float, float, str]] = []
        """When it is answered, when it began, and what is read."""
        self.used: dict[str, tuple[str, ...]] = {}
        """By ReplicaSet, what its pods read."""
        self.refused = ""
        """Why the server refuses every copy; empty if it does not."""

    # -- what is seen -------------------------------------------------------------------------------------------------

    def snapshot(self) -> t.Snapshot:
        """What the operator sees, of the configuration what it has read."""
        self._hear()
        seen = super().snapshot()
        held, unread = configuration.contents(seen.template, seen.spec, self._known)
        return replace(
            seen,
            config=CONFIG.model_copy(update={"snapshot_kinds": self.kinds}),
            revision="" if unread else with_contents(seen.revision, held),
            unread=unread,
            configuration=dict(self._known),
        )

    def wanted_hash(self) -> str:
        """The pod hash of the template with what is there now."""
        views = {key: self._view(key) for key in (*self.sources, "ConfigMap/extras")}
        held, _ = configuration.contents(self.template, self.spec, views)
        return pod_hash_of(with_contents(revision_of(self.template), held))

    def _view(self, key: str) -> t.ConfigView:
        kind, _, name = key.partition("/")
        content = self.sources.get(key, self.copies.get(key))
        if content is None:
            return t.ConfigView(kind, name, self.now)
        ours = key in self.copies and key not in self.squatters
        return t.ConfigView(
            kind,
            name,
            self.now,
            found=True,
            uid=key,
            resource_version="1",
            digest=configuration.digest_of({"data": content}),
            source=self.copy_of.get(key, "") if ours else "",
            owners=("uid",) if ours else (),
            immutable=ours,
        )

    def look_up(self, reads: tuple[t.ReadQuestion, ...]) -> None:
        """Begin to read, as often as the engine would."""
        for question in reads:
            if question.kind is not t.ReadKind.CONFIG:
                continue
            place = (question.target, question.occasion)
            if self.now - self._asked.get(place, float("-inf")) < READ_AGAIN:
                continue
            self._asked[place] = self.now
            self.reads.append((self.now, question.target))
            self._under_way.append((self.now + self.random.uniform(0.01, 0.4), self.now, question.target))

    def _hear(self) -> None:
        for answered, began, key in list(self._under_way):
            if answered > self.now:
                continue
            self._under_way.remove((answered, began, key))
            known = self._known.get(key)
            if known is None or known.at <= began:
                self._known[key] = replace(self._view(key), at=began)

    def moments(self) -> list[float]:
        """When something changes by itself."""
        return super().moments() + [answered for answered, _, _ in self._under_way]

    def forget_more(self) -> None:
        """What a process has read goes with it."""
        self._known, self._asked, self._under_way = {}, {}, []

    # -- writes -------------------------------------------------------------------------------------------------------

    def _act(self, action: t.Action, status: RolloutStatus) -> None:
        if self.refused and isinstance(action, t.CreateConfigCopy):
            before = self.outcome
            count = before.count + 1 if before is not None and before.action == action.key else 1
            self._note_outcome(action, t.OutcomeKind.REFUSED, "Forbidden")
            if self.outcome is not None:
                self.outcome = replace(self.outcome, message=self.refused, count=count)
            return
        if isinstance(action, t.CreateConfigCopy) and not self._can_be_made(action):
            self._note_outcome(action, t.OutcomeKind.CONFLICT, "Conflict")
            return
        super()._act(action, status)

    def _can_be_made(self, action: t.CreateConfigCopy) -> bool:
        content = self.sources.get(f"{action.kind}/{action.source}")
        if content is None or f"{action.kind}/{action.name}" in self.copies:
            return False
        digest = configuration.digest_of({"data": content})
        return configuration.copy_name(self.snapshot().meta, action.kind, action.source, digest) == action.name

    def _note_outcome(self, action: t.Action, kind: t.OutcomeKind, reason: str) -> None:
        super()._note_outcome(action, kind, reason)
        if not isinstance(action, t.CreateConfigCopy | t.DeleteConfigCopy):
            return
        if kind is t.OutcomeKind.DONE:
            key = f"{action.kind}/{action.name}"
            self._known[key] = self._view(key)
        elif kind is not t.OutcomeKind.REFUSED:
            self.forget_more()

    def apply_more(self, action: t.Action) -> None:
        """Copies are made and deleted."""
        match action:
            case t.CreateConfigCopy():
                key = f"{action.kind}/{action.name}"
                self.copies[key] = dict(self.sources[f"{action.kind}/{action.source}"])
                self.copy_of[key] = action.source
                if action.anchor_name not in self.plans:
                    self.fail(f"{key} is owned by {action.anchor_name}, which is not there")
                self.copy_owners[key] = action.anchor_name
            case t.DeleteConfigCopy():
                key = f"{action.kind}/{action.name}"
                users = [name for name, keys in self.used.items() if key in keys and name in self.sets]
                if users:
                    self.fail(f"{key} is deleted, and the pods of {users} read it")
                self.copies.pop(key, None)
                self.copy_owners.pop(key, None)
            case _:
                super().apply_more(action)

    def _apply(self, action: t.Action) -> None:
        if isinstance(action, t.CreateReplicaSet):
            self.used[action.name] = self._reads_of(action)
        if isinstance(action, t.DeletePlan):
            self._owns_nothing(action.name)
        super()._apply(action)

    def _reads_of(self, action: t.CreateReplicaSet) -> tuple[str, ...]:
        for one in configuration.references(action.template, self.spec.config_snapshots):
            if one.key not in self.copies and not one.optional:
                self.fail(f"the pods of {action.name} would read {one.key}, which is no copy")
        return tuple(r.key for r in configuration.references(action.template, ConfigSnapshots(secrets=True)))

    def _owns_nothing(self, record: str) -> None:
        if self.deleting:
            return
        owned = {key for key, owner in self.copy_owners.items() if owner == record}
        used = {c.key for p in self.plans.values() if p.name != record for c in p.copies}
        if owned & used:
            self.fail(f"{record} goes, and owns {sorted(owned & used)}, which others use")

    # -- others -------------------------------------------------------------------------------------------------------

    def put(self, key: str, /, **content: str) -> None:
        """Somebody writes a ConfigMap or Secret."""
        self.sources[key] = content
        self.tell(f"{key} becomes {content}")

    def remove(self, key: str) -> None:
        """Somebody deletes one, be it a copy."""
        self.sources.pop(key, None)
        self.copies.pop(key, None)
        self.tell(f"{key} is deleted")

    def release(self, version: str, *, quality: float | None = 100.0, broken: bool = False) -> str:
        """Change the template; gives back its pod hash, with what is there now where that is part of it."""
        super().release(version, broken=broken)
        self.template = referring(version, broken=broken)
        pod_hash = self.wanted_hash()
        self.quality[pod_hash] = quality
        return pod_hash

    def reads_from(self, pod_hash: str) -> list[Content]:
        """What the pods of a revision read, as far as it is there, in the order of the keys."""
        there = self.sources | self.copies
        return [there[key] for key in self.used[f"shop-{pod_hash}"] if key in there]
