"""Argo CD's own comparison of Git and cluster, with the rules that the chart ships for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from tests.api.cluster import COMMAND, ROOT, LightCluster
from tests.api.kube import Json

BUILDING = 1200
"""Seconds; the first build on two cores takes some minutes."""


class Argo:
    """Looks at pairs of a manifest and the live object."""

    def __init__(self, command: Path, rules: Mapping[str, str]) -> None:
        self._command = command
        self.rules = rules
        """As in `argocd-cm`."""

    @classmethod
    def of(cls, cluster: LightCluster, *values: str) -> Argo:
        """With the rules that the chart renders with these values; builds the command, once."""
        built = subprocess.run(
            [COMMAND, "build", "argodiff"], capture_output=True, text=True, check=False, timeout=BUILDING
        )
        assert not built.returncode, built.stderr
        rendered = cluster.helm(
            "template", "headgate", str(ROOT / "helm" / "headgate"), "--kube-version", "1.34.0", "--set",
            "gitops.argocd=true", "--show-only", "templates/gitops.yaml",
            *(word for value in values for word in ("--set", value)),
        ).stdout  # fmt: skip
        (config,) = [o for o in yaml.safe_load_all(rendered) if o]
        return cls(Path(built.stdout.strip()), config["data"])

    def differences(self, pairs: Iterable[tuple[Json, Json]], *, ruled: bool = True) -> list[Json]:
        """What Argo CD would show of pairs of manifest and live object; without the rules of the chart, if so told."""
        objects = [{"git": git, "live": live} for git, live in pairs]
        question = json.dumps({"config": self.rules if ruled else {}, "objects": objects})
        answer = subprocess.run(
            [self._command], input=question, capture_output=True, text=True, check=False, timeout=120
        )
        assert not answer.returncode, answer.stderr
        found: list[Json] = json.loads(answer.stdout)
        return found
