"""Bugs that other operators had with evidence, caches, leaders and odd objects, each as one test that would find it.

The ids are those of the reliability contract; each docstring names the public report and says what must hold instead.
The bugs with traffic and capacity are in tests/simulation/test_field_bugs.py.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from headgate.act.kube import Kube
from headgate.act.resources import ROLLOUTS
from headgate.act.transport import Request, Response
from headgate.api.config import OperatorConfig
from headgate.api.gate import Check, GateRun, MinSample, QualityGateSpec
from headgate.api.rollout import Canary, CanaryScale, Step
from headgate.checks.reading import MalformedResult, read_instant, read_range
from headgate.decide.canary import allowance
from headgate.decide.gates import advance, begin
from headgate.decide.mover import need
from headgate.decide.queries import QueryContext
from headgate.decide.rollout import decide
from headgate.decide.types import Answer
from headgate.decide.verdicts import judge
from headgate.engine.heartbeat import Heartbeats
from headgate.engine.main import NESTING
from headgate.engine.queue import Key
from headgate.engine.sources import sources
from headgate.engine.sync import Sync
from headgate.engine.trim import trim
from headgate.engine.worker import Worker
from headgate.observe.reading import Models
from headgate.traffic.gateway_api import GatewayAPIRouter
from headgate.traffic.registry import ROUTERS
from tests.unit.engine_world import KEY, ROLLOUT, ROUTE, SETS, STABLE, World, rollout, service
from tests.unit.fake_api import Object

T0 = 1_800_000_000.0
CONTEXT = QueryContext("shop", "checkout", "checkout", "checkout-canary", "oldoldoldd", "newnewneww")
CONFIG = OperatorConfig.model_validate(
    {
        "metricProviders": {"default": {"address": "http://prometheus.test"}},
        "queryTemplates": {"t": {"query": "up"}},
    }
)
ANSWERS: dict[str, dict[str, Any]] = {
    "Pass": {"value": 99.5},
    "Fail": {"value": 81.2},
    "Unknown": {"no_data": "NoData"},
    "Error": {"error": "Timeout"},
}


def gate(**changes: Any) -> QualityGateSpec:
    """A gate of one check, every 10 s, that tolerates nothing."""
    check = {"name": "rate", "prometheus": {"query": {"template": "t"}}, "pass": {"min": 99}}
    base = {"checks": [check], "interval": "10s", "consecutiveErrorLimit": 0}
    return QualityGateSpec.model_validate(base | changes)


def judged(spec: QualityGateSpec, verdicts: tuple[str, ...], *, step: int = 1) -> GateRun:
    """A gate that got these answers at its own pace."""
    run = begin("golden", spec, step=step, pod_hash="newnewneww", attempt=1, now=T0)
    now, given = T0, list(verdicts)
    for _ in range(4 * len(verdicts) + 4):
        progress = advance(run, spec, now=now, answers=(), context=CONTEXT, config=CONFIG, key_prefix="uid")
        asked = progress.questions[: len(given)]
        answers = [Answer(each.key, each.number, now, **ANSWERS[given.pop(0)]) for each in asked]
        progress = advance(
            progress.run, spec, now=now, answers=answers, context=CONTEXT, config=CONFIG, key_prefix="uid"
        )
        run = progress.run
        now = max(now + 1, progress.wake_at or 0.0)
    return run


# --------------------------------------------------------------------------------------------------------------------
# Evidence
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [{"count": 3}, {"duration": "30s"}])
@pytest.mark.parametrize("policy", ["Hold", "Extend", "Fail"])
def test_b14_no_series_of_bad_measurements_passes(policy: str, ending: dict[str, Any]) -> None:
    """argo-rollouts#4479: every series of up to four verdicts under every limit; what never passed is no Pass."""
    limits = itertools.product((0, 1, 5), (0, 5), (0, 5))
    for failures, unknowns, errors in limits:
        spec = gate(
            onUnknown=policy,
            failureLimit=failures,
            inconclusiveLimit=unknowns,
            consecutiveErrorLimit=errors,
            **ending,
        )
        # Longer series where nothing is tolerated; where something is, three show the same.
        for length in (3,) if failures or unknowns or errors else (3, 4):
            for series in itertools.product(ANSWERS, repeat=length):
                if series.count("Pass") > 1:
                    continue
                run = judged(spec, series)
                seen = f"{series} under limits {failures}, {unknowns}, {errors} and onUnknown {policy}"
                if run.verdict == "Pass":
                    assert run.checks[0].passes, f"passed without one pass: {seen}"
                    assert run.checks[0].failures <= failures, f"passed beyond its failures: {seen}"
                if "Pass" not in series:
                    assert run.verdict != "Pass", f"passed on errors and failures alone: {seen}"


def test_b15_an_empty_result_is_unknown() -> None:
    """argo-rollouts#1466: an empty vector, an empty matrix and a series without points end no judgement."""
    check = gate().checks[0]
    for reading in (
        read_instant([]),
        read_range([], reduce="Mean", end=T0),
        read_range([{"metric": {}, "values": []}], reduce="Last", end=T0),
    ):
        assert reading.value is None, f"an empty result is read as {reading.value}"
        verdict = judge(Answer("k", 1, T0, reading.value, no_data=reading.no_data), check)
        assert verdict == ("Unknown", "NoData"), f"an empty result is judged {verdict}"


@settings(max_examples=300, deadline=None)
@given(
    replicas=st.integers(0, 10_000),
    steps=st.lists(
        st.one_of(
            st.integers(0, 100).map(lambda w: Step(set_weight=w)),
            st.integers(0, 10_000).map(lambda n: Step(set_canary_scale=CanaryScale(replicas=n))),
            st.integers(0, 100).map(lambda w: Step(set_canary_scale=CanaryScale(weight=w))),
            st.just(Step(set_canary_scale=CanaryScale(match_traffic_weight=True))),
        ),
        min_size=1,
        max_size=50,
    ),
    index=st.integers(0, 60),
)
def test_b16_no_weight_and_no_number_of_pods_leaves_its_range(replicas: int, steps: list[Step], index: int) -> None:
    """argo-rollouts#3467, #3474: for all that the schema allows, weights are 0 to 100 and pods 0 or more."""
    found = allowance(tuple(steps), index, replicas)
    assert isinstance(found.weight, int)
    assert 0 <= found.weight <= 100, f"weight {found.weight}"
    assert isinstance(found.replicas, int)
    assert need(replicas, found.weight) <= found.replicas <= 10_000, f"{found.replicas} pods at {found.weight}%"


@given(weight=st.integers(-200, 200))
def test_b16_a_route_gets_whole_weights_that_sum_to_100(weight: int) -> None:
    """argo-rollouts#3467: a weight that is no percentage is never sent, and stable has the rest of 100."""
    canary = Canary.model_validate(rollout()["spec"]["strategy"]["canary"])
    router = GatewayAPIRouter()
    backends = [{"name": "checkout", "weight": 1}, {"name": "checkout-canary", "weight": 0}]
    obj = {"metadata": {"namespace": "shop"}, "spec": {"rules": [{"backendRefs": backends}]}}
    target = router.targets(canary)[0]
    if not 0 <= weight <= 100:
        with pytest.raises(ValueError, match="a weight is 0 to 100"):
            router.set_weight(canary, obj, target, weight)
        return
    written = [p["value"] for p in router.set_weight(canary, obj, target, weight) if p["path"].endswith("/weight")]
    assert sorted(written) == sorted([weight, 100 - weight]), f"the weights are {written}"


RESULTS: dict[str, Any] = {
    "vector": [{"metric": {}, "value": [T0, "100"]}],
    "two series": [{"metric": {}, "value": [T0, "100"]}] * 2,
    "scalar": [T0, "100"],
    "matrix": [{"metric": {}, "values": [[T0, "100"]]}],
    "matrix of gaps": [{"metric": {}, "values": [[T0, "NaN"]]}],
    "string": [T0, "all is well"],
    "native histogram": [{"metric": {}, "histogram": [T0, {"count": "1", "sum": "1"}]}],
    "native histograms": [{"metric": {}, "histograms": [[T0, {"count": "1", "sum": "1"}]]}],
    "NaN": [{"metric": {}, "value": [T0, "NaN"]}],
    "infinity": [{"metric": {}, "value": [T0, "+Inf"]}],
    "empty": [],
    "nothing": None,
    "a number": 100,
    "an object": {},
    "a list of lists": [[]],
    "a series without a value": [{}],
    "a point without a value": [{"value": [T0]}],
    "a value that is no text": [{"value": [T0, 100]}],
}
NUMBERS = {"instant": {"vector", "scalar"}, "range": {"matrix"}}
"""Where one number is to be had, by the kind of query."""


@pytest.mark.parametrize("asked", ["instant", "range"])
@pytest.mark.parametrize("shape", RESULTS)
def test_b29_every_type_of_result_is_a_number_or_a_code(shape: str, asked: str) -> None:
    """flagger#1637: whatever comes back is read as one number, as no data or as malformed."""
    result = json.loads(json.dumps(RESULTS[shape]))
    try:
        reading = read_instant(result) if asked == "instant" else read_range(result, reduce="Mean", end=T0)
    except MalformedResult:
        assert shape not in NUMBERS[asked]
        return
    assert (reading.value == 100.0) == (shape in NUMBERS[asked]), f"{shape} of an {asked} query is {reading}"
    assert reading.value is not None or reading.no_data, f"{shape} of an {asked} query says nothing"


def test_b24_nan_is_no_number_wherever_it_comes_from() -> None:
    """flagger#1098, #1095: NaN as a value, as a sample and as text is Unknown, under every kind of threshold."""
    for bounds in ({"min": 99}, {"max": 1}, {"equals": 0}, {"min": 0, "max": 1}):
        for fails in (None, {"min": 5}, {"max": 5}):
            check = Check.model_validate(
                {"name": "c", "prometheus": {"query": {"template": "t"}}, "pass": bounds, "fail": fails}
            )
            verdict = judge(Answer("k", 1, T0, value=math.nan), check)
            assert verdict == ("Unknown", "NaN"), f"NaN is judged {verdict} by {bounds}, fail {fails}"
    enough = MinSample.model_validate({"query": {"template": "t"}, "min": 20})
    sampled = gate().checks[0].model_copy(update={"min_sample": enough})
    verdict = judge(Answer("k", 1, T0, value=100.0, sample=math.nan), sampled)
    assert verdict == ("Unknown", "NotEnoughData"), f"a sample of NaN is judged {verdict}"
    assert read_instant([{"value": [T0, "NaN"]}]).no_data == "NaN"


# --------------------------------------------------------------------------------------------------------------------
# Odd objects
# --------------------------------------------------------------------------------------------------------------------

OTHER = ROLLOUT.replace("checkout", "other")
SLICES = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/checkout-1"
RECORDS = "/apis/apps/v1/namespaces/shop/controllerrevisions/checkout-abc-1"
ACTIONS = "/apis/headgate.dev/v1alpha1/namespaces/shop/rolloutactions/act"
OURS = {"headgate.dev/rollout": "checkout", "headgate.dev/revision": "abc"}
ODD: list[Any] = [None, "", "text", 0, -1, 1e308, True, [], [None], {}, {"": None}, "💥" * 300]


def odd_objects() -> Iterator[tuple[str, str, str, Object]]:
    """What was done to which object: label, kind, path, object. As far as an API server could store it."""
    meta = {"labels": OURS, "annotations": {"headgate.dev/revision-hash": "x", "headgate.dev/collision-count": "many"}}
    for odd in ODD:
        text = repr(odd)[:20]
        yield f"status {text}", "Rollout", ROLLOUT, rollout() | {"status": {"phase": odd}}
        yield f"conditions {text}", "Rollout", ROLLOUT, rollout() | {"status": {"conditions": odd}}
        yield f"template {text}", "Rollout", ROLLOUT, rollout(template=odd)
        yield f"steps {text}", "Rollout", ROLLOUT, rollout(strategy={"canary": {"steps": odd}})
        yield f"record {text}", "ControllerRevision", RECORDS, {"metadata": meta, "data": {"plan": odd}, "revision": 1}
        yield f"data {text}", "ControllerRevision", RECORDS, {"metadata": meta, "data": odd, "revision": 1}
        yield f"route {text}", "HTTPRoute", ROUTE, {"spec": {"rules": odd, "parentRefs": odd}, "status": odd}
        yield f"rule {text}", "HTTPRoute", ROUTE, {"spec": {"rules": [{"backendRefs": odd}]}}
    deep = nested(240)
    yield "deep template", "Rollout", ROLLOUT, rollout(template={"metadata": {"labels": {}}, "spec": deep})
    yield "deep record", "ControllerRevision", RECORDS, {"metadata": meta, "data": {"plan": deep}, "revision": 1}
    yield "no spec", "Rollout", ROLLOUT, rollout() | {"spec": None}
    yield "no status", "Rollout", ROLLOUT, rollout() | {"status": None}
    yield "no selector", "Service", STABLE, {"spec": {"selector": None}}
    yield "no endpoints", "EndpointSlice", SLICES, {"endpoints": None}
    yield "no target", "EndpointSlice", SLICES, {"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {}}]}
    yield "bare set", "ReplicaSet", f"{SETS}/checkout-abc", {"metadata": {"labels": OURS}, "spec": {}, "status": {}}
    yield "odd annotations", "ReplicaSet", f"{SETS}/checkout-abc", {"metadata": meta, "spec": {"replicas": 1}}


def nested(levels: int) -> Any:
    """An object in an object and so on."""
    found: Any = 1
    for _ in range(levels):
        found = {"a": found}
    return found


CASES = list(odd_objects())


@pytest.mark.looptime
@pytest.mark.parametrize("when", ["at the start", "while it runs"])
async def test_b21_a_malformed_object_disturbs_nobody(when: str) -> None:
    """argo-rollouts#801, #719: each odd object in turn ends no worker, and another Rollout is looked at after it."""
    for label, kind, path, odd in CASES:
        world = World(decide=decide)
        world.decide = decide
        healthy = rollout()
        healthy["metadata"] |= {"name": "other", "uid": "other-uid"}
        obj = odd if kind == "Rollout" else rollout()
        obj["metadata"] |= {"name": path.rpartition("/")[2]}
        if when == "while it runs":
            world.put("Rollout", ROLLOUT, rollout())
        if kind != "Rollout":
            world.put("Rollout", ROLLOUT, rollout())
        worker = Worker(0, world.queue, world.cycle, world.ledger, Heartbeats(), now=world.now)
        with capture_logs():
            world.put("Rollout", OTHER, healthy)
            task = asyncio.create_task(worker.run())
            await asyncio.sleep(2)
            try:
                world.put(kind, path, odd)
            except Exception as error:  # noqa: BLE001  whatever it is
                pytest.fail(f"{kind} with {label} cannot even be heard of: {error!r}")
            await asyncio.sleep(5)
            world.queue.add(Key("shop", "other"))
            await asyncio.sleep(1)
            looked = len(world.snapshots)
            world.queue.add(KEY)
            await asyncio.sleep(1)
            ended = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert not ended, f"the worker ended at {kind} with {label}"
        names = [s.meta.name for s in world.snapshots]
        assert names[looked - 1] == "other", f"the other Rollout was not looked at after {kind} with {label}"
        if kind != "Rollout":
            assert names[looked:] == ["checkout"], f"{kind} with {label} keeps its Rollout from being looked at"


@pytest.mark.looptime
@pytest.mark.parametrize("annotation", ["x", "[", "{" * 5000, "\u0000", "💥" * 1000, "0x" + "f" * 10_000])
async def test_b33_a_malformed_object_does_not_keep_the_operator_from_starting(annotation: str) -> None:
    """Argo Workflows CVE-2026-40886: odd objects that are there before the start are listed like all others."""
    for label, kind, path, odd in [*CASES, ("annotation", "Rollout", ROLLOUT, rollout())]:
        world = World()
        odd = json.loads(json.dumps(odd))  # noqa: PLW2901  a case must not see what another one did to it
        odd.setdefault("metadata", {}).setdefault("annotations", {})
        odd["metadata"]["annotations"] |= {"headgate.dev/collision-count": annotation, "headgate.dev/odd": annotation}
        if path not in (ROLLOUT, OTHER):
            world.api.put(ROLLOUT, rollout())
        world.api.put(path, odd)
        world.api.put(OTHER, rollout() | {"metadata": {"uid": "other-uid", "generation": 1}})
        watched = [s for s in sources(ROUTERS.values(), ()) if s.kind in {kind, "Rollout"}]
        clock = asyncio.get_running_loop().time
        sync = Sync(world.kube, world.cache, world.intake, watched, namespaces=("shop",), monotonic=clock)
        try:
            async with asyncio.timeout(30):
                await sync.first_lists()
        except Exception as error:  # noqa: BLE001  whatever it is
            pytest.fail(f"the operator does not start beside {kind} at {path}: {error!r}")
        worker = Worker(0, world.queue, world.cycle, world.ledger, Heartbeats(), now=world.now)
        world.decide = decide
        with capture_logs():
            task = asyncio.create_task(worker.run())
            world.queue.add(Key("shop", "other"))
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        names = [s.meta.name for s in world.snapshots]
        assert "other" in names, f"nobody is looked at beside {kind} at {path}"
        assert "checkout" in names or label != "annotation", "an annotation keeps its Rollout from being looked at"


class Raw:
    """A server that answers every request with the same bytes."""

    def __init__(self, body: str) -> None:
        self.body = body.encode()

    async def send(self, request: Request) -> Response:
        """Answer a read."""
        assert request.method == "GET"
        return Response(200, self.body)

    async def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("levels", [300, 1100, 9000])
async def test_b33_a_list_with_an_object_that_is_nested_deep_is_read(
    levels: int,
) -> None:
    """Argo Workflows CVE-2026-40886: the server stores 10,000 levels; a list that holds them is a list all the same."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(NESTING)
    try:
        deep = '{"a":' * levels + "1" + "}" * levels
        meta = '{"namespace": "shop", "name": "x", "uid": "u", "resourceVersion": "1"}'
        items = ", ".join(f'{{"metadata": {meta}, "data": {deep}, "spec": {{"template": {deep}}}}}' for _ in range(2))
        kube = Kube(Raw(f'{{"metadata": {{"resourceVersion": "7"}}, "items": [{items}]}}'))
        try:
            listing = await kube.list(ROLLOUTS)
            kept = [
                trim(kind, listing.items[0]) for kind in ("Rollout", "ControllerRevision", "Deployment", "HTTPRoute")
            ]
        except Exception as error:  # noqa: BLE001  whatever it is
            pytest.fail(f"an object of {levels} levels hides what is beside it: {error!r}")
        assert len(listing.items) == 2
        assert {k["metadata"]["name"] for k in kept} == {"x"}
        odd = rollout(template={"x": nested(levels)})
        found, problem = Models().spec({"metadata": {"uid": "u"}, "spec": odd["spec"]})
        assert found is None
        assert problem.startswith("spec.template: is nested"), problem
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.looptime
async def test_b33_an_object_that_cannot_be_kept_disturbs_no_other() -> None:
    """Argo Workflows CVE-2026-40886: whatever raises while one object is taken in, the next one is taken."""
    world = World()
    world.cache.index("Service", "odd", lambda o: [str(1 // len(o["metadata"]["name"].removeprefix("odd")))])
    with capture_logs() as logged:
        for name in ("odd", "good"):
            try:
                world.put("Service", STABLE.replace("checkout", name), service())
            except Exception as error:  # noqa: BLE001  whatever it is
                pytest.fail(f"one object ends the intake of all: {error!r}")
    assert world.cache.get("Service", "shop", "good"), "an object beside an odd one was not taken"
    assert [line["event"] for line in logged] == ["an object cannot be kept"]
