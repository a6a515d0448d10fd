"""Draws a record of releases: who answered the users, which weight was served, and how many pods there were."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hack.lib.hgdemo.record import Record, State
from hack.lib.hgdemo.watching import AT_REST

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")
"""Of the versions, in the order in which they answer first."""
BAD = "#e45756"
OLD, NEW = "#9ecae9", "#ffbf79"
WIDTH, HEIGHT = 9.0, 6.0
"""Inches."""
ROOM = 0.02
"""Part of the time that a phase lasts at least, for its name to be written."""
STYLE = {
    "svg.fonttype": "none",  # Text stays text, so that it can be searched and read aloud.
    "svg.hashsalt": "headgate",  # The same record is the same file.
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def main() -> int:
    """Draw every record that is named."""
    parser = argparse.ArgumentParser(prog="hack/pictures", description=__doc__)
    parser.add_argument("records", nargs="+", type=Path, help="records of releases, as JSON")
    parser.add_argument("--to", type=Path, required=True, help="folder of the pictures")
    wanted = parser.parse_args()
    wanted.to.mkdir(parents=True, exist_ok=True)
    for file in wanted.records:
        made = wanted.to / f"{file.stem}.svg"
        draw(Record.read(file), made)
        print(made)
    return 0


def draw(record: Record, file: Path) -> None:
    """Draw one record as SVG; time is in seconds from its beginning."""
    if record.states and record.seconds and record.states[-1].at < record.seconds[-1].at:
        # What was said last holds until the end.
        record = replace(record, states=[*record.states, replace(record.states[-1], at=float(record.seconds[-1].at))])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        requests, weight, pods = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.3, 1.3))
        figure.suptitle(record.name)
        _requests(requests, record)
        _weight(weight, record)
        _pods(pods, record)
        pods.set_xlabel("seconds")
        for axes in (requests, weight, pods):
            _phases(axes, record.states, named=axes is requests)
        figure.savefig(file, metadata={"Date": None, "Creator": None})


def _requests(axes: Axes, record: Record) -> None:
    versions = list(dict.fromkeys(v for second in record.seconds for v in second.answered))
    at = [second.at for second in record.seconds]
    parts = [[second.answered.get(version, 0) for second in record.seconds] for version in versions]
    parts.append([second.failed for second in record.seconds])
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(versions))]
    axes.stackplot(at, parts, labels=[*versions, "errors"], colors=[*colours, BAD], step="post")
    axes.set_ylabel("requests a second")
    axes.set_ylim(0)
    axes.legend(loc="lower left", ncols=len(versions) + 1, framealpha=0.9)


def _pods(axes: Axes, record: Record) -> None:
    at = [state.at for state in record.states]
    parts = [[state.old for state in record.states], [state.new for state in record.states]]
    axes.stackplot(at, parts, labels=["stable", "new"], colors=[OLD, NEW], step="post")
    axes.set_ylabel("pods")
    axes.set_ylim(0)
    axes.legend(loc="lower left", ncols=2, framealpha=0.9)


def _weight(axes: Axes, record: Record) -> None:
    axes.step([s.at for s in record.states], [s.weight for s in record.states], where="post", color="#4c4c4c")
    axes.set_ylabel("% new")
    axes.set_ylim(-3, 105)


def _phases(axes: Axes, states: list[State], *, named: bool) -> None:
    """Mark where a phase begins; its name is written once, above, unless the next one leaves no room for it."""
    begun = [
        (one.at, one.phase)
        for before, one in pairwise([None, *states])
        if one and (not before or before.phase != one.phase)
    ]
    room = ROOM * max((state.at for state in states), default=0.0)
    for (at, phase), (after, _) in pairwise([*begun, (math.inf, "")]):
        axes.axvline(at, color="#7f7f7f", linewidth=0.7, linestyle="-" if phase in AT_REST else ":")
        if named and after - at >= room:
            axes.text(at, 1.0, f" {phase}", transform=axes.get_xaxis_transform(), rotation=35, fontsize=8, va="bottom")


if __name__ == "__main__":
    sys.exit(main())
