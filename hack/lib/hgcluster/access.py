"""Who may speak to a local cluster: keys, static tokens and kubeconfig files, all readable by their user only."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path

from hgcluster import binaries, run, ui
from hgcluster.layout import Cluster

# The cluster's own parts; each has a name of its own, so that the audit log tells them apart.
PARTS: dict[str, list[str]] = {
    "system:kube-controller-manager": ["system:masters"],
    "system:kube-scheduler": ["system:masters"],
    "system:kube-proxy": ["system:node-proxier"],
    "headgate-local:setup": ["system:masters"],
    "headgate-local:contour": ["system:masters"],
    "headgate-local:kwok": ["system:masters"],
    "headgate-local:dns": ["system:masters"],
}


def prepare(cluster: Cluster) -> None:
    """Make what is missing: certificates, the token file, the administrator's kubeconfig."""
    keys = cluster.folder / "keys"
    if not (keys / "service-accounts.key").exists():
        hosts = ["127.0.0.1", "localhost", "kubernetes.default.svc", "kubernetes.default", "kubernetes"]
        hosts += [cluster.host_address, cluster.service_address(1)]
        run.run(
            [binaries.path("certs"), "--out", keys, "--hosts", ",".join(dict.fromkeys(hosts))],
            what="making certificates",
        )
    table = keys / "tokens.csv"
    if not table.exists():
        everyone = {**cluster.users, **PARTS, f"system:node:{cluster.node_name}": ["system:nodes"]}
        lines = [f'{secrets.token_urlsafe(32)},{user},{user},"{",".join(groups)}"' for user, groups in everyone.items()]
        private(table, "\n".join(lines) + "\n")
    private(cluster.kubeconfig, _kubeconfig(cluster, "admin"))


def kubeconfig(cluster: Cluster, user: str, server: str = "") -> Path:
    """The kubeconfig of one user; made when it is first asked for."""
    path = cluster.folder / "users" / f"{user.replace(':', '-')}.kubeconfig"
    path.parent.mkdir(parents=True, exist_ok=True)
    private(path, _kubeconfig(cluster, user, server) if cluster.local else _impersonating(cluster, user))
    return path


def token(cluster: Cluster, user: str) -> str:
    """The static token of a user."""
    for line in (cluster.folder / "keys" / "tokens.csv").read_text().splitlines():
        value, name, *_ = line.split(",")
        if name == user:
            return value
    known = ", ".join(cluster.users)
    raise ui.ClusterError(
        f"cluster '{cluster.name}' knows no user '{user}', but {known}. Name others to `up` with --user."
    )


def private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first moment on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.rename(path)


def _kubeconfig(cluster: Cluster, user: str, server: str = "") -> str:
    authority = base64.b64encode((cluster.folder / "keys" / "ca.crt").read_bytes()).decode()
    context = f"headgate-{cluster.name}"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [
                {
                    "name": context,
                    "cluster": {
                        "server": server or f"https://127.0.0.1:{cluster.port('api')}",
                        "certificate-authority-data": authority,
                    },
                }
            ],
            "users": [{"name": user, "user": {"token": token(cluster, user)}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": user, "namespace": "default"}}],
        },
        indent=1,
    )


def _impersonating(cluster: Cluster, user: str) -> str:
    # A cluster that is not ours has no token file; its administrator acts for the others instead.
    config = json.loads(
        run.run(
            [binaries.path("kubectl"), "--kubeconfig", cluster.kubeconfig, "config", "view", "--raw", "-o", "json"],
            what="reading the kubeconfig",
        )
    )
    if user != "admin":
        for entry in config["users"]:
            entry["user"]["as"] = user
            entry["user"]["as-groups"] = [*cluster.users.get(user, []), "system:authenticated"]
    return json.dumps(config, indent=1)
