"""What the platform admin sets for one operator: metric providers, query templates, limits and timing."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from headgate.api.common import Model, ShortName
from headgate.api.rollout import PLUGINS, TrafficRouting

PLUGIN_PATTERN = rf"{PLUGINS}\.[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""How the configuration calls what comes from another package: `plugins.NAME`."""


class MetricProvider(Model):
    """One source of measurements, by address. Tenants refer to it by name only."""

    kind: Annotated[str, Field(pattern=rf"^(prometheus|{PLUGIN_PATTERN})$", max_length=80)] = "prometheus"
    """What it is: Prometheus, or what speaks its query API, or `plugins.NAME`, which an installed package knows."""
    address: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=512)]
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    bearer_token_file: str | None = None
    ca_file: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, str] = Field(default_factory=dict)
    """What else a kind of another package wants to know."""

    @property
    def quotes(self) -> bool:
        """Queries are PromQL, of which it is known how a text is quoted."""
        return self.kind == "prometheus"


class QueryTemplate(Model):
    """A query that tenants may use by name. `{{argument}}` is replaced by an escaped label value."""

    query: Annotated[str, Field(min_length=1, max_length=1024)]
    description: str = ""


class OperatorConfig(Model):
    """The operator's configuration file. Unknown keys are errors: a typing mistake of an admin must not pass."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    namespaces: tuple[ShortName, ...] = ()
    """The namespaces to manage; empty means all."""
    metric_providers: dict[str, MetricProvider] = Field(default_factory=dict)
    query_templates: dict[str, QueryTemplate] = Field(default_factory=dict)
    allow_raw_queries: bool = False
    routers: Annotated[tuple[str, ...], Field(min_length=1)] = ("gatewayAPI",)
    """The routers whose objects are watched and written, by their names under `trafficRouting`; the operator needs the
    rights to their kinds, and no Rollout can use another one. `plugins.NAME` is one of another package."""
    rolling_kinds: tuple[Literal["StatefulSet", "DaemonSet"], ...] = ()
    """The kinds of workloads that the strategy rolling may release in place; the operator needs the rights to them, to
    evict pods, and to read PodDisruptionBudgets."""
    snapshot_kinds: tuple[Literal["ConfigMap", "Secret"], ...] = ()
    """The kinds of which Rollouts may have copies made for each revision; the operator needs the rights to get, create
    and delete objects of them in every namespace that it manages."""
    restarts: bool = False
    """Rollouts may have their pods replaced by `restartAt`; the operator needs the right to evict pods."""
    route_settle_seconds: Annotated[float, Field(ge=0, le=300)] = 2.0
    """Seconds after the gateway reported a route change as accepted until it counts as applied."""
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = 5.0
    """Seconds after a selector switch or weight 0 until the pods that were left may be scaled down."""
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    queries_per_namespace: Annotated[int, Field(ge=1, le=1000)] = 20
    """Questions to metric providers that one namespace may have under way at once."""

    @field_validator("routers")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        there = TrafficRouting.routers()
        for name in names:
            if name not in there and re.fullmatch(PLUGIN_PATTERN, name) is None:
                raise ValueError(
                    f"there is no router {name!r}; there are {', '.join(there)}, and {PLUGINS}.NAME for one of another "
                    "package"
                )
        return names
