"""The policies that guard releases, tried by users who may and users who may not, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from subprocess import CompletedProcess
from typing import Any, get_args

import pytest

from headgate.api.actions import Verb
from tests.api.cluster import ROOT, LightCluster, until

# carol is a release manager, alice a tenant, bob only looks; the others are made up for one test each.
SYSTEM = "admission-system"
SHOP = "admission-shop"
OTHER = "admission-other"
VERBS: tuple[str, ...] = get_args(Verb)
STATUS = {
    "rollouts": {"message": "promoted"},
    "rolloutactions": {"phase": "Accepted", "message": "yes", "at": "2026-01-01T00:00:00Z"},
}
OPERATOR = f"system:serviceaccount:{SYSTEM}:headgate"


def bind(user: str, role: str, *, kind: str = "ClusterRole") -> dict[str, Any]:
    """Give a user a role in the shop's namespace."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-{role}", "namespace": SHOP},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def role(name: str, *rules: dict[str, list[str]]) -> dict[str, Any]:
    """Return a Role in the shop's namespace that may also create actions."""
    create = {"apiGroups": ["headgate.dev"], "resources": ["rolloutactions"], "verbs": ["create", "get"]}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": SHOP},
        "rules": [create, *({"apiGroups": ["headgate.dev"]} | rule for rule in rules)],
    }


def action(
    verb: str, *, author: str, rollout: str = "checkout", namespace: str = SHOP, **spec: object
) -> dict[str, Any]:
    """Return an action with a generated name."""
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "RolloutAction",
        "metadata": {"generateName": f"{verb}-", "namespace": namespace},
        "spec": {
            "rollout": rollout,
            "verb": verb,
            "revision": "6f9c5d7b8",
            "attempt": 1,
            "author": author,
            "reason": "the test says so",
        }
        | spec,
    }


def rollout(name: str = "checkout") -> dict[str, Any]:
    """Return a Rollout that the schema accepts."""
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "replicas": 1,
            "workloadRef": {"name": name},
            "strategy": {
                "canary": {
                    "stableService": name,
                    "canaryService": f"{name}-canary",
                    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": name}]}},
                    "steps": [{"setWeight": 10}],
                }
            },
        },
    }


@pytest.fixture(scope="module")
def guarded(light_cluster: LightCluster) -> Iterator[LightCluster]:
    """Yield a cluster on which the chart is installed, with one user of each sort."""
    for namespace in (SYSTEM, SHOP, OTHER):
        light_cluster.kubectl("create", "namespace", namespace)
    light_cluster.helm(
        "install", "headgate", str(ROOT / "helm" / "headgate"), "--namespace", SYSTEM, "--take-ownership",
        "--set", "admission.statusWriters={restore-tool}",
    )  # fmt: skip
    only_approve = {"resources": ["rollouts"], "resourceNames": ["checkout"], "verbs": ["approve"]}
    only_promote = {"resources": ["rollouts"], "verbs": ["promote"]}
    status = {"resources": ["rollouts/status", "rolloutactions/status"], "verbs": ["get", "patch", "update"]}
    read = {"resources": ["rollouts", "rolloutactions"], "verbs": ["get", "patch", "update"]}
    light_cluster.apply(
        bind("carol", "headgate-release-manager"),
        bind("alice", "headgate-edit"),
        bind("bob", "headgate-view"),
        role("approver", only_approve),
        bind("approver", "approver", kind="Role"),
        role("promoter", only_promote),
        bind("promoter", "promoter", kind="Role"),
        role("status", status, read),
        bind("forger", "status", kind="Role"),
        bind("restore-tool", "status", kind="Role"),
        rollout(),
    )

    def enforced() -> bool:
        """Say whether both policies have reached the API server's admission chain."""
        lie = light_cluster.kubectl(
            "create", "--dry-run=server", "-f", "-", stdin=json.dumps(action("promote", author="x")), check=False
        )
        forged = patch_status(light_cluster, "rollouts", "checkout", "--dry-run=server")
        return lie.returncode != 0 and forged.returncode != 0

    until(enforced, seconds=30, what="the policies are enforced")
    yield light_cluster
    light_cluster.helm("uninstall", "headgate", "--namespace", SYSTEM, "--wait")
    light_cluster.kubectl("delete", "rollouts,rolloutactions", "--all", "--namespace", SHOP)
    light_cluster.kubectl("delete", "namespace", SYSTEM, SHOP, OTHER, "--wait=false")


def create(cluster: LightCluster, manifest: dict[str, Any], *, user: str | None) -> CompletedProcess[str]:
    """Create an object as this user, and tell how it went."""
    return cluster.kubectl("create", "-f", "-", "-o", "json", user=user, stdin=json.dumps(manifest), check=False)


def patch_status(
    cluster: LightCluster, resource: str, name: str, *arguments: str, user: str | None = None
) -> CompletedProcess[str]:
    """Try to write the status of an object in the shop."""
    patch = json.dumps({"status": STATUS[resource]})
    return cluster.kubectl(
        "patch", resource, name, "--namespace", SHOP, "--subresource=status", "--type=merge", "-p", patch, *arguments,
        user=user, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_release_manager_may_act(guarded: LightCluster, verb: str) -> None:
    """Whoever holds the verbs and signs with their own name may create every kind of action."""
    result = create(guarded, action(verb, author="carol"), user="carol")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_a_tenant_may_not_act(guarded: LightCluster, verb: str) -> None:
    """The right to create actions is not the right to do what they say; the refusal names the verb and the way out."""
    result = create(guarded, action(verb, author="alice"), user="alice")
    assert result.returncode != 0
    assert f"alice may not {verb} the Rollout checkout in namespace {SHOP}" in result.stderr
    assert "headgate-release-manager" in result.stderr


def test_nobody_signs_for_another(guarded: LightCluster) -> None:
    """An author who is not the user who creates the action is refused, with the user's own name."""
    result = create(guarded, action("approve", author="alice"), user="carol")
    assert result.returncode != 0
    assert "You are carol, and spec.author says alice" in result.stderr
    assert "kubectl auth whoami" in result.stderr


def test_not_even_an_administrator_signs_for_another(guarded: LightCluster) -> None:
    """The policy binds cluster administrators too, because an audit record that they can forge proves nothing."""
    result = create(guarded, action("approve", author="carol"), user=None)
    assert result.returncode != 0
    assert "spec.author says carol" in result.stderr


def test_a_viewer_may_not_even_ask(guarded: LightCluster) -> None:
    """Without the right to create actions RBAC itself refuses."""
    result = create(guarded, action("pause", author="bob"), user="bob")
    assert result.returncode != 0
    assert "cannot create resource" in result.stderr


def test_a_verb_may_be_given_for_one_rollout(guarded: LightCluster) -> None:
    """A role that names one Rollout and one verb allows this verb on this Rollout, and nothing else."""
    assert create(guarded, action("approve", author="approver"), user="approver").returncode == 0
    assert create(guarded, action("approve", author="approver", rollout="cart"), user="approver").returncode != 0
    assert create(guarded, action("abort", author="approver"), user="approver").returncode != 0


def test_override_needs_its_own_verb(guarded: LightCluster) -> None:
    """Who may promote may not go past a held gate."""
    assert create(guarded, action("promote", author="promoter"), user="promoter").returncode == 0
    refused = create(guarded, action("override", author="promoter"), user="promoter")
    assert "promoter may not override" in refused.stderr


def test_a_verb_is_good_in_its_namespace_only(guarded: LightCluster) -> None:
    """A release manager of one namespace is a stranger in the next."""
    guarded.kubectl(
        "create", "rolebinding", "edit", "--clusterrole=headgate-edit", "--user=carol", "--namespace", OTHER
    )
    result = create(guarded, action("promote", author="carol", namespace=OTHER), user="carol")
    assert f"carol may not promote the Rollout checkout in namespace {OTHER}" in result.stderr


def test_an_action_is_never_changed(guarded: LightCluster) -> None:
    """The spec of an action is a record; its labels are not part of it."""
    made = json.loads(create(guarded, action("pause", author="carol"), user="carol").stdout)
    name = made["metadata"]["name"]
    change = json.dumps({"spec": {"verb": "abort"}})
    refused = guarded.kubectl(
        "patch", "rolloutaction", name, "--namespace", SHOP, "--type=merge", "-p", change, check=False
    )
    assert refused.returncode != 0
    assert "never changed" in refused.stderr.lower()
    guarded.kubectl("label", "rolloutaction", name, "--namespace", SHOP, "seen=yes")


@pytest.mark.parametrize("user", [None, "forger"], ids=["administrator", "forger"])
@pytest.mark.parametrize("resource", ["rollouts", "rolloutactions"])
def test_status_is_the_operators(guarded: LightCluster, resource: str, user: str | None) -> None:
    """Nobody but the operator writes a status, whatever RBAC grants."""
    name = name_of(guarded, resource)
    result = patch_status(guarded, resource, name, user=user)
    assert result.returncode != 0
    assert f"Only the operator writes the status of {resource}" in result.stderr


@pytest.mark.parametrize("resource", ["rollouts", "rolloutactions"])
def test_the_operator_writes_status(guarded: LightCluster, resource: str) -> None:
    """The operator's ServiceAccount, known by its own token and with the chart's rights alone, writes status."""
    name = name_of(guarded, resource)
    applied = {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "Rollout" if resource == "rollouts" else "RolloutAction",
        "metadata": {"name": name, "namespace": SHOP},
        "status": STATUS[resource],
    }
    # Server-side apply is one PATCH; the other forms of kubectl read first, which the operator has no right to do here.
    result = guarded.kubectl(
        "apply", "--server-side", "--subresource=status", "--validate=false", "--field-manager=headgate", "-f", "-",
        "--as", OPERATOR, stdin=json.dumps(applied), check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_named_tools_may_write_status(guarded: LightCluster) -> None:
    """A user that the admin named, such as a backup tool, may restore status."""
    result = patch_status(guarded, "rollouts", "checkout", user="restore-tool")
    assert result.returncode == 0, result.stderr


def test_a_forged_status_does_not_come_in_at_creation(guarded: LightCluster) -> None:
    """A status in a manifest is dropped by the API server."""
    forged = rollout("forged") | {"status": {"message": "promoted"}}
    result = create(guarded, forged, user="alice")
    assert result.returncode == 0, result.stderr
    assert "message" not in json.loads(result.stdout).get("status", {})


def name_of(cluster: LightCluster, resource: str) -> str:
    """Return the name of an object of this kind in the shop."""
    if resource == "rollouts":
        return "checkout"
    made = create(cluster, action("retry", author="carol"), user="carol")
    name: str = json.loads(made.stdout)["metadata"]["name"]
    return name
