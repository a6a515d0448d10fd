"""Users of an application, in numbers only, as a metrics API tells autoscalers of them: `external.metrics.k8s.io`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.api.kube import Json, Kube
from tests.unit.certificate import self_signed, served_with

GROUP = "external.metrics.k8s.io"
METRIC = "requests"
NAMESPACE = "metrics"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


@dataclass
class Load:
    """How many requests a second there are."""

    requests: dict[str, int] = field(default_factory=dict)
    """By namespace."""


@contextmanager
def told(kube: Kube, folder: Path) -> Iterator[Load]:
    """Serve the metrics API on this machine, behind the API server, for as long as it is needed."""
    load = Load()

    class Handler(BaseHTTPRequestHandler):
        """Answers discovery, and the value of the metric in a namespace."""

        def do_GET(self) -> None:
            """Answer any path: of what stands behind the group and version, only the namespace counts."""
            parts = self.path.partition("?")[0].strip("/").split("/")
            data = json.dumps(_values(load, parts[4]) if len(parts) > 4 else _resources()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = served_with(self_signed(folder)).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            _announce(kube, server.server_port)
            yield load
        finally:
            kube.delete(f"{API_SERVICES}/v1beta1.{GROUP}")
            kube.delete(f"/api/v1/namespaces/{NAMESPACE}")
            server.shutdown()
            thread.join(10)


def _announce(kube: Kube, port: int) -> None:
    """Put the server behind the API server; a Service of another cluster's name leads to this machine."""
    kube.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kube.create(
        f"/api/v1/namespaces/{NAMESPACE}/services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "load"},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
    )
    kube.create(
        API_SERVICES,
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1beta1.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": "v1beta1",
                "service": {"namespace": NAMESPACE, "name": "load", "port": port},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    )


def _resources() -> Json:
    kind = {"name": METRIC, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1beta1", "resources": [kind]}


def _values(load: Load, namespace: str) -> Json:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    value = {
        "metricName": METRIC,
        "metricLabels": {},
        "timestamp": now,
        "value": str(load.requests.get(namespace, 0)),
    }
    return {"kind": "ExternalMetricValueList", "apiVersion": f"{GROUP}/v1beta1", "metadata": {}, "items": [value]}
