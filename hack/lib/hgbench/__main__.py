"""The command line of `hack/bench`: sets the fleet up, changes all of it at once, and tells what that cost."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from hack.lib.hgbench import gateway, report
from hack.lib.hgbench.audit import AuditLog
from hack.lib.hgbench.client import Client
from hack.lib.hgbench.cluster import Cluster, Trouble
from hack.lib.hgbench.fleet import ROLLOUTS, WEIGHTS, Fleet
from hack.lib.hgbench.operator import CONFIG, Operator, own_cpu
from hack.lib.hgbench.report import Figures

INTERRUPTED = 130
EVIDENCE_SECONDS = 33.0
"""Status writes that only evidence causes come up to 30 s late; they belong to the change that caused them."""
QUIET_SECONDS = 60.0
_BEGAN = time.monotonic()


def main() -> int:
    """Measure; gives the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    cluster: Cluster | None = None
    try:
        cluster = Cluster.up(arguments.name, arguments.nodes)
        cluster.install()
        figures = asyncio.run(_fleet(cluster, arguments))
        report.show(figures)
        if arguments.json:
            report.write(figures, arguments.json)
    except Trouble as trouble:
        print(f"hack/bench: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hack/bench: interrupted", file=sys.stderr)
        return INTERRUPTED
    else:
        return 0
    finally:
        if cluster is not None and not arguments.keep:
            cluster.down()


async def _fleet(cluster: Cluster, arguments: argparse.Namespace) -> Figures:
    audit = AuditLog(cluster.audit_log)
    async with Client(cluster.kubeconfig) as client:
        fleet = Fleet.of(client, arguments.n, arguments.namespaces, _say)
        if (await client.get(ROLLOUTS))["items"]:
            _say("clearing away what an earlier run left")
            with _running(cluster, arguments.folder) as operator:
                operator.wait_ready(60)
                await fleet.remove(600)
        async with gateway.answering(client):
            with _running(cluster, arguments.folder) as operator:
                figures = await _measure(fleet, operator, audit, arguments)
                if arguments.keep:
                    _say("deleting the fleet's namespaces")
                    began = time.monotonic()
                    gone = await fleet.remove(600)
                    _say(f"{gone} Rollouts and their namespaces were gone after {time.monotonic() - began:.1f} s")
        return figures


@contextlib.contextmanager
def _running(cluster: Cluster, folder: Path) -> Iterator[Operator]:
    operator = Operator(cluster, folder)
    try:
        yield operator
    finally:
        operator.stop()


async def _measure(fleet: Fleet, operator: Operator, audit: AuditLog, arguments: argparse.Namespace) -> Figures:
    count = len(fleet.members)
    figures = Figures(count, len(fleet.namespaces), dict(CONFIG), WEIGHTS)
    _say(f"operator: process {operator.pid}, log {operator.log}; its configuration: {CONFIG}")
    operator.wait_ready(60)
    version = int(time.time())
    _say(f"deploying {count} Rollouts with their Services and routes to {len(fleet.namespaces)} namespaces")
    await fleet.deploy(version)
    await fleet.wait_healthy(arguments.patience)
    _say("all are healthy; waiting until nothing is written any more")
    await audit.until_quiet(EVIDENCE_SECONDS, limit=180)

    before, mine = operator.usage(), own_cpu()
    figures.rss_before = before.rss
    begin = audit.mark()
    _say(f"changing all {count}")
    await asyncio.gather(fleet.change(version + 1), fleet.wait_healthy(arguments.patience))
    at_last = operator.usage()
    figures.bench_cpu_seconds = own_cpu() - mine
    first = min(member.changed_at for member in fleet.members)
    figures.wall_seconds = max(member.healthy_at for member in fleet.members) - first
    latencies = sorted(member.healthy_at - member.changed_at for member in fleet.members)
    figures.latency_p50 = statistics.median(latencies)
    figures.latency_p95 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.95))]
    figures.cpu_ms_until_healthy = (at_last.cpu - before.cpu) * 1000 / count
    _say(f"all are healthy after {figures.wall_seconds:.1f} s; waiting until nothing is written any more")
    await audit.until_quiet(EVIDENCE_SECONDS, limit=180)
    after, end = operator.usage(), audit.mark()
    figures.take(audit.count(begin, end))
    figures.cpu_ms = (after.cpu - before.cpu) * 1000 / count
    figures.peak, figures.rss_after = after.peak, after.rss

    _say("a quiet minute")
    await asyncio.sleep(QUIET_SECONDS)
    figures.take_quiet(audit.count(end, audit.mark()))
    figures.quiet_cpu_seconds = operator.usage().cpu - after.cpu
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hack/bench", description="Measures what the operator costs.")
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    fleet = kinds.add_parser("fleet", help="N Rollouts, all changed at once", description="N Rollouts, changed at once")
    fleet.add_argument("--n", type=int, default=100, help="how many Rollouts (default 100)")
    fleet.add_argument("--namespaces", type=int, default=10, help="over how many namespaces (default 10)")
    fleet.add_argument("--keep", action="store_true", help="leave the cluster up")
    fleet.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    fleet.add_argument("--name", default="bench", help="name of the cluster (default bench)")
    fleet.add_argument("--nodes", type=int, default=10, help="fake nodes (default 10)")
    fleet.add_argument("--patience", type=float, default=900, help="seconds until all must be healthy (default 900)")
    arguments = parser.parse_args()
    if arguments.n < 1 or arguments.namespaces < 1:
        parser.error("--n and --namespaces are at least 1")
    arguments.folder = _cache() / "bench" / arguments.name
    return arguments


def _cache() -> Path:
    if named := os.environ.get("HEADGATE_CACHE"):
        return Path(named).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser().resolve() / "headgate"


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:6.1f}s] {text}", file=sys.stderr, flush=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
