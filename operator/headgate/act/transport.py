"""Sends bytes to the API server by the official asyncio client's own session: its configuration, auth, TLS and proxy.

The client's generated methods validate every request and answer with models, which costs about 2 ms of CPU a call; its
transport does not, so the operator uses that and keeps JSON as it came.
"""

from __future__ import annotations

import os
from dataclasses import field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import client, config

from headgate.act.errors import Timeout, Unreachable, one_line
from headgate.api.common import MANAGER
from headgate.api.values import dataclass

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
LARGEST_ANSWER = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    path: str
    """Path and query."""
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    timeout: float = TOTAL_SECONDS


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    code: int
    body: bytes = b""
    date: float | None = None
    """The server's `Date` as seconds since the epoch; whole seconds, rounded down."""
    retry_after: str = ""


class Transport(Protocol):
    """The seam between the operator and the network: tests put a function here."""

    async def send(self, request: Request) -> Response:
        """Send it and wait for the answer.

        Raises:
            Unreachable, Timeout: if there is no answer.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach the API server, for the watch streams, which have a session of their own."""

    server: str
    ca_path: str | None = None
    insecure: bool = False
    token: str | None = field(default=None, repr=False)
    certificate_path: str | None = None
    private_key_path: str | None = None


class ClientTransport:
    """A `Transport` through `kubernetes.aio`. Made inside the running loop; one for the process."""

    def __init__(self, configuration: client.Configuration) -> None:
        self._client = client.ApiClient(configuration)
        self._client.user_agent = MANAGER
        self._configuration = configuration
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, context: str | None = None) -> ClientTransport:
        """Read the configuration: a file that is named, else the pod's own, else the user's.

        Raises:
            kubernetes.aio.config.ConfigException: if there is none.
        """
        configuration = client.Configuration()
        in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and not kubeconfig and not context
        if in_pod:
            # Its hook reads the token anew each minute, as the kubelet rotates it.
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig or os.environ.get("KUBECONFIG") or None,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
        # Retries are the queue's decision, never the transport's.
        configuration.retries = None
        # Otherwise each request reads ~/.netrc and the proxy variables anew, in a thread: a tenth of all CPU. A proxy
        # is looked up once instead, and no file but the kubeconfig has credentials for the API server.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.proxy = configuration.proxy or _proxy_of(str(configuration.host))
        configuration.connection_pool_maxsize = 64
        return cls(configuration)

    async def credentials(self) -> Credentials:
        """What the watch streams log in with, as it is now."""
        found = self._configuration
        token = (await self._auth()).get("authorization", "")
        return Credentials(
            server=str(found.host),
            ca_path=found.ssl_ca_cert,
            insecure=not found.verify_ssl,
            token=token.split(" ", 1)[-1] or None,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
        )

    async def send(self, request: Request) -> Response:
        """Send it and wait for the answer.

        Raises:
            Unreachable, Timeout: if there is no answer.
        """
        headers = {"accept": request.accept, "user-agent": MANAGER, **await self._auth()}
        if request.body is not None:
            headers["content-type"] = request.content_type
        extra: dict[str, Any] = {}
        if self._configuration.tls_server_name:
            extra["server_hostname"] = self._configuration.tls_server_name
        if self._configuration.proxy:
            extra["proxy"] = self._configuration.proxy
        limit = aiohttp.ClientTimeout(total=request.timeout, connect=min(CONNECT_SECONDS, request.timeout))
        try:
            async with self._open().request(
                request.method,
                f"{self._configuration.host}{request.path}",
                data=request.body,
                headers=headers,
                timeout=limit,
                allow_redirects=False,
                **extra,
            ) as answer:
                body = await answer.content.read(LARGEST_ANSWER)
                while not answer.content.at_eof() and len(body) < LARGEST_ANSWER:
                    body += await answer.content.read(LARGEST_ANSWER - len(body))
                return Response(
                    answer.status, body, _epoch(answer.headers.get("date")), answer.headers.get("retry-after", "")
                )
        except TimeoutError as error:
            raise Timeout(f"no answer within {request.timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(one_line(type(error).__name__)) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
        await self._client.close()  # type: ignore[no-untyped-call]

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The client makes its session at the first request and has no public way to it but this factory, which it
            # documents as the place to customise.
            self._session = self._client.rest_client._create_pool_manager()  # noqa: SLF001
        return self._session

    async def _auth(self) -> dict[str, str]:
        settings: Any = await self._configuration.auth_settings()
        return {s["key"]: s["value"] for s in settings.values() if s.get("in") == "header" and s.get("value")}


def own_namespace(default: str = "default") -> str:
    """The namespace of the pod that this runs in."""
    named = os.environ.get("POD_NAMESPACE")
    if named:
        return named
    try:
        return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text(encoding="utf-8").strip()
    except OSError:
        return default


def _proxy_of(url: str) -> str | None:
    """The proxy that the environment names for this address."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


@lru_cache(maxsize=8)
def _epoch(date: str | None) -> float | None:
    # The answers of one second all carry the same date.
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
