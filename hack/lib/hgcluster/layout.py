"""One cluster's record: its name, kind, and the ports and addresses that follow from its index."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from hgcluster import paths, ui

Mode = Literal["node", "light", "kind", "external"]

_FIRST_PORT = 21000  # below the range that systems hand out to outgoing connections
_PORTS_EACH = 50
_MOST_CLUSTERS = 40
_FIRST_NETWORK = 210  # cluster i owns 10.(210+i).0.0/16
_PORTS = {
    "api": 0,
    "etcd": 1,
    "etcd-peer": 2,
    "controllers": 3,
    "scheduler": 4,
    "gateway": 10,
    "envoy-stats": 11,
    "contour-xds": 12,
    "contour-metrics": 13,
    "contour-health": 14,
    "contour-debug": 15,
    "port-forward": 16,
}

DEFAULT_USERS: dict[str, list[str]] = {
    "admin": ["system:masters"],
    "operator": ["headgate:operators"],
    "alice": ["headgate:developers"],
    "bob": ["headgate:developers"],
    "carol": ["headgate:platform"],
}


@dataclass
class Cluster:
    """What `up` was asked for; written down so that every later command agrees with it."""

    name: str
    index: int
    mode: Mode
    audit: bool = False
    gateway: bool = False
    prometheus: bool = False
    scrape_interval: str = "1s"
    nodes: int = 3
    context: str = ""
    bin: str = ""
    users: dict[str, list[str]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where everything of this cluster is."""
        return paths.cluster(self.name)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "admin.kubeconfig"

    @property
    def local(self) -> bool:
        """Whether its processes are ours."""
        return self.mode in ("node", "light")

    def port(self, name: str) -> int:
        """The port of one of the cluster's parts."""
        return _FIRST_PORT + self.index * _PORTS_EACH + _PORTS[name]

    @property
    def network(self) -> str:
        """The first two numbers of all its addresses."""
        return f"10.{_FIRST_NETWORK + self.index}"

    @property
    def pods(self) -> str:
        """Addresses of pods."""
        return f"{self.network}.0.0/17"

    @property
    def services(self) -> str:
        """Addresses of Services."""
        return f"{self.network}.128.0/18"

    def service_address(self, last: int) -> str:
        """A fixed address in the Service range."""
        return f"{self.network}.128.{last}"

    @property
    def host_address(self) -> str:
        """The machine, as the node and its pods see it; in light mode nothing but the machine itself asks."""
        return f"{self.network}.255.1" if self.mode == "node" else "127.0.0.1"

    @property
    def node_address(self) -> str:
        """The node, as the machine sees it."""
        return f"{self.network}.255.2"

    @property
    def link(self) -> str:
        """The machine's end of the cable to the node."""
        return f"headgate{self.index}"

    @property
    def node_name(self) -> str:
        """The name of the one node."""
        return f"{self.name}-node"

    @property
    def cgroup(self) -> str:
        """The control group below which all of its pods are; two kubelets in one group would delete each other's."""
        return f"headgate-{self.index}"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log."""
        return self.folder / "logs" / "audit.log"

    def save(self) -> None:
        """Write the record."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / "cluster.json.new"
        fresh.write_text(json.dumps(asdict(self), indent=2))
        fresh.rename(self.folder / "cluster.json")


def load(name: str) -> Cluster | None:
    """The record of a cluster, if there is one."""
    try:
        return Cluster(**json.loads((paths.cluster(name) / "cluster.json").read_text()))
    except FileNotFoundError:
        return None


def must_load(name: str) -> Cluster:
    """The record of a cluster that has to be there."""
    found = load(name)
    if not found:
        raise ui.ClusterError(f"there is no cluster '{name}'. Start it with: hack/cluster up --name {name}")
    return found


def everything() -> list[Cluster]:
    """All clusters of this user."""
    records = sorted((paths.cache() / "clusters").glob("*/cluster.json"))
    return [found for record in records if (found := load(record.parent.name))]


def allocate(name: str, mode: Mode) -> Cluster:
    """A new record with an index that nobody uses: no cluster of ours, no port, no link of another user's."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise ui.ClusterError(f"'{name}' cannot name a cluster: use up to 40 small letters, digits and hyphens.")
    with paths.lock("allocate", "choosing ports"):
        taken = {cluster.index for cluster in everything()}
        for index in range(_MOST_CLUSTERS):
            cluster = Cluster(name=name, index=index, mode=mode, users=dict(DEFAULT_USERS))
            if index in taken or Path(f"/sys/class/net/{cluster.link}").exists():
                continue
            if all(_free(cluster.port(part)) for part in _PORTS):
                cluster.save()
                return cluster
    raise ui.ClusterError(f"all {_MOST_CLUSTERS} port ranges are taken. Take one down: hack/cluster status lists them.")


def merge_users(wanted: list[str]) -> dict[str, list[str]]:
    """The users with their groups, from the defaults and from `NAME=GROUP,GROUP` on the command line."""
    users: dict[str, list[str]] = {name: list(groups) for name, groups in DEFAULT_USERS.items()}
    for entry in wanted:
        name, _, groups = entry.partition("=")
        if not re.fullmatch(r"[a-z0-9][a-z0-9:.-]*", name):
            raise ui.ClusterError(f"--user {entry}: write NAME or NAME=GROUP,GROUP with small letters in the name.")
        users[name] = [group for group in groups.split(",") if group]
    return users


def same_users(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> bool:
    """Whether the API server would have to be started anew for these users."""
    return {k: sorted(v) for k, v in one.items()} == {k: sorted(v) for k, v in other.items()}


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  (bound for a moment, to see whether it is free)
        except OSError:
            return False
    return True
