"""Measurements from a file of JSON that something else keeps up to date, such as a sidecar of the operator's pod."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from headgate.api.config import MetricProvider
from headgate.decide.types import Answer, Question, RenderedQuery

MOST = 1 << 20
"""Bytes that are read of it."""
STALE_AFTER = 60.0
"""Seconds after which what nobody has written anew says nothing about now."""


class FileProvider:
    """The file that the admin names in `settings.file`: one object, whose keys are what checks ask for."""

    headgate_protocol = 1

    def __init__(self, config: MetricProvider, *, name: str) -> None:
        if "file" not in config.settings:
            raise ValueError(f"metricProviders.{name}.settings: name the file")
        self._file = Path(config.settings["file"])

    async def ask(self, question: Question) -> Answer:
        """Look the query up; reading happens in a thread, because the operator does everything else in this one."""
        try:
            async with asyncio.timeout(question.timeout):
                return await asyncio.to_thread(self._answer, question)
        except TimeoutError:
            return Answer(question.key, question.number, 0.0, error="Timeout")

    async def close(self) -> None:
        """Nothing is held."""

    def _answer(self, question: Question) -> Answer:
        try:
            age = time.time() - self._file.stat().st_mtime
            with self._file.open("rb") as opened:
                found = json.loads(opened.read(MOST))
        except (OSError, ValueError):
            return Answer(question.key, question.number, 0.0, error="Unreadable")
        if age > STALE_AFTER:
            return Answer(question.key, question.number, 0.0, no_data="Stale")
        value = _number(found, question.query)
        sample = _number(found, question.sample_query) if question.sample_query is not None else None
        no_data = "NoData" if value is None else ""
        return Answer(question.key, question.number, 0.0, value, sample, no_data=no_data)


def _number(found: Any, query: RenderedQuery) -> float | None:
    value = found.get(query.text) if isinstance(found, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
