"""Which ConfigMaps and Secrets a pod template refers to, and the copies of them that the pods of a revision use.

A record names its copies, and the template of its ReplicaSet is the one of the record with those names in it, once and
for all: the ReplicaSet says so, too, so that a record that somebody deletes is made again with the same copies. What an
object holds is known here by a digest alone.
"""

from __future__ import annotations

import copy
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from headgate.api.rollout import ConfigSnapshots, RolloutSpec
from headgate.api.values import dataclass
from headgate.decide.revision import pod_hash_of
from headgate.decide.types import (
    ConfigCopy,
    ConfigView,
    CreateConfigCopy,
    PlanView,
    ReadKind,
    ReadQuestion,
    ReplicaSetView,
    RolloutMeta,
    Snapshot,
)

LOOK_EVERY = 60.0
"""Seconds after which a change of what a template refers to is seen at the latest, where it is to be released."""
AGAIN = 30.0
"""Seconds after which a read that failed is tried again."""
ROUNDED = 0.002
"""Times in the journal are rounded up to a millisecond."""
LONGEST_PART = 200
"""Letters of the name of what is copied that the name of the copy holds, at most."""
PLACES = (
    ("envFrom", "configMapRef", "ConfigMap"),
    ("envFrom", "secretRef", "Secret"),
    ("env", "configMapKeyRef", "ConfigMap"),
    ("env", "secretKeyRef", "Secret"),
)


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One ConfigMap or Secret that a template refers to."""

    kind: str
    name: str
    optional: bool
    """All that refers to it can do without."""

    @property
    def key(self) -> str:
        """As `Snapshot.configuration` names it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Found:
    """Which copies a new revision uses, or what it waits for before that is known."""

    copies: tuple[ConfigCopy, ...] = ()
    waiting: str = ""
    missing: bool = False
    """A person must see to it."""
    reads: tuple[ReadQuestion, ...] = ()


# --------------------------------------------------------------------------------------------------------------------
# What a template refers to
# --------------------------------------------------------------------------------------------------------------------


def references(template: Mapping[str, Any] | None, wanted: ConfigSnapshots | None) -> tuple[Reference, ...]:
    """What a template refers to, as far as it is to be copied, in the order of kinds and names."""
    if template is None or wanted is None:
        return ()
    found: dict[tuple[str, str], bool] = {}
    for kind, holder, field in _mentions(template):
        if kind == "Secret" and not wanted.secrets:
            continue
        place = (kind, str(holder[field]))
        found[place] = found.get(place, True) and holder.get("optional") is True
    return tuple(Reference(kind, name, optional) for (kind, name), optional in sorted(found.items()))


def rewritten(template: Mapping[str, Any], copies: Iterable[ConfigCopy]) -> Mapping[str, Any]:
    """The template with the copies in the place of what they are copies of."""
    names = {(c.kind, c.source): c.name for c in copies}
    if not names:
        return template
    made = copy.deepcopy(dict(template))
    for kind, holder, field in _mentions(made):
        holder[field] = names.get((kind, str(holder[field])), holder[field])
    return made


def _mentions(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Kind, the dictionary that holds a name, and the key that it is under."""
    spec = template.get("spec")
    if not isinstance(spec, Mapping):
        return
    for volume in _all(spec, "volumes"):
        yield from _named("ConfigMap", volume.get("configMap"), "name")
        yield from _named("Secret", volume.get("secret"), "secretName")
        projected = volume.get("projected")
        for source in _all(projected, "sources") if isinstance(projected, Mapping) else ():
            yield from _named("ConfigMap", source.get("configMap"), "name")
            yield from _named("Secret", source.get("secret"), "name")
    for container in (*_all(spec, "initContainers"), *_all(spec, "containers")):
        for where, field, kind in PLACES:
            for entry in _all(container, where):
                holder = entry.get("valueFrom") if where == "env" else entry
                if isinstance(holder, Mapping):
                    yield from _named(kind, holder.get(field), "name")


def _all(holder: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    found = holder.get(field)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _named(kind: str, holder: Any, field: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    # A template is checked by nobody before its pods are made.
    if isinstance(holder, dict) and isinstance(holder.get(field), str) and holder[field]:
        yield kind, holder, field


# --------------------------------------------------------------------------------------------------------------------
# What it holds
# --------------------------------------------------------------------------------------------------------------------


def digest_of(obj: Mapping[str, Any]) -> str:
    """A digest of what a ConfigMap or Secret holds, whatever it is called."""
    held = [obj.get("data") or {}, obj.get("binaryData") or {}, obj.get("type") or ""]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def copy_name(meta: RolloutMeta, kind: str, source: str, digest: str) -> str:
    """The name of a copy: what it is of, and a short form of whose it is and what it holds."""
    part = source[:LONGEST_PART].rstrip("-.")
    short = pod_hash_of(f"{meta.uid}/{kind}/{source}/{digest}")
    return f"{meta.name}-{part}-{short}"


def to_text(copies: Iterable[ConfigCopy]) -> str:
    """Copies as an annotation holds them; none of these names has a slash or a comma in it."""
    return ",".join(f"{c.kind}/{c.source}/{c.name}" for c in copies)


def from_text(text: str) -> tuple[ConfigCopy, ...]:
    """What an annotation says, as far as it says something."""
    parts = [one.split("/") for one in text.split(",")]
    return tuple(ConfigCopy(*three) for three in parts if len(three) == 3)  # noqa: PLR2004  as `to_text` has it


def is_copy(meta: RolloutMeta, view: ConfigView) -> bool:
    """It is one that the operator made for this Rollout, and holds what its name says."""
    named = copy_name(meta, view.kind, view.source, view.digest)
    return view.found and view.immutable and meta.uid in view.owners and view.name == named


def contents(
    template: Mapping[str, Any] | None, spec: RolloutSpec, views: Mapping[str, ConfigView]
) -> tuple[tuple[str, ...], str]:
    """What is part of the revision besides the template, and the key of what must be read before that is known.

    What is missing and must not be leaves the wanted revision unknown: none could begin.
    """
    wanted = spec.config_snapshots
    if wanted is None or not wanted.config_change_triggers:
        return (), ""
    held = []
    for found in references(template, wanted):
        view = views.get(found.key)
        if view is None or view.problem or not (view.found or found.optional):
            return (), found.key
        held.append(f"{found.key}={view.digest}")
    return tuple(held), ""


# --------------------------------------------------------------------------------------------------------------------
# What is to be read and made
# --------------------------------------------------------------------------------------------------------------------


def watched(snapshot: Snapshot, now: float) -> tuple[tuple[ReadQuestion, ...], float | None]:
    """What is looked at again and again because a change of it is to be released, and when the next time."""
    wanted = snapshot.spec.config_snapshots
    if wanted is None or not wanted.config_change_triggers or not_set_up(snapshot):
        return (), None
    found = references(snapshot.template, wanted)
    # Not all Rollouts in the same moment.
    shift = zlib.crc32(snapshot.meta.uid.encode()) % LOOK_EVERY
    turn = (now + shift) // LOOK_EVERY
    start = turn * LOOK_EVERY - shift
    reads = tuple(ReadQuestion(ReadKind.CONFIG, r.key, occasion=f"turn {turn:.0f}") for r in found)
    again = now + AGAIN if snapshot.unread else start + LOOK_EVERY
    return reads, min(again, start + LOOK_EVERY) if found else None


def not_set_up(snapshot: Snapshot) -> str:
    """The kind that is to be copied and that this operator is not set up for; empty if there is none."""
    wanted = snapshot.spec.config_snapshots
    if wanted is None:
        return ""
    kinds = ("ConfigMap", "Secret") if wanted.secrets else ("ConfigMap",)
    return next((kind for kind in kinds if kind not in snapshot.config.snapshot_kinds), "")


def trouble(snapshot: Snapshot) -> tuple[str, str]:
    """Reason and sentence of what keeps the wanted revision from being known, or from beginning; empty if nothing."""
    wanted = snapshot.spec.config_snapshots
    if wanted is None or not wanted.config_change_triggers:
        return "", ""  # Then it is told when a revision begins.
    for found in references(snapshot.template, wanted):
        view = snapshot.configuration.get(found.key)
        if view is not None and view.problem:
            return "ConfigUnreadable", _unreadable(found, view)
        if view is not None and not view.found and not found.optional:
            return "ConfigMissing", _absent(found)
    return "", ""


def _unreadable(found: Reference | ConfigCopy, view: ConfigView) -> str:
    return (
        f'{found.kind} "{view.name}" cannot be read: {view.problem}; let an admin add {found.kind} to snapshotKinds in '
        "the operator's configuration, with the rights to it"
    )


def _absent(found: Reference) -> str:
    return (
        f'there is no {found.kind} "{found.name}", which the pod template refers to; create it, or make the reference '
        "optional, it goes on by itself"
    )


def _foreign(kind: str, name: str) -> str:
    return (
        f'{kind} "{name}" exists and is not the copy that the operator would make of that name; delete it, it goes on '
        "by itself"
    )


def choose(snapshot: Snapshot, template: Mapping[str, Any], since: float) -> Found:
    """The copies of a revision that begins: of what there is now, as it was read since then."""
    wanted, occasion = snapshot.spec.config_snapshots, f"since {since}"
    if wanted is None:
        return Found()
    copies, reads = [], []
    waiting, missing = "", False
    for found in references(template, wanted):
        view = _read_since(snapshot, found.key, since)
        if view is None:
            reads.append(ReadQuestion(ReadKind.CONFIG, found.key, occasion=occasion))
        elif view.problem:
            waiting, missing = waiting or _unreadable(found, view), True
        elif view.found:
            name = copy_name(snapshot.meta, found.kind, found.name, view.digest)
            copies.append(ConfigCopy(found.kind, found.name, name))
        elif not found.optional:
            waiting, missing = waiting or _absent(found), True
    for made in copies:
        view = _read_since(snapshot, made.key, since)
        if view is None:
            reads.append(ReadQuestion(ReadKind.CONFIG, made.key, occasion=occasion))
        elif view.found and not is_copy(snapshot.meta, view):
            waiting, missing = waiting or _foreign(made.kind, made.name), True
    if missing:
        # Until it is there it is looked for again and again.
        again = tuple(ReadQuestion(ReadKind.CONFIG, r.key) for r in references(template, wanted))
        again += tuple(ReadQuestion(ReadKind.CONFIG, made.key) for made in copies)
        return Found(waiting=waiting, missing=True, reads=(*reads, *again))
    if reads:
        return Found(waiting=f"reading {reads[0].target.replace('/', ' ')}", reads=tuple(reads))
    return Found(copies=tuple(copies))


def _read_since(snapshot: Snapshot, key: str, since: float) -> ConfigView | None:
    view = snapshot.configuration.get(key)
    return view if view is not None and view.at > since - ROUNDED else None


@dataclass(frozen=True, slots=True)
class Making:
    """The next copy to make, or what is waited for before that."""

    action: CreateConfigCopy | None = None
    waiting: str = ""
    reads: tuple[ReadQuestion, ...] = ()


def make(snapshot: Snapshot, plan: PlanView) -> Making | None:
    """What is to be done until all copies of a record are there; None if they are."""
    for wanted in plan.copies:
        view = snapshot.configuration.get(wanted.key)
        if view is None:
            return Making(waiting=f"reading {wanted.kind} {wanted.name}", reads=_asking(wanted.key))
        if view.problem:
            return Making(waiting=_unreadable(wanted, view), reads=_asking(wanted.key))
        if view.found and not view.deleting and is_copy(snapshot.meta, view):
            continue
        if view.found:
            return Making(waiting=_foreign(wanted.kind, wanted.name), reads=_asking(wanted.key))
        return _from_source(snapshot, plan, wanted)
    return None


def _from_source(snapshot: Snapshot, plan: PlanView, wanted: ConfigCopy) -> Making:
    key = f"{wanted.kind}/{wanted.source}"
    source = snapshot.configuration.get(key)
    if source is None:
        return Making(waiting=f"reading {wanted.kind} {wanted.source}", reads=_asking(key))
    if not _holds_it(snapshot.meta, source, wanted):
        text = (
            f'the copy "{wanted.name}" of {wanted.kind} "{wanted.source}" is gone, and that one does not hold any more '
            f"what it did; put back what it held, or release another version"
        )
        return Making(waiting=text, reads=_asking(key))
    anchor = owner_of(snapshot.plans, wanted) or plan
    return Making(
        CreateConfigCopy(wanted.kind, wanted.name, wanted.source, plan.pod_hash, anchor.name, anchor.uid),
        waiting=f"copying {wanted.kind} {wanted.source}",
    )


def _holds_it(meta: RolloutMeta, source: ConfigView, wanted: ConfigCopy) -> bool:
    """What is to be copied is what the name of the copy says."""
    return source.found and copy_name(meta, wanted.kind, wanted.source, source.digest) == wanted.name


def outdated(snapshot: Snapshot, plan: PlanView) -> bool:
    """A copy of this record is not there and can be made no more; not before it is known which are there."""
    lost = False
    for wanted in plan.copies:
        view = snapshot.configuration.get(wanted.key)
        source = snapshot.configuration.get(f"{wanted.kind}/{wanted.source}")
        if view is None:
            return False
        if source is None or view.found or view.problem or source.problem:
            continue
        lost = lost or not _holds_it(snapshot.meta, source, wanted)
    return lost


def looking(plan: PlanView) -> tuple[ReadQuestion, ...]:
    """Whether the copies of a record are there still."""
    return tuple(question for c in plan.copies for question in _asking(c.key))


def _asking(key: str) -> tuple[ReadQuestion, ...]:
    return (ReadQuestion(ReadKind.CONFIG, key),)


# --------------------------------------------------------------------------------------------------------------------
# How long copies stay
# --------------------------------------------------------------------------------------------------------------------


def owner_of(plans: Iterable[PlanView], wanted: ConfigCopy) -> PlanView | None:
    """The record that owns a copy beside the Rollout: the oldest of those that use it."""
    return min((p for p in plans if wanted in p.copies), key=lambda p: (p.created_at, p.name), default=None)


def holds(plan: PlanView, plans: Sequence[PlanView], users: Iterable[PlanView | ReplicaSetView]) -> bool:
    """This record owns a copy that one of these users needs, itself aside: no deletion policy is to collect that."""
    needed = {c for user in users if user.name != plan.name for c in user.copies}
    owners = [owner_of(plans, c) for c in plan.copies if c in needed]
    return any(owner is not None and owner.name == plan.name for owner in owners)


def users_of(snapshot: Snapshot) -> tuple[PlanView | ReplicaSetView, ...]:
    """What needs copies: the records, and the ReplicaSets, whose records somebody may have deleted."""
    return (*snapshot.plans, *snapshot.replica_sets, *snapshot.variants)


def left_over(snapshot: Snapshot, plan: PlanView) -> tuple[ConfigView | None, tuple[ReadQuestion, ...]]:
    """The next copy that goes with a record, because no other uses it, or what must be read before that is known."""
    others = {c.key for user in users_of(snapshot) if user.name != plan.name for c in user.copies}
    for found in plan.copies:
        if found.key in others:
            continue
        view = snapshot.configuration.get(found.key)
        if view is None:
            return None, _asking(found.key)
        if not view.problem and not view.deleting and is_copy(snapshot.meta, view):
            return view, ()
    return None, ()
