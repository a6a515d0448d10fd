"""Stands between a check provider of another package and the evidence: a number or a code comes out, or an error."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import replace

from headgate.checks.protocol import CheckProvider
from headgate.decide.types import Answer, Question

_CODE = re.compile(r"[A-Z][A-Za-z0-9]{0,63}", re.ASCII)
"""What may be said of why there is no number; anything else could quote what the other side said."""


class GuardedProvider:
    """A provider whose answers are taken strictly or not at all."""

    def __init__(self, provider: CheckProvider) -> None:
        self._provider = provider

    async def ask(self, question: Question) -> Answer:
        """The answer, or the error `Malformed` where it is none."""
        answer = await self._provider.ask(question)
        empty = Answer(question.key, question.number, 0.0)
        try:
            return replace(
                empty,
                value=_number(answer.value),
                sample=_number(answer.sample),
                no_data=_code(answer.no_data),
                error=_code(answer.error),
            )
        except (AttributeError, ValueError):
            return replace(empty, error="Malformed")

    async def close(self) -> None:
        """Give back what the provider holds; that it fails is of no consequence any more."""
        with contextlib.suppress(Exception):
            await self._provider.close()


def _number(value: object) -> float | None:
    """A plain number.

    Raises:
        ValueError: if it is none.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _code(text: object) -> str:
    """A code in CamelCase, or nothing.

    Raises:
        ValueError: if it is something else.
    """
    if text and not (isinstance(text, str) and _CODE.fullmatch(text)):
        raise ValueError
    return str(text or "")
