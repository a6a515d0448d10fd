"""What a check provider must be able to do: question in, answer out, nothing else of what it heard."""

from __future__ import annotations

from typing import Protocol

from headgate.decide.types import Answer, Question

PROTOCOL = 1
"""The version of what follows. A provider of another package says for which one it was written; a change that such a
provider would not bear raises it."""


class CheckProvider(Protocol):
    """One configured source of measurements."""

    async def ask(self, question: Question) -> Answer:
        """The answer; never raises for anything that the other side does (that is an Answer with `error`).

        The caller adds no timeout of its own beyond `question.timeout`; the provider must be back by then. `Answer.at`
        is filled by the caller with API-server time.
        """
        ...

    async def close(self) -> None:
        """Give back threads and connections."""
        ...
