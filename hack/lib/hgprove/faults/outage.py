"""The API server gone for a while for the operator alone, while many Rollouts change; how soon all have caught up."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from hack.lib.hgprove.faults.judging import Judge
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.runner import Prover
from hack.lib.hgprove.faults.scenarios import WEIGHTS, App, Late

PATIENCE = 300.0
AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Outage:
    """What was measured."""

    seconds: float
    rollouts: int
    converged: list[float]
    """Seconds after the return at which each Rollout was healthy with its new version, in order."""
    problems: list[str]


async def measure(made: Prover, namespace: str, *, seconds: float, rollouts: int) -> Outage:
    """Deploy, take the server away, change everything, give it back, and wait."""
    lane = Lane(made.site, namespace)
    apps = [
        App(made.site.client, made.history.follow(lane.name, f"w{number}"), made.site.answers, WEIGHTS, PATIENCE)
        for number in range(1, rollouts + 1)
    ]
    limit = asyncio.Semaphore(AT_ONCE)

    async def deploy(app: App) -> None:
        async with limit:
            await app.deploy()
        await app.healthy(1)

    try:
        await lane.up()
        await asyncio.gather(*(deploy(app) for app in apps))
        process = lane.operator.pid
        lane.proxy.partition()
        await asyncio.gather(*(app.change(2) for app in apps))
        await asyncio.sleep(seconds)
        back = time.monotonic()
        lane.proxy.heal()
        results = await asyncio.gather(*(_after(app, back) for app in apps), return_exceptions=True)
        problems = [str(found) for found in results if isinstance(found, BaseException)]
        if lane.operator.pid != process:
            problems.append("the operator did not outlast it in one process")
        problems += [breach for app in apps for breach in Judge(app.story).breaches()]
    finally:
        lane.proxy.heal()
        await asyncio.gather(*(made.clear(app) for app in apps))
        await lane.down()
    return Outage(seconds, rollouts, sorted(found for found in results if isinstance(found, float)), problems)


async def _after(app: App, back: float) -> float:
    try:
        await app.healthy(2)
    except Late as late:
        raise Late(f"{app.name}: {late}") from None
    return time.monotonic() - back
