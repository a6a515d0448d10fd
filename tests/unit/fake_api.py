"""An API server in memory, small: objects with resourceVersions, patches with conditions, and faults to order."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jsonpatch
import orjson

from headgate.act.transport import Request, Response

Object = dict[str, Any]
Fault = Callable[[], Response | None]
"""Gives the answer instead of the server, raises, or gives None to let the request through."""


def copied(obj: Object) -> Object:
    """An object of its own with the same content, however odd; many times faster than `copy.deepcopy`."""
    fresh: Object = pickle.loads(pickle.dumps(obj))  # noqa: S301  our own, just written
    return fresh


@dataclass
class FakeAPI:
    """A `Transport` that is the server itself."""

    objects: dict[str, Object] = field(default_factory=dict)
    """By path."""
    log: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    faults: list[tuple[str, str, Fault]] = field(default_factory=list)
    """Method, part of the path, fault; each is used once."""
    version: int = 100
    date: float | None = None

    async def send(self, request: Request) -> Response:
        """Answer as a server would."""
        path = urlsplit(request.path).path
        self.log.append((request.method, path))
        for fault in self.faults:
            method, part, answer = fault
            if method == request.method and part in path:
                self.faults.remove(fault)
                given = answer()
                if given is not None:
                    return given
                break
        body = orjson.loads(request.body) if request.body else None
        code, answered = getattr(self, f"_{request.method.lower()}")(path, body)
        return Response(code, orjson.dumps(answered), self.date)

    async def close(self) -> None:
        """Nothing to close."""

    def put(self, path: str, obj: Object) -> Object:
        """Store an object as somebody else would."""
        self.version += 1
        kept = copied(obj)
        meta = kept.setdefault("metadata", {})
        parts = path.split("/")
        meta.setdefault("name", parts[-1])
        if "namespaces" in parts:
            meta.setdefault("namespace", parts[parts.index("namespaces") + 1])
        meta.setdefault("uid", f"uid-{self.version}")
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        meta["resourceVersion"] = str(self.version)
        self.objects[path] = kept
        return copied(kept)

    def written(self, part: str = "") -> list[tuple[str, str]]:
        """The requests that write, to paths with this part."""
        return [(m, p) for m, p in self.log if m != "GET" and part in p]

    def fail(self, method: str, part: str, fault: Fault | Exception | tuple[int, str]) -> None:
        """Order a fault for the next such request."""

        def answer() -> Response | None:
            if isinstance(fault, Exception):
                raise fault
            if isinstance(fault, tuple):
                code, reason = fault
                return Response(code, orjson.dumps({"kind": "Status", "reason": reason, "details": {"name": "x"}}))
            return fault()

        self.faults.append((method, part, answer))

    def _get(self, path: str, _body: Any) -> tuple[int, Object | None]:
        if path in self.objects:
            return 200, self.objects[path]
        if _names(path):
            return _absent(path)
        items = [o for p, o in self.objects.items() if p.rpartition("/")[0] == path]
        if not items and path.endswith("/httproutes"):
            return 404, None  # Its definition is installed with the first object.
        return 200, {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def _post(self, path: str, body: Any) -> tuple[int, Object]:
        where = f"{path}/{body['metadata']['name']}"
        if where in self.objects:
            return 409, {"kind": "Status", "reason": "AlreadyExists", "message": "already exists"}
        return 201, self.put(where, body)

    def _patch(self, path: str, body: Any) -> tuple[int, Object]:
        where = path.removesuffix("/status")
        if where not in self.objects:
            return _absent(path)
        before = self.objects[where]
        if not isinstance(body, list):
            return 200, self.put(where, before | body)
        after = jsonpatch.apply_patch(copied(before), body, in_place=True)
        if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            return 409, {"kind": "Status", "reason": "Conflict", "message": "the object has been modified"}
        return 200, self.put(where, after)

    def _delete(self, path: str, body: Any) -> tuple[int, Object]:
        before = self.objects.get(path)
        if before is None:
            return _absent(path)
        wanted = (body or {}).get("preconditions") or {}
        if any(before["metadata"].get(k) != v for k, v in wanted.items()):
            return 409, {"kind": "Status", "reason": "Conflict", "message": "precondition"}
        del self.objects[path]
        return 200, {"kind": "Status", "status": "Success"}


def unserved() -> Response:
    """What a server answers for a kind that it does not know."""
    return Response(404, b"404 page not found\n")


def _names(path: str) -> bool:
    """Whether a path is that of one object, and not of a list."""
    parts = path.strip("/").split("/")
    start = {"api": 2, "apis": 3}[parts[0]]
    rest = parts[start + 2 :] if parts[start] == "namespaces" and len(parts) > start + 2 else parts[start:]
    return len(rest) > 1


def _absent(path: str) -> tuple[int, Object]:
    name = path.removesuffix("/status").rpartition("/")[2]
    return 404, {"kind": "Status", "reason": "NotFound", "message": "not found", "details": {"name": name}}
