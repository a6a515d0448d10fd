"""Which RolloutAction a person's command makes, and how its answer is awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import pytest

from headgate.api.actions import RolloutActionSpec, Verb
from headgate.cli.actions import Request, action_object, answer_to, seen, wanted_revision
from headgate.cli.client import Client, Gone, Json
from headgate.cli.errors import ApiError, CliError, Exit
from headgate.cli.view import read_rollout
from headgate.decide.revision import revision_of
from tests.unit import cli_objects as objects
from tests.unit.cli_objects import CANARY, STABLE


class FakeClient:
    """An API server of one RolloutAction: each watch gives the next row of events."""

    def __init__(self, *watches: list[tuple[str, Json]] | Exception) -> None:
        self.watches = list(watches)
        self.object: Json = action("1")

    async def watch(self, _path: str, _query: Mapping[str, str], _version: str) -> AsyncGenerator[tuple[str, Json]]:
        """The next row of events."""
        events = self.watches.pop(0) if self.watches else []
        if isinstance(events, Exception):
            raise events
        for event in events:
            yield event

    async def get(self, _path: str, _query: Mapping[str, str] | None = None) -> Json:
        """The object as it is now."""
        return self.object


def action(version: str, **status: str) -> Json:
    """A RolloutAction as the API server gives it back."""
    return {
        "metadata": {"name": "checkout-promote-x7", "namespace": "shop-prod", "resourceVersion": version},
        **({"status": status} if status else {}),
    }


def about(status: Json, verb: Verb = "promote", wanted: str = "", **said: Any) -> tuple[str, int]:
    """What an action of this kind is about, in this situation."""
    found = seen(read_rollout(objects.rollout(status)), Request(verb, **said), wanted)
    return found.pod_hash, found.attempt


def test_an_action_names_the_revision_and_attempt_that_were_seen() -> None:
    """It is that of status.current, also at rest."""
    assert about(objects.progressing()) == (CANARY, 2)
    assert about(objects.healthy(), "undo") == (STABLE, 1)


def test_a_retry_names_what_was_taken_back() -> None:
    """The version that the template wants, or the newest if that cannot be read."""
    status = objects.degraded()
    older = {"revision": "v1-wanted", "podHash": "wanted", "attempt": 7, "at": "2026-01-01T00:00:00Z"}
    status["rejected"].insert(0, status["rejected"][0] | older)
    assert about(status, "retry") == (CANARY, 2)
    assert about(status, "retry", wanted="v1-wanted") == ("wanted", 7)


def test_what_is_stale_is_refused_before_anything_is_created() -> None:
    """A person who names another revision than the present one is told to look again."""
    with pytest.raises(CliError, match="promote names revision old, now it is xz2456789b attempt 2; look again"):
        about(objects.progressing(), revision="old")


def test_a_script_that_names_both_is_judged_by_the_operator() -> None:
    """Revision and attempt together are taken as they are."""
    assert about(objects.progressing(), revision="old", attempt=4) == ("old", 4)


def test_there_may_be_nothing_to_act_on() -> None:
    """No revision yet, or nothing that was taken back."""
    with pytest.raises(CliError, match="no revision yet"):
        about({"observedGeneration": 3})
    with pytest.raises(CliError, match="nothing to retry"):
        about(objects.healthy(), "retry")


def test_the_action_belongs_to_the_rollout_and_fits_the_contract() -> None:
    """It has the owner's uid, its verb in its name, and only fields of the schema."""
    rollout = read_rollout(objects.rollout(objects.healthy()))
    request = Request("undo", reason="too slow", to_revision="older")
    body = action_object(rollout, request, seen(rollout, request), "alice")
    (owner,) = body["metadata"]["ownerReferences"]
    assert body["metadata"]["generateName"] == "checkout-undo-"
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (rollout.uid, False, False)
    assert RolloutActionSpec.model_validate(body["spec"], extra="forbid").to_revision == "older"
    assert body["spec"]["author"] == "alice"


def test_what_is_empty_is_not_sent() -> None:
    """No reason and no target are no fields."""
    rollout = read_rollout(objects.rollout(objects.progressing()))
    spec = action_object(rollout, Request("pause"), seen(rollout, Request("pause")), "alice")["spec"]
    assert spec.keys() == {"rollout", "verb", "revision", "attempt", "author"}


async def test_the_wanted_revision_is_that_of_the_template() -> None:
    """Of the inline one, also beside a DaemonSet, or of the workload that has it; unknown if that may not be read."""

    class Reader:
        async def get(self, path: str) -> Json:
            if path.endswith("/deployments/secret"):
                raise ApiError("may not", 403)
            return {"spec": {"template": {"a": 1}}}

    raw = objects.rollout()
    client = cast("Client", Reader())
    assert await wanted_revision(client, raw) == revision_of(raw["spec"]["template"])
    raw["spec"]["workloadRef"] = {"kind": "DaemonSet", "name": "checkout"}
    assert await wanted_revision(client, raw) == revision_of(raw["spec"]["template"])
    raw["spec"]["workloadRef"] = {"name": "checkout"}
    assert await wanted_revision(client, raw) == revision_of({"a": 1})
    raw["spec"]["workloadRef"] = {"name": "secret"}
    assert await wanted_revision(client, raw) == ""


async def wait(fake: FakeClient, patience: float = 5.0) -> tuple[bool, str]:
    """Wait for the answer of a fake API server."""
    reply = await answer_to(cast("Client", fake), action("1"), patience)
    return reply.accepted, reply.message


async def test_the_answer_is_the_operators_sentence() -> None:
    """Accepted or refused, with the message made safe."""
    events = [("BOOKMARK", action("2")), ("MODIFIED", action("3", phase="Refused", message="stale\x1b[1m"))]
    assert await wait(FakeClient(events)) == (False, "stale\\x1b[1m")


@pytest.mark.parametrize("cut", [Gone(), CliError("cut", Exit.UNREACHABLE), []])
async def test_an_answer_that_came_while_the_watch_was_cut_is_seen(cut: list[tuple[str, Json]] | Exception) -> None:
    """After each watch that ends the object is read."""
    fake = FakeClient(cut)
    fake.object = action("9", phase="Accepted", message="the pause is over")
    assert await wait(fake) == (True, "the pause is over")


async def test_silence_is_told_apart_from_a_refusal() -> None:
    """Exit code 2, and a question that helps."""
    with pytest.raises(CliError, match="is the operator running") as caught:
        await wait(FakeClient(), patience=0.05)
    assert caught.value.code is Exit.UNANSWERED


async def test_a_person_who_may_create_but_not_watch_is_told_so() -> None:
    """The action exists; its answer is unknown."""
    with pytest.raises(CliError, match="was created, but its answer cannot be read: alice may not watch") as caught:
        await wait(FakeClient(ApiError("alice may not watch", 403)))
    assert caught.value.code is Exit.UNANSWERED
