"""A slice of the generated objects: each is refused by name, answered by a condition, or valid, and harms nobody.

`hack/generated` tries all of them; `hack/generated --case NAME` repeats one that failed here, with its story.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from hack.lib.hgprove.campaign import rotation
from hack.lib.hgprove.generated import campaign
from hack.lib.hgprove.generated.cases import all_cases, in_mixed_order
from hack.lib.hgprove.generated.trials import Trials
from hack.lib.hgprove.generated.world import World
from tests.api.kube import Kube
from tests.api.operator_process import OperatorProcess
from tests.api.prometheus import Prometheus

SECONDS = float(os.environ.get("HEADGATE_SLICE_SECONDS", "30"))
BATCH = 30
"""Applications at the same time."""
REFUSED_AT_LEAST = 50
TRIED_AT_LEAST = 20


@pytest.mark.timeout(SECONDS + 900)
def test_objects_are_refused_answered_or_valid(kube: Kube, prometheus: Prometheus, operator: OperatorProcess) -> None:
    """No object touches the traffic of others, and back at the last good one all is as if it had never been."""
    cases = in_mixed_order(all_cases())
    start = rotation(len(cases))
    world = World(kube, prometheus, operator.log)
    try:
        cases = [*cases[start:], *cases[:start]]
        results = list(campaign.run(Trials(world), cases, seconds=SECONDS, batch_size=BATCH))
    finally:
        world.clear()
    told = ["\n  ".join([result.item, result.problem, *result.story]) for result in results if not result.ok]
    assert not told, f"{len(told)} of {len(results)} objects:\n" + "\n".join(told)
    kinds = Counter(result.kind for result in results)
    assert kinds["refused"] >= REFUSED_AT_LEAST
    assert kinds["answered"] + kinds["valid"] >= TRIED_AT_LEAST
