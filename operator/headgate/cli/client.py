"""Asks the API server: connection as kubectl makes it, raw JSON, a time limit on every call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import yaml

from headgate import sparing
from headgate.api.resource import Resource
from headgate.cli.errors import ApiError, CliError, Exit
from headgate.cli.explain import api_error
from headgate.cli.text import clean

Json = dict[str, Any]

LOGIN_TIMEOUT = 120.0
"""Seconds for a credential plugin, which may wait for a person in a browser."""
WATCH_SECONDS = 290
"""How long one watch request lasts; the API server's own lower limit is 30 minutes by default, proxies' are shorter."""
SILENCE = 130.0
"""Bookmarks come about every minute: a watch that is silent for longer is a dead connection."""
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
UNAUTHORIZED, GONE = 401, 410


class Gone(Exception):  # noqa: N818 - it is no error: a watch that lags starts over
    """The version to watch from is no longer kept; list again."""


@dataclass(frozen=True)
class Settings:
    """What the command line says about the connection."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    request_timeout: float = 10.0


@dataclass
class Client:
    """One connection to one cluster, with the namespace that applies when none is given."""

    settings: Settings
    namespace: str
    api: Any
    """`kubernetes.aio.client.ApiClient`: it knows the address, the certificates and the credentials."""
    clock_offset: float = field(default=0.0)

    def now(self) -> float:
        """The API server's time: a wrong clock here must not make wrong ages."""
        return time.time() + self.clock_offset

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read one object or list."""
        return await self._call("GET", path, query)

    async def create(self, path: str, body: Json) -> Json:
        """Create an object."""
        return await self._call("POST", path, None, body)

    async def watch(
        self, path: str, query: Mapping[str, str], resource_version: str
    ) -> AsyncGenerator[tuple[str, Json]]:
        """Events from a version on, until the server ends the request.

        Raises:
            Gone: if that version is no longer kept.
        """
        wanted = {
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self.settings.request_timeout, sock_read=SILENCE)
        async with self._reaching():
            async with asyncio.timeout(self.settings.request_timeout):
                response = await self._send("GET", path, wanted, None, limit)
                await self._check(response)
            rest = b""
            try:
                async for chunk in response.response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in filter(None, lines):
                        yield _event(line)
            finally:
                # Taking leave by TLS would wait for a server that may be busy, where nobody waits for it.
                connection = response.response.connection
                if connection is not None and connection.transport is not None:
                    connection.transport.abort()
                response.response.close()

    async def _call(self, method: str, path: str, query: Mapping[str, str] | None, body: Json | None = None) -> Json:
        limit = aiohttp.ClientTimeout(total=self.settings.request_timeout)
        async with self._reaching():
            response = await self._send(method, path, query, body, limit)
            if response.status == UNAUTHORIZED and await self._log_in_again():
                response = await self._send(method, path, query, body, limit)
            await self._check(response)
            answer = json.loads(await response.read())
        return cast("Json", answer)

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Json | None, limit: aiohttp.ClientTimeout
    ) -> Any:
        request = await self.api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self.api.call_api(*request, _request_timeout=limit)
        if date := response.headers.get("Date"):
            # The header has whole seconds, so that only a real difference is worth following.
            offset = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
            self.clock_offset = offset if abs(offset) > 2 else 0.0  # noqa: PLR2004 - seconds
        return response

    @staticmethod
    async def _check(response: Any) -> None:
        if not 200 <= response.status < 300:  # noqa: PLR2004 - HTTP's successes
            if response.status == GONE:
                raise Gone
            raise api_error(response.status, await response.read())

    async def _log_in_again(self) -> bool:
        """A token of a long watch runs out: ask the plugin once more."""
        before = self.api.configuration.api_key.copy()
        await _load(self.settings, self.api.configuration)
        return bool(self.api.configuration.api_key != before)

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        host = clean(self.api.configuration.host)
        try:
            yield
        except TimeoutError as error:
            raise CliError(
                f"{host} did not answer within {self.settings.request_timeout:g} s; check the network and --context, "
                "or raise --request-timeout",
                Exit.UNREACHABLE,
            ) from error
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise CliError(
                f"{host} cannot be reached ({clean(error)}); check that the cluster runs and that --context is right",
                Exit.UNREACHABLE,
            ) from error
        except ValueError as error:
            raise CliError(
                f"{host} gave an answer that is not JSON; check that it is a Kubernetes API server", Exit.UNREACHABLE
            ) from error


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Client]:
    """A client for the cluster that the settings, KUBECONFIG or the pod name."""
    # Imported here: it takes a while, which `--help` and completion need not wait for.
    sparing.without_synchronous_client()
    from kubernetes.aio.client import ApiClient, Configuration  # noqa: PLC0415

    configuration: Any = Configuration()  # type: ignore[no-untyped-call,unused-ignore]
    namespace = await _load(settings, configuration)
    try:
        api: Any = ApiClient(configuration)  # type: ignore[no-untyped-call,unused-ignore]
    except (OSError, ssl.SSLError) as error:
        raise CliError(
            f"the certificates in the kubeconfig cannot be used ({clean(error)}); log in again", Exit.UNREACHABLE
        ) from error
    api.user_agent = f"headgate-cli/{own_version()}"
    try:
        yield Client(settings, settings.namespace or namespace, api)
    finally:
        await api.close()


def path_of(resource: Resource, namespace: str | None, name: str = "") -> str:
    """The path of an object, or of all of a namespace, or without one of all of the cluster."""
    place = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"/apis/{resource.api_version}{place}/{resource.plural}" + (f"/{quote(name, safe='')}" if name else "")


def own_version() -> str:
    """The version of this command."""
    try:
        return version("headgate")
    except PackageNotFoundError:
        return "unknown"


def _event(line: bytes) -> tuple[str, Json]:
    event = json.loads(line)
    kind, obj = str(event["type"]), cast("Json", event["object"])
    if kind != "ERROR":
        return kind, obj
    status = int(obj.get("code") or 0)
    if status == GONE or obj.get("reason") == "Expired":
        raise Gone
    raise api_error(status or 500, json.dumps(obj).encode())


async def _load(settings: Settings, configuration: Any) -> str:
    """Fill the configuration, and give back the namespace of the context."""
    from kubernetes.aio.config import ConfigException, load_incluster_config  # noqa: PLC0415

    paths = settings.kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    try:
        if _any_file(paths):
            return await _load_kubeconfig(paths, settings.context, configuration)
        if not settings.kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call,unused-ignore]
            return _namespace_of_pod()
    except TimeoutError as error:
        raise CliError(
            f"the credential plugin of the kubeconfig gave nothing within {LOGIN_TIMEOUT:g} s; run it once by hand",
            Exit.UNREACHABLE,
        ) from error
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        # The loader answers a malformed file with whatever its code runs into.
        raise CliError(
            f"the kubeconfig {clean(paths)} cannot be used ({clean(error)}); check --context, or log in again",
            Exit.UNREACHABLE,
        ) from error
    raise CliError(f"there is no kubeconfig at {clean(paths)}; name one by --kubeconfig", Exit.UNREACHABLE)


async def _load_kubeconfig(paths: str, context: str | None, configuration: Any) -> str:
    from kubernetes.aio.config import ConfigException  # noqa: PLC0415
    from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger  # noqa: PLC0415

    merger: Any = KubeConfigMerger(paths)  # type: ignore[no-untyped-call,unused-ignore]
    contexts = [str(item["name"]) for item in merger.config.value.get("contexts") or []]
    if context and context not in contexts:
        known = ", ".join(sorted(contexts)) or "no context at all"
        raise CliError(f'the kubeconfig has no context "{clean(context)}"; it has {clean(known)}', Exit.UNREACHABLE)
    # `load_kube_config` forgets to write renewed tokens back, which logs people out of providers that rotate them.
    loader: Any = KubeConfigLoader(  # type: ignore[no-untyped-call,unused-ignore]
        merger.config,
        active_context=context,
        config_base_path=None,
        config_persister=lambda _: merger.save_changes(),
    )
    with _errors_of("kubernetes.aio.config.kube_config") as errors:
        async with asyncio.timeout(LOGIN_TIMEOUT):
            await loader.load_and_set(configuration)
    if errors:
        raise ConfigException(errors[0])
    return str(loader.current_context["context"].get("namespace") or "default")


def _any_file(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


def _namespace_of_pod() -> str:
    return NAMESPACE_FILE.read_text(encoding="utf-8").strip() if NAMESPACE_FILE.is_file() else "default"


@contextmanager
def _errors_of(name: str) -> Iterator[list[str]]:
    """Collect what a library logs as an error instead of raising it: here, that a credential plugin failed."""
    errors: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(record.getMessage())

    logger, handler = logging.getLogger(name), Collect(logging.ERROR)
    propagated = logger.propagate
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield errors
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


__all__ = ["ApiError", "Client", "Gone", "Json", "Settings", "connect", "own_version", "path_of"]
