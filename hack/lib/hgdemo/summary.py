"""The end of the demonstration: one row for each release, what differed from what was expected, where to look next."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hack.lib.hgdemo.cluster import ROOT, Cluster
from hack.lib.hgdemo.judging import TIME_TO_SAFE, Verdict
from hack.lib.hgdemo.shop import Shop


def table(verdicts: list[Verdict]) -> Table:
    """The summary."""
    found = Table(box=box.SIMPLE_HEAD, title="What came of it", title_justify="left", title_style="bold")
    found.add_column("release")
    found.add_column("expected")
    found.add_column("actual")
    for name in ("requests", "reached it", "failed by itself", "failed by shifting", "time to safe", "took"):
        found.add_column(name, justify="right")
    for each in verdicts:
        right = each.actual == each.expected and not each.wrong
        safe = "-" if each.time_to_safe is None else f"{each.time_to_safe:.1f} s"
        found.add_row(
            each.release,
            each.expected,
            Text(each.actual, style="green" if right else "bold red"),
            str(each.requests),
            str(each.reached),
            str(each.own_failures),
            Text(str(each.shifting_failures), style="bold red" if each.shifting_failures else ""),
            safe,
            f"{each.seconds:.0f} s",
        )
    return found


def show(console: Console, verdicts: list[Verdict]) -> bool:
    """Print it; gives whether all was as expected."""
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table(verdicts))
    console.print(
        "failed by itself: answers with 5xx of the one release that is bad. failed by shifting: all other failures,\n"
        "of the gateway, of connections or of good versions; must be 0. time to safe: from the first failed\n"
        f"measurement to the last request that reached the bad version; must be under {TIME_TO_SAFE:.0f} s.",
        style="dim",
    )
    wrong = [sentence for each in verdicts for sentence in each.wrong]
    for sentence in wrong:
        console.print(Text(f"NOT AS EXPECTED: {sentence}", style="bold red"))
    if not wrong:
        console.print(Text("All as expected.", style="bold green"))
    return not wrong


def next_steps(console: Console, cluster: Cluster, shop: Shop) -> None:
    """How to use the cluster that was kept."""
    name, where = cluster.name, shop.namespace
    python = f"PYTHONPATH={ROOT / 'operator'} {sys.executable} -m headgate.cli.main"
    lines = (
        "The cluster stays up. To use it:",
        f'  eval "$(hack/cluster env --name {name})"; export PATH="$HEADGATE_BIN:$PATH"',
        "All that Headgate manages, and why each is where it is:",
        "  kubectl get headgate -A",
        "One of them with its evidence and history, as a tree:",
        f"  alias headgate='{python}'",
        f"  headgate status {shop.name} -n {where}",
        "Be one of its users, and release something yourself:",
        f"  curl -H 'Host: {shop.host}' {cluster.gateway}/",
        f"  kubectl -n {where} set env deployment/{shop.name} VERSION=release-5",
        f"Take it down: hack/cluster down --name {name}",
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)
