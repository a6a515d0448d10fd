"""What passes the proxy, as values: the operator's requests, and the lines of its watch streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

Json = dict[str, Any]
WRITES = frozenset({"create", "update", "patch", "delete"})
BESIDE = frozenset({"leases", "events"})
"""Written by the operator and no part of what it does to a Rollout."""
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(slots=True)
class Call:
    """One request of the operator, and what became of it."""

    number: int
    at: float
    """Monotonic."""
    method: str
    target: str
    """Path and query."""
    verb: str
    resource: str = ""
    """Plural; empty for discovery and the like."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    code: int = 0
    """What the operator was answered; 0 for nothing."""
    applied: bool = False
    """Whether the server carried it out."""
    fault: str = ""
    """What was injected."""
    ended: float = 0.0
    version: int = 0
    """The resourceVersion that a write made; 0 if the answer told none, as with most deletions."""

    @property
    def effective(self) -> bool:
        """Whether it changes something that belongs to a Rollout."""
        return self.verb in WRITES and self.resource not in BESIDE

    @property
    def what(self) -> str:
        """`patch httproutes/shop`, `list services`; the query aside."""
        name = f"{self.resource}/{self.name or self.body_name}".rstrip("/")
        return f"{self.verb} {name}" + (f"/{self.subresource}" if self.subresource else "")

    @property
    def body_name(self) -> str:
        """The name of what is to be created."""
        if self.verb != "create" or not self.body:
            return ""
        found = orjson.loads(self.body)
        return str((found.get("metadata") or {}).get("name") or "") if isinstance(found, dict) else ""


@dataclass(slots=True)
class Line:
    """One line of a watch stream."""

    at: float
    resource: str
    type: str
    namespace: str
    name: str
    version: int
    raw: bytes = field(repr=False)
    delivered: float = 0.0
    """When it was handed to the operator; 0 for never."""


def call_of(number: int, at: float, method: str, target: str, body: bytes) -> Call:
    """Read a request as the API server does."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    call = Call(number, at, method, target, VERBS.get(method, "get"), query=query, body=body)
    words = parts.path.strip("/").split("/")
    start = {"api": 2, "apis": 3}.get(words[0], 0)
    rest = words[start:] if start else []
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        call.namespace, rest = rest[1], rest[2:]
    if rest:
        call.resource = rest[0]
        call.name = rest[1] if len(rest) > 1 else ""
        call.subresource = rest[2] if len(rest) > 2 else ""
        if call.verb == "get" and not call.name:
            call.verb = "watch" if query.get("watch") in ("true", "1") else "list"
    return call


def version_of(body: bytes) -> int:
    """The resourceVersion of an object that was answered; 0 if it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return 0
    meta = found.get("metadata") if isinstance(found, dict) else None
    return int((meta or {}).get("resourceVersion") or 0)


def line_of(at: float, resource: str, raw: bytes) -> Line:
    """Read a line of a stream; one that cannot be read has the type `?`."""
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Line(at, resource, "?", "", "", 0, raw)
    meta = (event.get("object") or {}).get("metadata") or {}
    return Line(
        at,
        resource,
        str(event.get("type") or "?"),
        str(meta.get("namespace") or ""),
        str(meta.get("name") or ""),
        int(meta.get("resourceVersion") or 0),
        raw,
    )


def error_body(code: int, reason: str, message: str, **details: Any) -> Json:
    """A Status as the API server answers it."""
    body: Json = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return body | ({"details": details} if details else {})
