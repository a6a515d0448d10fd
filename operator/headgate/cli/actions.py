"""Acts on a release for a person: builds the RolloutAction for what they saw, creates it, waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

from headgate.api import ROLLOUT, ROLLOUT_ACTION
from headgate.api.actions import Verb
from headgate.api.rollout import RejectedRevision
from headgate.cli.client import Client, Gone, Json, path_of
from headgate.cli.errors import ApiError, CliError, Exit, does_not_exist
from headgate.cli.text import clean, span
from headgate.cli.view import RolloutView
from headgate.decide.revision import revision_of

NOT_FOUND = 404
RETRY_AFTER = 1.0


@dataclass(frozen=True)
class Seen:
    """The revision and attempt that the person saw; a newer one makes the action stale."""

    pod_hash: str
    attempt: int


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    verb: Verb
    reason: str = ""
    revision: str | None = None
    attempt: int | None = None
    to_revision: str | None = None


@dataclass(frozen=True)
class Reply:
    """What the operator answered."""

    accepted: bool
    message: str


def seen(rollout: RolloutView, request: Request, wanted: str = "") -> Seen:
    """What the action is about: what the person named, else what is current (for retry: what was taken back).

    `wanted` is the full revision of the present template, where it could be read.

    Raises:
        CliError: if what the person named is not there any more, or there is nothing to act on.
    """
    if request.revision and request.attempt:
        # Both are named: a script has looked before and the operator alone says whether it still holds.
        return Seen(request.revision, request.attempt)
    now = _taken_back(rollout, wanted) if request.verb == "retry" else _current(rollout)
    if request.revision and request.revision != now.pod_hash:
        raise CliError(
            f"{request.verb} names revision {clean(request.revision)}, now it is {clean(now.pod_hash)} attempt "
            f"{now.attempt}; look again with `headgate status {rollout.name} -n {rollout.namespace}`"
        )
    return Seen(now.pod_hash, request.attempt or now.attempt)


def _current(rollout: RolloutView) -> Seen:
    current = rollout.status.current or rollout.status.stable
    if current is None:
        raise CliError(f"Rollout {rollout.name} has no revision yet, so there is nothing to act on; wait until it has")
    return Seen(current.pod_hash, current.attempt)


def _taken_back(rollout: RolloutView, wanted: str) -> Seen:
    def is_wanted(item: RejectedRevision) -> bool:
        return item.revision == wanted

    rejected = rollout.status.rejected
    record = next(filter(is_wanted, reversed(rejected)), None) or max(rejected, key=lambda r: r.at, default=None)
    if record is None:
        raise CliError(f"no revision of Rollout {rollout.name} was taken back, so there is nothing to retry")
    return Seen(record.pod_hash, record.attempt)


def action_object(rollout: RolloutView, request: Request, about: Seen, author: str) -> Json:
    """The RolloutAction to create. It belongs to the Rollout, and goes when that goes."""
    spec: Json = {
        "rollout": rollout.name,
        "verb": request.verb,
        "revision": about.pod_hash,
        "attempt": about.attempt,
        "author": author,
    }
    if request.reason:
        spec["reason"] = request.reason
    if request.to_revision:
        spec["toRevision"] = request.to_revision
    return {
        "apiVersion": ROLLOUT_ACTION.api_version,
        "kind": ROLLOUT_ACTION.kind,
        "metadata": {
            "generateName": f"{rollout.name}-{request.verb}-",
            "namespace": rollout.namespace,
            "ownerReferences": [
                {
                    "apiVersion": ROLLOUT.api_version,
                    "kind": ROLLOUT.kind,
                    "name": rollout.name,
                    "uid": rollout.uid,
                    "controller": False,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": spec,
    }


async def rollout_named(client: Client, name: str) -> Json:
    """The raw Rollout of this name."""
    try:
        return await client.get(path_of(ROLLOUT, client.namespace, name))
    except ApiError as error:
        if not error.named:
            raise
        raise does_not_exist(client.namespace, name) from error


async def who_am_i(client: Client) -> str:
    """The user name that the API server sees."""
    try:
        answer = await client.create(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        raise CliError("this API server cannot say who you are; it needs Kubernetes 1.28 or later") from error
    return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")


async def wanted_revision(client: Client, raw: Json) -> str:
    """The full revision of the template that the Rollout wants; empty if it may not be read."""
    spec: Json = raw.get("spec") or {}
    template: Any = spec.get("template")
    reference = spec.get("workloadRef")
    # What a DaemonSet is to run stands in its Rollout.
    if reference and reference.get("kind") != "DaemonSet":
        namespace = raw["metadata"]["namespace"]
        plural = f"{reference.get('kind', 'Deployment').lower()}s"
        try:
            found = await client.get(f"/apis/apps/v1/namespaces/{namespace}/{plural}/{reference.get('name')}")
        except ApiError:
            return ""
        template = found["spec"].get("template")
    return revision_of(template) if isinstance(template, dict) else ""


async def create(client: Client, namespace: str, body: Json) -> Json:
    """Create the action. What is wrong with it is the API server's to say."""
    return await client.create(path_of(ROLLOUT_ACTION, namespace), body)


async def answer_to(client: Client, created: Json, patience: float) -> Reply:
    """Wait for the operator's answer to an action.

    Raises:
        CliError: if nothing answers in time.
    """
    metadata = created["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    try:
        async with asyncio.timeout(patience):
            return await _follow(client, namespace, name, str(metadata["resourceVersion"]))
    except TimeoutError as error:
        raise CliError(
            f"nothing answered {name} within {span(patience)}; is the operator running? It may still be taken: "
            f"`kubectl get rolloutaction {name} -n {namespace}` shows it, deleting it takes it back",
            Exit.UNANSWERED,
        ) from error
    except ApiError as error:
        raise CliError(
            f"{name} was created, but its answer cannot be read: {error.message}", Exit.UNANSWERED
        ) from error


async def _follow(client: Client, namespace: str, name: str, version: str) -> Reply:
    path = path_of(ROLLOUT_ACTION, namespace)
    while True:
        # A gateway or a restarting API server cuts watches; what counts is whether an answer comes in time.
        with _interruptions():
            if reply := await _next_reply(client, path, name, version):
                return reply
        with _interruptions():
            obj = await client.get(f"{path}/{name}")
            version = str(obj["metadata"]["resourceVersion"])
            if reply := reply_of(obj):
                return reply
        await asyncio.sleep(RETRY_AFTER)


async def _next_reply(client: Client, path: str, name: str, version: str) -> Reply | None:
    async with aclosing(client.watch(path, {"fieldSelector": f"metadata.name={name}"}, version)) as events:
        async for kind, obj in events:
            if kind == "DELETED":
                raise CliError(f"{name} was deleted before its answer was seen; `headgate status` says what happened")
            if kind != "BOOKMARK" and (reply := reply_of(obj)):
                return reply
    return None


@contextmanager
def _interruptions() -> Iterator[None]:
    try:
        yield
    except Gone:
        pass
    except CliError as error:
        if error.code is not Exit.UNREACHABLE:
            raise


def reply_of(action: Json) -> Reply | None:
    """The operator's answer, once there is one."""
    status = action.get("status") or {}
    if status.get("phase") not in {"Accepted", "Refused"}:
        return None
    return Reply(status["phase"] == "Accepted", clean(status.get("message")))
