"""Carries out one action by the module of its family, and says what became of it and what was learned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headgate.act import config_copies, in_place, leaving, own_kinds, records, replica_sets, shifting, workload
from headgate.act.context import Context, Effect, Refusal, Stale
from headgate.act.errors import (
    MAYBE_DONE,
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    NotServed,
    TooManyRequests,
    one_line,
)
from headgate.act.kube import Kube, Object
from headgate.act.resources import (
    CONFIG_KINDS,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    HANDED_BACK,
    PODS,
    REPLICA_SETS,
    ROLLOUT_ACTIONS,
    ROLLOUTS,
    SERVICES,
    STATEFUL_SETS,
)
from headgate.api.common import LABEL_ROLLOUT
from headgate.api.values import dataclass
from headgate.decide import types
from headgate.decide.types import Action, OutcomeKind
from headgate.traffic.protocol import Resource

Carrier = Callable[[Context, Any], Awaitable[Effect]]

FAMILIES: Mapping[type[Action], tuple[Resource | None, Carrier]] = {
    types.SetFinalizer: (ROLLOUTS, own_kinds.set_finalizer),
    types.AnswerAction: (ROLLOUT_ACTIONS, own_kinds.answer),
    types.CreatePlan: (CONTROLLER_REVISIONS, records.create),
    types.DeletePlan: (CONTROLLER_REVISIONS, records.delete),
    types.CreateConfigCopy: (None, config_copies.create),
    types.DeleteConfigCopy: (None, config_copies.delete),
    types.CreateReplicaSet: (REPLICA_SETS, replica_sets.create),
    types.ScaleReplicaSet: (REPLICA_SETS, replica_sets.scale),
    types.DeleteReplicaSet: (REPLICA_SETS, replica_sets.delete),
    types.SetSelector: (SERVICES, shifting.set_selector),
    types.SetWeight: (None, shifting.set_weight),
    types.SetPartition: (STATEFUL_SETS, in_place.set_partition),
    types.HoldTemplate: (DAEMON_SETS, in_place.hold_template),
    types.ReleaseTemplate: (DAEMON_SETS, in_place.release_template),
    types.EvictPod: (PODS, in_place.evict),
    types.ScaleWorkload: (DEPLOYMENTS, workload.scale),
    types.Disown: (None, leaving.disown),
}
"""By type of action: the kind that it writes (None: it says) and who carries it out. A new action is one line."""
CREATES = (types.CreatePlan, types.CreateReplicaSet, types.CreateConfigCopy)
DELETES = (types.DeletePlan, types.DeleteReplicaSet, types.DeleteConfigCopy, types.EvictPod)
UNKEPT = (PODS, *CONFIG_KINDS.values())
"""What the cache does not keep one by one; of the latter not even what they hold is to be anywhere."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an action, and the objects as the server answered."""

    kind: OutcomeKind
    reason: str = ""
    message: str = ""
    learned: tuple[tuple[str, Object], ...] = ()
    """Kind and object, for the cache."""
    gone: tuple[tuple[str, str], ...] = ()
    """Kind and name of what is not there any more."""
    retry_after: float = 0.0
    namespace_terminating: bool = False
    view: Object | None = None
    """The object as the server answered, where the cache does not keep it."""
    doubt: Resource | None = None
    """The kind of the target, where it could not be read afterwards: what the cache holds may be what it was."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read after a failure found."""

    learned: tuple[tuple[str, Object], ...] = ()
    gone: tuple[tuple[str, str], ...] = ()
    failed: bool = False
    """It may succeed later."""


async def carry_out(context: Context, action: Action) -> Result:
    """Send the action's one request. After a conflict or an unknown end the object is read once."""
    resource, carrier = _family(context, action)
    name = str(getattr(action, "name", ""))
    try:
        effect = await carrier(context, action)
    except Refusal as refusal:
        return Result(OutcomeKind.REFUSED, refusal.reason, one_line(refusal.message))
    except Stale:
        return await _after(context, resource, name, OutcomeKind.CONFLICT, Conflict("it changed meanwhile"))
    except ApiError as error:
        return await _failed(context, action, resource, name, error)
    if resource.kind in CONFIG_KINDS:
        return Result(OutcomeKind.DONE, view=effect.obj)
    if effect.obj is None:
        return Result(OutcomeKind.DONE, gone=((resource.kind, name),))
    return Result(OutcomeKind.DONE, learned=((effect.resource.kind, effect.obj),))


async def _failed(context: Context, action: Action, resource: Resource, name: str, error: ApiError) -> Result:
    if isinstance(error, NotFound):
        if isinstance(action, DELETES):
            return Result(OutcomeKind.DONE, gone=((resource.kind, name),))
        if not isinstance(action, CREATES):
            gone = ((resource.kind, name),)
            return Result(OutcomeKind.CONFLICT, error.reason, error.message, gone=gone)
    if isinstance(error, NotServed):
        # Not carried out, and no word about the object, which the cache keeps.
        return Result(OutcomeKind.UNKNOWN, error.reason, error.message)
    if isinstance(error, TooManyRequests):
        return Result(OutcomeKind.UNKNOWN, error.reason, error.message, retry_after=error.retry_after)
    if isinstance(error, (Conflict, AlreadyExists)):
        return await _after(context, resource, name, OutcomeKind.CONFLICT, error)
    if isinstance(error, MAYBE_DONE):
        return await _after(context, resource, name, OutcomeKind.UNKNOWN, error)
    going = isinstance(error, Forbidden) and error.namespace_terminating
    return Result(OutcomeKind.REFUSED, error.reason, error.message, namespace_terminating=going)


async def _after(context: Context, resource: Resource, name: str, kind: OutcomeKind, error: ApiError) -> Result:
    """Read the object once, if it is kept: what is there now is what the next decision needs."""
    if resource in UNKEPT:
        return Result(kind, error.reason, error.message)
    reading = await read(context.kube, resource, context.namespace, name)
    if reading.learned and isinstance(error, AlreadyExists) and _foreign(context, reading.learned[0][1]):
        message = f'{resource.kind} "{name}" exists and is not the operator\'s; delete or rename it'
        return Result(OutcomeKind.REFUSED, "NameConflict", message, reading.learned)
    doubt = resource if reading.failed else None
    return Result(kind, error.reason, error.message, reading.learned, reading.gone, doubt=doubt)


async def read(kube: Kube, resource: Resource, namespace: str, name: str) -> Reading:
    """Read one object, whether it is there or not."""
    try:
        found = await kube.get(resource, namespace, name)
    except NotFound:
        return Reading(gone=((resource.kind, name),))
    except (*MAYBE_DONE, NotServed, TooManyRequests):
        return Reading(failed=True)
    except ApiError:
        return Reading()  # It may not be read at all; the watch will tell.
    return Reading(learned=((resource.kind, found),))


def _foreign(context: Context, obj: Object) -> bool:
    labels = (obj.get("metadata") or {}).get("labels") or {}
    return labels.get(LABEL_ROLLOUT) != context.meta.name


def _family(context: Context, action: Action) -> tuple[Resource, Carrier]:
    resource, carrier = FAMILIES[type(action)]
    if resource is None:
        router, kind = context.routers.get(str(getattr(action, "router", ""))), str(getattr(action, "kind", ""))
        known = CONFIG_KINDS | HANDED_BACK
        resource = router.resource if router else known.get(kind, Resource("", "", "", kind))
    return resource, carrier
