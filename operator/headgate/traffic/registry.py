"""The traffic routers that there are; a new one is one file and one line here."""

from __future__ import annotations

from headgate.traffic.apisix import ApisixRouter
from headgate.traffic.contour import ContourRouter
from headgate.traffic.gateway_api import GRPC_ROUTES, HTTP_ROUTES
from headgate.traffic.istio import IstioRouter
from headgate.traffic.nginx import NginxRouter
from headgate.traffic.protocol import Router
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
    )
}
"""By the field under `trafficRouting`."""
