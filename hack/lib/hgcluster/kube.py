"""A few requests to a cluster's API server, by kubectl, as the administrator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hgcluster import access, binaries, run, ui
from hgcluster.layout import Cluster

Manifest = Mapping[str, Any]


class Kube:
    """kubectl, bound to one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        config = access.kubeconfig(cluster, "headgate-local:setup") if cluster.local else cluster.kubeconfig
        self._command = [str(binaries.path("kubectl")), "--kubeconfig", str(config)]

    def __call__(self, *words: str, what: str, stdin: str | None = None, timeout: float = 90) -> str:
        """Run kubectl with these words."""
        return run.run([*self._command, *words], what=what, stdin=stdin, timeout=timeout)

    def ready(self) -> bool:
        """Whether the API server says that it is."""
        try:
            return self("get", "--raw=/readyz", "--request-timeout=2s", what="asking", timeout=10).strip() == "ok"
        except ui.ClusterError:
            return False

    def exists(self, *words: str) -> bool:
        """Whether an object is there."""
        return bool(self("get", *words, "--ignore-not-found", "-o", "name", what=f"looking for {words[0]}").strip())

    def apply(self, objects: Sequence[Manifest], what: str) -> None:
        """Apply objects, as the owner of their fields."""
        items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self("apply", "--server-side", "--force-conflicts", "-f", "-", what=what, stdin=items)

    def apply_files(self, files: Sequence[Path], what: str) -> None:
        """Apply manifests from files."""
        chosen = [word for file in files for word in ("-f", str(file))]
        self("apply", "--server-side", "--force-conflicts", *chosen, what=what, timeout=180)
