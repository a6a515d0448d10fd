"""The API server in memory: requests in, answers out, by the rules of the real one as far as the operator meets them.

`tests/api/test_fake_api_server.py` sends the same requests here and to a real kube-apiserver and compares the answers.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jsonpatch
import orjson

from headgate.act.transport import Request, Response
from headgate.api.common import MANAGER
from headgate.api.values import dataclass
from tests.simulation.shell import answers
from tests.simulation.shell.answers import Refused
from tests.simulation.shell.kinds import BY_NAME, Where, taken_apart
from tests.simulation.shell.labels import BadSelector, selector
from tests.simulation.shell.schemas import schema_of
from tests.simulation.shell.store import Object, Store, copied, seconds_of
from tests.simulation.shell.streams import events_since

READ_ONLY = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
FINALIZER_OF = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, taken apart."""

    where: Where
    query: dict[str, str]
    body: Any
    content_type: str
    accept: str
    actor: str


def _manager(asked: _Asked) -> str:
    """The field manager: as the request says, or its user agent, which all processes of the operator share."""
    return asked.query.get("fieldManager") or (MANAGER if asked.actor.startswith("operator") else asked.actor)


class Server:
    """Answers requests on a store."""

    def __init__(self, store: Store, *, wall: Callable[[], float]) -> None:
        self.store = store
        self._wall = wall
        self._pages: dict[str, tuple[int, list[Object]]] = {}

    def send(self, request: Request, actor: str = "admin") -> Response:
        """Answer one request."""
        if taken_apart(request.path)[0] is None:
            return Response(404, b"404 page not found\n", float(math.floor(self._wall())))
        try:
            code, body = self._route(request, actor)
        except Refused as refused:
            code, body = refused.code, refused.body
        after = str((body.get("details") or {}).get("retryAfterSeconds") or "") if code >= 400 else ""
        return Response(code, orjson.dumps(body), float(math.floor(self._wall())), after)

    def watch(self, request: Request) -> tuple[int, list[Object]]:
        """The events that a watch is told until it ends, as far as they have happened."""
        place, query = taken_apart(request.path)
        if place is None:
            return 404, [answers.no_such_kind().body]
        version = query.get("resourceVersion", "")
        since = int(version) if version not in ("", "0") else None
        return 200, list(events_since(self.store, place, query.get("labelSelector", ""), since))

    def _route(self, request: Request, actor: str) -> tuple[int, Object]:
        place, query = taken_apart(request.path)
        assert place is not None
        try:
            body = orjson.loads(request.body) if request.body else None
        except orjson.JSONDecodeError as error:
            raise answers.bad_request(f"the body cannot be read: {error}") from None
        asked = _Asked(place, query, body, request.content_type, request.accept, actor)
        if not place.name:
            if request.method == "GET":
                return self._list(asked)
            if request.method == "POST":
                return self._create(asked)
        elif request.method == "POST" and (place.kind.kind, place.subresource) == ("Pod", "eviction"):
            return self._evict(asked)
        elif request.method in _VERBS:
            return _VERBS[request.method](self, asked)
        raise answers.method_not_allowed()

    # ---------------------------------------------------------------------------------------------- reading

    def _found(self, asked: _Asked) -> Object:
        place = asked.where
        if place.subresource not in ("", "status") and not place.kind.custom:
            raise answers.no_such_kind()
        if place.subresource and not (place.kind.status and place.subresource == "status"):
            raise answers.not_found(place.kind, place.name)
        found = self.store.get(place.kind, place.namespace, place.name)
        if found is None:
            raise answers.not_found(place.kind, place.name)
        return found

    def _get(self, asked: _Asked) -> tuple[int, Object]:
        return 200, self._found(asked)

    def _list(self, asked: _Asked) -> tuple[int, Object]:
        kind = asked.where.kind
        try:
            test = selector(asked.query.get("labelSelector", ""))
        except BadSelector as bad:
            raise answers.bad_request(f'unable to parse requirement: "{bad}"') from None
        token = asked.query.get("continue", "")
        if token:
            version, items = self._next_page(token)
        else:
            version = self.store.version
            items = [o for o in self.store.all(kind, asked.where.namespace) if test(o["metadata"].get("labels") or {})]
        meta: Object = {"resourceVersion": str(version)}
        limit = int(asked.query.get("limit") or 0)
        if limit and len(items) > limit:
            meta["continue"] = self._keep_page(version, items[limit:])
            if not asked.query.get("labelSelector"):
                meta["remainingItemCount"] = len(items) - limit
            items = items[:limit]
        if "as=PartialObjectMetadataList" in asked.accept:
            names = [_metadata_only(o) for o in items]
            listed = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
            return 200, listed | {"items": names}
        if not kind.custom:
            # The real one leaves out what the list says already; a custom kind's items are served as they are stored.
            items = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in items]
        return 200, {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}

    def _keep_page(self, version: int, rest: list[Object]) -> str:
        token = base64.urlsafe_b64encode(f"{version}/{len(self._pages)}".encode()).decode()
        self._pages[token] = (version, rest)
        return token

    def _next_page(self, token: str) -> tuple[int, list[Object]]:
        if token not in self._pages:
            raise answers.bad_request("continue key is not valid")
        version, rest = self._pages[token]
        if version < self.store.compacted:
            raise answers.expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                "list without the continue parameter."
            )
        return version, rest

    # ---------------------------------------------------------------------------------------------- writing

    def _create(self, asked: _Asked) -> tuple[int, Object]:
        kind, namespace = asked.where.kind, asked.where.namespace
        obj = _object(asked.body)
        meta = obj.setdefault("metadata", {})
        if kind.namespaced and not namespace:
            raise answers.method_not_allowed()
        self._fits(asked, obj)
        if kind.namespaced and meta.setdefault("namespace", namespace) != namespace:
            raise answers.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = f"{meta['generateName']}{self.store.version % 100000:05d}"
        name = str(meta.get("name") or "")
        if not name:
            raise answers.invalid(
                kind,
                "",
                "metadata.name",
                "Required value: name or generateName is required",
                reason="FieldValueRequired",
            )
        if meta.get("resourceVersion"):
            raise Refused(500, "", "resourceVersion should not be set on objects to be created")
        if kind.namespaced:
            self._may_create(asked, name)
        for field in READ_ONLY:
            meta.pop(field, None)
        if kind.status:
            obj.pop("status", None)
        if kind.kind == "Namespace":
            meta["labels"] = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": name}
            obj["status"] = {"phase": "Active"}
        self._valid(asked, obj, {})
        there = self.store.get(kind, namespace, name)
        if there is not None:
            raise answers.already_exists(kind, name, going=bool(there["metadata"].get("deletionTimestamp")))
        return 201, self.store.add(kind, obj, actor=asked.actor)

    def _may_create(self, asked: _Asked, name: str) -> None:
        space = self.store.get("Namespace", "", asked.where.namespace)
        if space is None:
            raise answers.not_found(BY_NAME["Namespace"], asked.where.namespace)
        if space["metadata"].get("deletionTimestamp"):
            raise answers.terminating(asked.where.kind, name, asked.where.namespace)

    def _put(self, asked: _Asked) -> tuple[int, Object]:
        before = self._found(asked)
        after = _object(asked.body)
        kind, meta = asked.where.kind, after.setdefault("metadata", {})
        if meta.get("name", asked.where.name) != asked.where.name:
            raise answers.bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL ({asked.where.name})"
            )
        meta["name"] = asked.where.name
        if not meta.get("resourceVersion") and kind.custom:
            raise answers.without_version(kind, asked.where.name)
        meta.setdefault("resourceVersion", before["metadata"]["resourceVersion"])
        meta.setdefault("uid", before["metadata"]["uid"])
        if kind.namespaced:
            meta.setdefault("namespace", asked.where.namespace)
        return self._update(asked, before, after)

    def _patch(self, asked: _Asked) -> tuple[int, Object]:
        before = self._found(asked)
        if asked.content_type == "application/json-patch+json":
            after = _json_patched(before, asked.body)
        elif asked.content_type == "application/merge-patch+json":
            after = merged(before, _object(asked.body))
        else:
            message = "the body of the request was in an unknown format - accepted media types include: json-patch"
            raise Refused(415, "UnsupportedMediaType", message)
        return self._update(asked, before, after)

    def _update(self, asked: _Asked, before: Object, after: Object) -> tuple[int, Object]:
        kind, name = asked.where.kind, asked.where.name
        old, new = before["metadata"], after["metadata"]
        self._fits(asked, after)
        if new.get("uid") != old["uid"]:
            raise answers.invalid(kind, name, "metadata.uid", "Invalid value: field is immutable")
        if new.get("resourceVersion") not in (None, "", old["resourceVersion"]):
            raise answers.conflict(kind, name)
        if (new.get("name"), new.get("namespace") or "") != (old["name"], old.get("namespace") or ""):
            raise answers.bad_request("the name or the namespace of an object cannot be changed")
        if asked.where.subresource == "status":
            after = {**before, "metadata": dict(old)} | ({"status": after["status"]} if "status" in after else {})
        elif kind.status:
            after = {k: v for k, v in after.items() if k != "status"}
            if "status" in before:
                after["status"] = before["status"]
        meta = after["metadata"] = dict(after["metadata"])
        for field in READ_ONLY:
            if field in old:
                meta[field] = old[field]
            else:
                meta.pop(field, None)
        meta["resourceVersion"] = old["resourceVersion"]
        self._valid(asked, after, before)
        self._finalizers(asked, old, meta)
        if kind.generation and asked.where.subresource != "status" and _specified(after) != _specified(before):
            meta["generation"] = old.get("generation", 0) + 1
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and old.get("finalizers"):
            # Watches are told the object as it was stored last; the answer has it as it would have been.
            last = self.store.remove(kind, before, actor=asked.actor)
            meta["resourceVersion"] = last["metadata"]["resourceVersion"]
            return 200, after
        return 200, self.store.replace(kind, after, actor=asked.actor, manager=_manager(asked))

    @staticmethod
    def _finalizers(asked: _Asked, old: Object, new: Object) -> None:
        for field in ("finalizers", "labels", "annotations", "ownerReferences"):
            if not new.get(field):
                new.pop(field, None)
        added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added and old.get("deletionTimestamp"):
            problem = (
                "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{', '.join(repr(f) for f in added)}}}"
            )
            raise answers.invalid(
                asked.where.kind, asked.where.name, "metadata.finalizers", problem, reason="FieldValueForbidden"
            )

    def _delete(self, asked: _Asked) -> tuple[int, Object]:
        if asked.where.subresource:
            raise answers.method_not_allowed()
        before = self._found(asked)
        kind, meta = asked.where.kind, before["metadata"]
        options = _object(asked.body) if asked.body else {}
        wanted = options.get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if wanted.get(field) and wanted[field] != meta[field]:
                raise answers.precondition(kind, asked.where.name, field, wanted[field], meta[field])
        policy = str(options.get("propagationPolicy") or asked.query.get("propagationPolicy") or "Background")
        finalizers = list(meta.get("finalizers") or ())
        if policy in FINALIZER_OF and FINALIZER_OF[policy] not in finalizers:
            finalizers.append(FINALIZER_OF[policy])
        if not finalizers and kind.kind != "Namespace":
            self.store.remove(kind, before, actor=asked.actor)
            details = {"name": meta["name"], **({"group": kind.group} if kind.group else {}), "kind": kind.plural}
            status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
            return 200, status | {"details": details | {"uid": meta["uid"]}}
        after = copied(before)
        going = after["metadata"]
        if finalizers:
            going["finalizers"] = finalizers
        if not going.get("deletionTimestamp"):
            going["deletionTimestamp"] = seconds_of(self._wall())
            if kind.kind == "Namespace":
                after["status"] = {"phase": "Terminating"}
            else:
                going["deletionGracePeriodSeconds"] = 0
            if kind.generation:
                going["generation"] = going.get("generation", 0) + 1
        return 200, self.store.replace(kind, after, actor=asked.actor, manager=_manager(asked))

    def _evict(self, asked: _Asked) -> tuple[int, Object]:
        """Delete a pod, if every budget of it allows that."""
        place, body = asked.where, _object(asked.body)
        pod = self.store.get(place.kind, place.namespace, place.name)
        if pod is None:
            raise answers.not_found(place.kind, place.name)
        wanted = ((body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")
        if wanted and wanted != pod["metadata"]["uid"]:
            raise answers.precondition(place.kind, place.name, "uid", wanted, pod["metadata"]["uid"])
        labels = pod["metadata"].get("labels") or {}
        serves = (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
        for budget in self.store.all("PodDisruptionBudget", place.namespace) if serves else ():
            if not (budget["spec"]["selector"].get("matchLabels") or {}).items() <= labels.items():
                continue
            if not (budget.get("status") or {}).get("disruptionsAllowed"):
                raise answers.disruption_refused(budget["metadata"]["name"])

            def count(fresh: Object) -> None:
                fresh["status"]["disruptionsAllowed"] -= 1

            self.store.change("PodDisruptionBudget", place.namespace, budget["metadata"]["name"], count, actor="server")
        if not pod["metadata"].get("deletionTimestamp"):
            going = copied(pod)
            going["metadata"]["deletionTimestamp"] = seconds_of(self._wall())
            self.store.replace(place.kind, going, actor=asked.actor)
        return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    @staticmethod
    def _fits(asked: _Asked, obj: Object) -> None:
        kind = asked.where.kind
        if kind.custom and not (obj.get("apiVersion") and obj.get("kind")):
            raise answers.bad_request("Object 'apiVersion' or 'Kind' is missing")
        said = (obj.setdefault("apiVersion", kind.api_version), obj.setdefault("kind", kind.kind))
        if said != (kind.api_version, kind.kind):
            raise answers.bad_request(
                f"the object provided is unrecognized (must be of type {kind.kind}): {said[0]}, Kind={said[1]}"
            )

    @staticmethod
    def _valid(asked: _Asked, obj: Object, before: Object) -> None:
        schema = schema_of(asked.where.kind.kind)
        problem = schema.admit(obj, before) if schema else ""
        if problem:
            field, _, text = problem.partition(": ")
            raise answers.invalid(asked.where.kind, obj["metadata"]["name"], field, text)


_VERBS: dict[str, Callable[[Server, _Asked], tuple[int, Object]]] = {
    "GET": Server._get,
    "PUT": Server._put,
    "PATCH": Server._patch,
    "DELETE": Server._delete,
}


def _object(body: Any) -> Object:
    if not isinstance(body, dict):
        raise answers.bad_request("the body is not an object")
    return body


def _metadata_only(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _specified(obj: Object) -> Object:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status")}


def _json_patched(before: Object, operations: Any) -> Object:
    if not isinstance(operations, list):
        raise answers.bad_request("the patch is not a list of operations")
    try:
        after, own = before, dict[int, Object]()
        for one in operations:
            after = _with_field(after, one, own) or jsonpatch.apply_patch(copied(after), [one], in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        raise answers.unfit_patch() from None
    return _object(after)


def _with_field(before: Object, operation: Any, own: dict[int, Object]) -> Object | None:
    """A field set in an object, which is most of what patches do, many times faster; None if it is anything else.

    What is in `own` was copied for an earlier operation of the same patch.
    """
    if not isinstance(operation, dict) or operation.get("op") not in ("add", "replace") or "value" not in operation:
        return None
    path = operation.get("path")
    if not isinstance(path, str) or not path.startswith("/"):
        return None
    *parents, last = _pointed(path)
    after = inner = _owned(before, own)
    for key in parents:
        found = inner.get(key)
        if not isinstance(found, dict):
            return None
        inner[key] = inner = _owned(found, own)
    if operation["op"] == "replace" and last not in inner:
        return None
    inner[last] = operation["value"]
    return after


@lru_cache(maxsize=4096)
def _pointed(path: str) -> list[str]:
    """The keys of a JSON pointer; not to be changed."""
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _owned(found: Object, own: dict[int, Object]) -> Object:
    if id(found) in own:
        return found
    fresh = dict(found)
    own[id(fresh)] = fresh
    return fresh


def merged(before: Object, patch: Object) -> Object:
    """A JSON merge patch (RFC 7386) applied."""
    after = dict(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict):
            inner = before.get(key)
            after[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            after[key] = value
    return after
