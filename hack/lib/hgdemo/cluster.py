"""One local cluster with gateway and Prometheus, and the words to speak to it: get, apply, patch, wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.lib.hgdemo.waiting import Trouble, run, run_shown

ROOT = Path(__file__).resolve().parents[3]
COMMAND = ROOT / "hack" / "cluster"
Json = dict[str, Any]


def cache() -> Path:
    """The per-user cache that all scripts in hack/ share."""
    if named := os.environ.get("HEADGATE_CACHE"):
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).expanduser().resolve() / "headgate"


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `environment` holds KUBECONFIG and the addresses of its parts."""

    name: str
    environment: Mapping[str, str]

    @classmethod
    def up(cls, name: str, *, context: str = "") -> Cluster:
        """Start it, or complete one that runs."""
        words: list[str | Path] = [COMMAND, "up", "--fresh", "--name", name, "--gateway"]
        words += ["--context", context] if context else ["--prometheus"]
        run_shown(words, environment=os.environ, log=cache() / "demo" / name / "cluster.log")
        return cls.running(name)

    @classmethod
    def running(cls, name: str) -> Cluster:
        """One that runs already."""
        script = 'eval "$("$1" env --name "$2")" && env -0'
        said = run(["bash", "-c", script, "bash", COMMAND, name], environment=os.environ).stdout
        environment = dict(line.split("=", 1) for line in said.split("\0") if "=" in line)
        for wanted in ("KUBECONFIG", "HEADGATE_BIN", "HEADGATE_GATEWAY_URL"):
            if wanted not in environment:
                raise Trouble(f"hack/cluster env --name {name} does not give {wanted}; was it started with all parts?")
        environment["PATH"] = f"{environment['HEADGATE_BIN']}:{environment['PATH']}"
        return cls(name, environment)

    def down(self) -> None:
        """Stop it and remove what it left."""
        down(self.name)

    @property
    def folder(self) -> Path:
        """Where logs of runs against it are kept."""
        return cache() / "demo" / self.name

    @property
    def gateway(self) -> str:
        """Where the application's users send their requests: an address of this machine."""
        return self.environment["HEADGATE_GATEWAY_URL"]

    # -- kubectl ------------------------------------------------------------------------------------------------------

    def kubectl(
        self, *words: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the cluster's administrator."""
        return run(["kubectl", *words], environment=self.environment, stdin=stdin, check=check, timeout=timeout)

    def headgate(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line as the cluster's administrator."""
        environment = {**self.environment, "PYTHONPATH": str(ROOT / "operator")}
        return run([sys.executable, "-m", "headgate.cli.main", *words], environment=environment, check=check)

    def get(self, kind: str, name: str, namespace: str = "") -> Json | None:
        """An object, or None."""
        where = [f"--namespace={namespace}"] if namespace else []
        said = self.kubectl("get", kind, name, *where, "--ignore-not-found", "-o", "json").stdout
        found: Json | None = json.loads(said) if said.strip() else None
        return found

    def all(self, kind: str, namespace: str, selector: str = "") -> Sequence[Json]:
        """All objects of a kind in a namespace."""
        chosen = [f"--selector={selector}"] if selector else []
        said = self.kubectl("get", kind, f"--namespace={namespace}", *chosen, "-o", "json").stdout
        items: Sequence[Json] = json.loads(said)["items"]
        return items

    def apply(self, objects: Sequence[Json]) -> None:
        """Apply objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "-f", "-", stdin=text)

    def patch(self, kind: str, name: str, namespace: str, change: Json | list[Json]) -> Json:
        """Change an object, by a merge patch or, if `change` is a list, a JSON patch; gives it as it is then."""
        form = "json" if isinstance(change, list) else "merge"
        words = (
            "patch",
            kind,
            name,
            f"--namespace={namespace}",
            f"--type={form}",
            "-p",
            json.dumps(change),
            "-o",
            "json",
        )
        changed: Json = json.loads(self.kubectl(*words).stdout)
        return changed

    def delete(self, kind: str, name: str, namespace: str = "", *, wait: bool = True, timeout: float = 90) -> None:
        """Delete an object, and wait until it is gone."""
        where = [f"--namespace={namespace}"] if namespace else []
        waiting = f"--wait={str(wait).lower()}"
        self.kubectl("delete", kind, name, *where, "--ignore-not-found", waiting, timeout=timeout)

    def namespace(self, name: str) -> None:
        """Make a namespace."""
        self.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])


def down(name: str) -> None:
    """Take a cluster down, whether or not it came up completely."""
    run([COMMAND, "down", "--name", name], environment=os.environ, timeout=240)
