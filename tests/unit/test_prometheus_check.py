"""The Prometheus provider against a server on loopback that says everything a server can say."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.api.config import MetricProvider, OperatorConfig
from headgate.checks.http import code_of
from headgate.checks.prometheus import THREADS, PrometheusProvider
from headgate.checks.reading import MalformedResult, read_instant, read_range
from headgate.checks.registry import providers_of
from headgate.decide.types import Answer, Question, RenderedQuery
from tests.unit.certificate import self_signed, served_with

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
MARKER = "s3cret-marker"


class Double:
    """A server that does to each request what the test says."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = answering({"resultType": "vector", "result": []})
        self.requests: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        self.address = ""
        self.serving: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection."""
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            url = urlsplit(head[0].split(" ")[1])
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
            self.requests.append((url.path, parse_qs(url.query), headers))
            await self.behaviour(writer)
            await writer.drain()
        writer.close()

    async def stop(self) -> None:
        """Leave nobody waiting."""
        for task in self.serving:
            if task is not None:
                task.cancel()
        await asyncio.sleep(0.01)


@pytest.fixture
async def double() -> AsyncIterator[Double]:
    """A server on a free port of loopback."""
    double = Double()
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0)
    double.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield double
    server.close()
    await double.stop()


@pytest.fixture
async def provider(double: Double) -> AsyncIterator[PrometheusProvider]:
    """A provider for that server."""
    provider = PrometheusProvider(MetricProvider(address=double.address))
    yield provider
    await provider.close()


def raw(status: str, body: bytes = b"", *headers: str) -> Behaviour:
    """Answer with exactly this."""

    async def behaviour(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    return behaviour


def answering(data: Any) -> Behaviour:
    """Answer as Prometheus does, with this data."""
    return raw("200 OK", json.dumps({"status": "success", "data": data}).encode(), "Content-Type: application/json")


def vector(*values: str) -> Behaviour:
    """Answer with one series per value."""
    result = [{"metric": {"pod": str(index)}, "value": [1800000000.1, value]} for index, value in enumerate(values)]
    return answering({"resultType": "vector", "result": result})


def matrix(*values: str, age: float = 0.0) -> Behaviour:
    """Answer with one series of these points, the newest so old."""

    async def behaviour(writer: asyncio.StreamWriter) -> None:
        now = time.time() - age
        points = [[now - (len(values) - index) * 15, value] for index, value in enumerate(values)]
        await answering({"resultType": "matrix", "result": [{"metric": {}, "values": points}]})(writer)

    return behaviour


def question(timeout: float = 5.0, *, sample: bool = False, **query: Any) -> Question:
    """A question with this timeout."""
    made = RenderedQuery("up", **query)
    return Question("key", 3, "default", made, made if sample else None, timeout)


def code(answer: Answer) -> str:
    """The code of an answer without a number."""
    assert answer.value is None
    return answer.error or answer.no_data


# --------------------------------------------------------------------------------------------------------------------
# What Prometheus answers
# --------------------------------------------------------------------------------------------------------------------


async def test_one_series_is_the_number(double: Double, provider: PrometheusProvider) -> None:
    """An instant query with one series; the answer says which question it belongs to."""
    double.behaviour = vector("99.5")
    assert await provider.ask(question()) == Answer("key", 3, 0.0, 99.5)
    path, arguments, headers = double.requests[0]
    assert path == "/api/v1/query"
    assert arguments == {"query": ["up"], "timeout": ["5s"]}
    assert headers["accept-encoding"] == "identity"


async def test_scalar_is_a_number(double: Double, provider: PrometheusProvider) -> None:
    """`scalar(...)` comes in another shape."""
    double.behaviour = answering({"resultType": "scalar", "result": [1800000000.1, "2"]})
    assert (await provider.ask(question())).value == 2.0


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (vector(), "NoData"),
        (vector("1", "2"), "ManySeries"),
        (vector("NaN"), "NaN"),
        (vector("+Inf"), "Infinite"),
        (vector("-Inf"), "Infinite"),
        (answering({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}), "Histogram"),
    ],
)
async def test_answer_without_a_number(
    double: Double, provider: PrometheusProvider, behaviour: Behaviour, expected: str
) -> None:
    """It could be asked, and says nothing: no error, no number (B15, B24, B29)."""
    double.behaviour = behaviour
    answer = await provider.ask(question())
    assert (answer.no_data, answer.value, answer.error) == (expected, None, "")


@pytest.mark.parametrize(("reduce", "expected"), [("Last", 3.0), ("Mean", 2.5), ("Min", 1.0), ("Max", 4.0)])
async def test_series_is_reduced_without_its_gaps(
    double: Double, provider: PrometheusProvider, reduce: str, expected: float
) -> None:
    """NaN points are left out of a range."""
    double.behaviour = matrix("1", "NaN", "2", "4", "3", "NaN")
    assert (await provider.ask(question(step=15.0, window=120.0, reduce=reduce))).value == expected
    path, arguments, _ = double.requests[0]
    assert path == "/api/v1/query_range"
    assert arguments["step"] == ["15"]
    assert 119 <= int(arguments["end"][0]) - int(arguments["start"][0]) <= 120


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (matrix("NaN", "NaN"), "NaN"),
        (matrix("1", age=400.0), "Stale"),
        (matrix(), "NoData"),
        (matrix("1", "+Inf"), "Infinite"),
        (answering({"resultType": "matrix", "result": []}), "NoData"),
        (answering({"resultType": "matrix", "result": [{"values": []}, {"values": []}]}), "ManySeries"),
    ],
)
async def test_series_without_a_number(
    double: Double, provider: PrometheusProvider, behaviour: Behaviour, expected: str
) -> None:
    """A range can be empty, only gaps, old, or several."""
    double.behaviour = behaviour
    assert (await provider.ask(question(step=15.0, window=60.0, reduce="Max"))).no_data == expected


def test_long_step_is_not_stale() -> None:
    """Of a series with a point every ten minutes, the newest may be ten minutes old."""
    result = [{"values": [[1000, "1"]]}]
    assert read_range(result, reduce="Last", end=1599, step=600).value == 1.0
    assert read_range(result, reduce="Last", end=1601, step=600).no_data == "Stale", "a series that is too old counts"
    assert read_range(result, reduce="Last", end=1301, step=15).no_data == "Stale"


async def test_sample_comes_along(double: Double, provider: PrometheusProvider) -> None:
    """The second query is asked where the first gave a number."""
    double.behaviour = vector("40")
    assert await provider.ask(question(sample=True)) == Answer("key", 3, 0.0, 40.0, 40.0)
    double.behaviour = vector()
    assert await provider.ask(question(sample=True)) == Answer("key", 3, 0.0, no_data="NoData")
    assert len(double.requests) == 3


# --------------------------------------------------------------------------------------------------------------------
# What goes wrong, and what is done to us
# --------------------------------------------------------------------------------------------------------------------


async def test_redirect_is_not_followed(double: Double, provider: PrometheusProvider) -> None:
    """An internal host behind a 302 is never asked (abuse case 3)."""
    double.behaviour = raw("302 Found", b"", f"Location: {double.address}/internal")
    assert code(await provider.ask(question())) == "Redirected"
    assert [path for path, _, _ in double.requests] == ["/api/v1/query"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("500 Internal", "ServerError"),
        ("503 Busy", "ServerError"),
        ("429 Slow down", "ServerError"),
        ("400 Bad", "QueryRefused"),
        ("422 Unprocessable", "QueryRefused"),
        ("401 Who", "QueryRefused"),
        ("204 Nothing", "Malformed"),
    ],
)
async def test_body_of_a_refusal_goes_nowhere(
    double: Double, provider: PrometheusProvider, caplog: pytest.LogCaptureFixture, status: str, expected: str
) -> None:
    """A marker in the body, the reason phrase or a header is in no answer and no log (abuse cases 4 and 29)."""
    caplog.set_level(logging.INFO)
    double.behaviour = raw(f"{status} {MARKER}", MARKER.encode() * 9, f"X-Marker: {MARKER}")
    answer = await provider.ask(question())
    assert code(answer) == expected
    assert MARKER not in repr(answer) + caplog.text
    assert len(double.requests) == 1, "asked again"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + MARKER.encode(),
        b"[" * 200_000,
        b'{"status":"success","data":{"result":NaN}}',
        b'{"status":"error","error":"x"}',
        b'{"status":"success","data":[]}',
        b'{"status":"success","data":{"result":"x"}}',
        b'{"status":"success","data":{"result":[{}]}}',
        b'{"status":"success","data":{"result":[1]}}',
        b'{"status":"success","data":{"result":[{"value":[1,"0x10"]}]}}',
        b'{"status":"success","data":{"result":[{"value":[1,"1_0"]}]}}',
        b'{"status":"success","data":{"result":[{"value":[1,5]}]}}',
        b'{"status":"success","data":{"result":[{"value":[true,"5"]}]}}',
        b"\xff\xfe",
    ],
)
async def test_what_is_no_answer_of_prometheus(
    double: Double, provider: PrometheusProvider, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    """Anything but the documented shape is Malformed, and quoted nowhere."""
    double.behaviour = raw("200 OK", body)
    answer = await provider.ask(question())
    assert answer == Answer("key", 3, 0.0, error="Malformed")
    assert MARKER not in caplog.text


async def endless(writer: asyncio.StreamWriter) -> None:
    """A body without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await pour(writer)


async def endless_redirect(writer: asyncio.StreamWriter) -> None:
    """A redirect with a body without an end."""
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n")
    await pour(writer)


async def endless_head(writer: asyncio.StreamWriter) -> None:
    """Headers without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await pour(writer, b"X: " + b"x" * 1000 + b"\r\n")


async def pour(writer: asyncio.StreamWriter, chunk: bytes = b"x" * 65536) -> None:
    """Write until the other side has enough."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(chunk)
            await writer.drain()


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [(endless, "TooLarge"), (endless_redirect, "Redirected"), (endless_head, "Unreachable")],
)
async def test_giant_answer_is_cut(
    double: Double, provider: PrometheusProvider, behaviour: Behaviour, expected: str
) -> None:
    """However much comes, little of it is read (abuse case 5)."""
    double.behaviour = behaviour
    tracemalloc.start()
    answer = await provider.ask(question())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code(answer) == expected
    assert peak < 10 << 20


async def test_compressed_bomb_is_cut(double: Double, provider: PrometheusProvider) -> None:
    """What counts is the decoded size, and it is counted while decoding."""
    body = await asyncio.to_thread(gzip.compress, b" " * (64 << 20), 6)
    double.behaviour = raw("200 OK", body, "Content-Encoding: gzip")
    tracemalloc.start()
    answer = await provider.ask(question(20.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code(answer) == "TooLarge"
    assert peak < 10 << 20


async def drip_body(writer: asyncio.StreamWriter) -> None:
    """One byte now and then."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await drip(writer)


async def drip_head(writer: asyncio.StreamWriter) -> None:
    """One byte of a header now and then."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await drip(writer)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Keep the connection just alive."""
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)


async def silent(_: asyncio.StreamWriter) -> None:
    """Say nothing."""
    await asyncio.sleep(3)


@pytest.mark.parametrize("behaviour", [drip_body, drip_head, silent])
async def test_slow_answer_is_cut_on_time(double: Double, provider: PrometheusProvider, behaviour: Behaviour) -> None:
    """The whole answer has a time limit, and every thread is free again after it (abuse case 5)."""
    double.behaviour = behaviour
    began = time.monotonic()
    answers = await asyncio.gather(*(provider.ask(question(0.4)) for _ in range(THREADS * 2)))
    assert time.monotonic() - began < 2
    assert {code(answer) for answer in answers} == {"Timeout"}
    double.behaviour = vector("1")
    assert (await provider.ask(question())).value == 1.0


async def test_slow_provider_delays_only_itself(double: Double) -> None:
    """Providers share no thread."""
    slow = PrometheusProvider(MetricProvider(address=double.address), name="slow")
    fast = PrometheusProvider(MetricProvider(address=double.address), name="fast")
    double.behaviour = silent
    hanging = [asyncio.create_task(slow.ask(question(2.0))) for _ in range(THREADS)]
    await asyncio.sleep(0.2)
    double.behaviour = vector("1")
    began = time.monotonic()
    assert (await fast.ask(question())).value == 1.0
    assert time.monotonic() - began < 1
    await slow.close()
    await asyncio.gather(*hanging)
    await fast.close()


async def test_nobody_there(double: Double) -> None:
    """Refused connections and unknown names are Unreachable."""
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    for address in (f"http://127.0.0.1:{port}", "http://nowhere.invalid"):
        provider = PrometheusProvider(MetricProvider(address=address))
        assert code(await provider.ask(question())) == "Unreachable"
        await provider.close()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Half an answer."""
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"status"')


async def test_half_an_answer_is_none(double: Double, provider: PrometheusProvider) -> None:
    """A connection that breaks in mid-answer gives no number."""
    double.behaviour = hang_up
    assert code(await provider.ask(question())) == "Unreachable"


async def test_token_is_read_for_each_question(double: Double, tmp_path: Path) -> None:
    """Tokens are renewed on disk; one that cannot be read is an error and asks nothing."""
    token = tmp_path / "token"
    config = MetricProvider(address=double.address, bearer_token_file=str(token), headers={"X-Scope-OrgID": "shop"})
    provider = PrometheusProvider(config)
    assert code(await provider.ask(question())) == "NoCredentials"
    for text in ("one", "two"):
        token.write_text(f"{text}\n")
        await provider.ask(question())
    await provider.close()
    assert [headers["authorization"] for _, _, headers in double.requests] == ["Bearer one", "Bearer two"]
    assert double.requests[0][2]["x-scope-orgid"] == "shop"


async def test_environment_brings_no_proxy_and_no_cookie_stays(
    double: Double, provider: PrometheusProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the admin's configuration decides where a question goes and what goes with it."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    body = json.dumps({"status": "success", "data": {"result": [1, "1"]}}).encode()
    double.behaviour = raw("200 OK", body, "Set-Cookie: a=b")
    for _ in range(2):
        assert (await provider.ask(question())).value == 1.0
    assert "cookie" not in double.requests[1][2]


async def test_closed_provider_answers_with_an_error(provider: PrometheusProvider) -> None:
    """`ask` never raises, also after closing."""
    await provider.close()
    assert code(await provider.ask(question())) == "Closed"


async def test_cancelling_frees_the_thread(double: Double, provider: PrometheusProvider) -> None:
    """A question that nobody waits for any more holds no thread."""
    double.behaviour = silent
    tasks = [asyncio.create_task(provider.ask(question(30.0))) for _ in range(THREADS)]
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    double.behaviour = vector("1")
    assert (await provider.ask(question(2.0))).value == 1.0


async def test_certificates_are_verified(double: Double, tmp_path: Path) -> None:
    """A certificate of nobody is Untrusted; with the admin's CA file it is fine."""
    certificate = self_signed(tmp_path)
    context = served_with(certificate)
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0, ssl=context)
    address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    double.behaviour = vector("1")
    untrusting = PrometheusProvider(MetricProvider(address=address))
    assert code(await untrusting.ask(question())) == "Untrusted"
    await untrusting.close()
    trusting = PrometheusProvider(MetricProvider(address=address, ca_file=str(certificate)))
    assert (await trusting.ask(question())).value == 1.0
    double.behaviour = drip_body
    assert code(await trusting.ask(question(0.4))) == "Timeout"
    await trusting.close()
    server.close()


async def test_registry_makes_one_provider_per_name() -> None:
    """Tenants name a provider; there are those of the configuration."""
    config = OperatorConfig.model_validate({"metricProviders": {name: {"address": "http://x.test"} for name in "ab"}})
    providers = providers_of(config)
    assert sorted(providers) == ["a", "b"]
    for each in providers.values():
        await each.close()


@given(st.integers(100, 599))
def test_only_200_is_an_answer(status: int) -> None:
    """Every other status has a code."""
    assert (code_of(status) == "") == (status == 200)


SMALL = st.none() | st.booleans() | st.floats() | st.sampled_from(["1", "NaN", "", "x", "1e999"])
ODD = st.recursive(
    SMALL,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "values", "metric", "histogram"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(ODD)
def test_odd_result_is_malformed_or_no_data(result: Any) -> None:
    """Whatever the result is: a finite number, a code, or Malformed; nothing else."""
    for read in (read_instant, lambda odd: read_range(odd, reduce="Mean", end=0.0)):
        with contextlib.suppress(MalformedResult):
            reading = read(result)
            assert (reading.value is None) == bool(reading.no_data)
            assert reading.value is None or abs(reading.value) < float("inf")
