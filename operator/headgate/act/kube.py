"""The API server in nine verbs over plain dictionaries: every call with a timeout, every failure one of `errors`.

Optimistic locking is a JSON patch that *replaces* `/metadata/resourceVersion` by the one that the decision saw: the
server then answers a stale one with 409 before it looks at anything else. A failed `test` operation would be a bare
422, hard to tell from a refusal.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from headgate.act.errors import HTTP_ERRORS, ApiError, Unavailable, error_of
from headgate.act.resources import path
from headgate.act.transport import TOTAL_SECONDS, Request, Response, Transport
from headgate.api.values import dataclass
from headgate.traffic.protocol import Resource

Object = dict[str, Any]
Patch = Sequence[Mapping[str, Any]]

PAGE = 500
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Call:
    """One finished request, for clock and metrics."""

    method: str
    plural: str
    code: int
    """0 if there was no answer."""
    began: float
    """Monotonic."""
    ended: float
    date: float | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A finished list."""

    resource_version: str
    items: list[Object]


Observer = Callable[[Call], None]


class Kube:
    """The API server."""

    def __init__(self, transport: Transport, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._monotonic = monotonic
        self.observers: list[Observer] = []

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, seconds: float = TOTAL_SECONDS
    ) -> Object:
        """One object.

        Raises:
            ApiError: if it cannot be had.
        """
        return await self._call(resource, Request("GET", path(resource, namespace, name), timeout=seconds))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        limit: int = 0,
    ) -> Listing:
        """All objects (or the first `limit`), page by page.

        Raises:
            ApiError: if any page cannot be had.
        """
        items: list[Object] = []
        version = ""
        async for page in self._pages(resource, namespace, labels, METADATA_ONLY if metadata_only else "", limit):
            items += page.get("items") or []
            version = str((page.get("metadata") or {}).get("resourceVersion") or version)
        return Listing(version, items)

    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Mapping[str, Any],
        *,
        name: str = "",
        subresource: str = "",
        seconds: float = TOTAL_SECONDS,
    ) -> Object:
        """Create an object, or of the object `name` what a subresource takes.

        Raises:
            ApiError: if it was not created, or nobody knows.
        """
        where = path(resource, namespace, name or None, subresource)
        request = Request("POST", where, orjson.dumps(body), timeout=seconds)
        return await self._call(resource, request)

    async def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Patch,
        *,
        resource_version: str = "",
        subresource: str = "",
        manager: str = "",
        seconds: float = TOTAL_SECONDS,
    ) -> Object:
        """Change an object, if it still has this resourceVersion (without one, in any case).

        Raises:
            ApiError: if it was not changed, or nobody knows; Conflict if it is not as expected.
        """
        operations = list(patch)
        if resource_version:
            operations.insert(0, {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version})
        where = path(resource, namespace, name, subresource)
        if manager:
            where += f"?{urlencode({'fieldManager': manager})}"
        return await self._call(
            resource, Request("PATCH", where, orjson.dumps(operations), content_type=JSON_PATCH, timeout=seconds)
        )

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str = "",
        seconds: float = TOTAL_SECONDS,
    ) -> Object:
        """Change an object by a merge patch; `metadata.resourceVersion` in it is the condition.

        Raises:
            ApiError: if it was not changed, or nobody knows.
        """
        where = path(resource, namespace, name, subresource)
        return await self._call(
            resource, Request("PATCH", where, orjson.dumps(patch), content_type=MERGE_PATCH, timeout=seconds)
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        seconds: float = TOTAL_SECONDS,
    ) -> Object:
        """Delete an object in the background, if it is still this one.

        Raises:
            ApiError: if it was not deleted, or nobody knows.
        """
        conditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": conditions,
        }
        request = Request("DELETE", path(resource, namespace, name), orjson.dumps(body), timeout=seconds)
        return await self._call(resource, request)

    async def _pages(
        self, resource: Resource, namespace: str | None, labels: str, accept: str, limit: int
    ) -> AsyncIterator[Object]:
        token = ""
        while True:
            query = {"limit": str(limit or PAGE)}
            if labels:
                query["labelSelector"] = labels
            if token:
                query["continue"] = token
            request = Request(
                "GET", f"{path(resource, namespace)}?{urlencode(query)}", accept=accept or "application/json"
            )
            page = await self._call(resource, request)
            yield page
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token or limit:
                return

    async def _call(self, resource: Resource, request: Request) -> Object:
        began = self._monotonic()
        response = Response(0)
        try:
            response = await self._transport.send(request)
        finally:
            call = Call(request.method, resource.plural, response.code, began, self._monotonic(), response.date)
            for observer in self.observers:
                observer(call)
        body = _parse(response)
        if response.code >= HTTP_ERRORS:
            raise error_of(response.code, body, creating=request.method == "POST", retry_after=response.retry_after)
        if not isinstance(body, dict):
            raise Unavailable("the answer is not an object", code=response.code)
        return body


def _parse(response: Response) -> Any:
    try:
        return orjson.loads(response.body)
    except orjson.JSONDecodeError:
        pass
    try:
        # The server takes objects nested ten times deeper than that parser. One such object in a list must not keep
        # the whole list from being read: whoever may create one could stop the operator for everybody.
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None


__all__ = ["ApiError", "Call", "Kube", "Listing", "Object"]
