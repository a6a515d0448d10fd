"""The scenario of an experiment: fresh pods of both versions get as many requests each, and a gate compares them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hack.lib.hgdemo.cluster import Json
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.watching import Seen
from tests.e2e.shared_service import SCRAPED
from tests.e2e.town import Lab, Town, canary, town

VARIANTS = {"baseline": "Stable", "trial": "Canary"}
SHARE = 25
"""Of the requests that each of them gets."""
GATE_NAME = "no-worse"


def _answers(argument: str, only: str = "") -> str:
    """The answers that the pods of a variant have counted."""
    chosen = f'namespace="{{{{namespace}}}}",headgate_dev_revision="{{{{{argument}}}}}"{only}'
    return f"sum(increase(http_requests_total{{{chosen}}}[{{{{window}}}}]))"


def _rate(argument: str) -> str:
    good = _answers(argument, ',code!~"5.."')
    return f"{good} / {_answers(argument)}"


TEMPLATES: dict[str, Json] = {
    "lost-by-trial": {"query": f"100 * ({_rate('baseline')} - {_rate('trial')})"},
    "trial-answers": {"query": _answers("trial")},
}
"""Queries for the operator's configuration, which are told the pods of both variants."""


@dataclass(frozen=True)
class ComparedShop(Shop):
    """The application with a Service for each variant; its pods are scraped."""

    def objects(self, file: str) -> list[Json]:
        """The objects of one file, with the Services of the variants and the gate that compares them."""
        found = super().objects(file)
        for item in tuple(found):
            if item["kind"] == "Deployment":
                item["spec"]["template"]["metadata"]["annotations"] = dict(SCRAPED)
            if item["kind"] == "Service" and item["metadata"]["name"] == self.name:
                names = [f"{self.name}-{variant}" for variant in VARIANTS]
                found += [{**item, "metadata": {**item["metadata"], "name": name}} for name in names]
            if item["kind"] == "HTTPRoute":
                found.append(self._known_before(item))
            if item["kind"] == "QualityGate":
                item["metadata"]["name"] = GATE_NAME
                item["spec"]["checks"] = [
                    {
                        "name": "no-worse",
                        "prometheus": {"query": {"template": "lost-by-trial"}},
                        "pass": {"max": 5},
                        "minSample": {"query": {"template": "trial-answers"}, "min": 10},
                    }
                ]
            if item["kind"] == "Rollout":
                item["spec"] |= {"gates": [], "strategy": canary(self._experiment(), {"setWeight": 50})}
        return found

    def _known_before(self, route: Json) -> Json:
        """A route to the variants on a host of its own, by which the gateway knows their Services before any share."""
        backends = [{"name": f"{self.name}-{variant}", "port": 80} for variant in VARIANTS]
        spec = {**route["spec"], "hostnames": [f"variants.{self.host}"], "rules": [{"backendRefs": backends}]}
        return {**route, "metadata": {**route["metadata"], "name": f"{self.name}-variants"}, "spec": spec}

    def _experiment(self) -> Json:
        variants = [
            {
                "name": name,
                "specRef": of,
                "service": f"{self.name}-{name}",
                "weight": SHARE,
                "gateArguments": [{"name": name, "value": "Revision"}],
            }
            for name, of in VARIANTS.items()
        ]
        return {"experiment": {"variants": variants, "gate": {"ref": {"name": GATE_NAME}}}}


def compared(lab: Lab) -> None:
    """Only the variant of the new version is met while both are compared; whatever the verdict is, no variant stays."""
    shown = "canary, HTTPRoute, after an experiment"
    with town(lab, "compared", kind=ComparedShop, strategy=shown) as here:
        rules, since = here.shop.rules(), time.time()
        end = here.release("v2", meanwhile=lambda: _expect_shared_out(here, "v2"))
        assert here.outcome() == ("Promoted", "Healthy"), end.line
        assert {s.status.weights.observed for s in here.watch.since(since)} == {0, 50}
        here.expect_only("v2")
        here.expect_home()
        _expect_none_left(here, rules)
        end = here.release("v3", fail_ratio=0.2, meanwhile=lambda: _expect_shared_out(here, "v3"))
        assert here.outcome() == ("Rejected", "Degraded"), end.line
        assert end.condition("Rejected")[:2] == ("True", "GateFailed"), end.line
        here.expect_only("v2")
        here.expect_home()
        _expect_none_left(here, rules)


# ---------------------------------------------------------------------------------------------------------------------


def _is_compared(each: Seen) -> bool:
    """Both shares are served, and the canary itself has none."""
    weights = each.status.weights
    return weights.applied and len(weights.routes or ()) == len(VARIANTS) and not weights.observed


def _expect_shared_out(here: Town, version: str) -> None:
    """The new version answers the share of its variant, which is what the route says."""
    begun = here.watch.until("both shares are served", _is_compared, timeout=60)
    assert here.shop.weights() == {
        here.shop.name: 100 - 2 * SHARE,
        f"{here.shop.name}-canary": 0,
        **{f"{here.shop.name}-{variant}": SHARE for variant in VARIANTS},
    }
    over = here.watch.until("the end of the comparison", lambda s: not _is_compared(s), timeout=60)
    here.users.recorded_until(over.at)
    met = [each.version == version for each in here.users.read() if begun.at <= each.at <= over.at]
    assert met, "nobody asked for anything while both were compared"
    assert 0.5 * SHARE < 100 * sum(met) / len(met) < 1.5 * SHARE, f"{sum(met)} of {len(met)} requests met {version}"


def _expect_none_left(here: Town, rules: list[Json]) -> None:
    """No variant has pods, the route is what it was, and the Services of variants lead to nobody."""
    where = f"--namespace={here.shop.namespace}"
    here.cluster.kubectl("wait", "--for=delete", "pods", where, "--selector=headgate.dev/variant", "--timeout=60s")
    assert here.shop.rules() == rules, "the route is what it was"
    for variant in VARIANTS:
        slices = here.cluster.all(
            "endpointslices", here.shop.namespace, f"kubernetes.io/service-name={here.shop.name}-{variant}"
        )
        assert not [one for found in slices for one in found.get("endpoints") or ()], f"{variant} leads to nobody"
