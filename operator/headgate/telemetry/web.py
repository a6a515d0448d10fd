"""Answers the kubelet and Prometheus: /healthz, /readyz and /metrics on one port."""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from headgate.telemetry.metrics import REGISTRY

__all__ = ["Problems", "application", "start"]

Problems = Callable[[], list[str]]
"""What is wrong, one sentence each; empty if nothing is. Called in the event loop: it looks at state, and waits for
nothing."""

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def application(*, health: Problems, ready: Problems, registry: CollectorRegistry = REGISTRY) -> web.Application:
    """The three pages.

    `health` has problems when a restart would help; `ready` has them while the caches are not yet filled. A replica
    that stands by is healthy and ready.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return _report(health())

    async def readyz(_request: web.Request) -> web.Response:
        return _report(ready())

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # Thousands of series take a tenth of a second to write out, in which the loop would decide nothing.
        body = await asyncio.to_thread(encode, registry)
        return web.Response(body=body, headers={**HEADERS, "Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


async def start(app: web.Application, *, port: int, host: str | None = None) -> web.AppRunner:
    """Serve until the runner's `cleanup()`; without a host on all addresses, as the kubelet and Prometheus need."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _report(problems: list[str]) -> web.Response:
    text = "".join(f"{problem}\n" for problem in problems) or "ok\n"
    return web.Response(status=503 if problems else 200, text=text, headers=HEADERS)
