"""The chart's files that have a source elsewhere: CRD copies, the schema of its values, the Argo CD health script."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from lupa.lua51 import LuaRuntime  # Argo CD runs Lua 5.1.

from headgate.api.actions import Verb
from headgate.api.config import MetricProvider, OperatorConfig, QueryTemplate
from headgate.api.rollout import TrafficRouting
from headgate.traffic.registry import ROUTERS

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "headgate"
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "hack" / "chart"), run_name="chart")
CRD = """\
# Generated.
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.org
spec:
  description: 'a text with {{ braces }} and 9223372036854775807'
"""


def test_chart_has_the_crds_of_this_commit() -> None:
    """`helm upgrade` installs what `crds/` holds; after a change there, run ./hack/chart sync."""
    assert TOOL["differences"]() == []


def test_a_copy_differs_by_the_annotation_alone() -> None:
    """The copy is the source with the annotation that keeps CRDs at uninstall; nothing else is touched."""
    copy = TOOL["chart_copy"](CRD)
    assert (
        copy.replace("  annotations:\n    helm.sh/resource-policy: keep\n", "").partition("apiVersion")[2]
        == (CRD.partition("apiVersion")[2])
    )
    assert yaml.safe_load(copy)["metadata"] == {
        "name": "things.example.org",
        "annotations": {"helm.sh/resource-policy": "keep"},
    }


def test_a_copy_keeps_annotations() -> None:
    """Annotations that the source has stay beside the one that is added."""
    source = CRD.replace("metadata:\n", "metadata:\n  annotations:\n    a: b\n")
    annotations = yaml.safe_load(TOOL["chart_copy"](source))["metadata"]["annotations"]
    assert annotations == {"a": "b", "helm.sh/resource-policy": "keep"}


@pytest.mark.parametrize(
    "text",
    [
        "kind: Service\nmetadata:\n  name: x\n",
        CRD + "---\n" + CRD,
        CRD.replace("metadata:\n  name: things.example.org", "metadata: {}"),
    ],
    ids=["another kind", "two documents", "flow style"],
)
def test_what_cannot_be_copied_is_refused(text: str) -> None:
    """A file of another shape is an error, not a copy without the annotation."""
    with pytest.raises(ValueError, match="it "):
        TOOL["chart_copy"](text)


def test_the_values_know_every_field_of_the_configuration() -> None:
    """The schema of `config` has the fields of the operator's model; the namespaces are a value of their own."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["properties"]
    assert set(schema) == fields(OperatorConfig) - {"namespaces"}
    assert set(schema["metricProviders"]["additionalProperties"]["properties"]) == fields(MetricProvider)
    assert set(schema["queryTemplates"]["additionalProperties"]["properties"]) == fields(QueryTemplate)


def test_the_default_values_are_the_models_defaults() -> None:
    """An operator without a configuration file behaves as one with the chart's."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())["config"]
    assert OperatorConfig.model_validate(values) == OperatorConfig()


def test_the_chart_knows_every_router() -> None:
    """Each router of the contract can be switched on, and brings the rights to its kinds and to no others."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]["properties"]
    assert set(schema["routers"]["items"]["anyOf"][0]["enum"]) == set(TrafficRouting.routers())
    text = (CHART / "templates" / "_helpers.tpl").read_text()
    granted = {
        (router, group, plural)
        for router, groups in re.findall(r'"(\w+)" \((dict(?: "[\w.-]+" \(list [^)]*\))+)\)', text)
        for group, plurals in re.findall(r'"([\w.-]+)" \(list ([^)]*)\)', groups)
        for plural in re.findall(r'"(\w+)"', plurals)
    }
    kinds = {(key.partition(".")[0], r.resource.group, r.resource.plural) for key, r in ROUTERS.items()}
    assert granted == kinds


def test_release_managers_hold_every_verb() -> None:
    """A verb that the contract gains is one that the role for releasing grants."""
    helpers = (CHART / "templates" / "_helpers.tpl").read_text()
    assert f"verbs: [{', '.join(get_args(Verb))}]" in helpers


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, "Progressing"),
        ({}, "Progressing"),
        ({"observedGeneration": 1, "conditions": [["Progressing", "False"]]}, "Progressing"),
        ({"observedGeneration": 2, "conditions": [["Progressing", "True"]]}, "Progressing"),
        ({"observedGeneration": 2, "conditions": [["Progressing", "False"], ["Available", "True"]]}, "Healthy"),
        ({"observedGeneration": 2, "conditions": [["Progressing", "False"], ["Available", "False"]]}, "Degraded"),
        ({"observedGeneration": 2, "conditions": [["Progressing", "True"], ["Paused", "True"]]}, "Suspended"),
        ({"observedGeneration": 2, "conditions": [["Paused", "True"], ["Stalled", "True"]]}, "Degraded"),
        ({"observedGeneration": 2, "conditions": [["Progressing", "True"], ["Rejected", "True"]]}, "Degraded"),
        ({"observedGeneration": 2, "conditions": [["Stalled", "False"], ["Progressing", "False"]]}, "Healthy"),
    ],
)
def test_argo_cd_health(status: dict[str, Any] | None, expected: str) -> None:
    """Argo CD sees the state that the conditions tell, and never an older generation's."""
    parts = []
    if status is not None:
        if "observedGeneration" in status:
            parts.append(f"observedGeneration = {status['observedGeneration']}")
        rows = ", ".join(
            f'{{type = "{kind}", status = "{value}", reason = "Why", message = "because"}}'
            for kind, value in status.get("conditions", [])
        )
        parts.append(f"conditions = {{{rows}}}")
    text = "nil" if status is None else f"{{{', '.join(parts)}}}"
    script = (CHART / "files" / "argocd" / "health.lua").read_text()
    lua = LuaRuntime()
    lua.execute(f"obj = {{metadata = {{generation = 2}}, status = {text}}}")
    health = lua.execute(script)
    assert health.status == expected
    assert isinstance(health.message, str)


def fields(model: type[Any]) -> set[str]:
    """Return the names of a model's fields as files write them."""
    return {field.alias or name for name, field in model.model_fields.items()}
