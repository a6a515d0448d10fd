"""The figures of a run, beside the targets and beside what others need for the same work."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hack.lib.hgbench.audit import Counts

TARGET_WRITES = 19.0
TARGET_EVENTS = 3.0
TARGET_READS = 0.2
TARGET_CPU_MS = 75.0
TARGET_PEAK_MB = {100: 120.0, 500: 150.0}
"""By the largest fleet that it is meant for."""

RIVALS = (
    ("Argo Rollouts 1.10.1, N=100", "36 s", "24.6", "2.7", "2", "70 ms", "101 MB", "484"),
    ("Argo Rollouts 1.10.1, N=500", "171 s", "21.3", "2.7", "2", "70 ms", "145 MB", "754"),
    ("Flagger 1.36.1, N=100", "149 s", "19.5 with Events", "", "154", "192 ms", "64 MB", "6615"),
)
"""Measured once on a machine like this one; docs/benchmarks.md says how."""


@dataclass(slots=True)
class Figures:
    """What a run measured."""

    rollouts: int
    namespaces: int
    config: dict[str, float]
    steps: tuple[int, ...]
    wall_seconds: float = 0.0
    latency_p50: float = 0.0
    latency_p95: float = 0.0
    writes: float = 0.0
    """Per Rollout, as all that follows."""
    events: float = 0.0
    refused: float = 0.0
    reads: float = 0.0
    cpu_ms: float = 0.0
    cpu_ms_until_healthy: float = 0.0
    bench_cpu_seconds: float = 0.0
    rss_before: float = 0.0
    peak: float = 0.0
    rss_after: float = 0.0
    quiet_requests: dict[str, int] = field(default_factory=dict)
    quiet_leases: int = 0
    quiet_cpu_seconds: float = 0.0
    by_request: dict[str, float] = field(default_factory=dict)
    refused_by_request: dict[str, int] = field(default_factory=dict)

    def take(self, counts: Counts) -> None:
        """The requests of the change, per Rollout."""
        self.writes = sum(counts.writes.values()) / self.rollouts
        self.events = counts.events / self.rollouts
        self.refused = sum(counts.refused.values()) / self.rollouts
        self.reads = sum(counts.reads.values()) / self.rollouts
        everything = counts.writes + counts.reads
        self.by_request = {what: round(n / self.rollouts, 2) for what, n in everything.most_common()}
        self.refused_by_request = dict((counts.refused + counts.failed).most_common())

    def take_quiet(self, counts: Counts) -> None:
        """The requests of a minute in which nothing happens."""
        everything = counts.writes + counts.reads + counts.refused + counts.failed
        if counts.events:
            everything["create events"] = counts.events
        self.quiet_requests = dict(everything.most_common())
        self.quiet_leases = counts.leases


def show(figures: Figures) -> None:
    """Print the table, then what it is made of, then the others'."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)
    peak_target = next((mb for n, mb in sorted(TARGET_PEAK_MB.items()) if figures.rollouts <= n), None)
    table = Table(title=f"{figures.rollouts} Rollouts, all changed at once")
    for column in ("figure", "measured", "target", ""):
        table.add_column(column, justify="left" if column in ("figure", "") else "right")

    def row(name: str, value: float, unit: str, target: float | None = None) -> None:
        judged = "" if target is None else ("met" if value <= target else "MISSED")
        table.add_row(name, f"{value:,.2f}{unit}", "" if target is None else f"≤ {target:g}{unit}", judged)

    row("wall time, first change to last Healthy", figures.wall_seconds, " s")
    row("latency of a Rollout, p50", figures.latency_p50, " s")
    row("latency of a Rollout, p95", figures.latency_p95, " s")
    row("API writes each (objects and status)", figures.writes, "", TARGET_WRITES)
    row("Events each", figures.events, "", TARGET_EVENTS)
    row("refused writes each (409, 422)", figures.refused, "")
    row("reads each", figures.reads, "", TARGET_READS)
    row("CPU each", figures.cpu_ms, " ms", TARGET_CPU_MS)
    row("CPU each until the last was Healthy", figures.cpu_ms_until_healthy, " ms")
    row("memory before", figures.rss_before, " MB")
    row("peak memory", figures.peak, " MB", peak_target)
    row("memory after", figures.rss_after, " MB")
    row("requests in a quiet minute beyond the Lease", sum(figures.quiet_requests.values()), "", 0)
    row("CPU seconds in the quiet minute", figures.quiet_cpu_seconds, " s")
    console.print(table)
    console.print("requests per Rollout: " + ", ".join(f"{what} {n:g}" for what, n in figures.by_request.items()))
    if figures.refused_by_request:
        console.print("not carried out: " + ", ".join(f"{what} {n}" for what, n in figures.refused_by_request.items()))
    if figures.quiet_requests:
        console.print("in the quiet minute: " + ", ".join(f"{w} {n}" for w, n in figures.quiet_requests.items()))
    console.print(f"Lease requests in the quiet minute: {figures.quiet_leases}")
    console.print(_rivals())


def _rivals() -> Table:
    table = Table(title="For reference: others, same size of work, measured once (docs/benchmarks.md)")
    for column in ("operator", "wall", "writes", "Events", "reads", "CPU", "peak memory", "quiet minute"):
        table.add_column(column, justify="left" if column == "operator" else "right")
    for line in RIVALS:
        table.add_row(*line)
    return table


def as_json(figures: Figures) -> dict[str, Any]:
    """The figures for machines."""
    return dataclasses.asdict(figures)


def write(figures: Figures, path: Path) -> None:
    """Write the figures to a file."""
    path.write_text(json.dumps(as_json(figures), indent=2, sort_keys=True) + "\n")
