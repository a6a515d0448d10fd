"""What a real API server does by itself to an operator in mid-release: refusals, lost rights, kinds that go away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hack.lib.hgbench.cluster import USER, Cluster
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.judging import Judge
from hack.lib.hgprove.faults.lane import Lane
from hack.lib.hgprove.faults.runner import Prover, prover
from hack.lib.hgprove.faults.scenarios import SCENARIOS, App
from tests.api.cluster import ROOT, LightCluster
from tests.api.kube import Json

PATIENCE = 60.0
LONGER_THAN_THE_LEASE = 9.0


@asynccontextmanager
async def paused_release(light: LightCluster, folder: Path, name: str) -> AsyncIterator[tuple[Lane, App]]:
    """Yield an operator and a release that pauses at weight 50; no invariant may break until the end."""
    if light.name is None:
        pytest.skip("the operator's user is known by a token, which an existing cluster does not have")
    cluster = Cluster(light.name, light.environment)
    cluster.install()
    async with prover(cluster, folder, while_seconds=0) as made:
        lane = Lane(made.site, f"levers-{name}")
        try:
            await lane.up()
            app = await _paused(made, lane)
            yield lane, app
            assert not Judge(app.story).breaches()
            await made.clear(app)
        finally:
            await lane.down()


async def _paused(made: Prover, lane: Lane) -> App:
    app = await made.begin(SCENARIOS["abort"], lane, PATIENCE)
    await app.change(2)
    await app.paused_at(2, 1, 50)
    return app


async def _settled(app: App) -> None:
    await app.act("promote", 2)
    await app.healthy(2)


def _condition(app: App, kind: str) -> Json:
    return next((c for c in app.status.get("conditions") or () if c["type"] == kind), {})


async def test_a_quota_refuses_pods_and_then_lets_them(light_cluster: LightCluster, tmp_path: Path) -> None:
    """A ReplicaSet that a quota refuses is a condition with the server's reason; without the quota it goes on."""
    async with paused_release(light_cluster, tmp_path, "quota") as (lane, app):
        await app.act("abort", 2)
        await app.expect("version 2 is taken back", lambda: app.is_taken_back(2))
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "none", "namespace": lane.name},
            "spec": {"hard": {"count/replicasets.apps": "0"}},
        }
        light_cluster.apply(quota)
        counted = ("get", "resourcequota", "none", "--namespace", lane.name, "-o", "jsonpath={.status.used}")
        await app.expect("the quota counts", lambda: bool(light_cluster.kubectl(*counted).stdout.strip()))
        await app.change(3)
        await app.expect("the refusal is said", lambda: "quota" in json.dumps(app.status))
        assert app.weight == 0
        light_cluster.kubectl("delete", "resourcequota", "none", "--namespace", lane.name)
        await app.paused_at(3, 1, 50)


async def test_an_admission_policy_refuses_weights_and_then_lets_them(
    light_cluster: LightCluster, tmp_path: Path
) -> None:
    """A weight that a policy refuses stays where it is, and the release goes on when the policy is gone."""
    async with paused_release(light_cluster, tmp_path, "policy") as (lane, app):
        for obj in _deny_routes(lane.name):
            light_cluster.apply(obj)
        try:
            probe = ("annotate", "httproute", app.name, "--namespace", lane.name, "--overwrite", "probe=1")
            await app.expect(
                "the policy is in force", lambda: light_cluster.kubectl(*probe, check=False).returncode != 0
            )
            await app.act("promote", 2)
            await app.expect("the refusal is said", lambda: "routes are frozen" in json.dumps(app.status))
            assert app.weight == 50
        finally:
            for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
                light_cluster.kubectl("delete", kind, f"freeze-{lane.name}")
        await app.healthy(2)


async def test_rights_are_taken_and_given_back(light_cluster: LightCluster, tmp_path: Path) -> None:
    """Without any right the operator changes nothing and does not end; with them again it goes on."""
    async with paused_release(light_cluster, tmp_path, "rights") as (lane, app):
        process = lane.operator.pid
        async with without_rights(light_cluster):
            promoted = asyncio.create_task(app.act("promote", 2))
            await app.expect("its journal is refused", lambda: any(map(_refused_journal, lane.proxy.recorded.calls)))
            assert app.weight == 50
        await promoted
        await app.healthy(2)
        assert lane.operator.pid == process


async def test_a_kind_is_deleted_and_made_again(light_cluster: LightCluster, tmp_path: Path) -> None:
    """The definition of QualityGates goes and comes back in mid-release: the same process goes on."""
    async with paused_release(light_cluster, tmp_path, "kind") as (lane, app):
        process = lane.operator.pid
        light_cluster.kubectl("delete", "crd", "qualitygates.headgate.dev", "--timeout=30s")
        try:
            await app.expect("the operator notices", lambda: any(c.code == 404 for c in lane.proxy.recorded.calls))
        finally:
            light_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
            light_cluster.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=30s")
        await _settled(app)
        assert lane.operator.pid == process


async def test_an_operator_that_is_stopped_and_goes_on(light_cluster: LightCluster, tmp_path: Path) -> None:
    """Stopped for longer than its Lease lasts, it writes nothing from before: it leads anew and ends the release."""
    async with paused_release(light_cluster, tmp_path, "stopped") as (lane, app):
        lane.operator.freeze()
        await app.story.until(lambda: False, LONGER_THAN_THE_LEASE)
        lane.operator.thaw()
        await _settled(app)


def _refused_journal(call: Call) -> bool:
    return call.code == 403 and (call.resource, call.subresource) == ("rollouts", "status")


@asynccontextmanager
async def without_rights(light_cluster: LightCluster) -> AsyncIterator[None]:
    """Take every ClusterRoleBinding of the operator's user away, and give them back."""
    found = json.loads(light_cluster.kubectl("get", "clusterrolebindings", "-o", "json").stdout)["items"]
    mine = [b for b in found if any(s.get("name") == USER for s in b.get("subjects") or ())]
    assert mine
    for binding in mine:
        light_cluster.kubectl("delete", "clusterrolebinding", binding["metadata"]["name"])
        binding["metadata"] = {"name": binding["metadata"]["name"], "labels": binding["metadata"].get("labels") or {}}
    try:
        yield
    finally:
        light_cluster.apply(*mine)


def _deny_routes(namespace: str) -> list[Json]:
    name = f"freeze-{namespace}"
    rules = {
        "apiGroups": ["gateway.networking.k8s.io"],
        "apiVersions": ["*"],
        "operations": ["UPDATE"],
        "resources": ["httproutes"],
    }
    policy = {
        "matchConstraints": {"resourceRules": [rules]},
        "validations": [{"expression": "false", "message": "routes are frozen"}],
    }
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": where}
    group = "admissionregistration.k8s.io/v1"
    return [
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": policy},
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": binding},
    ]
