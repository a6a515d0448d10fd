"""Asks metric providers the questions of decisions, beside the loop: each once, not too many at a time.

Answers are kept in memory until a status that was written records them; a restart asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from headgate.checks.protocol import CheckProvider
from headgate.decide.types import Answer, Question
from headgate.engine.queue import Key
from headgate.telemetry.logs import logger

AT_ONCE = 64
PER_PROVIDER = 8
"""Questions that one provider gets at once, as many as it has threads: one that hangs holds up its own askers only, and
waiting for a turn is not taken for an answer that is late."""
GRACE = 2.0
"""Seconds beyond a question's own time after which its provider is given up."""
KEPT = 200
"""Answers kept per Rollout; decisions take them as they come."""

log = logger(__name__)
Id = tuple[str, int]


@dataclass(slots=True)
class _Asked:
    running: dict[Id, asyncio.Task[None]] = field(default_factory=dict)
    answers: dict[Id, Answer] = field(default_factory=dict)


class ChecksRunner:
    """Questions under way and answers not yet recorded, by Rollout."""

    def __init__(
        self,
        providers: Mapping[str, CheckProvider],
        *,
        now: Callable[[], float],
        on_answer: Callable[[Key], None],
        per_namespace: int = 20,
    ) -> None:
        self._providers = providers
        self._now = now
        self._on_answer = on_answer
        self._per_namespace = per_namespace
        self._all = asyncio.Semaphore(AT_ONCE)
        self._namespaces: dict[str, asyncio.Semaphore] = {}
        self._of_provider = {name: asyncio.Semaphore(PER_PROVIDER) for name in providers}
        self._asked: dict[Key, _Asked] = {}

    def ask(self, key: Key, questions: Iterable[Question]) -> None:
        """Ask what is not asked or answered yet; does not wait."""
        for question in questions:
            asked = self._asked.setdefault(key, _Asked())
            identity = (question.key, question.number)
            if identity in asked.running or identity in asked.answers:
                continue
            task = asyncio.get_running_loop().create_task(self._ask(key, question), name=f"check {key}")
            asked.running[identity] = task

    def answers(self, key: Key) -> tuple[Answer, ...]:
        """The answers that no written status records yet, oldest first."""
        asked = self._asked.get(key)
        return tuple(sorted(asked.answers.values(), key=lambda a: (a.at, a.question, a.number))) if asked else ()

    def recorded(self, key: Key, answers: Iterable[Answer]) -> None:
        """Forget answers, because a status that was decided with them was written."""
        asked = self._asked.get(key)
        if asked is None:
            return
        for answer in answers:
            asked.answers.pop((answer.question, answer.number), None)
        if not asked.answers and not asked.running:
            del self._asked[key]

    def drop(self, key: Key) -> None:
        """Forget a Rollout that is gone, or is another replica's now."""
        asked = self._asked.pop(key, None)
        for task in asked.running.values() if asked else ():
            task.cancel()

    def drop_all(self) -> None:
        """Forget everything."""
        for key in list(self._asked):
            self.drop(key)

    async def close(self) -> None:
        """End what is under way and close the providers."""
        tasks = [task for asked in self._asked.values() for task in asked.running.values()]
        self.drop_all()
        await asyncio.gather(*tasks, return_exceptions=True)
        for provider in self._providers.values():
            await provider.close()

    async def _ask(self, key: Key, question: Question) -> None:
        identity = (question.key, question.number)
        try:
            limit = self._namespaces.setdefault(key.namespace, asyncio.Semaphore(self._per_namespace))
            # The namespace first, so that one that asks too much waits for itself alone.
            mine = self._of_provider.get(question.provider) or asyncio.Semaphore(1)
            async with limit, mine, self._all:
                answer = await self._answer(question)
        finally:
            asked = self._asked.get(key)
            if asked is not None:
                asked.running.pop(identity, None)
        if asked is None:
            return
        asked.answers[identity] = answer
        while len(asked.answers) > KEPT:
            asked.answers.pop(next(iter(asked.answers)))
        self._on_answer(key)

    async def _answer(self, question: Question) -> Answer:
        # The instant of asking: what is measured ends there, not when the answer came.
        at = self._now()
        empty = Answer(question=question.key, number=question.number, at=at)
        provider = self._providers.get(question.provider)
        if provider is None:
            return replace(empty, error="ProviderUnknown")
        try:
            async with asyncio.timeout(question.timeout + GRACE):
                answer = await provider.ask(question)
        except TimeoutError:
            return replace(empty, error="Timeout")
        except Exception as error:  # noqa: BLE001  one provider must not end the others
            # The protocol forbids it. The text stays out: it may hold what the other side said.
            log.error("a check provider failed", provider=question.provider, error=type(error).__name__)  # noqa: TRY400
            return replace(empty, error="ProviderFailed")
        return replace(answer, question=question.key, number=question.number, at=at)
