"""The traffic routers that there are; a new one is one file and one line here, or another package's entry point."""

from __future__ import annotations

from headgate import extensions
from headgate.api.config import OperatorConfig
from headgate.traffic.alb import ALBRouter
from headgate.traffic.apisix import ApisixRouter
from headgate.traffic.contour import ContourRouter
from headgate.traffic.gateway_api import GRPC_ROUTES, HTTP_ROUTES
from headgate.traffic.istio import IstioRouter
from headgate.traffic.nginx import NginxRouter
from headgate.traffic.plugin import Absent, Guarded
from headgate.traffic.protocol import PROTOCOL, Resource, Router
from headgate.traffic.smi import SMIRouter
from headgate.traffic.traefik import TraefikRouter

ROUTERS: dict[str, Router] = {
    router.key: router
    for router in (
        HTTP_ROUTES,
        GRPC_ROUTES,
        ContourRouter(),
        IstioRouter(),
        TraefikRouter(),
        SMIRouter(),
        ApisixRouter(),
        NginxRouter(),
        ALBRouter(),
    )
}
"""By the field under `trafficRouting`."""

ENTRY_POINTS = "headgate.routers"
"""The group in which another package registers a class or function that makes a `Router`."""
METHODS = ("targets", "claims", "read", "unable", "set_weight")


def routers_of(config: OperatorConfig) -> dict[str, Router]:
    """Headgate's own routers, those of other packages that the admin has switched on, and what stands for all others.

    Raises:
        ValueError: if one of those cannot be had; the message names the field of the configuration, and what to do.
    """
    found = ROUTERS | {Absent.key: Absent(config.routers)}
    for index, key in enumerate(config.routers):
        if key not in found and extensions.name_of(key):
            field = f"routers[{index}]"
            router = extension(key, field)
            clash = next((r for r in found.values() if _clash(r.resource, router.resource)), None)
            if clash is not None:
                raise ValueError(
                    f"{field}: the extension {key} keeps its weights in a {router.resource.kind}, which is what "
                    f"{clash.key} calls another kind; the two cannot be used by one operator"
                )
            found[key] = Guarded(router, key)
    return found


def extension(key: str, field: str) -> Router:
    """The router of another package, as it is.

    Raises:
        ValueError: if it cannot be had; the message begins with `field`.
    """
    router: Router = extensions.make(ENTRY_POINTS, key, PROTOCOL, field, "router", METHODS)
    if getattr(router, "key", None) != key or not isinstance(getattr(router, "resource", None), Resource):
        raise ValueError(
            f"{field}: the extension {key} is no router of that name: its key must be {key}, its resource a Resource"
        )
    return router


def _clash(one: Resource, other: Resource) -> bool:
    """Whether two kinds have one name: the cache goes by it."""
    return one.kind == other.kind and one != other
