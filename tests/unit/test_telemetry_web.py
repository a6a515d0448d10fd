"""The pages for the kubelet and Prometheus."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headgate.telemetry import web


@pytest.fixture
def problems() -> dict[str, list[str]]:
    """What the two probes find, to be changed by a test."""
    return {"health": [], "ready": []}


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry with one series."""
    registry = CollectorRegistry()
    Gauge("water_level", "How high it stands.", registry=registry).set(7)
    return registry


@pytest.fixture
async def client(
    problems: dict[str, list[str]], registry: CollectorRegistry
) -> AsyncIterator[TestClient[aiohttp.web.Request, aiohttp.web.Application]]:
    """A client of the running application."""
    app = web.application(health=lambda: problems["health"], ready=lambda: problems["ready"], registry=registry)
    async with TestClient(TestServer(app)) as client:
        yield client


Client = TestClient[aiohttp.web.Request, aiohttp.web.Application]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_no_problem_is_ok(client: Client, path: str) -> None:
    """A probe without problems answers 200."""
    answer = await client.get(path)

    assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_problems_are_named_to_who_asks(client: Client, problems: dict[str, list[str]]) -> None:
    """A probe with problems answers 503 and says them, one on a line; the other probe is not touched."""
    problems["ready"] = ["Rollouts are not listed yet", "Services are not listed yet"]

    ready = await client.get("/readyz")

    assert (ready.status, await ready.text()) == (503, "Rollouts are not listed yet\nServices are not listed yet\n")
    assert (await client.get("/healthz")).status == 200


async def test_metrics_are_in_the_text_format(client: Client) -> None:
    """Without a wish of the client's, /metrics is the plain text format."""
    answer = await client.get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "water_level 7.0" in await answer.text()


async def test_metrics_follow_the_wish_for_openmetrics(client: Client) -> None:
    """Prometheus asks for OpenMetrics and gets it."""
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert (await answer.text()).endswith("# EOF\n")


async def test_metrics_do_not_stop_the_loop(client: Client, registry: CollectorRegistry) -> None:
    """While a slow exposition runs, the loop answers others: it runs in a thread."""
    asked, release = threading.Event(), threading.Event()

    class Slow(Collector):
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> Iterator[Metric]:
            asked.set()
            release.wait(10)
            yield GaugeMetricFamily("slow", "Slow.", value=1)

    registry.register(Slow())
    scrape = asyncio.create_task(client.get("/metrics").__aenter__())
    await asyncio.to_thread(asked.wait, 10)

    assert (await client.get("/healthz")).status == 200

    release.set()
    assert "slow 1.0" in await (await scrape).text()


async def test_answers_are_not_cached(client: Client) -> None:
    """A proxy between must not keep an old answer of a probe."""
    assert (await client.get("/healthz")).headers["Cache-Control"] == "no-store"


async def test_server_starts_on_a_port_and_gives_it_back() -> None:
    """`start` serves until `cleanup`; a second server on the same port is refused while it does."""
    app = web.application(health=list, ready=list)
    runner = await web.start(app, host="127.0.0.1", port=0)
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        with pytest.raises(OSError, match="address already in use"):
            await web.start(web.application(health=list, ready=list), host="127.0.0.1", port=port)
    finally:
        await runner.cleanup()
