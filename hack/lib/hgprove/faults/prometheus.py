"""A metric provider that answers by canary Service what a scenario put there; no value, no series."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import AsyncIterator

from aiohttp import web

TEMPLATE = 'sum(errors{service="{{canaryService}}"})'


@contextlib.asynccontextmanager
async def provider(answers: dict[str, float | None], port: int = 0) -> AsyncIterator[str]:
    """Serve, on a free port unless one is named; gives the address."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        fields = await request.post()
        found = re.search(r'service="([^"]*)"', str(fields.get("query") or request.query.get("query") or ""))
        value = answers.get(found[1]) if found else None
        result = [] if value is None else [{"metric": {}, "value": [time.time(), str(value)]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
