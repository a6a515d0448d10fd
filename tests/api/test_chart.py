"""The chart on a real API server: it installs where Pod Security is strict, upgrades its CRDs and leaves them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate.api.config import OperatorConfig
from headgate.api.rollout import TrafficRouting
from headgate.traffic.registry import ROUTERS
from tests.api.cluster import ROOT, LightCluster

CHART = ROOT / "helm" / "headgate"
GOLDEN = Path(__file__).parent / "golden"
SYSTEM = "chart-system"
TEAM = "chart-team"
CLUSTER_KINDS = {"ClusterRole", "ClusterRoleBinding"}


@pytest.fixture(scope="module", autouse=True)
def namespaces(light_cluster: LightCluster) -> Iterator[None]:
    """Make the operator's namespace, as strict as Pod Security can be, and a team's."""
    for namespace in (SYSTEM, TEAM):
        light_cluster.kubectl("create", "namespace", namespace)
    for mode in ("enforce", "warn", "audit"):
        light_cluster.kubectl("label", "namespace", SYSTEM, f"pod-security.kubernetes.io/{mode}=restricted")
    yield
    light_cluster.kubectl("delete", "namespace", SYSTEM, TEAM, "--wait=false")


@pytest.fixture
def release(light_cluster: LightCluster) -> Iterator[str]:
    """Yield the name of a release that is uninstalled afterwards, however far it came."""
    yield "headgate"
    light_cluster.helm("uninstall", "headgate", "--namespace", SYSTEM, "--ignore-not-found", "--wait")


def install(cluster: LightCluster, release: str, *arguments: str, chart: Path = CHART) -> str:
    """Install or upgrade, and return all that Helm said, warnings of the API server included."""
    result = cluster.helm(
        "upgrade", "--install", release, str(chart), "--namespace", SYSTEM, "--take-ownership", *arguments
    )
    return result.stdout + result.stderr


def template(cluster: LightCluster, *arguments: str, check: bool = True) -> list[dict[str, Any]]:
    """Return the rendered objects."""
    result = cluster.helm(
        "template", "headgate", str(CHART), "--namespace", SYSTEM, "--kube-version", "1.34.0", *arguments, check=check
    )
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def test_lint(light_cluster: LightCluster) -> None:
    """Helm finds nothing to complain about."""
    light_cluster.helm("lint", str(CHART), "--strict", "--kube-version", "1.34.0")


def test_restricted_namespace_accepts_it_without_a_warning(light_cluster: LightCluster, release: str) -> None:
    """Neither the objects of the chart nor the pods that come of them meet a warning where `restricted` is enforced."""
    said = install(light_cluster, release)
    assert "warning" not in said.lower()
    deployment = json.loads(
        light_cluster.kubectl("get", "deployment", "headgate", "--namespace", SYSTEM, "-o", "json").stdout
    )
    pod = deployment["spec"]["template"] | {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] |= {"name": "probe", "namespace": SYSTEM}
    result = light_cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert not result.stderr


def test_upgrade_upgrades_the_crds(light_cluster: LightCluster, release: str, tmp_path: Path) -> None:
    """A newer chart's CRDs replace the older one's at `helm upgrade`, which Helm's own `crds/` folder never does."""
    install(light_cluster, release)
    newer = tmp_path / "headgate"
    shutil.copytree(CHART, newer)
    for path in (newer / "files" / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        crd["spec"]["names"]["categories"] = ["headgate", "newer"]
        path.write_text(yaml.safe_dump(crd))
    install(light_cluster, release, chart=newer)
    for crd in crds(light_cluster):
        assert crd["spec"]["names"]["categories"] == ["headgate", "newer"]
    install(light_cluster, release)


def test_uninstall_keeps_crds_and_objects(light_cluster: LightCluster, release: str) -> None:
    """What people wrote outlives the operator, and a later install of the same name takes over the CRDs."""
    install(light_cluster, release)
    gate = {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "Environment",
        "metadata": {"name": "chart-kept"},
        "spec": {"namespaces": [TEAM]},
    }
    light_cluster.apply(gate)
    light_cluster.helm("uninstall", release, "--namespace", SYSTEM, "--wait")
    assert len(crds(light_cluster)) == 4
    light_cluster.kubectl("get", "environment", "chart-kept")
    left = light_cluster.kubectl(
        "get", "clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding",
        "-l", f"app.kubernetes.io/part-of=headgate,app.kubernetes.io/instance={release}", "-o", "name",
    )  # fmt: skip
    assert not left.stdout
    light_cluster.helm("install", release, str(CHART), "--namespace", SYSTEM)
    light_cluster.kubectl("delete", "environment", "chart-kept")


def test_crds_can_be_left_to_others(light_cluster: LightCluster) -> None:
    """With `crds.install=false` the chart contains no CRD."""
    assert not [
        o for o in template(light_cluster, "--set", "crds.install=false") if o["kind"] == "CustomResourceDefinition"
    ]
    kept = [o for o in template(light_cluster) if o["kind"] == "CustomResourceDefinition"]
    assert len(kept) == 4
    assert {o["metadata"]["annotations"]["helm.sh/resource-policy"] for o in kept} == {"keep"}


def test_namespaced_mode_has_no_cluster_rights(light_cluster: LightCluster, release: str) -> None:
    """With `namespaces` there is no ClusterRole; the operator has its rights in these namespaces and nowhere else."""
    objects = template(light_cluster, "--set", f"namespaces={{{TEAM}}}")
    assert not [o["metadata"]["name"] for o in objects if o["kind"] in CLUSTER_KINDS]
    assert "environments" not in json.dumps([o for o in objects if o["kind"] != "CustomResourceDefinition"])
    install(light_cluster, release, "--set", f"namespaces={{{TEAM}}}")
    assert rights(light_cluster, TEAM) == golden("rights-namespaced.txt")
    assert rights(light_cluster, "default") == []
    assert rights(light_cluster, SYSTEM) == golden("rights-own-namespace.txt")


def test_a_router_brings_the_rights_to_its_kinds(light_cluster: LightCluster, release: str) -> None:
    """With other routers the operator may write their kinds, and those of no router that is not named."""
    install(light_cluster, release, "--set", "config.routers={contour}")
    usual = [right for right in golden("rights-cluster.txt") if "gateway.networking.k8s.io" not in right]
    assert rights(light_cluster, TEAM) == sorted([*usual, "httpproxies.projectcontour.io: get, list, patch, watch"])
    wrong = light_cluster.helm(
        "template", "headgate", str(CHART), "--kube-version", "1.34.0", "--set", "config.routers={traefic}", check=False
    )
    assert wrong.returncode
    assert "config.routers.0" in wrong.stderr.replace("/", ".")


def test_a_router_of_another_package_has_the_rights_that_the_admin_lists(light_cluster: LightCluster) -> None:
    """To list and patch its kind and no more; neither a wildcard nor a kind of the core group can be listed."""
    kinds = [{"apiGroup": "mesh.example.org", "resources": ["trafficshares"]}]
    named = ("--set", "config.routers={gatewayAPI,plugins.example}", "--set-json")

    def rules(*arguments: str) -> list[Any]:
        (role,) = (
            o
            for o in template(light_cluster, *arguments)
            if o["kind"] == "ClusterRole" and o["metadata"]["name"] == "headgate"
        )
        return list(role["rules"])

    def refused(kind: object) -> bool:
        values = ("--kube-version", "1.34.0", *named, f"rbac.pluginKinds={json.dumps([kind])}")
        return "pluginKinds" in light_cluster.helm("template", "headgate", str(CHART), *values, check=False).stderr

    more = {
        "apiGroups": ["mesh.example.org"],
        "resources": ["trafficshares"],
        "verbs": ["get", "list", "watch", "patch"],
    }
    assert [r for r in rules(*named, f"rbac.pluginKinds={json.dumps(kinds)}") if r not in rules()] == [more]
    assert all(map(refused, [{**kinds[0], "verbs": ["delete"]}, {**kinds[0], "resources": ["*"]}]))
    assert all(refused({**kinds[0], "apiGroup": group}) for group in ("", "*", "apps", "rbac.authorization.k8s.io"))


def test_release_in_place_brings_its_rights(light_cluster: LightCluster, release: str) -> None:
    """Who allows it gives the operator the workloads of that kind and evictions, but no pod to delete by itself."""
    install(light_cluster, release, "--set", "config.rollingKinds={StatefulSet}")
    more = [
        "pods/eviction: create",
        "poddisruptionbudgets.policy: get, list, watch",
        "statefulsets.apps: get, list, patch, watch",
    ]
    assert rights(light_cluster, TEAM) == sorted([*golden("rights-cluster.txt"), *more])
    install(light_cluster, release, "--set", "config.rollingKinds={DaemonSet}")
    more[2] = "daemonsets.apps: get, list, patch, watch"
    assert rights(light_cluster, TEAM) == sorted([*golden("rights-cluster.txt"), *more])


def test_config_snapshots_bring_their_rights(light_cluster: LightCluster, release: str) -> None:
    """Only the kinds that the admin names, and not one of them may be listed or changed."""
    given = ("template", "headgate", str(CHART), "--kube-version", "1.34.0", "--set")
    assert "resources: [configmaps]" in light_cluster.helm(*given, "config.snapshotKinds={ConfigMap}").stdout
    install(light_cluster, release, "--set", "config.snapshotKinds={ConfigMap,Secret}")
    more = ["configmaps: create, delete, get", "secrets: create, delete, get"]
    assert rights(light_cluster, TEAM) == sorted([*golden("rights-cluster.txt"), *more])


def test_restarts_bring_the_right_to_evict_and_no_other(light_cluster: LightCluster) -> None:
    """Who does not ask for them has an operator that cannot take a pod away."""
    given = ("template", "headgate", str(CHART), "--kube-version", "1.34.0", "--set")
    assert "pods/eviction" not in light_cluster.helm(*given, "config.restarts=false").stdout
    with_it = light_cluster.helm(*given, "config.restarts=true").stdout
    assert with_it.count("resources: [pods/eviction]\n  verbs: [create]") == 1


def test_rights_are_these_and_no_more(light_cluster: LightCluster, release: str) -> None:
    """The operator may do what the golden file says; a new line in it is a decision, not an accident."""
    install(light_cluster, release)
    assert rights(light_cluster, TEAM) == golden("rights-cluster.txt")


@pytest.mark.parametrize(
    "question",
    [
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "pods/eviction"),
        ("delete", "pods"),
        ("patch", "statefulsets.apps"),
        ("create", "serviceaccounts/token"),
        ("impersonate", "users"),
        ("bind", "clusterroles.rbac.authorization.k8s.io"),
        ("escalate", "roles.rbac.authorization.k8s.io"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("create", "deployments.apps"),
        ("delete", "deployments.apps"),
        ("delete", "services"),
        ("create", "rolloutactions.headgate.dev"),
        ("approve", "rollouts.headgate.dev"),
        ("get", "leases.coordination.k8s.io"),
    ],
    ids=" ".join,
)
def test_the_operator_may_not(light_cluster: LightCluster, rights_of_operator: str, question: tuple[str, str]) -> None:
    """A stolen token of the operator's opens none of these."""
    answer = light_cluster.kubectl(
        "auth", "can-i", *question, "--namespace", TEAM, "--as", rights_of_operator, check=False
    )
    assert answer.stdout.strip() == "no"


@pytest.fixture(scope="module")
def rights_of_operator(light_cluster: LightCluster) -> Iterator[str]:
    """Yield the user name of an operator that is installed cluster-wide, without policies: only RBAC is asked."""
    install(
        light_cluster, "asked", "--set", "fullnameOverride=asked,rbac.userRoles.create=false,admission.enabled=false"
    )
    yield f"system:serviceaccount:{SYSTEM}:asked"
    light_cluster.helm("uninstall", "asked", "--namespace", SYSTEM, "--wait")


def test_the_cluster_roles_of_people_aggregate(light_cluster: LightCluster, release: str) -> None:
    """`view` and `edit` get the chart's roles only where the cluster aggregates; the release manager's never."""
    objects = template(light_cluster)
    labels = {o["metadata"]["name"]: o["metadata"]["labels"] for o in objects if o["kind"] == "ClusterRole"}
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert labels["headgate-edit"].get(f"{prefix}edit") == "true"
    assert not [label for label in labels["headgate-release-manager"] if label.startswith(prefix)]
    off = template(light_cluster, "--set", "rbac.userRoles.aggregate=false")
    assert prefix not in json.dumps([o for o in off if o["kind"] == "ClusterRole"])
    none = template(light_cluster, "--set", "rbac.userRoles.create=false")
    assert [o["metadata"]["name"] for o in none if o["kind"] == "ClusterRole"] == [release]


def test_the_operator_can_read_its_configuration(light_cluster: LightCluster) -> None:
    """What the chart renders is what the operator's own model accepts, value for value."""
    values = [
        "--set", "namespaces={a,b}",
        "--set", "config.metricProviders.main.address=http://prometheus.monitoring.svc:9090",
        "--set-json", "config.metricProviders.main.timeoutSeconds=2.5",
        "--set-json", 'config.queryTemplates={"errors":{"query":"rate(e{ns=\\"{{namespace}}\\"}[1m])"}}',
        "--set", "config.drainSeconds=0",
    ]  # fmt: skip
    rendered = next(o for o in template(light_cluster, *values) if o["kind"] == "ConfigMap")["data"]["config.yaml"]
    config = OperatorConfig.model_validate(yaml.safe_load(rendered))
    assert config.namespaces == ("a", "b")
    assert config.metric_providers["main"].timeout_seconds == 2.5
    assert config.query_templates["errors"].query == 'rate(e{ns="{{namespace}}"}[1m])'
    assert config.drain_seconds == 0
    assert config.workers == OperatorConfig().workers


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("values*.yaml")), ids=lambda path: path.name)
def test_example_values_are_accepted(light_cluster: LightCluster, path: Path) -> None:
    """The values that the examples ship pass the chart's schema and are a configuration that the operator accepts."""
    objects = template(light_cluster, "--values", str(path))
    rendered = next(o for o in objects if o["kind"] == "ConfigMap")["data"]["config.yaml"]
    assert OperatorConfig.model_validate(yaml.safe_load(rendered)).query_templates


def test_a_changed_configuration_rolls_the_pods(light_cluster: LightCluster) -> None:
    """The operator reads its configuration once, so a change of it must change the pod template."""
    checksums = {
        deployment(template(light_cluster, *arguments))["template"]["metadata"]["annotations"]["checksum/config"]
        for arguments in ((), ("--set", "config.workers=9"), ("--set", "config.workers=9", "--set", "replicas=3"))
    }
    assert len(checksums) == 2


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("relicas=3", "relicas"),
        ("replicas=-1", "replicas"),
        ("image.digest=sha256:short", "digest"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("namespaces={Upper}", "namespaces"),
        ("config.metricProvider.main.address=http://x", "metricProvider"),
        ("config.metricProviders.main.address=ftp://x", "address"),
        ("serviceAccount.create=false", "serviceAccount.name"),
        ("admission.statusWriters={a'b}", "statusWriters"),
    ],
)
def test_mistakes_in_values_are_refused(light_cluster: LightCluster, value: str, complaint: str) -> None:
    """A wrong or misspelt value fails before anything is installed, and the message names it."""
    result = light_cluster.helm(
        "template", "headgate", str(CHART), "--kube-version", "1.34.0", "--set", value, check=False
    )
    assert result.returncode != 0
    assert complaint in result.stderr


def test_the_pod_is_locked_down(light_cluster: LightCluster) -> None:
    """A read-only root, no capabilities, no token but a short-lived one, and a digest that wins over the tag."""
    digest = "sha256:" + "0" * 64
    pod = deployment(template(light_cluster, "--set", f"image.digest={digest},image.tag=ignored"))["template"]["spec"]
    container = pod["containers"][0]
    assert container["image"] == f"headgate@{digest}"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False
    token = next(v for v in pod["volumes"] if v["name"] == "token")["projected"]["sources"][0]["serviceAccountToken"]
    assert token["expirationSeconds"] == 3600


def test_egress_is_only_what_was_named(light_cluster: LightCluster) -> None:
    """The network policy lets the operator reach the API server and DNS, and a metric provider once it is named."""
    rule = '[{"to":[{"namespaceSelector":{"matchLabels":{"a":"b"}}}],"ports":[{"protocol":"TCP","port":9090}]}]'
    arguments = ("--set", "networkPolicy.apiServer.cidrs={10.0.0.1/32}", "--set-json", f"networkPolicy.egress={rule}")
    policy = next(o for o in template(light_cluster, *arguments) if o["kind"] == "NetworkPolicy")["spec"]
    api_server, dns, provider = policy["egress"]
    assert api_server["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert provider["ports"] == [{"protocol": "TCP", "port": 9090}]
    assert not [
        o for o in template(light_cluster, "--set", "networkPolicy.enabled=false") if o["kind"] == "NetworkPolicy"
    ]


def test_policies_of_namespaced_mode_stay_there(light_cluster: LightCluster) -> None:
    """The policies of an operator for some namespaces do not bar the operator of others."""
    objects = template(light_cluster, "--set", "namespaces={a,b}")
    bindings = [o for o in objects if o["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert len(bindings) == 2
    for binding in bindings:
        (term,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert (term["key"], term["values"]) == ("kubernetes.io/metadata.name", ["a", "b"])


def test_policies_type_check(light_cluster: LightCluster, release: str) -> None:
    """The API server's own type check of the policies against the CRDs has nothing to warn of."""
    install(light_cluster, release)
    policies = light_cluster.kubectl(
        "get", "validatingadmissionpolicy", "-l", "app.kubernetes.io/part-of=headgate", "-o", "json"
    )
    items = json.loads(policies.stdout)["items"]
    assert len(items) == 2
    for policy in items:
        assert not policy.get("status", {}).get("typeChecking", {}).get("expressionWarnings")


def test_gitops_rules_are_rendered_on_demand(light_cluster: LightCluster) -> None:
    """The Argo CD and Flux snippets are ConfigMaps that exist only where they were asked for."""
    names = [o["metadata"]["name"] for o in template(light_cluster) if o["kind"] == "ConfigMap"]
    assert names == ["headgate"]
    routers = f"config.routers={{{','.join(TrafficRouting.routers())}}}"
    both = template(light_cluster, "--set", "gitops.argocd=true,gitops.flux=true", "--set", routers)
    maps = {o["metadata"]["name"]: o["data"] for o in both if o["kind"] == "ConfigMap"}
    health = maps["headgate-argocd"]["resource.customizations.health.headgate.dev_Rollout"]
    assert health.rstrip() == (CHART / "files" / "argocd" / "health.lua").read_text().rstrip()
    ignored = {name.rpartition("_")[2] for name in maps["headgate-argocd"] if "ignoreDifferences" in name}
    assert {router.resource.kind for router in ROUTERS.values()} < ignored
    for rules in (maps["headgate-argocd"], maps["headgate-flux"]):
        assert all(yaml.safe_load(text) for name, text in rules.items() if not name.endswith("Rollout"))


def crds(cluster: LightCluster) -> list[dict[str, Any]]:
    """Return Headgate's CRDs."""
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "crds", "-o", "json").stdout)["items"]
    return [crd for crd in items if crd["spec"]["group"] == "headgate.dev"]


def deployment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the spec of the operator's Deployment."""
    spec: dict[str, Any] = next(o for o in objects if o["kind"] == "Deployment")["spec"]
    return spec


def golden(name: str) -> list[str]:
    """Return the lines of a golden file."""
    return (GOLDEN / name).read_text().splitlines()


def rights(cluster: LightCluster, namespace: str) -> list[str]:
    """Return what the operator's account may do in a namespace, beyond what every ServiceAccount may."""
    everyone = set(asked(cluster, namespace, "nobody-in-particular"))
    return [line for line in asked(cluster, namespace, "headgate") if line not in everyone]


def asked(cluster: LightCluster, namespace: str, account: str) -> list[str]:
    """Return the API server's answer about an account, one line for each resource."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = cluster.kubectl(
        "create", "--raw", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "-f", "-",
        "--as", f"system:serviceaccount:{SYSTEM}:{account}",
        "--as-group", "system:serviceaccounts", "--as-group", "system:authenticated", stdin=json.dumps(review),
    )  # fmt: skip
    verbs: dict[str, set[str]] = {}
    status = json.loads(answer.stdout)["status"]
    for rule in status["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                name = f"{resource}.{group}" if group else resource
                verbs.setdefault(name, set()).update(rule["verbs"])
    for rule in status["nonResourceRules"]:
        for path in rule["nonResourceURLs"]:
            verbs.setdefault(path, set()).update(rule["verbs"])
    return sorted(f"{name}: {', '.join(sorted(names))}" for name, names in verbs.items())
