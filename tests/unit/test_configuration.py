"""What a template refers to, how copies are named, and that what they hold goes nowhere but into them."""

from __future__ import annotations

import asyncio
import base64
import logging
from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from headgate.act.context import Context
from headgate.act.records import create as create_record
from headgate.api.config import OperatorConfig
from headgate.api.rollout import ConfigSnapshots, RolloutSpec
from headgate.decide import configuration
from headgate.decide.revision import revision_of, with_contents
from headgate.decide.types import (
    ConfigCopy,
    ConfigView,
    CreateConfigCopy,
    CreatePlan,
    Decision,
    DeleteConfigCopy,
    Plan,
    ReadKind,
    ReadQuestion,
    RolloutMeta,
    Snapshot,
)
from headgate.observe import views
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import KEY, ROLLOUT, World, rollout

ALL = ConfigSnapshots(secrets=True)
META = RolloutMeta("shop", "checkout", "rollout-uid", "1", 1, 0.0)
MARKER = "s3cr3t-marker"
MAPS, SECRETS = "/api/v1/namespaces/shop/configmaps", "/api/v1/namespaces/shop/secrets"
FULL: dict[str, Any] = {
    "metadata": {"labels": {"app": "checkout"}},
    "spec": {
        "volumes": [
            {"name": "a", "configMap": {"name": "volume"}},
            {"name": "b", "secret": {"secretName": "volume-secret", "optional": True}},
            {
                "name": "c",
                "projected": {
                    "sources": [
                        {"configMap": {"name": "projected"}},
                        {"secret": {"name": "projected-secret"}},
                        {"serviceAccountToken": {"path": "token"}},
                    ]
                },
            },
            {"name": "d", "emptyDir": {}},
        ],
        "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "from"}}, {"prefix": "X"}]}],
        "containers": [
            {
                "name": "m",
                "env": [
                    {"name": "A", "value": "plain"},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "key", "key": "k", "optional": True}}},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "key-secret", "key": "k"}}},
                    {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [{"secretRef": {"name": "from-secret"}}, {"configMapRef": {"name": "key"}}],
            }
        ],
    },
}


def test_every_place_of_a_template_is_found() -> None:
    """Volumes, projected volumes, env and envFrom, of init containers, too; optional is what all mentions are."""
    found = {r.key: r.optional for r in configuration.references(FULL, ALL)}
    assert found == {
        "ConfigMap/volume": False,
        "ConfigMap/projected": False,
        "ConfigMap/from": False,
        "ConfigMap/key": False,
        "Secret/volume-secret": True,
        "Secret/projected-secret": False,
        "Secret/key-secret": False,
        "Secret/from-secret": False,
    }
    assert all(r.kind == "ConfigMap" for r in configuration.references(FULL, ConfigSnapshots()))
    assert configuration.references(FULL, None) == ()


def test_rewriting_changes_the_names_and_nothing_else() -> None:
    """The template itself stays as it was; the same name of the other kind is another object."""
    before = orjson.dumps(FULL)
    copies = [
        ConfigCopy(r.kind, r.name, f"copy-{r.kind.lower()}-{r.name}") for r in configuration.references(FULL, ALL)
    ]
    made = orjson.dumps(configuration.rewritten(FULL, copies)).decode()
    assert orjson.dumps(FULL) == before
    for one in copies:
        made = made.replace(f'"{one.name}"', f'"{one.source}"')
    assert orjson.loads(made) == FULL
    assert configuration.rewritten(FULL, ()) is FULL


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {"volumes": "none"},
        {"volumes": [None, {"configMap": None}, {"configMap": {"name": 5}}, {"projected": {"sources": {}}}]},
        {"containers": [{"env": [{"valueFrom": None}, {"valueFrom": {"configMapKeyRef": []}}], "envFrom": "x"}, 5]},
        {"containers": {"envFrom": []}, "initContainers": [{"envFrom": [{"secretRef": {"name": ""}}]}]},
    ],
)
def test_template_that_is_none_refers_to_nothing(spec: Any) -> None:
    """Nobody has checked an inline template before its pods are made."""
    assert configuration.references({"spec": spec}, ALL) == ()


def test_copies_are_named_by_what_they_hold() -> None:
    """The same content has the same name; another content, source, kind or Rollout another one."""
    held: dict[str, Any] = {"data": {"a": "1", "b": "2"}, "binaryData": {"c": "eA=="}}
    other: list[dict[str, Any]] = [
        {"data": {"a": "1", "b": "3"}, "binaryData": {"c": "eA=="}},
        {"data": {"a": "1", "b": "2"}},
        {"data": {"a": "1", "b": "2", "c": "eA=="}},
        {**held, "type": "Opaque"},
    ]
    digest = configuration.digest_of(held)
    assert digest == configuration.digest_of({"binaryData": held["binaryData"], "data": {"b": "2", "a": "1"}})
    assert len({digest, *(configuration.digest_of(o) for o in other)}) == 5
    assert configuration.digest_of({}) == configuration.digest_of({"data": {}, "binaryData": None})
    names = {
        configuration.copy_name(META, "ConfigMap", "settings", digest),
        configuration.copy_name(META, "Secret", "settings", digest),
        configuration.copy_name(META, "ConfigMap", "settings-2", digest),
        configuration.copy_name(META, "ConfigMap", "settings", "another"),
        configuration.copy_name(replace(META, uid="another"), "ConfigMap", "settings", digest),
    }
    assert len(names) == 5


@pytest.mark.parametrize("source", ["a", "x" * 253, ("y" * 199 + ".") + "z" * 53, "a.b-c"])
def test_name_of_a_copy_is_one_that_the_server_takes(source: str) -> None:
    """However long the names are that it is made of."""
    name = configuration.copy_name(replace(META, name="r" * 40), "ConfigMap", source, "digest")
    assert len(name) <= 253
    assert all(part and part[0].isalnum() and part[-1].isalnum() for part in name.split("."))


def test_annotation_says_which_copies_the_pods_of_a_replica_set_read() -> None:
    """As it was written; what is no such thing says nothing."""
    copies = (ConfigCopy("ConfigMap", "a.b", "shop-a.b-xyz"), ConfigCopy("Secret", "keys", "shop-keys-xyz"))
    assert configuration.from_text(configuration.to_text(copies)) == copies
    assert configuration.from_text("") == ()
    assert configuration.from_text("nothing,of/it,ConfigMap/a/b") == (ConfigCopy("ConfigMap", "a", "b"),)


def test_contents_are_part_of_the_revision_only_where_asked_for() -> None:
    """And a template that refers to nothing is the same revision with and without."""
    revision = revision_of(FULL)
    spec = RolloutSpec.model_validate(rollout()["spec"])
    view = {"ConfigMap/volume": ConfigView("ConfigMap", "volume", 0.0, found=True, digest="1")}
    template = {"spec": {"volumes": [{"configMap": {"name": "volume"}}]}}

    def wanted(triggers: bool) -> RolloutSpec:  # noqa: FBT001
        return spec.model_copy(update={"config_snapshots": ConfigSnapshots(config_change_triggers=triggers)})

    assert configuration.contents(template, spec, {}) == ((), "")
    assert configuration.contents(template, wanted(triggers=False), {}) == ((), "")
    assert configuration.contents(template, wanted(triggers=True), {}) == ((), "ConfigMap/volume")
    held, unread = configuration.contents(template, wanted(triggers=True), view)
    assert unread == ""
    changed, _ = configuration.contents(
        template, wanted(triggers=True), {"ConfigMap/volume": replace(view["ConfigMap/volume"], digest="2")}
    )
    assert len({revision, with_contents(revision, held), with_contents(revision, changed)}) == 3
    assert with_contents(revision, ()) == revision


def test_rolling_refuses_what_it_cannot_do() -> None:
    """An object may be older than the schema."""
    spec = {
        "workloadRef": {"kind": "StatefulSet", "name": "db"},
        "strategy": {"rolling": {"steps": [{"setBatch": 1}]}},
    }
    RolloutSpec.model_validate(spec)
    with pytest.raises(ValidationError, match="remove configSnapshots"):
        RolloutSpec.model_validate(spec | {"configSnapshots": {}})


def test_kinds_are_named_one_by_one() -> None:
    """By default the operator may copy nothing."""
    assert OperatorConfig().snapshot_kinds == ()
    with pytest.raises(ValidationError):
        OperatorConfig.model_validate({"snapshotKinds": ["Pod"]})


def secret(value: str) -> dict[str, Any]:
    """A Secret as the server has it."""
    return {"type": "Opaque", "data": {"password": base64.b64encode(value.encode()).decode()}}


def copying(world: World) -> CreateConfigCopy:
    """The action that copies the Secret as it is now."""
    digest = configuration.digest_of(world.api.objects[f"{SECRETS}/keys"])
    name = configuration.copy_name(META, "Secret", "keys", digest)
    return CreateConfigCopy("Secret", name, "keys", "abc", "checkout-abc-1", "record-uid")


async def test_copy_is_immutable_owned_twice_and_held_by_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """What a Secret holds is in its copy, and in no cache, snapshot, status, Event or line of the log."""
    caplog.set_level(logging.DEBUG)
    world = World()
    world.put("Rollout", ROLLOUT, rollout())
    world.api.put(f"{SECRETS}/keys", secret(MARKER))
    action = copying(world)
    asked = (ReadQuestion(ReadKind.CONFIG, "Secret/keys"), ReadQuestion(ReadKind.CONFIG, f"Secret/{action.name}"))
    world.decide = lambda s, _: Decision(status=s.status, write=True, action=action, reads=asked)
    await world.pass_over()
    made = world.api.objects[f"{SECRETS}/{action.name}"]
    assert made["immutable"] is True
    assert made["type"] == "Opaque"
    assert made["data"] == secret(MARKER)["data"]
    assert made["metadata"]["labels"] == {"headgate.dev/rollout": "checkout"}
    assert [(o["kind"], o["uid"], "controller" in o) for o in made["metadata"]["ownerReferences"]] == [
        ("Rollout", "rollout-uid", False),
        ("ControllerRevision", "record-uid", False),
    ]
    world.decide = lambda s, _: Decision(status=s.status, write=False)
    await asyncio.sleep(0.01)
    await world.pass_over()
    view = world.snapshots[-1].configuration[f"Secret/{action.name}"]
    assert configuration.is_copy(META, view)
    assert world.api.written("secrets") == [("POST", SECRETS)]
    assert world.cache.all("Secret") == []
    everything = repr(world.snapshots) + caplog.text + repr(world.recorder.notes) + repr(world.api.objects[ROLLOUT])
    for form in (MARKER, base64.b64encode(MARKER.encode()).decode()):
        assert form not in everything


async def test_source_that_changed_since_it_was_read_is_not_copied() -> None:
    """The name would say what it does not hold; everything is read again."""
    world = World()
    world.put("Rollout", ROLLOUT, rollout())
    world.api.put(f"{SECRETS}/keys", secret("one"))
    action = copying(world)
    world.api.put(f"{SECRETS}/keys", secret("two"))
    world.cycle._parts.reads.found(KEY).configuration["Secret/keys"] = ConfigView("Secret", "keys", 1.0, found=True)
    world.decide = lambda s, _: Decision(status=s.status, write=True, action=action)
    await world.pass_over()
    assert world.api.written("secrets") == []
    assert world.cycle._parts.reads.found(KEY).configuration == {}


async def test_copy_that_is_gone_is_known_to_be_gone() -> None:
    """Deleted by this write, or by somebody else before it."""
    world = World()
    world.put("Rollout", ROLLOUT, rollout())
    stored = world.api.put(f"{MAPS}/old", {"data": {}})
    meta = stored["metadata"]
    action = DeleteConfigCopy("ConfigMap", "old", meta["uid"], meta["resourceVersion"])
    world.decide = lambda s, _: Decision(status=s.status, write=True, action=action)
    for _ in range(2):
        await world.pass_over()
        assert f"{MAPS}/old" not in world.api.objects
        assert not world.cycle._parts.reads.found(KEY).configuration["ConfigMap/old"].found


async def test_what_may_not_be_read_is_told_and_what_cannot_be_is_tried_again() -> None:
    """403 is an answer; a server that is down is none."""
    world = World()
    world.put("Rollout", ROLLOUT, rollout())
    world.api.fail("GET", "configmaps/one", (403, "Forbidden"))
    world.api.fail("GET", "configmaps/two", (503, "ServiceUnavailable"))
    asked = tuple(ReadQuestion(ReadKind.CONFIG, f"ConfigMap/{name}") for name in ("one", "two", "three"))
    world.decide = lambda s, _: Decision(status=s.status, write=False, reads=asked)
    await world.pass_over()
    await asyncio.sleep(0.01)
    found = world.cycle._parts.reads.found(KEY).configuration
    assert found["ConfigMap/one"].problem
    assert "ConfigMap/two" not in found
    assert not found["ConfigMap/three"].found


async def test_wanted_revision_is_unknown_until_its_configuration_is_read() -> None:
    """Where a change of it alone is a release; without that nothing is read and it is known at once."""
    world = World()
    template = {"metadata": {}, "spec": {"volumes": [{"configMap": {"name": "settings"}}]}}
    more = {"template": template, "configSnapshots": {"configChangeTriggers": True}}
    world.put("Rollout", ROLLOUT, rollout(**more))
    world.api.put(f"{MAPS}/settings", {"data": {"a": "1"}})

    def ask(snapshot: Snapshot, _now: float) -> Decision:
        return Decision(snapshot.status, write=False, reads=(ReadQuestion(ReadKind.CONFIG, "ConfigMap/settings"),))

    world.decide = ask
    await world.pass_over()
    await asyncio.sleep(0.01)
    await world.pass_over()
    before, after = world.snapshots
    assert (before.revision, before.unread) == ("", "ConfigMap/settings")
    assert after.unread == ""
    assert after.revision not in ("", revision_of(template))


async def test_record_names_its_copies_and_is_read_back() -> None:
    """A record without any looks as it always did."""
    world = World()
    world.put("Rollout", ROLLOUT, rollout())
    context = Context(world.kube, world.cache, ROUTERS, META, None, 0.0)
    plan = CreatePlan("checkout-abc-1", "v1-x", "abc", 1, {"spec": {}}, Plan((), {}, {}))
    copies = (ConfigCopy("ConfigMap", "settings", "checkout-settings-xyz"),)
    for action in (plan, replace(plan, name="checkout-abc-2", copies=copies)):
        effect = await create_record(context, action)
        assert effect.obj is not None
        assert ("copies" in effect.obj["data"]) == bool(action.copies)
        view = views.plan({"metadata": effect.obj["metadata"], "packed": orjson.dumps(effect.obj["data"])})
        assert view is not None
        assert view.copies == action.copies
