"""What the documents show is accepted by a real API server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from hack.lib.hgdemo.cluster import ROOT
from tests.e2e.town import Lab

_BLOCK = re.compile(r"^```yaml\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
_KINDS = {"Rollout", "QualityGate", "RolloutAction", "Environment"}
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples" / "shop").glob("*.yaml"))


def manifests(text: str) -> list[str]:
    """The objects of our kinds that a document shows whole, each as YAML."""
    found = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"^---$", block, flags=re.MULTILINE):
            item = yaml.safe_load(part)
            if isinstance(item, dict) and item.get("kind") in _KINDS and "spec" in item:
                item["metadata"].pop("namespace", None)
                found.append(yaml.safe_dump(item))
    return found


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_manifests_in_documents_are_accepted(lab: Lab, file: Path) -> None:
    """A reader who copies an object out of a document gets no error from the API server."""
    for text in manifests(file.read_text()):
        lab.cluster.kubectl("create", "--dry-run=server", "--namespace=default", "-f", "-", stdin=text)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_examples_are_accepted(lab: Lab, file: Path) -> None:
    """The examples can be applied as they are."""
    lab.cluster.kubectl("apply", "--dry-run=server", "--namespace=default", "-f", str(file))


def test_the_first_rollout_of_the_readme_is_there() -> None:
    """The README shows a gate and a Rollout."""
    kinds = [yaml.safe_load(text)["kind"] for text in manifests((ROOT / "README.md").read_text())]
    assert kinds == ["QualityGate", "Rollout"]
