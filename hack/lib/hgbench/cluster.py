"""The light cluster that is measured on: started by `hack/cluster`, with an audit log and the operator's own user."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
COMMAND = str(ROOT / "hack" / "cluster")
USER = "operator"
"""The user that the operator is known by in the audit log; it has the rights that the chart gives and no others."""
SYSTEM = "headgate-system"


class Trouble(Exception):  # noqa: N818  it is shown to people by this name
    """Something that a person has to know; the text says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster with an audit log."""

    name: str
    environment: Mapping[str, str]

    @classmethod
    def up(cls, name: str, nodes: int) -> Cluster:
        """Start it, or take one that runs.

        Raises:
            Trouble: if it cannot be had.
        """
        words = [COMMAND, "up", "--fresh", "--light", "--audit", "--name", name, "--nodes", str(nodes)]
        if subprocess.run(words, check=False).returncode:
            raise Trouble(f"the cluster '{name}' did not start; what went wrong stands above.")
        script = 'eval "$("$1" env --name "$2")" && env -0'
        said = _run(["bash", "-c", script, "bash", COMMAND, name], environment=os.environ)
        environment = dict(line.split("=", 1) for line in said.split("\0") if "=" in line)
        if "HEADGATE_AUDIT_LOG" not in environment:
            raise Trouble(f"the cluster '{name}' has no audit log. Take it down first: hack/cluster down --name {name}")
        environment["PATH"] = f"{environment['HEADGATE_BIN']}:{environment['PATH']}"
        return cls(name, environment)

    def down(self) -> None:
        """Stop it and remove what it left."""
        subprocess.run([COMMAND, "down", "--name", self.name], check=False)

    @property
    def audit_log(self) -> Path:
        """All requests, one JSON object per line."""
        return Path(self.environment["HEADGATE_AUDIT_LOG"])

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return Path(self.environment["KUBECONFIG"])

    @property
    def operator_kubeconfig(self) -> Path:
        """The operator's own user."""
        return Path(_run([COMMAND, "token", USER, "--name", self.name], environment=os.environ).strip())

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; gives what it printed."""
        return _run(["kubectl", *words], environment=self.environment, stdin=stdin)

    def install(self) -> None:
        """The kinds, and the rights that the chart gives to the operator, given to its user."""
        crds = str(ROOT / "helm" / "headgate" / "files" / "crds")
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
        self.kubectl("wait", "--for=condition=Established", "-f", crds, "--timeout=30s")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, *self._rights()]})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def _rights(self) -> list[dict[str, Any]]:
        chart, template = str(ROOT / "helm" / "headgate"), "templates/rbac-operator.yaml"
        rendered = _run(
            [
                "helm",
                "template",
                "headgate",
                chart,
                "--namespace",
                SYSTEM,
                "--show-only",
                template,
                "--kube-version",
                "1.34.0",
            ],
            environment=self.environment,
        )
        objects = [o for o in yaml.safe_load_all(rendered) if o]
        for obj in objects:
            if obj["kind"].endswith("Binding"):
                obj["subjects"] = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}]
        return objects


def _run(words: Sequence[str], *, environment: Mapping[str, str], stdin: str | None = None) -> str:
    done = subprocess.run(
        list(words), env=dict(environment), input=stdin, capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise Trouble(f"`{' '.join(words[:4])} …` failed with exit code {done.returncode}: {said}")
    return done.stdout
