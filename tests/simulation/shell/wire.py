"""The line between one operator and the API server: it takes a moment, and carries out the faults of the history."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import orjson

from headgate.act.errors import Timeout, Unreachable
from headgate.act.transport import Request, Response
from tests.simulation.shell import answers
from tests.simulation.shell.answers import Refused
from tests.simulation.shell.cluster import Cluster
from tests.simulation.shell.faults import Faults
from tests.simulation.shell.kinds import Where, taken_apart
from tests.simulation.shell.store import Change

NEVER = 1e9
RARE = 0.15
"""The Lease is written all the time: with the chance of the others nobody would ever lead."""
OFTEN, SELDOM = 2.0, 0.5
"""A release takes few writes, and a start many lists: what goes wrong with writes finds more."""
Sent = Callable[[str, Request, Response, list[Change], float], None]
"""Is told of each request that was carried out: by whom, what, the answer, what it changed, and when it was sent."""


class Wire:
    """A `Transport`."""

    def __init__(
        self, cluster: Cluster, faults: Faults, *, actor: str, seed: str, kill: Callable[[], None], sent: Sent
    ) -> None:
        self._cluster = cluster
        self._faults = faults
        self._actor = actor
        self._chance = random.Random(f"{seed}/wire")
        self._kill = kill
        self._sent = sent
        self.dead = False
        self.tell: Callable[[str], None] = lambda _line: None

    async def send(self, request: Request) -> Response:
        """Send it and wait for the answer.

        Raises:
            Unreachable, Timeout: if there is no answer.
        """
        place, at = taken_apart(request.path)[0], self._cluster.loop.time()
        if place is not None and self._faults.unserved(place.kind.kind, self._cluster.loop.time()):
            await self._pass()
            return Response(404, b"404 page not found\n", float(int(self._cluster.loop.wall())))
        if request.method == "GET":
            fault = self._faults.read(RARE if _is_lease(place) else SELDOM)
            await self._pass()
            return await self._read(request, place, fault, at)
        fault = self._faults.write(RARE if _is_lease(place) else OFTEN)
        await self._pass()
        return await self._write(request, place, fault, at)

    async def close(self) -> None:
        """Nothing to close."""

    async def _pass(self) -> None:
        self._alive()
        await asyncio.sleep(self._chance.uniform(0.001, 0.01))
        self._alive()

    def _alive(self) -> None:
        if self.dead:
            raise Unreachable("this process is dead")

    async def _crash(self) -> None:
        self._kill()
        await asyncio.sleep(NEVER)  # Cancelled at once.

    def _carry_out(self, request: Request, at: float) -> Response:
        before = len(self._cluster.store.log)
        response = self._cluster.server.send(request, self._actor)
        self._sent(self._actor, request, response, self._cluster.store.log[before:], at)
        return response

    async def _read(self, request: Request, place: Where | None, fault: str, at: float) -> Response:
        if fault == "read: crash":
            await self._crash()
        if fault == "read: slow":
            await asyncio.sleep(self._faults.seconds("read", 4.0))
            self._alive()
        failed = await self._failed(request, fault.removeprefix("read: "))
        if failed is not None:
            return failed
        if fault == "list: 410" and place is not None and not place.name:
            return self._answer(answers.expired("The provided continue parameter is too old"))
        response = self._carry_out(request, at)
        await self._pass()
        return response

    async def _write(self, request: Request, place: Where | None, fault: str, at: float) -> Response:
        if fault == "crash before a write":
            await self._crash()
        if fault == "slow":
            await asyncio.sleep(self._faults.seconds("write", min(9.0, request.timeout * 0.9)))
            self._alive()
        if fault == "409" and place is not None:
            return self._answer(answers.conflict(place.kind, place.name or "new"))
        if fault == "422" and place is not None:
            return self._answer(answers.invalid(place.kind, place.name or "new", "spec", "the policy says no"))
        what, _, applied = fault.partition(", ")
        if applied == "applied":
            self._carry_out(request, at)
        failed = await self._failed(request, what)
        if failed is not None:
            return failed
        response = self._carry_out(request, at)
        if fault == "crash after a write":
            await self._crash()
        if fault == "crash after the answer":
            self._cluster.loop.call_later(0.012, self._kill)
        await self._pass()
        return response

    async def _failed(self, request: Request, what: str) -> Response | None:
        if what == "500":
            return self._answer(answers.internal())
        if what == "429":
            return self._answer(answers.too_many(1 + int(self._chance.random() * 3)))
        if what == "timeout":
            await asyncio.sleep(request.timeout)
            self._alive()
            raise Timeout(f"no answer within {request.timeout:g} s")
        if what == "connection lost":
            raise Unreachable("ServerDisconnectedError")
        return None

    def _answer(self, refused: Refused) -> Response:
        retry = str(refused.details.get("retryAfterSeconds", ""))
        return Response(refused.code, orjson.dumps(refused.body), float(int(self._cluster.loop.wall())), retry)


def _is_lease(place: Where | None) -> bool:
    return place is not None and place.kind.kind == "Lease"
