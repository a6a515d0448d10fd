"""The API module against a real API server: what optimistic locking by JSON patch really answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from headgate.act import errors
from headgate.act.kube import Call, Kube
from headgate.act.resources import LEASES, SERVICES
from headgate.act.transport import ClientTransport
from headgate.traffic.protocol import Resource
from tests.api.cluster import LightCluster

NAMESPACE = "kube-module"
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
NO_SUCH_KIND = Resource("example.com", "v1", "things", "Thing")


@pytest.fixture(scope="module")
def namespace(light_cluster: LightCluster) -> Iterator[str]:
    """Yield a namespace of these tests' own."""
    light_cluster.kubectl("create", "namespace", NAMESPACE)
    yield NAMESPACE
    light_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
async def kube(light_cluster: LightCluster, namespace: str) -> AsyncIterator[Kube]:
    """Yield the module, connected as an administrator."""
    assert namespace
    made = Kube(await ClientTransport.connect(str(light_cluster.kubeconfig)))
    yield made
    await made.close()


async def config_map(kube: Kube, name: str) -> dict[str, str]:
    """Create a ConfigMap and give its metadata."""
    made = await kube.create(CONFIG_MAPS, NAMESPACE, {"metadata": {"name": name}, "data": {"a": "1"}})
    return dict(made["metadata"])


async def test_a_stale_version_is_a_conflict_before_anything_else(kube: Kube) -> None:
    """A stale patch is a Conflict even if what it writes is invalid, too; the object is as it was."""
    meta = await config_map(kube, "stale")
    await kube.json_patch(CONFIG_MAPS, NAMESPACE, "stale", [{"op": "add", "path": "/data/b", "value": "2"}])
    old = meta["resourceVersion"]
    for key in ("c", "not a key !"):
        patch = [{"op": "add", "path": f"/data/{key}", "value": "3"}]
        with pytest.raises(errors.Conflict):
            await kube.json_patch(CONFIG_MAPS, NAMESPACE, "stale", patch, resource_version=old)
    found = await kube.get(CONFIG_MAPS, NAMESPACE, "stale")
    assert found["data"] == {"a": "1", "b": "2"}


async def test_a_fresh_version_is_written_and_answered(kube: Kube) -> None:
    """The answer holds the new object with its new version."""
    meta = await config_map(kube, "fresh")
    patch = [{"op": "replace", "path": "/data/a", "value": "2"}]
    answer = await kube.json_patch(CONFIG_MAPS, NAMESPACE, "fresh", patch, resource_version=meta["resourceVersion"])
    assert answer["data"] == {"a": "2"}
    assert int(answer["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])


async def test_a_schema_refusal_is_told_from_a_patch_that_does_not_fit(kube: Kube) -> None:
    """Both are a 422; only the first is a refusal."""
    await config_map(kube, "refused")
    invalid = [{"op": "add", "path": "/data/not a key !", "value": "3"}]
    with pytest.raises(errors.Invalid):
        await kube.json_patch(CONFIG_MAPS, NAMESPACE, "refused", invalid)
    for misfit in (
        [{"op": "test", "path": "/data/a", "value": "another"}],
        [{"op": "remove", "path": "/data/no-such-key"}],
    ):
        with pytest.raises(errors.Conflict):
            await kube.json_patch(CONFIG_MAPS, NAMESPACE, "refused", misfit)


async def test_a_second_create_is_already_exists(kube: Kube) -> None:
    """The name is taken."""
    await config_map(kube, "twice")
    with pytest.raises(errors.AlreadyExists):
        await config_map(kube, "twice")


async def test_a_deletion_is_conditional(kube: Kube) -> None:
    """Another version or uid is not deleted; the right one is, and is then not found."""
    meta = await config_map(kube, "deleted")
    with pytest.raises(errors.Conflict):
        await kube.delete(CONFIG_MAPS, NAMESPACE, "deleted", resource_version="1")
    with pytest.raises(errors.Conflict):
        await kube.delete(CONFIG_MAPS, NAMESPACE, "deleted", uid="another")
    answer = await kube.delete(
        CONFIG_MAPS, NAMESPACE, "deleted", uid=meta["uid"], resource_version=meta["resourceVersion"]
    )
    assert answer["kind"] == "Status"
    with pytest.raises(errors.NotFound):
        await kube.get(CONFIG_MAPS, NAMESPACE, "deleted")


async def test_a_kind_that_is_not_served_is_told_from_an_object_that_is_gone(kube: Kube) -> None:
    """Both are a 404: of a kind without a CRD nothing is known, of an object that it is not there."""
    with pytest.raises(errors.NotServed):
        await kube.list(NO_SUCH_KIND)


async def test_lists_of_names_hold_names_only(kube: Kube) -> None:
    """A metadata-only list has uids and versions, by label, and the version of the list."""
    labelled = {"metadata": {"name": "labelled", "labels": {"x": "y"}}, "data": {"a": "1"}}
    await kube.create(CONFIG_MAPS, NAMESPACE, labelled)
    found = await kube.list(CONFIG_MAPS, NAMESPACE, labels="x=y", metadata_only=True)
    (item,) = found.items
    assert item["kind"] == "PartialObjectMetadata"
    assert item["metadata"]["uid"]
    assert "data" not in item
    assert int(found.resource_version) >= int(item["metadata"]["resourceVersion"])


async def test_a_user_without_rights_is_forbidden(light_cluster: LightCluster) -> None:
    """The message names what was not allowed."""
    if light_cluster.name is None:
        pytest.skip("an existing cluster has no token of ours")
    other = Kube(await ClientTransport.connect(str(light_cluster.user_config("alice"))))
    try:
        with pytest.raises(errors.Forbidden) as caught:
            await other.get(SERVICES, NAMESPACE, "x")
    finally:
        await other.close()
    assert "services" in caught.value.message


async def test_every_answer_brings_the_servers_date(kube: Kube) -> None:
    """The clock needs it."""
    calls: list[Call] = []
    kube.observers.append(calls.append)
    await kube.list(LEASES, NAMESPACE)
    assert calls[0].date is not None
    assert calls[0].date == int(calls[0].date)


async def test_a_dead_address_is_unreachable_in_time(tmp_path: Path) -> None:
    """Nobody listens: an error of ours, at once."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config), encoding="utf-8")
    kube = Kube(await ClientTransport.connect(str(file)))
    try:
        with pytest.raises(errors.Unreachable):
            await kube.get(SERVICES, NAMESPACE, "x")
    finally:
        await kube.close()
