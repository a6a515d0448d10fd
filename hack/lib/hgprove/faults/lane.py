"""A lane: one operator of its own in a namespace of its own, behind a proxy of its own; plans run on it in turn."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.lib.hgbench.client import Client
from hack.lib.hgbench.cluster import ROOT, SYSTEM, Cluster, Trouble
from hack.lib.hgprove.faults.calls import Call
from hack.lib.hgprove.faults.process import Operator, Standing
from hack.lib.hgprove.faults.prometheus import TEMPLATE
from hack.lib.hgprove.faults.proxy import FaultProxy, free_port

SECONDS_TO_LEAD = 60.0
TRACEBACK = "Traceback (most recent call last)"
EXCEPTION = '"exception": '
"""How the operator's log shows one."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all lanes share."""

    cluster: Cluster
    client: Client
    answers: dict[str, float | None]
    provider: str
    """Address of the metric provider."""
    folder: Path


class Lane:
    """One operator and all that surrounds it."""

    def __init__(
        self,
        site: Site,
        name: str,
        *,
        config: Mapping[str, Any] | None = None,
        namespaced: bool = True,
        process: type[Operator] = Operator,
        port: int = 0,
    ) -> None:
        """Prepare one; nothing is started.

        Args:
            site: what all lanes share.
            name: of the namespace and the Lease.
            config: of the operator, where it is not as always.
            namespaced: whether the operator looks at this namespace only.
            process: how the operator is run.
            port: of the proxy; 0 for one that is free. With one, the lane is gone on with: its log is kept.
        """
        self.site = site
        self.name = name
        self.proxy = FaultProxy.before(site.cluster.operator_kubeconfig, port)
        folder = site.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        written = {
            "routeSettleSeconds": 0.1,
            "drainSeconds": 0.2,
            "metricProviders": {"up": {"address": site.provider, "timeoutSeconds": 5}},
            "queryTemplates": {"errors": {"query": TEMPLATE}},
        } | dict(config or {})
        (folder / "config.yaml").write_text(yaml.safe_dump(written))
        self.http_port = free_port()
        environment = {
            "KUBECONFIG": str(self.proxy.kubeconfig(folder / "kubeconfig")),
            "PYTHONPATH": str(ROOT / "operator"),
            "HEADGATE_CONFIG": str(folder / "config.yaml"),
            "HEADGATE_LEASE": name,
            "HEADGATE_PORT": str(self.http_port),
            "POD_NAME": name,
            "POD_NAMESPACE": SYSTEM,
        }
        arguments = ["--namespace", name] if namespaced else []
        log = folder / "operator.log"
        if not port:
            log.unlink(missing_ok=True)
        self.operator = process(arguments, environment, log)

    async def up(self) -> None:
        """Make the namespace, start proxy and operator, and wait until it leads."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        await self.site.client.apply(f"/api/v1/namespaces/{self.name}", body)
        await self._drop_lease()
        await self.proxy.start()
        await self.start()

    async def down(self) -> None:
        """End all of it; the namespace goes in its own time."""
        await asyncio.to_thread(self.operator.stop)
        await self.proxy.stop()
        await self._drop_lease()
        await self.site.client.delete(f"/api/v1/namespaces/{self.name}")

    async def start(self) -> None:
        """Start the operator, and wait until it leads.

        Raises:
            Trouble: if it does not.
        """
        self.operator.start()
        await self.leads()

    async def go_on(self, pid: int, started: int) -> bool:
        """Go on with an operator that was frozen; gives whether it is still there.

        Raises:
            Trouble: if it does not lead any more.
        """
        operator = self.operator
        if not isinstance(operator, Standing) or not operator.adopt(pid, started):
            return False
        await self.proxy.start()
        operator.thaw()
        await self.leads()
        return True

    async def leads(self) -> None:
        """Wait until the operator has taken or renewed its Lease.

        Raises:
            Trouble: if it does not.
        """
        begun = time.monotonic()
        while not any(_leads(call) and call.at >= begun for call in self.proxy.recorded.calls):
            if time.monotonic() - begun > SECONDS_TO_LEAD or not self.operator.running:
                raise Trouble(f"{self.name}: the operator does not lead; its log is {self.operator.log}")
            await asyncio.sleep(0.05)

    async def restart(self) -> None:
        """Start it anew after it was killed; its Lease is taken away, so that nobody waits for its end."""
        await asyncio.to_thread(self.operator.stop)
        await self._drop_lease()
        await self.start()

    def logged(self) -> int:
        """How long the operator's log is."""
        return self.operator.log.stat().st_size

    def complaints(self, since: int = 0, until: int | None = None) -> list[str]:
        """Lines of the operator's log from a length on, and up to another one, that show an exception."""
        with self.operator.log.open("rb") as file:
            file.seek(since)
            text = file.read(-1 if until is None else until - since).decode(errors="replace")
        return [line for line in text.splitlines() if TRACEBACK in line or EXCEPTION in line]

    def log_of(self, named: str) -> list[str]:
        """Lines of the operator's log that name something."""
        text = self.operator.log.read_text(errors="replace")
        return [line for line in text.splitlines() if re.search(rf"\b{re.escape(named)}\b", line)]

    async def _drop_lease(self) -> None:
        await self.site.client.delete(f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/{self.name}")


def _leads(call: Call) -> bool:
    return call.resource == "leases" and call.verb in ("create", "patch") and 200 <= call.code < 300
