"""What the operator watches: the kinds, the labels that narrow them at the server, and what may be absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headgate.act import resources
from headgate.api.common import LABEL_ROLLOUT
from headgate.api.config import OperatorConfig
from headgate.api.values import dataclass
from headgate.traffic.protocol import Resource, Router


@dataclass(frozen=True, slots=True)
class Source:
    """One kind to watch."""

    resource: Resource
    labels: str = ""
    """Label selector at the server."""
    cluster_scoped: bool = False
    optional: bool = False
    """The cluster may not serve it; Rollouts that need it say so."""

    @property
    def kind(self) -> str:
        """The kind, as the cache knows it."""
        return self.resource.kind


ALWAYS = (
    Source(resources.ROLLOUTS),
    Source(resources.QUALITY_GATES),
    Source(resources.ROLLOUT_ACTIONS),
    Source(resources.ENVIRONMENTS, cluster_scoped=True, optional=True),
    Source(resources.DEPLOYMENTS),
    Source(resources.REPLICA_SETS, labels=LABEL_ROLLOUT),
    Source(resources.CONTROLLER_REVISIONS, labels=LABEL_ROLLOUT),
    Source(resources.SERVICES),
    Source(resources.ENDPOINT_SLICES, labels="kubernetes.io/service-name"),
)


IN_PLACE = {"StatefulSet": Source(resources.STATEFUL_SETS), "DaemonSet": Source(resources.DAEMON_SETS)}
"""The workloads that can be released in place, by kind."""


def watched(routers: Mapping[str, Router], config: OperatorConfig) -> tuple[Source, ...]:
    """All kinds that an operator with this configuration watches.

    The rights to the kinds of the other routers may be missing, and a kind that cannot be listed is waited for.

    Raises:
        ValueError: if they cannot be watched together; the message names the field of the configuration.
    """
    used = [
        router for key, router in routers.items() if key in config.routers or key.partition(".")[0] in config.routers
    ]
    return sources(used, config.namespaces, config.rolling_kinds)


def sources(
    routers: Iterable[Router], namespaces: Sequence[str], rolling_kinds: Sequence[str] = ()
) -> tuple[Source, ...]:
    """All kinds to watch; with namespaces only those that a Role can grant.

    Raises:
        ValueError: if the router of another package keeps its weights in a kind that is watched for something else.
    """
    routed = {r.resource: Source(r.resource, optional=True) for r in routers}
    in_place = [IN_PLACE[kind] for kind in dict.fromkeys(rolling_kinds)]
    budgets = [Source(resources.BUDGETS)] if in_place else []
    own = (*ALWAYS, *in_place, *budgets)
    clash = next((r for r in routed if r.kind in {s.kind for s in own}), None)
    if clash is not None:
        raise ValueError(f"routers: a {clash.kind} is no router's, because the operator works with those itself")
    found = (*ALWAYS, *routed.values(), *in_place, *budgets)
    return tuple(s for s in found if not (namespaces and s.cluster_scoped))
