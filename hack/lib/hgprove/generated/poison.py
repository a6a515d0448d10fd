"""What no schema describes: pod templates that are none, and metadata that is forged or full of the unexpected."""

from __future__ import annotations

from typing import Any

from hack.lib.hgprove.generated.schema import Place
from hack.lib.hgprove.generated.values import MOST, Value


def _deep(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(levels):
        made = {"a": made}
    return made


KOPF = {
    "kopf.zalando.org/last-handled-configuration": '{"spec":{"replicas":99}}',
    "kopf.zalando.org/heard": '{"started":"2020-01-01T00:00:00","delayed":"2099-01-01T00:00:00"}',
    "kopf.zalando.org/touch-dummy": "no time",
    "kopf.zalando.org/kopf-managed": "yes",
}
_TEMPLATES: tuple[tuple[Place, Value], ...] = (
    (("spec", "template"), Value("deep", _deep(90))),
    (("spec", "template", "metadata"), Value("text", "metadata")),
    (("spec", "template", "metadata", "labels"), Value("list", ["app"])),
    (("spec", "template", "metadata", "labels"), Value("nothing", None)),
    (("spec", "template", "metadata", "labels", "app"), Value("number", 7)),
    (("spec", "template", "metadata", "labels", "headgate.dev/rollout"), Value("another's", "neighbour")),
    (("spec", "template", "metadata", "labels", "headgate.dev/revision"), Value("forged", "0000000000")),
    (("spec", "template", "metadata", "annotations"), Value("number", 1e300)),
    (("spec", "template", "spec"), Value("list", [])),
    (("spec", "template", "spec", "containers"), Value("empty", [])),
    (("spec", "template", "spec", "containers"), Value("map", {"name": "app"})),
    (("spec", "template", "spec", "containers", 0, "image"), Value("number", 5)),
    (("spec", "template", "spec", "containers", 0, "name"), Value("no-name", "A_B")),
    (("spec", "template", "spec", "priority"), Value("beyond-64-bit", MOST * 4)),
    (("spec", "template", "spec", "noSuchField"), Value("unknown", {"a": [None, True, 1.5, "\u202e"]})),
    (("spec", "template", "spec", "nodeSelector"), Value("long", {"a": "x" * 50_000})),
    (("spec", "template", "spec", "restartPolicy"), Value("never", "Never")),
)
_METADATA: tuple[tuple[Place, Value], ...] = (
    (("metadata", "name"), Value("too-long", "a" * 41, refused=True)),
    (("metadata", "name"), Value("no-name", "A_B", refused=True)),
    (("metadata", "labels"), Value("text", "labels", refused=True)),
    (("metadata", "labels"), Value("bad-key", {"a b": "c"}, refused=True)),
    (("metadata", "annotations"), Value("number", {"a": 1}, refused=True)),
    (("metadata", "annotations"), Value("kopf", KOPF)),
    (("metadata", "annotations"), Value("odd", {"a": "\u0001\u202e\n{{", "headgate.dev/rollout": "{}[]"})),
    (("metadata", "annotations"), Value("big", {"a": "x" * 200_000})),
    (("metadata", "labels"), Value("forged", {"headgate.dev/rollout": "neighbour", "headgate.dev/revision": "x"})),
    (("metadata", "finalizers"), Value("kopf", ["kopf.zalando.org/KopfFinalizerMarker"])),
    (("metadata", "finalizers"), Value("foreign", ["example.com/a", "example.com/b"])),
    (("metadata", "finalizers"), Value("own", ["headgate.dev/hand-back"])),
    (("metadata", "finalizers"), Value("no-name", ["no finalizer"], refused=True)),
    # No owner that is not there: the garbage collector takes such an object away, whenever it comes by.
)
POISONS: tuple[tuple[str, str, Place, Value], ...] = (
    *(("Rollout", "good", place, value) for place, value in _TEMPLATES),
    *(("Rollout", "good", place, value) for place, value in _METADATA),
    *(
        (kind, base, place, value)
        for kind, base in (("QualityGate", "gate"), ("Environment", "environment"), ("RolloutAction", "action"))
        for place, value in _METADATA
        if value.what not in ("too-long", "own")
    ),
)
"""Kind, base, where, and what."""
