"""Questions beside the loop: each asked once, answers kept until they are recorded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from headgate.decide.types import Answer, Question, RenderedQuery
from headgate.engine.checks_runner import ChecksRunner
from headgate.engine.queue import Key

KEY = Key("shop", "checkout")

pytestmark = pytest.mark.looptime


def question(number: int = 1, *, provider: str = "prom") -> Question:
    """A question."""
    return Question("gate/check/1", number, provider, RenderedQuery("up"), timeout=10)


@dataclass
class Provider:
    """A provider that takes a while."""

    seconds: float = 1.0
    error: Exception | None = None
    asked: list[int] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0

    async def ask(self, question: Question) -> Answer:
        """Take the time, and answer."""
        self.asked.append(question.number)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self.seconds)
        self._at_once -= 1
        if self.error:
            raise self.error
        return Answer("whatever the provider says", 0, 0.0, value=1.0)

    async def close(self) -> None:
        """Nothing to close."""


def runner(provider: Provider, woken: list[Key], *, per_namespace: int = 20) -> ChecksRunner:
    """A runner in virtual time."""
    loop = asyncio.get_running_loop()
    return ChecksRunner(
        {"prom": provider}, now=lambda: 1000 + loop.time(), on_answer=woken.append, per_namespace=per_namespace
    )


async def test_a_question_is_asked_once_until_its_answer_is_recorded() -> None:
    """Asking again while it runs, or while the answer waits for a status write, asks nobody."""
    provider, woken = Provider(), list[Key]()
    checks = runner(provider, woken)
    began = 1000 + asyncio.get_running_loop().time()
    checks.ask(KEY, [question()])
    checks.ask(KEY, [question()])
    await asyncio.sleep(2)
    checks.ask(KEY, [question()])
    await asyncio.sleep(2)
    assert provider.asked == [1], f"one question was asked {len(provider.asked)} times"
    assert woken == [KEY]
    assert checks.answers(KEY) == (Answer("gate/check/1", 1, began, value=1.0),)
    checks.recorded(KEY, checks.answers(KEY))
    assert checks.answers(KEY) == ()


async def test_a_provider_that_hangs_is_given_up() -> None:
    """A question without an answer in its time is answered as a Timeout."""
    checks = runner(Provider(seconds=3600), [])
    checks.ask(KEY, [question()])
    await asyncio.sleep(13)
    assert [a.error for a in checks.answers(KEY)] == ["Timeout"]


async def test_a_provider_that_raises_gives_an_error_without_its_words() -> None:
    """What the other side said reaches neither answer nor log."""
    checks = runner(Provider(error=RuntimeError("a secret")), [])
    with capture_logs() as logged:
        checks.ask(KEY, [question()])
        await asyncio.sleep(2)
    assert [a.error for a in checks.answers(KEY)] == ["ProviderFailed"]
    assert "a secret" not in str(logged)
    assert len(logged) == 1


async def test_an_unknown_provider_is_an_answer() -> None:
    """A name that the admin did not configure is an Error, not silence."""
    checks = runner(Provider(), [])
    checks.ask(KEY, [question(provider="nobody")])
    await asyncio.sleep(1)
    assert [a.error for a in checks.answers(KEY)] == ["ProviderUnknown"]


async def test_a_namespace_has_a_limit_of_its_own() -> None:
    """A namespace that asks too much waits for itself; another one is answered at once."""
    provider, woken = Provider(), list[Key]()
    checks = runner(provider, woken, per_namespace=2)
    checks.ask(KEY, [question(n) for n in range(10)])
    checks.ask(Key("other", "x"), [question(99)])
    await asyncio.sleep(1.5)
    assert Key("other", "x") in woken
    assert provider.most_at_once == 3


async def test_a_rollout_that_is_gone_leaves_nothing() -> None:
    """Dropping a Rollout ends its questions and forgets its answers."""
    woken = list[Key]()
    checks = runner(Provider(), woken)
    checks.ask(KEY, [question()])
    await asyncio.sleep(0)
    checks.drop(KEY)
    await asyncio.sleep(2)
    assert woken == []
    assert checks.answers(KEY) == ()


async def test_a_provider_that_hangs_holds_up_its_own_askers_only() -> None:
    """Many questions to one provider leave those to others on time, and none is late for having waited."""
    slow, quick, woken = Provider(seconds=9), Provider(seconds=0.1), list[Key]()
    loop = asyncio.get_running_loop()
    checks = ChecksRunner(
        {"slow": slow, "quick": quick}, now=lambda: 1000 + loop.time(), on_answer=woken.append, per_namespace=20
    )
    for number in range(40):
        checks.ask(Key(f"namespace-{number}", "checkout"), [question(number, provider="slow")])
    checks.ask(KEY, [question(provider="quick")])
    await asyncio.sleep(0.2)
    assert woken == [KEY]
    await asyncio.sleep(60)
    assert slow.most_at_once <= 8
    assert len(woken) == 41
    assert all(not a.error for n in range(40) for a in checks.answers(Key(f"namespace-{n}", "checkout")))
