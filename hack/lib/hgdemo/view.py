"""Shows a release while it happens: a live picture in a terminal, a line per change anywhere else."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hack.lib.hgdemo import traffic
from hack.lib.hgdemo.traffic import Traffic
from hack.lib.hgdemo.watching import Seen
from headgate.api.gate import CheckRun, GateRun

WINDOW = 5.0
"""Seconds over which the observed share is counted."""
QUIET = 5.0
"""Seconds without a change after which a plain line is printed all the same."""
_STYLES = {"Pass": "green", "Fail": "bold red", "Unknown": "yellow", "Error": "yellow", "Running": "cyan"}
PHASE_STYLES = {"Healthy": "green", "Degraded": "red", "Held": "yellow", "RollingBack": "red"}
"""How each phase is shown."""


class View:
    """What a person sees of the demonstration."""

    def __init__(self, console: Console, users: Traffic) -> None:
        self._console = console
        self._users = users
        self._began = time.monotonic()
        self._title = ""
        self._last = ""
        self._last_at = 0.0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def title(self, text: str) -> None:
        """What is about to happen."""
        self._title = text
        self._last = ""
        self.say("")
        self.say(text, style="bold")

    def say(self, text: str, style: str = "") -> None:
        """One line that stays."""
        # Without a terminal a line is never broken: it may be read by a program.
        self._console.print(Text(text, style=style), soft_wrap=self._live is None)

    def show(self, seen: Seen | None) -> None:
        """The present state."""
        requests = traffic.recent(self._users.read(), WINDOW)
        if self._live is not None:
            self._live.update(self._picture(seen, requests), refresh=True)
            return
        key = self._key(seen)
        now = time.monotonic()
        if key == self._last and now - self._last_at < QUIET:
            return
        self._last, self._last_at = key, now
        self.say(self._line(seen, requests))

    # -- as lines -----------------------------------------------------------------------------------------------------

    def _key(self, seen: Seen | None) -> str:
        if seen is None:
            return "nothing"
        state = seen.status
        verdicts = [(run.name, run.step, run.verdict, run.message) for run in state.gates]
        return repr((state.phase, state.step, state.weights.desired, state.weights.observed, state.message, verdicts))

    def _line(self, seen: Seen | None, requests: list[traffic.Request]) -> str:
        parts = [f"{time.monotonic() - self._began:6.1f}s"]
        if seen is None:
            parts.append("no Rollout yet")
        else:
            state = seen.status
            parts.append(f"{state.phase:<12} step {state.step or '-':<4}")
            parts.append(f"weight {state.weights.desired}% wanted, {state.weights.observed}% observed")
        parts.append(f"requests: {_share_text(requests)}")
        if seen is not None:
            parts.append(seen.status.message)
        return " | ".join(parts)

    # -- as a picture -------------------------------------------------------------------------------------------------

    def _picture(self, seen: Seen | None, requests: list[traffic.Request]) -> RenderableType:
        head = Text.assemble(
            ("Headgate ", "bold"), (f"{time.monotonic() - self._began:5.0f} s  ", "dim"), (self._title, "bold")
        )
        if seen is None:
            return Group(Text(), head, Text("There is no Rollout yet.", style="dim"), _users(requests))
        state = seen.status
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim")
        facts.add_column()
        facts.add_row(
            "Phase", Text(f"{state.phase}  step {state.step or '-'}", style=PHASE_STYLES.get(state.phase, "cyan"))
        )
        facts.add_row("Why", Text(state.message))
        waiting = state.phase == "Progressing" and not state.weights.applied
        applied = "  (not yet confirmed by the gateway)" if waiting else ""
        facts.add_row("Weight", Text(f"{state.weights.desired}% wanted, {state.weights.observed}% observed{applied}"))
        parts: list[RenderableType] = [Text(), head, Text(), facts, Text(), _users(requests)]
        if state.gates:
            parts += [Text(), _gates(state.gates)]
        return Group(*parts)


def _share_text(requests: list[traffic.Request]) -> str:
    good = traffic.success(requests)
    return (
        ", ".join(f"{who} {share:.0f}% ({good[who]:.1f}% ok)" for who, share in traffic.shares(requests).items())
        or "none"
    )


def _users(requests: list[traffic.Request]) -> Table:
    table = Table(title=f"Requests of the last {WINDOW:.0f} s", title_justify="left", title_style="bold", box=None)
    for name in ("answered by", "share", "success rate"):
        table.add_column(name, justify="left" if name == "answered by" else "right", header_style="dim")
    table.add_column("")
    good = traffic.success(requests)
    for who, share in traffic.shares(requests).items():
        style = "green" if good[who] >= 99 else "red"
        table.add_row(
            who, f"{share:.0f}%", Text(f"{good[who]:.1f}%", style=style), Text("█" * round(share / 2.5), style=style)
        )
    if not requests:
        table.add_row("nobody", "-", "-", Text("no requests are sent", style="yellow"))
    return table


def _gates(runs: list[GateRun]) -> Table:
    table = Table(title="Gates", title_justify="left", title_style="bold", box=None)
    for name in ("gate", "where", "verdict", "last values", "why"):
        table.add_column(name, header_style="dim", overflow="fold")
    for run in runs:
        verdict = "Held" if run.held else run.verdict
        where = "background" if run.step < 0 else f"step {run.step + 1}"
        values = "; ".join(_values(check) for check in run.checks)
        table.add_row(run.name, where, Text(verdict, style=_STYLES.get(run.verdict, "")), values, run.message)
    return table


def _values(check: CheckRun) -> str:
    last = [f"{each.value:.4g}" if each.value is not None else each.reason or "-" for each in check.measurements[-3:]]
    return f"{check.name} {check.rule}: {', '.join(last) or 'not asked yet'}"
