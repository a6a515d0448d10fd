"""Asks one Prometheus that the admin configured: numbers or codes come out, nothing else of what it said."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from prometheus_api_client import PrometheusConnect
from urllib3 import Retry

from headgate.api.config import MetricProvider
from headgate.checks.http import CONNECT_SECONDS, AnswerProblem, BoundedAdapter, BoundedSession, Flight
from headgate.checks.reading import Reading, read_instant, read_range
from headgate.decide.types import Answer, Question, RenderedQuery

THREADS = 8
"""Questions to one provider at once. Each provider has its own, so that one that hangs delays only itself."""


class PrometheusProvider:
    """One Prometheus (or what speaks its query API), asked in threads of its own."""

    def __init__(self, config: MetricProvider, *, name: str = "default") -> None:
        self._session = BoundedSession(token_file=config.bearer_token_file, ca_file=config.ca_file)
        address = config.address.rstrip("/")
        self._connect = PrometheusConnect(
            url=address, headers=dict(config.headers), retry=Retry(0), session=self._session
        )
        # The client has mounted an adapter of its own there, which nothing could cut off.
        self._session.mount(address, BoundedAdapter(max_retries=Retry(0), pool_maxsize=THREADS))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"check-{name}")
        self._flights: set[Flight] = set()

    async def ask(self, question: Question) -> Answer:
        """One number, or a code; back by `question.timeout`, whatever the other side does."""
        flight = Flight()
        self._flights.add(flight)
        try:
            async with asyncio.timeout(question.timeout):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, partial(self._ask, question, flight))
        except TimeoutError:
            return _failed(question, "Timeout")
        except RuntimeError:
            return _failed(question, "Closed")
        finally:
            # Ends the thread's wait too if it is still in one; the thread then gives up by itself.
            flight.cut()
            self._flights.discard(flight)

    async def close(self) -> None:
        """Cut what is under way and give back threads and connections."""
        for flight in tuple(self._flights):
            flight.cut()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    def _ask(self, question: Question, flight: Flight) -> Answer:
        """In a worker thread: the value, then the sample that it stands on."""
        try:
            with self._session.flying(flight):
                value = self._read(question.query, question.timeout)
                sample = Reading()
                if question.sample_query is not None and value.value is not None:
                    sample = self._read(question.sample_query, question.timeout)
        except AnswerProblem as problem:
            return _failed(question, problem.code)
        except Exception:  # noqa: BLE001 - an odd answer must become a code; its text could quote the body, so it goes nowhere.
            return _failed(question, "Malformed")
        return Answer(question.key, question.number, 0.0, value.value, sample.value, no_data=value.no_data)

    def _read(self, query: RenderedQuery, timeout: float) -> Reading:
        # The server is told as well, so that it does not go on computing what nobody waits for.
        limit = {"timeout": f"{max(1, math.ceil(timeout))}s"}
        waits = (min(CONNECT_SECONDS, timeout), timeout)
        if query.step is None:
            return read_instant(self._connect.custom_query(query.text, params=limit, timeout=waits))
        # Whole seconds inside the window: the client would round to some outside of it.
        now = datetime.now(UTC).timestamp()
        end = math.floor(now)
        start = min(end, math.ceil(now - query.window))
        result = self._connect.custom_query_range(
            query.text,
            start_time=datetime.fromtimestamp(start, UTC),
            end_time=datetime.fromtimestamp(end, UTC),
            step=f"{query.step:g}",
            params=limit,
            timeout=waits,
        )
        return read_range(result, reduce=query.reduce, end=end, step=query.step)


def _failed(question: Question, code: str) -> Answer:
    return Answer(question.key, question.number, 0.0, error=code)
