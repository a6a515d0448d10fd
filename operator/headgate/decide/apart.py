"""Keeps pods of two versions from one node, if the spec asks for it: a term in the template of each ReplicaSet made.

The term is of the ReplicaSet and not of the revision: the same for all of its life, so that a promotion changes no pod.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from headgate.api.common import LABEL_REVISION, LABEL_ROLLOUT
from headgate.api.rollout import AntiAffinity, Strategy

TOPOLOGY = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def asked(strategy: Strategy) -> AntiAffinity | None:
    """What the strategy says of it."""
    chosen = strategy.canary or strategy.blue_green
    return chosen.anti_affinity if chosen is not None else None


def kept(template: Mapping[str, Any], wanted: AntiAffinity | None, rollout: str, pod_hash: str) -> Mapping[str, Any]:
    """The template with a term against the pods of every other revision of the Rollout, after terms of its own.

    A template with something else in that place stays as it is: the server refuses it, and says why.
    """
    if wanted is None:
        return template
    made: dict[str, Any] = copy.deepcopy(dict(template))
    place: Any = made
    for key in ("spec", "affinity", "podAntiAffinity"):
        place = _there(place, key, {})
    term = {
        "labelSelector": {
            "matchLabels": {LABEL_ROLLOUT: rollout},
            "matchExpressions": [{"key": LABEL_REVISION, "operator": "NotIn", "values": [pod_hash]}],
        },
        "topologyKey": TOPOLOGY,
    }
    preferred = wanted.preferred
    terms = _there(place, REQUIRED if preferred is None else PREFERRED, [])
    if not isinstance(terms, list):
        return template
    terms.append(term if preferred is None else {"weight": preferred.weight, "podAffinityTerm": term})
    return made


def _there(place: Any, key: str, empty: dict[str, Any] | list[Any]) -> Any:
    """What stands under a key, put there if nothing does; None where nothing can."""
    if not isinstance(place, dict):
        return None
    if place.get(key) is None:
        place[key] = empty
    return place[key]
