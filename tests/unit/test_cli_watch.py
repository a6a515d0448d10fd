"""How one Rollout is followed, and when its release counts as over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import cast

import pytest

from headgate.cli import watch
from headgate.cli.client import Client, Gone, Json
from headgate.cli.errors import ApiError, CliError, Exit
from headgate.cli.view import Picture
from headgate.cli.watch import Mirror, ending, until_done
from tests.unit import cli_objects as objects
from tests.unit.cli_objects import CANARY

Row = list[tuple[str, Json]] | Exception


class FakeServer:
    """An API server with one Rollout: lists as they are now, watches of the Rollout as they were prepared."""

    def __init__(self, rollout: Json, *rows: Row) -> None:
        self.rollout: Json | None = rollout
        self.rows = list(rows)
        self.forbidden: set[str] = set()
        self.deployment: Json | None = None
        self.lists: list[str] = []
        self.versions: list[str] = []

    async def get(self, path: str, _query: Mapping[str, str] | None = None) -> Json:
        """One list."""
        kind = path.rsplit("/", 1)[-1]
        self.lists.append(kind)
        if kind in self.forbidden:
            raise ApiError(f"alice may not list {kind}", 403)
        found = {"rollouts": self.rollout, "deployments": self.deployment}.get(kind)
        return {"metadata": {"resourceVersion": "7"}, "items": [found] if found else []}

    async def watch(self, path: str, _query: Mapping[str, str], version: str) -> AsyncGenerator[tuple[str, Json]]:
        """One watch; it stays open where nothing is prepared."""
        if path.endswith("/rollouts") and self.rows:
            self.versions.append(version)
            row = self.rows.pop(0)
            if isinstance(row, Exception):
                raise row
            for event in row:
                yield event
            return
        await asyncio.Event().wait()


def mirror(server: FakeServer) -> Mirror:
    """What follows the Rollout of this server."""
    return Mirror(cast("Client", server), "shop-prod", "checkout")


def changed(status: Json, version: str = "50") -> tuple[str, Json]:
    """An event that the Rollout is so now."""
    raw = objects.rollout(status)
    raw["metadata"]["resourceVersion"] = version
    return "MODIFIED", raw


async def follow(server: FakeServer) -> tuple[Exit, list[str]]:
    """Follow until the release ends; gives the end and the phases that were shown."""
    phases: list[str] = []

    def show(shown: Picture) -> None:
        phases.append(shown.rollout.status.phase)

    async with asyncio.timeout(20):
        return await until_done(mirror(server), show, stop=True), phases


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a watch is tried again."""
    monkeypatch.setattr(watch, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(watch, "REDRAW", 0.02)


async def test_a_release_that_ends_well_ends_the_watch() -> None:
    """Exit code 0, after the pictures on the way."""
    server = FakeServer(
        objects.rollout(objects.progressing()), [changed(objects.paused())], [changed(objects.healthy())]
    )
    end, phases = await follow(server)
    assert end is Exit.OK
    assert phases[0] == "Progressing"
    assert phases[-1] == "Healthy"


async def test_a_release_that_was_taken_back_ends_it_too() -> None:
    """Exit code 1."""
    server = FakeServer(objects.rollout(objects.progressing()), [changed(objects.degraded())])
    assert (await follow(server))[0] is Exit.REFUSED


async def test_a_watch_goes_on_where_it_ended() -> None:
    """Bookmarks count; nothing is listed again."""
    bookmark = ("BOOKMARK", {"metadata": {"resourceVersion": "60"}})
    server = FakeServer(objects.rollout(objects.progressing()), [bookmark], [changed(objects.healthy())])
    await follow(server)
    assert server.versions == ["7", "60"]
    assert server.lists.count("rollouts") == 1


@pytest.mark.parametrize("fault", [Gone(), CliError("cut", Exit.UNREACHABLE)])
async def test_what_happened_during_a_fault_is_not_missed(fault: Exception) -> None:
    """After 410 or an outage everything is listed again."""
    server = FakeServer(objects.rollout(objects.progressing()), fault)
    following = asyncio.ensure_future(follow(server))
    await asyncio.sleep(0)
    server.rollout = objects.rollout(objects.healthy())
    assert (await following)[0] is Exit.OK


async def test_a_rollout_that_goes_away_ends_the_watch() -> None:
    """With a sentence that says so."""
    server = FakeServer(objects.rollout(objects.progressing()), [("DELETED", objects.rollout(objects.progressing()))])
    with pytest.raises(CliError, match='Rollout "checkout" was deleted'):
        await follow(server)


async def test_a_rollout_that_never_was_is_another_matter() -> None:
    """A typing mistake is not a deletion."""
    server = FakeServer({})
    server.rollout = None
    with pytest.raises(CliError, match='Rollout "checkout" does not exist in namespace shop-prod'):
        await mirror(server).load()


async def test_what_one_may_not_read_is_left_out_and_named() -> None:
    """A person without the right to list pods sees the rest."""
    server = FakeServer(objects.rollout(objects.progressing()))
    server.forbidden = {"pods"}
    shown = await mirror(server).load()
    assert shown.notes == ("without pods: alice may not list pods",)


async def test_pods_of_variants_are_asked_for_where_a_step_is_an_experiment() -> None:
    """They do not carry the Rollout's label, and where there can be none nobody asks."""
    rollout = objects.rollout(objects.progressing())
    server = FakeServer(rollout)
    await mirror(server).load()
    assert server.lists.count("pods") == 1
    rollout["spec"]["strategy"]["canary"]["steps"].append({"experiment": {}})
    server = FakeServer(rollout)
    await mirror(server).load()
    assert server.lists.count("pods") == 2


async def test_following_leaves_nothing_behind() -> None:
    """Its watches end with it."""
    before = asyncio.all_tasks()
    async with aclosing(mirror(FakeServer(objects.rollout(objects.progressing()))).follow()) as pictures:
        await anext(pictures)
        await anext(pictures)
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


def test_the_release_before_is_not_taken_for_this_one() -> None:
    """An operator that has not seen the newest spec or Deployment says nothing about it yet."""
    assert ending(objects.shown(objects.healthy())) is Exit.OK
    assert ending(objects.shown(objects.healthy() | {"observedGeneration": 2})) is None
    deployment = {"metadata": {"generation": 5}}
    old = objects.healthy() | {"workload": {"observedGeneration": 4, "adopted": True}}
    new = objects.healthy() | {"workload": {"observedGeneration": 5, "adopted": True}}
    assert ending(objects.shown(old, workload=deployment)) is None
    assert ending(objects.shown(new, workload=deployment)) is Exit.OK


def test_healthy_is_no_end_while_another_version_is_current() -> None:
    """The phase alone does not say it."""
    current = {"current": objects.ref(CANARY, "2026-11-20T11:55:00Z")}
    assert ending(objects.shown(objects.healthy() | current)) is None
