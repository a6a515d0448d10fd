"""Plays the same requests to a real kube-apiserver and to the one in memory, and keeps what can be compared."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from headgate.act.transport import Request
from tests.simulation.shell.clock import VirtualLoop
from tests.simulation.shell.cluster import Cluster
from tests.simulation.shell.controllers import Collector, Namespaces

Json = dict[str, Any]
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
SECONDS = 60.0
INVALID = 422
ERRORS = 400

_TOKEN = re.compile(r"continue=[\w=-]+")
_VERSION = re.compile(r'(resourceVersion", "value": "|"resourceVersion": ")\d+')
_UID = re.compile(r'"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"')
_NUMBER = re.compile(r"\((\d+)\)")


class Api(Protocol):
    """An API server."""

    def send(self, method: str, path: str, body: bytes | None, content_type: str, accept: str) -> tuple[int, Json]:
        """Send one request; gives code and answer."""
        ...

    def watch(self, path: str) -> tuple[int, list[Json]]:
        """The events of a watch that ends soon."""
        ...

    def pause(self) -> None:
        """Let the controllers work for a moment."""
        ...


class RealApi:
    """By way of `kubectl proxy`."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, method: str, path: str, body: bytes | None, content_type: str, accept: str) -> tuple[int, Json]:
        """Send one request; gives code and answer."""
        code, data = self._request(method, path, body, {"Content-Type": content_type, "Accept": accept})
        try:
            return code, json.loads(data)
        except json.JSONDecodeError:
            return code, {"text": data.decode(errors="replace").strip()}

    def watch(self, path: str) -> tuple[int, list[Json]]:
        """The events of a watch that ends soon."""
        code, data = self._request("GET", f"{path}&timeoutSeconds=3", None, {"Accept": JSON})
        events = [json.loads(line) for line in data.splitlines()]
        # A controller puts it into each new namespace, in its own time.
        return code, [e for e in events if e["object"].get("metadata", {}).get("name") != "kube-root-ca.crt"]

    def pause(self) -> None:
        """Let the controllers work for a moment."""
        time.sleep(0.2)

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class FakeApi:
    """The server in memory, with its garbage collector."""

    def __init__(self) -> None:
        self._loop = VirtualLoop()
        self.cluster = Cluster(self._loop, 1)
        for controller in (Collector, Namespaces):
            controller(self.cluster)

    def send(self, method: str, path: str, body: bytes | None, content_type: str, accept: str) -> tuple[int, Json]:
        """Send one request; gives code and answer."""
        found = self.cluster.server.send(Request(method, path, body, content_type=content_type, accept=accept))
        try:
            answer: Json = orjson.loads(found.body)
        except orjson.JSONDecodeError:
            answer = {"text": found.body.decode().strip()}
        return found.code, answer

    def watch(self, path: str) -> tuple[int, list[Json]]:
        """The events of a watch that ends soon."""
        code, events = self.cluster.server.watch(Request("GET", path))
        return code, orjson.loads(orjson.dumps(events))

    def pause(self) -> None:
        """Let the controllers work for a moment."""
        self._loop.run_until_complete(asyncio.sleep(0.2))

    def close(self) -> None:
        """End the loop."""
        self._loop.close()


class Session:
    """Plays requests, and notes what both servers must agree on."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self.namespace = namespace
        self.notes: list[str] = []
        self._uids: dict[str, str] = {}

    # ---------------------------------------------------------------------------------------------- requests

    def send(self, method: str, path: str, body: Any = None, kind: str = JSON, accept: str = JSON) -> Json:
        """Send a request and note the answer."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        code, answer = self._api.send(method, path, data, kind, accept)
        asked = _TOKEN.sub("continue=TOKEN", f"{method} {path} {_short(body)}")
        self.notes.append(f"{asked} -> {code} {_text(self._shown(code, answer))}")
        return answer

    def get(self, path: str, **more: str) -> Json:
        """Read."""
        return self.send("GET", path, **more)

    def create(self, path: str, body: Any) -> Json:
        """Create."""
        return self.send("POST", path, body)

    def json_patch(self, path: str, *operations: Json) -> Json:
        """Change by a JSON patch."""
        return self.send("PATCH", path, list(operations), JSON_PATCH)

    def merge(self, path: str, patch: Json) -> Json:
        """Change by a merge patch."""
        return self.send("PATCH", path, patch, MERGE)

    def delete(self, path: str, **options: Any) -> Json:
        """Delete."""
        return self.send("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None)

    def watch(self, path: str, since: str, labels: str = "") -> None:
        """Watch for a moment and note what was told."""
        selector = f"&labelSelector={labels}" if labels else ""
        code, events = self._api.watch(f"{path}?watch=true&resourceVersion={since}{selector}")
        told = [[e["type"], self._shown(e["object"].get("code", code), e["object"])] for e in events]
        self.notes.append(f"watch {path} {labels} -> {code} {_text(told)}")

    def until(self, path: str, holds: Callable[[int, Json], bool], what: str) -> None:
        """Wait until an answer is as it should become, whoever makes it so."""
        end = time.monotonic() + SECONDS
        while True:
            code, answer = self._api.send("GET", path, None, JSON, JSON)
            if holds(code, answer):
                self.notes.append(f"at last {path}: {what}")
                return
            assert time.monotonic() < end, f"{type(self._api).__name__}: not {what}: {path} gives {code} {answer}"
            self._api.pause()

    def note(self, what: str, value: object) -> None:
        """Note something that follows from the answers."""
        self.notes.append(f"{what}: {value}")

    # ---------------------------------------------------------------------------------------------- comparing

    def _shown(self, code: int, answer: Json) -> Any:
        if code >= ERRORS:
            return _problem(answer, self._anonymous)
        if answer.get("kind") == "Status":
            return {"status": answer.get("status"), "details": _named(answer.get("details") or {})}
        if "items" in answer:
            meta = answer["metadata"]
            shown = {
                "kind": answer["kind"],
                "apiVersion": answer["apiVersion"],
                "more": bool(meta.get("continue")),
                "remaining": meta.get("remainingItemCount"),
                "version": bool(meta.get("resourceVersion")),
            }
            return shown | {"items": [self._object(i) for i in answer["items"]]}
        return self._object(answer)

    def _object(self, obj: Json) -> Json:
        meta = obj.get("metadata") or {}
        kept = {
            k: meta[k] for k in ("name", "namespace", "labels", "annotations", "finalizers", "generation") if k in meta
        }
        kept |= {k: True for k in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp") if k in meta}
        owners = [(o["kind"], o["name"]) for o in meta.get("ownerReferences") or ()]
        body: Json = {k: obj[k] for k in ("kind", "apiVersion", "data", "status") if k in obj}
        if obj.get("kind") in ("Rollout", "QualityGate", "Lease"):
            body["spec"] = _without_times(obj.get("spec"))
        return {"metadata": kept | ({"owners": owners} if owners else {}), **body}

    def _anonymous(self, text: str) -> str:
        return text.replace(self.namespace, "NAMESPACE")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(body: Any) -> str:
    """A body without what is different each time."""
    text = body.decode() if isinstance(body, bytes) else _text(body) if body is not None else ""
    return _UID.sub('"UID"', _VERSION.sub(r"\1VERSION", text))[:100]


def _named(details: Json) -> Json:
    return {k: details[k] for k in ("name", "group", "kind") if details.get(k)}


def _problem(answer: Json, anonymous: Callable[[str], str]) -> Json:
    details = answer.get("details") or {}
    # Of a 422 the operator needs no more than that there are details at all.
    causes = [(c.get("reason"), c.get("field")) for c in details.get("causes") or () if answer.get("code") != INVALID]
    shown = {"reason": answer.get("reason"), "code": answer.get("code"), "details": _named(details)}
    if answer.get("reason") in ("NotFound", "AlreadyExists", "Conflict") and "UID" not in str(answer.get("message")):
        shown["message"] = _NUMBER.sub("(VERSION)", anonymous(str(answer.get("message"))))
    return shown | ({"causes": causes} if causes else {})


def _without_times(spec: Any) -> Any:
    return {k: v for k, v in spec.items() if k not in ("renewTime", "acquireTime")} if isinstance(spec, dict) else spec
