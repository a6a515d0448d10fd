"""The definitions of the kinds that routers keep their weights in, out of the pinned Go modules that ship them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from hack.lib.hgcluster import versions
from tests.api.cluster import ROOT, LightCluster, until


def definition(kind: str) -> dict[str, Any]:
    """The definition of a kind, out of the pinned Go module that ships it."""
    pinned = versions.ROUTERS[kind]
    answer = subprocess.run(
        ["go", "mod", "download", "-json", f"{pinned.module}@v{pinned.version}"],
        cwd=ROOT / "hack" / "tools",
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = json.loads(answer.stdout or "{}")
    assert not answer.returncode, f"go mod download {pinned.module}: {found.get('Error') or answer.stderr}"
    assert found["Sum"] == pinned.sum, f"{pinned.module} is not what it was when it was pinned"
    documents = yaml.safe_load_all((Path(found["Dir"]) / pinned.file).read_text(encoding="utf-8"))
    crds = [
        d for d in documents if d and d["kind"] == "CustomResourceDefinition" and d["spec"]["names"]["kind"] == kind
    ]
    assert len(crds) == 1
    crd: dict[str, Any] = crds[0]
    return crd


def established(cluster: LightCluster, crd: str) -> None:
    """Wait until the server serves a kind; one that was just made has no conditions yet that could be waited for."""

    def served() -> bool:
        waited = cluster.kubectl("wait", "--for=condition=Established", f"crd/{crd}", "--timeout=5s", check=False)
        return waited.returncode == 0

    until(served, seconds=30, what=f"{crd} is established")
