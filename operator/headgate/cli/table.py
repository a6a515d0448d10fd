"""Lays out `headgate get`: one line per Rollout that says where it is and why."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from headgate.cli.text import age, clean
from headgate.cli.view import RolloutView

PHASE_STYLES = {
    "Healthy": "green",
    "Progressing": "cyan",
    "Promoting": "cyan",
    "Initializing": "cyan",
    "Paused": "yellow",
    "Held": "bold yellow",
    "RollingBack": "red",
    "Degraded": "bold red",
    "Terminating": "dim",
    "Pending": "dim",
}
GAP = 3


def phase_style(phase: str) -> str:
    """The colour of a phase."""
    return PHASE_STYLES.get(phase, "")


def table(rollouts: Sequence[RolloutView], now: float, *, namespaces: bool, wide: bool) -> list[Text]:
    """The lines of the table, the heading first; `now` is the API server's time."""
    head = ["NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CURRENT", "SINCE"]
    head += ["READY", "AGE"] if wide else []
    rows = [["NAMESPACE"] * namespaces + [*head, "WHY"]]
    rows += [[rollout.namespace] * namespaces + _row(rollout, now, wide=wide) for rollout in rollouts]
    rows = [[clean(cell) for cell in row] for row in rows]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for index, row in enumerate(rows):
        line = Text()
        for column, cell in enumerate(row):
            last = column == len(row) - 1
            is_phase = index > 0 and column == 1 + namespaces
            line.append(cell, style=phase_style(cell) if is_phase else "")
            if not last:
                line.append(" " * (widths[column] - cell_len(cell) + GAP))
        line.rstrip()
        if index == 0:
            line.stylize("bold")
        lines.append(line)
    return lines


def _row(rollout: RolloutView, now: float, *, wide: bool) -> list[str]:
    status = rollout.status
    weights, running = status.weights, rollout.running
    since = (running or status.stable or status.current) or None
    row = [
        rollout.name,
        "Terminating" if rollout.deleting else status.phase,
        status.step or "-",
        rollout.part(weights.desired)
        if weights.observed == weights.desired
        else f"{weights.observed}->{rollout.part(weights.desired)}",
        status.stable.pod_hash if status.stable else "-",
        status.current.pod_hash if status.current else "-",
        age(since.since, now) if since else "-",
    ]
    if wide:
        row += [f"{status.ready_replicas}/{status.replicas}", age(rollout.created_at, now)]
    return [*row, why(rollout)]


def why(rollout: RolloutView) -> str:
    """The sentence that says why it is where it is."""
    if not rollout.status.observed_generation:
        return "no operator has looked at it yet; is the operator running?"
    if not rollout.seen:
        return f"the operator has not seen the latest spec yet; before: {rollout.status.message}"
    return rollout.status.message
