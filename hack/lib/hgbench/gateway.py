"""Answers HTTPRoutes in a gateway's place, many at a time; kwok's stand-in, one by one, would be what is timed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from hack.lib.hgbench.client import Client, Json

ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
CONTROLLER = "headgate.dev/bench"
OFF = {"headgate.dev/stand-in": "off"}
"""The annotation by which a route says that kwok is not to answer it."""
AT_ONCE = 8


@contextlib.asynccontextmanager
async def answering(client: Client) -> AsyncIterator[None]:
    """Accept every generation of every route, for as long as it is needed."""
    queue: asyncio.Queue[Json] = asyncio.Queue()
    tasks = [asyncio.create_task(_answer(client, queue)) for _ in range(AT_ONCE)]
    tasks.append(asyncio.create_task(_watch(client, queue)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(client: Client, queue: asyncio.Queue[Json]) -> None:
    while True:
        listing = await client.get(ROUTES)
        for route in listing["items"]:
            _offer(queue, route)
        async for event in client.watch(ROUTES, listing["metadata"]["resourceVersion"]):
            if event["type"] == "ERROR":
                break
            if event["type"] != "DELETED":
                _offer(queue, event["object"])


def _offer(queue: asyncio.Queue[Json], route: Json) -> None:
    meta = route["metadata"]
    answered = [
        condition["observedGeneration"]
        for parent in (route.get("status") or {}).get("parents") or ()
        for condition in parent["conditions"]
    ]
    if (meta.get("annotations") or {}).items() >= OFF.items() and meta["generation"] not in answered:
        queue.put_nowait(route)


async def _answer(client: Client, queue: asyncio.Queue[Json]) -> None:
    while True:
        route = await queue.get()
        meta = route["metadata"]
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "no traffic flows",
                "observedGeneration": meta["generation"],
                "lastTransitionTime": now,
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [
            {"controllerName": CONTROLLER, "parentRef": parent, "conditions": conditions}
            for parent in route["spec"]["parentRefs"]
        ]
        path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{meta['namespace']}/httproutes/{meta['name']}/status"
        # A later generation comes with an event of its own; a route that is gone needs no answer.
        await client.try_patch(path, {"status": {"parents": parents}})
