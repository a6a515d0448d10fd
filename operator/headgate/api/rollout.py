"""`Rollout`: which workload, by which strategy and steps, behind which router, judged by which gates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from headgate.api.common import (
    GROUP,
    PERCENT,
    STEPS,
    VERSION,
    Condition,
    Count,
    Duration,
    Model,
    Name,
    ShortName,
    StepIndex,
    Time,
)
from headgate.api.experiment import VARIANTS, Variants
from headgate.api.gate import Arguments, GateRun
from headgate.api.group import SELF_RULE, GroupProgress, ReleaseGroup
from headgate.api.resource import PrinterColumn, Resource, Rule, Scale
from headgate.api.routes import HeaderRoute, Matches, MirrorRoute, SessionAffinity

MOST = 1_000_000
"""The greatest weight that a route of the Gateway API takes."""
Percent = Annotated[int, Field(ge=0, le=100)]
Weight = Annotated[int, Field(ge=0, le=MOST)]
"""Percent of the requests."""
RouteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$", min_length=1, max_length=128)]
"""The name of a route or rule within an object of a router, which sets no rules for it."""
HostName = Annotated[
    str, Field(pattern=r"^(\*|(\*\.)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9.])?)$", min_length=1, max_length=253)
]
Port = Annotated[int, Field(ge=1, le=65535)]
Phase = Literal[
    "Pending",
    "Initializing",
    "Progressing",
    "Paused",
    "Held",
    "Promoting",
    "RollingBack",
    "Degraded",
    "Healthy",
    "Terminating",
]
"""Where a Rollout is. `Healthy` and `Degraded` (on stable because the wanted revision was taken back) are at rest."""


class WorkloadRef(Model):
    """The workload whose pod template is released.

    A Deployment is scaled to 0 once the operator's ReplicaSet serves; a StatefulSet is released in place, and so is a
    DaemonSet, whose pod template stands in the Rollout.
    """

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = "Deployment"
    name: Name


class GateRef(Model):
    """A QualityGate in the Rollout's namespace."""

    kind: Literal["QualityGate"] = "QualityGate"
    name: Name


class Pause(Model):
    """Wait: for `duration`, or without one until a person promotes."""

    duration: Duration | None = None


class GateStep(Model):
    """Judge by a gate before going on; `duration` and `count` replace the gate's own."""

    ref: GateRef
    duration: Duration | None = None
    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    arguments: Arguments | None = None
    """For each of the gate's queries that uses them, in the place of its own of the same name."""


class Experiment(Model):
    """Run variants of the two versions beside them, and go on when a gate has compared them."""

    variants: Variants
    gate: GateStep
    """Begins when every variant serves."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "self.variants.all(v, !has(v.service) || "
                    "self.variants.exists_one(w, has(w.service) && w.service == v.service))",
                    "message": "each variant needs a service of its own",
                },
            ]
        }
    }

    @model_validator(mode="after")
    def _told_once(self) -> Experiment:
        """A rule that compares each name with each other one costs more than the API server grants."""
        given = [argument.name for variant in self.variants for argument in variant.gate_arguments]
        given += [argument.name for argument in self.gate.arguments or ()]
        twice = next((name for name in given if given.count(name) > 1), "")
        if twice:
            raise ValueError(
                f'the argument "{twice}" of the gate is given twice; give it by one variant, or by the gate'
            )
        return self


class CanaryScale(Model):
    """How many canary pods from here on, instead of the number that follows from the weight."""

    replicas: Annotated[int, Field(ge=0, le=10000)] | None = None
    weight: Percent | None = None
    """Percent of `spec.replicas`."""
    match_traffic_weight: bool | None = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "[has(self.replicas), has(self.weight), has(self.matchTrafficWeight)]"
                    ".filter(x, x).size() == 1",
                    "message": "set exactly one of replicas, weight, matchTrafficWeight",
                }
            ]
        }
    }


IN_TIME: tuple[dict[str, Any], ...] = (
    {
        "rule": "!has(self.onTimeout) || has(self.timeout)",
        "message": "onTimeout needs a timeout; set it, or remove onTimeout",
    },
    {
        "rule": "!has(self.onTimeout) || self.onTimeout != 'Promote' || has(self.pause)",
        "message": "onTimeout: Promote ends a pause and no other step, because only Pass passes a gate and "
        "pods come before weight; use Hold, Abort or Notify",
    },
    {
        "rule": "!has(self.timeout) || duration(self.timeout) > (has(self.pause) && "
        "has(self.pause.duration) ? duration(self.pause.duration) : duration('0s'))",
        "message": "a timeout must be longer than nothing, and than the duration of its pause; make it "
        "longer, or remove it",
    },
)
"""The rules of what `Timed` adds to a step."""


class Timed(Model):
    """How long a step may take."""

    timeout: Duration | None = None
    """How long the step may take; a pause of the whole release starts that anew."""
    on_timeout: Literal["Hold", "Abort", "Promote", "Notify"] | None = None
    """What happens then: wait for a person (Hold, unless told), take the version back, end the pause, or say so only.
    """


class TimedGate(GateStep):
    """A gate of a blue-green release, and how long it may take."""

    timeout: Duration | None = None
    """How long the gate may take; a pause of the whole release starts that anew."""
    on_timeout: Literal["Hold", "Abort", "Notify"] | None = None
    """What happens then: wait for a person (Hold, unless told), take the version back, or say so only."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                IN_TIME[0],
                {
                    "rule": "!has(self.timeout) || duration(self.timeout) > duration('0s')",
                    "message": "a timeout must be longer than nothing; make it longer, or remove it",
                },
            ]
        }
    }


class Step(Timed):
    """One step of a canary: exactly one of its fields, and how long it may take."""

    set_weight: Weight | None = None
    pause: Pause | None = None
    gate: GateStep | None = None
    set_canary_scale: CanaryScale | None = None
    set_header_route: HeaderRoute | None = None
    set_mirror_route: MirrorRoute | None = None
    experiment: Experiment | None = None

    @property
    def judged_by(self) -> GateStep | None:
        """The gate whose Pass ends it; None of a step that ends by itself or by a person."""
        return self.experiment.gate if self.experiment is not None else self.gate

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "[has(self.setWeight), has(self.pause), has(self.gate), has(self.setCanaryScale), "
                    "has(self.setHeaderRoute), has(self.setMirrorRoute), has(self.experiment)]"
                    ".filter(x, x).size() == 1",
                    "message": "a step has exactly one of setWeight, pause, gate, setCanaryScale, setHeaderRoute, "
                    "setMirrorRoute, experiment; split it",
                },
                *IN_TIME,
            ]
        }
    }


class RouteRef(Model):
    """One rule of one route, which must list both Services as backends and no other backend."""

    name: Name
    rule: ShortName | None = None
    """Name of the rule; without it, the one rule that lists the stable Service."""


RouteRefs = Annotated[
    list[RouteRef],
    Field(
        min_length=1,
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    ),
]


class GatewayAPI(Model):
    """Traffic by Gateway API routes, whose parents are gateways, or Services where a mesh serves them."""

    http_routes: RouteRefs | None = None
    grpc_routes: RouteRefs | None = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.httpRoutes) || has(self.grpcRoutes)",
                    "message": "name a route: httpRoutes, grpcRoutes",
                }
            ]
        }
    }


class HTTPProxyRef(Model):
    """One route of one HTTPProxy, which must list both Services and no other, mirrors aside."""

    name: Name
    route: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/\S*$")] | None = None
    """The prefix of the route; without it, the one route that lists the stable Service."""


class Contour(Model):
    """Traffic by Contour's own routes."""

    http_proxies: Annotated[
        list[HTTPProxyRef],
        Field(
            min_length=1,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]


class IstioTLSRoute(Model):
    """The one TLS route of which all this is true; of an empty item, the one that lists the stable Service."""

    port: Port | None = None
    sni_hosts: (
        Annotated[
            list[HostName], Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})
        ]
        | None
    ) = None
    """All the SNI hosts of one of its matches, in any order."""


class IstioTCPRoute(Model):
    """The one TCP route with a match of this port; without a port, the one that lists the stable Service."""

    port: Port | None = None


class IstioVirtualService(Model):
    """One VirtualService, whose claimed routes have the two Services as destinations and no other.

    If none of its routes is named, the one HTTP route that lists the stable Service is meant.
    """

    name: Name
    routes: (
        Annotated[
            list[RouteName], Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})
        ]
        | None
    ) = None
    """Names of HTTP routes."""
    tls_routes: (
        Annotated[
            list[IstioTLSRoute],
            Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    tcp_routes: (
        Annotated[
            list[IstioTCPRoute],
            Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None


class Istio(Model):
    """Traffic by Istio VirtualServices."""

    virtual_services: Annotated[
        list[IstioVirtualService],
        Field(
            min_length=1,
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]


class Traefik(Model):
    """Traffic by Traefik."""

    weighted_traefik_service_name: Name
    """A TraefikService whose `weighted.services` are the two Services and no other."""


class SMI(Model):
    """Traffic by a service mesh that understands SMI."""

    traffic_split_name: Name
    """A TrafficSplit whose backends are the two Services and no other."""


class ApisixRoute(Model):
    """One ApisixRoute, whose claimed rules list the two Services as backends and no other."""

    name: Name
    rules: (
        Annotated[
            list[RouteName], Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})
        ]
        | None
    ) = None
    """Names of its HTTP rules; without them, the one rule that lists the stable Service."""


class Apisix(Model):
    """Traffic by Apache APISIX."""

    route: ApisixRoute


class Nginx(Model):
    """Traffic by ingress-nginx."""

    canary_ingress: Name
    """An Ingress with the hosts and paths of stable's, the annotation `nginx.ingress.kubernetes.io/canary: "true"`,
    and the canary Service as its only backend. Headgate writes its annotation `canary-weight`."""


class ALB(Model):
    """Traffic by the AWS Load Balancer Controller."""

    ingress: Name
    """An Ingress, one of whose actions forwards to the two Services and to no other target group. Headgate writes the
    weights in its annotation `alb.ingress.kubernetes.io/actions.NAME`."""
    root_service: ShortName | None = None
    """The name of the action: what the rules of the Ingress have as a service with the port name `use-annotation`.
    Without it, that of the stable Service."""
    annotation_prefix: Name | None = None
    """What the annotations begin with, if the controller was told another prefix."""


TOTAL, SESSIONS = "maxTrafficWeight", "sessionAffinity"
"""The fields beside the routers that are none."""
PLUGINS = "plugins"
"""The field of the routers from other packages; `plugins.NAME` is what one of them is called elsewhere."""
SESSION, STABLE_SESSION = "session", "stable-session"
"""The names of the routes by which users keep the version that they have met."""


class PluginParameter(Model):
    """A setting that the router of another package knows. No sign of a URL may stand in it: no tenant says where to."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9]*$", max_length=63)]
    value: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=253)]


class Plugin(Model):
    """Traffic by a router of another package, which an admin has installed and switched on."""

    name: ShortName
    """The name that the package gives to it; an admin adds `plugins.NAME` to the routers of the configuration."""
    objects: RouteRefs
    """The places that the Rollout claims: objects of the router's kind in this namespace."""
    parameters: Annotated[
        list[PluginParameter],
        Field(
            max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        ),
    ] = Field(default_factory=list)
    """What else the router wants to know; its documentation says what there is."""

    @property
    def key(self) -> str:
        """What the configuration calls it."""
        return f"{PLUGINS}.{self.name}"


SESSION_ROUTERS = ("gatewayAPI", "istio")
"""The routers that can set a cookie on the answers of one version."""


def _some_router(schema: dict[str, Any]) -> None:
    names = [name for name in schema["properties"] if name not in (TOTAL, SESSIONS)]
    rule = " || ".join(f"has(self.{name})" for name in names)
    schema["x-kubernetes-validations"] = [{"rule": rule, "message": f"name a router: {', '.join(names)}"}]


_OF_WEIGHTS = [
    {
        "rule": f"!has(self.{TOTAL}) || !has(self.{PLUGINS})",
        "message": f"routers of other packages know weights of 100 only; remove {TOTAL}, or use another router",
    },
    {
        "rule": f"!has(self.{TOTAL}) || !has(self.alb) || self.{TOTAL} <= 999",
        "message": f"the weights of an ALB go up to 999; make {TOTAL} less",
    },
]


def _of_canary(schema: dict[str, Any]) -> None:
    _some_router(schema)
    others = [name for name in schema["properties"] if name not in (*SESSION_ROUTERS, TOTAL, SESSIONS)]
    there = " || ".join(f"has(self.{name})" for name in others)
    schema["x-kubernetes-validations"] += [
        *_OF_WEIGHTS,
        {
            "rule": f"!has(self.{SESSIONS}) || !({there})",
            "message": f"{', '.join(others)}: none of them adds a cookie to the answers of the new version alone (an "
            f"HTTPProxy would replace those of the application); use gatewayAPI or istio, or remove {SESSIONS}",
        },
    ]


class TrafficRouting(Model):
    """Who shifts the requests. One field per router; those that are named shift in step."""

    gateway_api: Annotated[GatewayAPI | None, Field(alias="gatewayAPI")] = None
    contour: Contour | None = None
    istio: Istio | None = None
    traefik: Traefik | None = None
    smi: SMI | None = None
    apisix: Apisix | None = None
    nginx: Nginx | None = None
    alb: ALB | None = None
    plugins: (
        Annotated[
            list[Plugin],
            Field(
                min_length=1,
                max_length=4,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            ),
        ]
        | None
    ) = None
    """Routers of other packages."""

    model_config = Model.model_config | {"json_schema_extra": _some_router}

    @classmethod
    def routers(cls) -> tuple[str, ...]:
        """The names of all routers of Headgate's own, as specs and the admin's configuration write them."""
        return tuple(alias for _, alias in _own_routers())

    def named(self) -> tuple[tuple[str, str], ...]:
        """Those of the routers that this Rollout uses: the field, and what the configuration calls it."""
        own = [(alias, alias) for name, alias in _own_routers() if getattr(self, name) is not None]
        others = [(f"{PLUGINS}[{index}].name", plugin.key) for index, plugin in enumerate(self.plugins or ())]
        return (*own, *others)

    def plugin(self, name: str) -> Plugin | None:
        """What is said of the router of another package; None if it is not used."""
        return next((plugin for plugin in self.plugins or () if plugin.name == name), None)


@cache
def _own_routers() -> tuple[tuple[str, str], ...]:
    """Headgate's own routers: the field, and what specs call it."""
    return tuple((name, str(field.alias)) for name, field in TrafficRouting.model_fields.items() if name != PLUGINS)


class CanaryRouting(TrafficRouting):
    """Who shifts the requests. One field per router; those that are named shift in step."""

    max_traffic_weight: Annotated[int, Field(ge=PERCENT, le=MOST)] | None = None
    """What the weights of the steps are parts of; 100 unless told. An ALB takes 999 at most."""
    session_affinity: SessionAffinity | None = None
    """Let users keep the version that they have met, while its weight changes."""

    model_config = Model.model_config | {"json_schema_extra": _of_canary}


Amount = Annotated[int, Field(ge=0, le=10000)] | Annotated[str, Field(pattern=r"^(100|[1-9]?[0-9])%$", max_length=4)]
"""So many pods, or percent of `spec.replicas`."""


def _set_somewhere(step: str) -> dict[str, Any]:
    return {
        "rule": f"self.steps.all(s, !has(s.{step}) || has(s.{step}.match) || self.steps.exists(t, has(t.{step}) && "
        f"has(t.{step}.match) && t.{step}.name == s.{step}.name))",
        "message": f"{step} without a match takes the route of that name out, and no step sets it; give it a match, or "
        "correct the name",
    }


_WEIGHED = "s.experiment.variants.exists(v, has(v.weight))"
_OTHERS = ", ".join(
    f"has(self.trafficRouting.{name})" for name in (*CanaryRouting.routers(), PLUGINS) if name != "gatewayAPI"
)
EXPERIMENT_RULES: list[dict[str, Any]] = [
    {
        "rule": "has(self.trafficRouting) || !self.steps.exists(s, has(s.experiment))",
        "message": "experiment needs trafficRouting: without a router its pods would be a part of the weight; name "
        "one, or use setWeight and gate",
    },
    {
        "rule": "!has(self.trafficRouting) || "
        f"!self.steps.exists(s, has(s.experiment) && {_WEIGHED}) || (has(self.trafficRouting.gatewayAPI) && "
        f"![{_OTHERS}].exists(x, x))",
        "message": "only the Gateway API's router gives a variant a weight; remove the weights of the experiment, or "
        "use gatewayAPI and no other router",
    },
    {
        "rule": f"!self.dynamicStableScale || !self.steps.exists(s, has(s.experiment) && {_WEIGHED})",
        "message": "a variant's weight and dynamicStableScale cannot be together: its requests go back to the stable "
        "version at once, which has no pods for them then; remove one of them",
    },
    {
        "rule": "!self.steps.exists(s, has(s.experiment) && s.experiment.variants.exists(v, has(v.service) && ("
        "(has(self.stableService) && v.service == self.stableService) || "
        "(has(self.canaryService) && v.service == self.canaryService) || (has(self.pingPong) && "
        "v.service in [self.pingPong.pingService, self.pingPong.pongService]))))",
        "message": "the service of a variant leads to its pods alone; name one that is neither version's",
    },
]
"""What a canary may say of experiments."""

ROUTE_RULES: list[dict[str, Any]] = [
    {
        "rule": "has(self.trafficRouting) || !self.steps.exists(s, has(s.setHeaderRoute) || has(s.setMirrorRoute))",
        "message": "setHeaderRoute and setMirrorRoute need trafficRouting, because only a router tells requests apart; "
        "name one, or use setWeight",
    },
    _set_somewhere("setHeaderRoute"),
    _set_somewhere("setMirrorRoute"),
    {
        "rule": "!self.steps.exists(s, has(s.setHeaderRoute) && self.steps.exists(t, has(t.setMirrorRoute) && "
        "t.setMirrorRoute.name == s.setHeaderRoute.name))",
        "message": "a route by header and a mirror need two names, because each name is one route",
    },
    {
        "rule": "!has(self.trafficRouting) || !(has(self.trafficRouting.traefik) || has(self.trafficRouting.smi) || "
        "has(self.trafficRouting.alb)) || !self.steps.exists(s, has(s.setHeaderRoute) || has(s.setMirrorRoute))",
        "message": "by traefik, smi and alb Headgate sets weights only, and no setHeaderRoute or setMirrorRoute; use "
        "setWeight, or another router",
    },
    {
        "rule": "!has(self.trafficRouting) || !(has(self.trafficRouting.apisix) || has(self.trafficRouting.nginx)) || "
        "!self.steps.exists(s, has(s.setMirrorRoute))",
        "message": "apisix and nginx mirror nothing for Headgate; remove setMirrorRoute, or use another router",
    },
    {
        "rule": "!has(self.trafficRouting) || !has(self.trafficRouting.sessionAffinity) || !self.steps.exists(s, "
        f"(has(s.setHeaderRoute) && s.setHeaderRoute.name in ['{SESSION}', '{STABLE_SESSION}']) || "
        f"(has(s.setMirrorRoute) && s.setMirrorRoute.name in ['{SESSION}', '{STABLE_SESSION}']))",
        "message": f"{SESSION} and {STABLE_SESSION} are the names of the routes for sessionAffinity; give the step's "
        "route another one",
    },
    {
        "rule": "!has(self.trafficRouting) || !has(self.trafficRouting.sessionAffinity) || "
        "!self.trafficRouting.sessionAffinity.stayOnStable || !self.dynamicStableScale",
        "message": "stayOnStable and dynamicStableScale cannot be together: whoever stays on the stable version needs "
        "its pods; remove one of them",
    },
    {
        "rule": "!has(self.trafficRouting) || !has(self.trafficRouting.sessionAffinity) || "
        "!self.trafficRouting.sessionAffinity.stayOnStable || !self.steps.exists(s, has(s.setMirrorRoute))",
        "message": "stayOnStable and setMirrorRoute cannot be together: what is copied is shared out by weight, "
        "whoever asks; remove one of them",
    },
]
"""What a canary may say of routes by header, of mirrors and of sessions."""


KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
"""How Kubernetes wants the keys of labels and annotations."""
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]


def _total(canary: str) -> str:
    """In CEL, what the weights of a canary are a part of."""
    routing = f"{canary}.trafficRouting"
    return f"has({routing}) && has({routing}.{TOTAL}) ? {routing}.{TOTAL} : {PERCENT}"


class PodMetadata(Model):
    """Labels and annotations for the pods of one version, besides those of the template."""

    labels: Annotated[dict[str, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=16)] = Field(
        default_factory=dict
    )

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": f"!has(self.{name}) || self.{name}.all(k, !k.startsWith('{GROUP}/'))",
                    "message": f"keys of {name} that begin with {GROUP}/ are the operator's own; choose another key",
                }
                for name in ("labels", "annotations")
            ]
        }
    }

    @model_validator(mode="after")
    def _keys(self) -> PodMetadata:
        """What the schema cannot say of keys: the server would refuse the pods."""
        for key in (*self.labels, *self.annotations):
            if not KEY.fullmatch(key) or key.startswith(f"{GROUP}/"):
                raise ValueError(f'"{key[:80]}" is no key for a label or annotation, like role or example.com/role')
        return self


class RequiredApart(Model):
    """A pod that finds no node without pods of another version does not start."""


class PreferredApart(Model):
    """A pod that finds no such node starts beside them."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """Among the preferences of the pod."""


class AntiAffinity(Model):
    """Keep pods of two versions from one node. What runs stays where it is; a promotion replaces no pod."""

    required: Annotated[RequiredApart | None, Field(alias="requiredDuringSchedulingIgnoredDuringExecution")] = None
    preferred: Annotated[PreferredApart | None, Field(alias="preferredDuringSchedulingIgnoredDuringExecution")] = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.requiredDuringSchedulingIgnoredDuringExecution) != "
                    "has(self.preferredDuringSchedulingIgnoredDuringExecution)",
                    "message": "set exactly one of requiredDuringSchedulingIgnoredDuringExecution and "
                    "preferredDuringSchedulingIgnoredDuringExecution",
                }
            ]
        }
    }


class ReplicaProgressThreshold(Model):
    """How many of the pods that a step asks for are enough for it to go on; what gets requests never has too few."""

    type: Literal["Percent", "Pod"]
    value: Annotated[int, Field(ge=1, le=10000)]
    """Percent of them, rounded up, or so many."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "self.type != 'Percent' || self.value <= 100",
                    "message": "a value of type Percent is at most 100; lower it, or use type Pod",
                }
            ]
        }
    }


class PingPong(Model):
    """Two Services that take turns: a promotion makes the canary's the stable one, and changes no selector for that."""

    ping_service: Name
    """The stable one at first, unless the router gives all requests to the other one already."""
    pong_service: Name

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "self.pingService != self.pongService",
                    "message": "pingService and pongService must be two Services",
                }
            ]
        }
    }


class Canary(Model):
    """Shift traffic to the new version in steps, next to the stable one: by a router, or by the ratio of their pods."""

    stable_service: Name = Field(default_factory=str)
    """The Service that serves what is stable; without trafficRouting the one that leads to the pods of both."""
    canary_service: Name | None = None
    ping_pong: PingPong | None = None
    """In the place of stableService and canaryService: whose turn it is stands in `status.stablePingPong`."""
    traffic_routing: CanaryRouting | None = None
    """Who shifts the requests; without it the pods do, a weight of 20 being a fifth of them."""
    max_surge: Amount | None = None
    """Pods beyond `spec.replicas` while the ratio changes, rounded up; 25% unless told."""
    max_unavailable: Amount | None = None
    """Pods that may be missing of `spec.replicas` meanwhile, rounded down; 25% unless told."""
    dynamic_stable_scale: bool = False
    """Take pods from the stable version as its share becomes less. They come back before the share does, so that the
    way back takes as long as they do; without it the stable version keeps the pods for the full load."""
    min_pods_per_replica_set: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Pods that each version has at least while it gets requests, up to `spec.replicas`."""
    replica_progress_threshold: ReplicaProgressThreshold | None = None
    """From how many of its pods on a step goes on, where its weight needs fewer than it asks for; all unless told. The
    promotion waits for all in any case."""
    canary_metadata: PodMetadata | None = None
    """What pods of a version carry that start while it is released; each pod keeps what it started with."""
    stable_metadata: PodMetadata | None = None
    """What those carry that start while it is stable."""
    anti_affinity: AntiAffinity | None = None
    steps: Annotated[
        list[Step], Field(min_length=1, max_length=STEPS, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ]
    scale_down_delay_seconds: Annotated[int, Field(ge=0, le=86400)] = 30
    """Seconds that the old version stays scaled up after a promotion; the way back is instant until then."""
    abort_scale_down_delay_seconds: Annotated[int, Field(ge=0, le=86400)] = 30
    """Seconds that a version which was taken back stays scaled up, so that open connections end."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.pingPong) ? !has(self.stableService) && !has(self.canaryService) : "
                    "has(self.stableService)",
                    "message": "name stableService (and canaryService beside trafficRouting), or pingPong with both "
                    "Services, and not both forms",
                },
                {
                    "rule": "!has(self.canaryService) || !has(self.stableService) || "
                    "self.stableService != self.canaryService",
                    "message": "stableService and canaryService must be two Services",
                },
                {
                    "rule": "!has(self.pingPong) || has(self.trafficRouting)",
                    "message": "pingPong needs trafficRouting, because a router's weights say which of the two "
                    "Services is stable; name a router, or use stableService",
                },
                {
                    "rule": "!has(self.pingPong) || !has(self.trafficRouting) || !has(self.trafficRouting.nginx)",
                    "message": "nginx leads to one Service by the Ingress of another, so that the two cannot take "
                    "turns; use stableService and canaryService, or another router",
                },
                {
                    "rule": "!has(self.pingPong) || !has(self.trafficRouting) || !has(self.trafficRouting.alb) || "
                    "has(self.trafficRouting.alb.rootService)",
                    "message": "pingPong needs trafficRouting.alb.rootService, because the name of the action cannot "
                    "change with the stable Service; set it",
                },
                {
                    "rule": "has(self.pingPong) || has(self.canaryService) == has(self.trafficRouting)",
                    "message": "canaryService and trafficRouting go together; without both the pods behind "
                    "stableService are the ratio",
                },
                {
                    "rule": "!has(self.trafficRouting) || !(has(self.maxSurge) || has(self.maxUnavailable))",
                    "message": "maxSurge and maxUnavailable are for a canary without trafficRouting; remove them, "
                    "because a router needs the full load of the stable version",
                },
                {
                    "rule": "!has(self.maxSurge) || !has(self.maxUnavailable) || "
                    "!(string(self.maxSurge) in ['0', '0%'] && string(self.maxUnavailable) in ['0', '0%'])",
                    "message": "maxSurge and maxUnavailable cannot both be 0, or no pod could be replaced; raise one",
                },
                {
                    "rule": "has(self.trafficRouting) || !self.steps.exists(s, has(s.setCanaryScale))",
                    "message": "setCanaryScale needs trafficRouting, because without a router the pods are the weight; "
                    "use setWeight",
                },
                {
                    "rule": "has(self.trafficRouting) || !self.dynamicStableScale",
                    "message": "dynamicStableScale needs trafficRouting: without a router the stable version shrinks "
                    "in any case, because the pods are the weight; remove it, or name a router",
                },
                {
                    "rule": "has(self.trafficRouting) || !has(self.minPodsPerReplicaSet)",
                    "message": "minPodsPerReplicaSet needs trafficRouting, because without a router more pods would be "
                    "more requests; remove it, or name a router",
                },
                {
                    "rule": "has(self.trafficRouting) || !has(self.replicaProgressThreshold)",
                    "message": "replicaProgressThreshold needs trafficRouting: without a router missing pods are a "
                    "missing part of the weight, at which nothing is to be judged; remove it, or name a router",
                },
                {
                    "rule": "!has(self.antiAffinity) || "
                    "!has(self.antiAffinity.requiredDuringSchedulingIgnoredDuringExecution) || "
                    "(has(self.trafficRouting) && !self.dynamicStableScale)",
                    "message": "requiredDuringSchedulingIgnoredDuringExecution needs trafficRouting and no "
                    "dynamicStableScale, or the way back would wait for nodes that the new version has; use "
                    "preferredDuringSchedulingIgnoredDuringExecution",
                },
                {
                    "rule": f"self.steps.all(s, !has(s.setWeight) || s.setWeight <= ({_total('self')}))",
                    "message": "a setWeight is at most trafficRouting.maxTrafficWeight, which is 100 unless it is set",
                },
                *ROUTE_RULES,
                *EXPERIMENT_RULES,
            ]
        }
    }

    @model_validator(mode="before")
    @classmethod
    def _in_turn(cls, raw: Any) -> Any:
        """Whoever asks for the stable and the canary Service need not know that they take turns."""
        pair = raw.get("pingPong") if isinstance(raw, Mapping) else None
        if not isinstance(pair, Mapping):
            return raw
        turns = {"stableService": pair.get("pingService"), "canaryService": pair.get("pongService")}
        return {**{name: service for name, service in turns.items() if service is not None}, **raw}

    @model_validator(mode="after")
    def _named(self) -> Canary:
        """Here too, because an object may be older than the rule."""
        if not self.stable_service:
            raise ValueError("name stableService, or the two Services of pingPong")
        return self

    @model_validator(mode="after")
    def _set_before(self) -> Canary:
        """What the schema cannot count: a route is taken out only after it was set."""
        known = set[str]()
        for number, step in enumerate(self.steps):
            route = step.set_header_route or step.set_mirror_route
            if route is None:
                continue
            if route.match is None and route.name not in known:
                raise ValueError(f'steps[{number}] takes the route "{route.name}" out before a step sets it')
            known.add(route.name)
        return self

    @model_validator(mode="after")
    def _parts(self) -> Canary:
        """Here too, because an object may be older than the rule; no rule sums up the weights of an experiment."""
        weight = 0
        for number, step in enumerate(self.steps):
            weight = weight if step.set_weight is None else step.set_weight
            if weight > self.total:
                raise ValueError(f"steps[{number}].setWeight is more than {self.total}")
            shares = sum(variant.weight or 0 for variant in step.experiment.variants) if step.experiment else 0
            if weight + shares > self.total:
                raise ValueError(
                    f"steps[{number}].experiment: the weights of its variants and {weight} of the canary are more than "
                    f"{self.total}; make one of them less"
                )
        return self

    @property
    def total(self) -> int:
        """What its weights are a part of."""
        return (self.traffic_routing.max_traffic_weight if self.traffic_routing is not None else None) or PERCENT

    @property
    def routing(self) -> CanaryRouting:
        """The routers, of a canary that has some.

        Raises:
            ValueError: if it has none.
        """
        if self.traffic_routing is None:
            raise ValueError("this canary has no trafficRouting")
        return self.traffic_routing


class Mirror(Model):
    """Copy requests of the users to the new version, whose answers nobody gets, and judge it by them."""

    percentage: Annotated[int, Field(ge=1, le=100)] | None = None
    """Of these requests; 100 unless told. The new version gets the pods for that, whatever previewReplicaCount says."""
    match: Matches | None = None
    """Which requests; without it all of the claimed rule."""
    gates: Annotated[
        list[TimedGate], Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ]
    """Judge the new version while requests are copied, in this order."""


class BlueGreen(Model):
    """Bring the new version up beside the old one, then switch all requests at once, by a selector or by a router."""

    active_service: Name
    """The Service that the users' requests go to; it selects one revision."""
    preview_service: Name
    """The Service behind which the new revision is tried before the switch."""
    traffic_routing: TrafficRouting | None = None
    """Who switches the requests from the active to the preview Service; without it the active Service's selector is
    switched."""
    preview_replica_count: Annotated[int, Field(ge=1, le=10000)] | None = None
    """Pods of the new revision until it is promoted to full capacity; without it, the full number from the start."""
    pre_promotion_gates: Annotated[
        list[TimedGate], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    """Judge the new revision behind the preview Service, in this order, before the switch."""
    mirror: Mirror | None = None
    """After these gates, until the switch; only a router copies requests."""
    post_promotion_gates: Annotated[
        list[TimedGate], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    """Judge it after the switch, while the old revision keeps all its pods; a Fail switches back."""
    auto_promotion_enabled: bool = True
    """Switch without being asked; if false, wait until a person promotes."""
    auto_promotion_seconds: Annotated[int, Field(ge=1, le=86400)] | None = None
    """Seconds to wait, after the gates before the switch, until it happens by itself."""
    promotion_timeout: Duration | None = None
    """How long the wait for a person may take; a pause of the whole release starts that anew."""
    on_promotion_timeout: Literal["Hold", "Abort", "Promote", "Notify"] | None = None
    """What happens then: keep waiting and say that it is late (Hold, unless told), take the version back, switch, or
    say so only."""
    scale_down_delay_seconds: Annotated[int, Field(ge=0, le=86400)] = 30
    """Seconds that the old version stays scaled up after a promotion; the way back is instant until then."""
    abort_scale_down_delay_seconds: Annotated[int, Field(ge=0, le=86400)] = 30
    """Seconds that a version which was taken back stays scaled up, so that open connections end."""
    anti_affinity: AntiAffinity | None = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "self.activeService != self.previewService",
                    "message": "activeService and previewService must be two Services",
                },
                {
                    "rule": "!has(self.autoPromotionSeconds) || self.autoPromotionEnabled",
                    "message": "autoPromotionSeconds needs autoPromotionEnabled: true; set it, or remove the seconds "
                    "and promote by hand",
                },
                {
                    "rule": "!has(self.mirror) || has(self.trafficRouting)",
                    "message": "mirror needs trafficRouting, because only a router copies requests; name one, or "
                    "remove mirror",
                },
                {
                    "rule": "!has(self.mirror) || !has(self.trafficRouting) || !(has(self.trafficRouting.traefik) || "
                    "has(self.trafficRouting.smi) || has(self.trafficRouting.apisix) || "
                    "has(self.trafficRouting.nginx) || has(self.trafficRouting.alb))",
                    "message": "traefik, smi, apisix, nginx and alb mirror nothing for Headgate; remove mirror, or use "
                    "another router",
                },
                {
                    "rule": "!has(self.promotionTimeout) || !self.autoPromotionEnabled",
                    "message": "promotionTimeout is how long a person may take, and nobody is waited for; set "
                    "autoPromotionEnabled: false, or remove it",
                },
                {
                    "rule": "!has(self.onPromotionTimeout) || has(self.promotionTimeout)",
                    "message": "onPromotionTimeout needs a promotionTimeout; set it, or remove onPromotionTimeout",
                },
                {
                    "rule": "!has(self.promotionTimeout) || duration(self.promotionTimeout) > duration('0s')",
                    "message": "a promotionTimeout must be longer than nothing; make it longer, or remove it",
                },
            ]
        }
    }


Batch = (
    Annotated[int, Field(ge=1, le=10000)] | Annotated[str, Field(pattern=r"^([1-9]|[1-9][0-9]|100)%$", max_length=4)]
)
"""How many pods, or which part of them, rounded up."""


class RollingStep(Timed):
    """One step of a rolling release: exactly one of setBatch, pause, gate, and how long it may take."""

    set_batch: Batch | None = None
    """Pods of the new version from here on, those of the batches before included: a number, or a part like `25%`."""
    pause: Pause | None = None
    gate: GateStep | None = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "[has(self.setBatch), has(self.pause), has(self.gate)].filter(x, x).size() == 1",
                    "message": "a step has exactly one of setBatch, pause, gate; split it",
                },
                *IN_TIME,
            ]
        }
    }


MORE_EACH_TIME = (
    "setBatch counts all pods of the new version so far, so each is more than the one before; write 1, 2, 3 for three "
    "batches of one pod, or 25%, 50%, 75% for batches of a quarter"
)


class Rolling(Model):
    """Replace the pods of a workload in place, batch by batch: no batch begins before the one before is ready."""

    steps: Annotated[
        list[RollingStep],
        Field(
            min_length=1,
            max_length=STEPS,
            json_schema_extra={
                "x-kubernetes-list-type": "atomic",
                "x-kubernetes-validations": [
                    {
                        "rule": "self.exists(s, has(s.setBatch))",
                        "message": "name at least one setBatch: without one, gates and pauses would come before any "
                        "pod of the new version",
                    },
                    {
                        "rule": "!self.exists(s, has(s.setBatch) && type(s.setBatch) == string && "
                        "s.setBatch == '100%')",
                        "message": "the last batch is all that is left, and comes by itself after the last step; "
                        "remove setBatch: 100%, or make it 99%, which leaves one pod at least",
                    },
                    {
                        "rule": "self.filter(s, has(s.setBatch) && type(s.setBatch) == int).map(s, s.setBatch)"
                        ".isSorted() && self.filter(s, has(s.setBatch) && type(s.setBatch) == int)"
                        ".all(s, self.exists_one(t, has(t.setBatch) && t.setBatch == s.setBatch))",
                        "message": MORE_EACH_TIME,
                    },
                ],
            },
        ),
    ]
    """What is left after the last step is the last batch, and ends the release."""

    @model_validator(mode="after")
    def _more_each_time(self) -> Rolling:
        """Of parts, too: reading the number out of a text costs the server more than it allows a rule."""
        for kind in (int, str):
            batches = [s.set_batch for s in self.steps if isinstance(s.set_batch, kind)]
            numbers = [int(str(batch).removesuffix("%")) for batch in batches]
            if any(one >= next_one for one, next_one in pairwise(numbers)):
                raise ValueError(MORE_EACH_TIME)
        return self


class Strategy(Model):
    """How a new version takes over. One field per strategy."""

    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    rolling: Rolling | None = None

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "[has(self.canary), has(self.blueGreen), has(self.rolling)].filter(x, x).size() == 1",
                    "message": "set exactly one of canary, blueGreen and rolling",
                }
            ]
        }
    }

    @model_validator(mode="after")
    def _one(self) -> Strategy:
        """The same rule here: an object may be older than the schema, and the core must not meet it."""
        if [self.canary, self.blue_green, self.rolling].count(None) != 2:  # noqa: PLR2004  all but one
            raise ValueError("set exactly one of canary, blueGreen and rolling")
        return self


class BackgroundGate(Model):
    """A gate that judges from the first weight to the end; `interval` replaces the gate's own."""

    ref: GateRef
    interval: Duration | None = None


class RollbackWindow(Model):
    """Which revisions are gone back to at once, by the template: without steps, and without being judged again."""

    revisions: Annotated[int, Field(ge=0, le=8)]
    """So many of those that were stable last, besides the present one; with 0 every way back takes the steps."""


class ConfigSnapshots(Model):
    """Give each revision copies of its own of the ConfigMaps that its template refers to, as they were at its start."""

    secrets: bool = False
    """Of the Secrets, too."""
    config_change_triggers: bool = False
    """What they hold is part of the revision: a change of it alone is released like a change of the template."""


def _without_default(schema: dict[str, Any]) -> None:
    """The rules say who must name it; nobody gets 0 by leaving it out."""
    schema.pop("default", None)


class RolloutSpec(Model):
    """What is wanted. Git owns it; the operator never writes it."""

    replicas: Annotated[int, Field(ge=0, le=10000, json_schema_extra=_without_default)] = 0
    """Pods that carry the full load; Headgate keeps this many stable pods, and adds the canary's. Not for rolling,
    which leaves the number to the workload."""
    workload_ref: WorkloadRef | None = None
    template: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})] | None
    ) = None
    """The pod template, where no workloadRef names a workload that has it; beside a DaemonSet, what it is to run."""
    strategy: Strategy
    gates: Annotated[
        list[BackgroundGate], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    min_ready_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    revision_history_limit: Annotated[int, Field(ge=0, le=50)] = 10
    progress_deadline_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    paused: bool = False
    on_new_revision: Literal["Supersede", "Queue", "Reject"] = "Supersede"
    """What a template change does while a release is under way: replace it, wait for its end, or be rejected."""
    unhealthy_stable: Literal["Hold", "FixForward"] = "Hold"
    """What a release does while the stable revision lacks pods: wait for them, as long as the progress deadline lets
    it, or go on as soon as its own are there, because nothing gets better by waiting."""
    rollback_window: RollbackWindow | None = None
    """Without it the steps are skipped for what was stable before and still has all its pods."""
    config_snapshots: ConfigSnapshots | None = None
    """Without it the pods of all revisions read the same ConfigMaps, as they are at the time."""
    group: ReleaseGroup | None = None
    """Without it the Rollout is released by itself."""
    restart_at: Time | None = None
    """Pods of the stable version that are older than this are evicted in batches, while nothing is released; their
    template stays as it is. An admin allows it."""
    on_delete: Literal["Revert", "Keep"] = "Revert"
    """What becomes of the workload when the Rollout is deleted: all is as it was before the Rollout, or the stable
    pods go on serving as they do, so that a Rollout that was deleted by mistake has changed nothing."""

    model_config = Model.model_config | {
        "json_schema_extra": {
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.template) != has(self.workloadRef) || "
                    "(has(self.workloadRef) && self.workloadRef.kind == 'DaemonSet')",
                    "message": "set exactly one of template and workloadRef",
                },
                {
                    "rule": "!has(self.workloadRef) || self.workloadRef.kind != 'DaemonSet' || has(self.template)",
                    "message": "set template to the pods that the DaemonSet is to run: it gives its own template to "
                    "every pod that is made, so Headgate keeps the stable one there until the new one is proven",
                },
                {
                    "rule": "has(self.strategy.rolling) || has(self.replicas)",
                    "message": "set replicas: canary and blueGreen run pods of their own and must know how many",
                },
                {
                    "rule": "!has(self.strategy.rolling) || !has(self.replicas)",
                    "message": "remove replicas: rolling releases the pods that there are; scale the workload itself",
                },
                {
                    "rule": "!has(self.strategy.rolling) || "
                    "(has(self.workloadRef) && self.workloadRef.kind in ['StatefulSet', 'DaemonSet'])",
                    "message": "rolling replaces the pods of a StatefulSet or a DaemonSet in place: name it in "
                    "workloadRef with its kind; for a Deployment or an inline template choose canary or blueGreen",
                },
                {
                    "rule": "has(self.strategy.rolling) || !has(self.workloadRef) || "
                    "self.workloadRef.kind == 'Deployment'",
                    "message": "the pods of a StatefulSet or a DaemonSet have their places and cannot be doubled: "
                    "choose the strategy rolling for it, or name a Deployment in workloadRef",
                },
                {
                    "rule": "!has(self.strategy.rolling) || self.minReadySeconds == 0",
                    "message": "remove minReadySeconds: rolling goes by the workload's own; set it there",
                },
                {
                    "rule": "!has(self.strategy.rolling) || self.onNewRevision == 'Supersede'",
                    "message": "remove onNewRevision: a workload has one template only, so with rolling a newer one "
                    "always takes the place of the one under release",
                },
                {
                    "rule": "self.unhealthyStable == 'Hold' || "
                    "(has(self.strategy.canary) && has(self.strategy.canary.trafficRouting))",
                    "message": "remove unhealthyStable: only a canary with trafficRouting weighs the pods of two "
                    "versions against each other; blueGreen switches without those of the stable one in any case",
                },
                {
                    "rule": "!has(self.strategy.rolling) || !has(self.rollbackWindow)",
                    "message": "remove rollbackWindow: pods that are replaced in place have no others beside them, so "
                    "the way back takes the steps, too",
                },
                {
                    "rule": "!has(self.strategy.rolling) || !has(self.restartAt)",
                    "message": "remove restartAt: a workload that is replaced in place is restarted by kubectl rollout "
                    "restart, which changes its template and so is a release",
                },
                {
                    "rule": "!has(self.strategy.rolling) || !has(self.configSnapshots)",
                    "message": "remove configSnapshots: the pods of a workload that is replaced in place are made from "
                    "its own template, which is not rewritten; give a changed ConfigMap a new name there",
                },
            ]
        }
    }

    @model_validator(mode="after")
    def _consistent(self) -> RolloutSpec:
        """What the core relies on, here too: an object may be older than the schema."""
        rolling = self.strategy.rolling is not None
        if rolling == ("replicas" in self.model_fields_set):
            raise ValueError("remove replicas" if rolling else "set replicas")
        if rolling != (self.workload_ref is not None and self.workload_ref.kind != "Deployment"):
            raise ValueError("rolling is for a StatefulSet or a DaemonSet in workloadRef, and these for rolling")
        if self.template is None and self.workload_ref is not None and self.workload_ref.kind == "DaemonSet":
            raise ValueError("set template, because what a DaemonSet is to run stands in its Rollout")
        if rolling and self.rollback_window is not None:
            raise ValueError("remove rollbackWindow, because rolling takes the steps on the way back, too")
        if rolling and self.restart_at is not None:
            raise ValueError("remove restartAt, because rolling has no pods of its own")
        if rolling and self.config_snapshots is not None:
            raise ValueError("remove configSnapshots, because rolling does not rewrite the template of its workload")
        return self

    @property
    def total(self) -> int:
        """What weights are a part of."""
        return self.strategy.canary.total if self.strategy.canary is not None else PERCENT


class RevisionRef(Model):
    """One revision: the full hash of its raw template, and the short form that labels pods."""

    revision: Annotated[str, Field(max_length=80)]
    pod_hash: Annotated[str, Field(max_length=63)]
    attempt: Count = 1
    since: Time
    """When it became stable, or when this attempt began."""
    fast: bool = False
    """A way back: steps are skipped, because this revision was already promoted once."""


class RejectedRevision(Model):
    """A revision that was taken back, and is not tried again until the template changes or someone retries."""

    revision: Annotated[str, Field(max_length=80)]
    pod_hash: Annotated[str, Field(max_length=63)]
    attempt: Count
    reason: Annotated[str, Field(max_length=64)]
    message: Annotated[str, Field(max_length=1024)]
    at: Time


class HistoryEntry(Model):
    """How one attempt ended."""

    pod_hash: Annotated[str, Field(max_length=63)]
    revision: Annotated[str, Field(max_length=80)]
    attempt: Count
    outcome: Literal["Promoted", "Rejected", "Superseded", "Reverted", "Adopted"]
    started_at: Time
    finished_at: Time
    message: Annotated[str, Field(max_length=512)] = ""


class Weights(Model):
    """Percent of the requests for the canary: what the steps allow, and what the router was last seen to do.

    With maxTrafficWeight, parts of that.

    For rolling, percent of the pods that may be new: what the steps allow, and what a StatefulSet's partition lets be,
    or how many of a DaemonSet are.
    """

    desired: Weight = 0
    observed: Weight = 0
    applied: bool = False
    """The router reported that it serves `desired`."""
    routes: Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=STEPS + 2 + VARIANTS)] | None = None
    """The routes by header, the mirrors, those for sessions and the variants' shares that are wanted, each by its name
    and a digest."""
    stable_follows: bool | None = None
    """The stable version may have the pods for its share only: they come back before the weight does."""
    reasserted: Count = 0
    """How often a foreign rewrite of weights or selectors was undone lately in this attempt."""
    reasserted_at: Time | None = None


class ConsumedAction(Model):
    """A RolloutAction that was taken or refused, remembered by uid so that it counts once."""

    uid: Annotated[str, Field(max_length=64)]
    name: Annotated[str, Field(max_length=253)]
    verb: Annotated[str, Field(max_length=16)]
    author: Annotated[str, Field(max_length=253)] = ""
    accepted: bool
    message: Annotated[str, Field(max_length=512)]
    at: Time


class WorkloadStatus(Model):
    """The workload named by workloadRef, as the last decision saw it."""

    observed_generation: int = 0
    revision: Annotated[str, Field(max_length=253)] | None = None
    """What a workload that is released in place calls the stable revision, as its pods' `controller-revision-hash`; of
    a DaemonSet, as their `headgate.dev/revision`."""
    adopted: bool = False
    reasserted: Count = 0
    """How often it was scaled to 0 again after somebody else had scaled it up, in this attempt."""


class StepTimer(Model):
    """The time that the present step has, where it names a timeout."""

    since: Time
    ran_out: Literal["Hold", "Notify"] | None = None
    """It is over, and that happened: the step is held until a person goes on, or it was said."""


class PersonPause(Model):
    """A pause that a person asked for by a RolloutAction."""

    by: Annotated[str, Field(max_length=253)]
    reason: Annotated[str, Field(max_length=512)] = ""
    since: Time


class Hotfix(Model):
    """A person's word that the attempt under way is urgent: it waits at no pause."""

    by: Annotated[str, Field(max_length=253)]
    reason: Annotated[str, Field(max_length=512)]
    since: Time


class Restart(Model):
    """A person's wish that no pod of the stable version is older than this."""

    by: Annotated[str, Field(max_length=253)]
    reason: Annotated[str, Field(max_length=512)] = ""
    at: Time


class RolloutStatus(Model):
    """The journal: what was decided, where things are and why. Only the operator writes it."""

    observed_generation: int = 0
    decision: Count = 0
    """Sequence number of the last decision, after the highest 1; a gap between status and log shows a lost line."""
    phase: Phase = "Pending"
    message: Annotated[str, Field(max_length=1024)] = ""
    stable: RevisionRef | None = None
    current: RevisionRef | None = None
    stable_ping_pong: Literal["Ping", "Pong"] | None = None
    """Which Service of `pingPong` is the stable one now; it changes with the promotion, in the same write."""
    target: RevisionRef | None = None
    """The revision that an `undo` chose over the template, until the template changes."""
    current_step_index: StepIndex = 0
    step_count: StepIndex = 0
    step: Annotated[str, Field(max_length=32)] = ""
    """`2/6`, for people; currentStepIndex counts from 0."""
    step_started_at: Time | None = None
    step_timer: StepTimer | None = None
    progress_since: Time | None = None
    """Since when the progress deadline runs; pauses and holds start it anew."""
    hold_message: Annotated[str, Field(max_length=1024)] = ""
    weights: Weights = Field(default_factory=Weights)
    paused: PersonPause | None = None
    group: GroupProgress | None = None
    hotfix: Hotfix | None = None
    replicas: Count = 0
    ready_replicas: Count = 0
    available_replicas: Count = 0
    updated_replicas: Count = 0
    selector: Annotated[str, Field(max_length=512)] = ""
    collision_count: Count = 0
    workload: WorkloadStatus | None = None
    restart: Restart | None = None
    """The last one that a person asked for by a RolloutAction, beside `restartAt` of the spec."""
    restarted_at: Time | None = None
    """The time that was done last, whoever asked for it: no pod that serves is older."""
    orphaned: bool = False
    """It was deleted with `--cascade=orphan`: what it owns is to stay. The server tells of that for a moment only."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=12, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
        ),
    ] = Field(default_factory=list)
    gates: Annotated[list[GateRun], Field(max_length=16)] = Field(default_factory=list)
    rejected: Annotated[list[RejectedRevision], Field(max_length=10)] = Field(default_factory=list)
    actions: Annotated[list[ConsumedAction], Field(max_length=10)] = Field(default_factory=list)
    history: Annotated[list[HistoryEntry], Field(max_length=10)] = Field(default_factory=list)
    written_at: Time | None = None
    """When this status was decided; evidence alone renews it at most every 30 s."""


AT_REST = (
    "!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase in ['Pending', 'Healthy', 'Degraded']"
)
"""Nothing is being released."""
NOWHERE = (
    "((!has(oldSelf.status.weights) || "
    "(oldSelf.status.weights.observed == 0 && !has(oldSelf.status.weights.routes))) && "
    "has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.type == 'Ready' && c.status == 'False'))"
)
"""No request is led to the new version, and none will be, because the spec cannot be worked with: it may be mended."""


def _stays_in_place(strategy: str, *fields: str) -> Rule:
    """Where requests are led is not taken from under a release: nothing would name any more what leads to its pods."""
    old, new = f"oldSelf.spec.strategy.{strategy}", f"self.spec.strategy.{strategy}"
    same = " && ".join(
        f"has({old}.{field}) == has({new}.{field}) && (!has({old}.{field}) || {old}.{field} == {new}.{field})"
        for field in fields
    )
    names = ", ".join(fields[:-1]) + f" and {fields[-1]}"
    return Rule(
        f"!has({old}) || !has({new}) || {AT_REST} || {NOWHERE} || ({same})",
        f"{names} can be changed only while nothing is being released, because the old ones may lead to the new "
        "version; wait for the end of the release, or abort it",
    )


ROLLOUT = Resource(
    group=GROUP,
    version=VERSION,
    kind="Rollout",
    plural="rollouts",
    singular="rollout",
    short_names=("hro",),
    categories=("headgate",),
    scope="Namespaced",
    spec_model=RolloutSpec,
    status_model=RolloutStatus,
    printer_columns=(
        PrinterColumn("Phase", "string", ".status.phase"),
        PrinterColumn("Step", "string", ".status.step"),
        PrinterColumn("Weight", "integer", ".status.weights.observed"),
        PrinterColumn("Stable", "string", ".status.stable.podHash"),
        PrinterColumn("Current", "string", ".status.current.podHash"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
        PrinterColumn("Why", "string", ".status.message"),
    ),
    scale=Scale(".spec.replicas", ".status.replicas", ".status.selector"),
    root_rules=(
        Rule(
            "self.metadata.name.size() <= 40",
            "the name of a Rollout has at most 40 characters, because it is part of pod names",
        ),
        Rule(*SELF_RULE),
        Rule(
            # The other way round nothing is left behind that the new spec does not name.
            f"!has(oldSelf.spec.strategy.canary) || has(self.spec.strategy.canary) || {AT_REST}",
            "a canary can be changed to another strategy only while nothing is being released, because its routes may "
            "lead to the new version; wait for the end of the release, or abort it",
        ),
        Rule(
            "!has(oldSelf.spec.strategy.blueGreen) || !has(oldSelf.spec.strategy.blueGreen.trafficRouting) || "
            "has(self.spec.strategy.blueGreen) || "
            f"{AT_REST}",
            "a blueGreen with trafficRouting can be changed to another strategy only while nothing is being released, "
            "because its routes may lead to the new version; wait for the end of the release, or abort it",
        ),
        _stays_in_place("canary", "stableService", "canaryService", "pingPong", "trafficRouting"),
        _stays_in_place("blueGreen", "activeService", "previewService", "trafficRouting"),
        Rule(
            "!has(oldSelf.status) || !has(oldSelf.status.phase) || "
            "(has(oldSelf.spec.strategy.canary) && !has(oldSelf.spec.strategy.canary.trafficRouting)) == "
            "(has(self.spec.strategy.canary) && !has(self.spec.strategy.canary.trafficRouting))",
            "a canary without trafficRouting writes no selector, and every other strategy does: delete the Rollout, "
            "which hands the Services back, and create it anew",
        ),
        Rule(
            "!has(oldSelf.status) || !has(oldSelf.status.phase) || !has(oldSelf.spec.strategy.canary) || "
            "!has(self.spec.strategy.canary) || "
            f"({_total('oldSelf.spec.strategy.canary')}) == ({_total('self.spec.strategy.canary')})",
            f"{TOTAL} stays as it is, because the steps of a release under way are parts of it: delete the Rollout, "
            "which hands the Services back, and create it anew",
        ),
        Rule(
            "has(oldSelf.spec.strategy.rolling) == has(self.spec.strategy.rolling) && "
            "(!has(self.spec.strategy.rolling) || (oldSelf.spec.workloadRef.name == self.spec.workloadRef.name && "
            "oldSelf.spec.workloadRef.kind == self.spec.workloadRef.kind))",
            "a Rollout that is rolling stays so, for the same workload, because it keeps that one's update closed; "
            "delete it, which opens it again, and create another",
        ),
    ),
)
