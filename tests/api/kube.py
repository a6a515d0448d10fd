"""The API server for tests that look often: requests by way of `kubectl proxy`, which knows every login."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.api.cluster import LightCluster

Json = dict[str, Any]
NOT_FOUND = 404
ERRORS = 400
MERGE = "application/merge-patch+json"


class Refused(AssertionError):  # noqa: N818  it is what tests expect, not only a fault
    """The API server refused something that the test did not expect it to refuse."""


class Kube:
    """Requests as the administrator."""

    def __init__(self, port: int) -> None:
        self._port = port

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Json]:
        """Send one request; gives code and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def get(self, path: str) -> Json | None:
        """Read an object or list, None if there is none."""
        code, found = self.request("GET", path)
        return None if code == NOT_FOUND else _good(code, found)

    def must_get(self, path: str) -> Json:
        """Read an object that has to be there."""
        return _good(*self.request("GET", path))

    def create(self, path: str, obj: Json) -> Json:
        """Create an object below the path of its kind."""
        return _good(*self.request("POST", path, obj))

    def patch(self, path: str, patch: Json) -> Json:
        """Change an object by a merge patch."""
        return _good(*self.request("PATCH", path, patch, MERGE))

    def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        code, found = self.request("DELETE", path)
        if code != NOT_FOUND:
            _good(code, found)


def _good(code: int, found: Json) -> Json:
    if code >= ERRORS:
        raise Refused(f"{code}: {found.get('message', found)}")
    return found


@contextmanager
def proxied(cluster: LightCluster) -> Iterator[Kube]:
    """Run the proxy for as long as it is needed."""
    command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "proxy", "--port=0"]
    with subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as proxy:
        assert proxy.stdout is not None
        said = re.search(r":(\d+)\s*$", proxy.stdout.readline())
        try:
            assert said is not None, "kubectl proxy did not say where it serves"
            yield Kube(int(said[1]))
        finally:
            proxy.terminate()
