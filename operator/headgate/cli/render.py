"""Draws the tree of `headgate status`: objects in, rich renderables out, nothing read and nothing printed."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from headgate.api.common import PERCENT, Condition
from headgate.api.gate import GateRun
from headgate.api.rollout import RolloutStatus
from headgate.cli.steps import check_line, describe, gate_line, time_left
from headgate.cli.table import phase_style, why
from headgate.cli.text import SIGNS, Marks, age, clean, plural
from headgate.cli.view import Picture, PodView, RolloutView, SetView
from headgate.decide import ping_pong, strategies

FINE_WHEN_TRUE = frozenset({"Ready", "Available", "GatesPassing", "TrafficInSync"})
FINE_WHEN_FALSE = frozenset({"Stalled", "Rejected", "Paused"})
FINE_REASONS = frozenset({"NothingJudged", "Judging"})
"""Gates that have nothing to say yet are no reason to worry."""
PODS_SHOWN = 12
RECENT = 5
OUTCOME_STYLES = {
    "Promoted": "green",
    "Adopted": "green",
    "Rejected": "red",
    "Superseded": "yellow",
    "Reverted": "yellow",
}


def status(picture: Picture, now: float, marks: Marks = SIGNS, notes: Iterable[str] = ()) -> RenderableType:
    """The whole picture of one Rollout; `now` is the API server's time."""
    parts: list[RenderableType] = [_header(picture, now)]
    sections = (
        _steps(picture, now, marks),
        _background(picture, now, marks),
        _revisions(picture, now, marks),
        _conditions(picture.rollout.status, now, marks),
        _rejected(picture.rollout.status, now, marks),
        _actions(picture.rollout.status, now, marks),
        _history(picture.rollout.status, now),
    )
    parts += [section for section in sections if section is not None]
    parts += [Text(f"Note: {clean(note)}", style="yellow") for note in (*picture.notes, *notes)]
    return Group(*parts)


def line(picture: Picture) -> str:
    """The same in one line, for logs: a new line means that something happened."""
    state = picture.rollout.status
    observed, desired = state.weights.observed, picture.rollout.part(state.weights.desired)
    weights = (
        f"weight {observed}% of {desired}" if picture.rollout.total == PERCENT else f"weight {observed}->{desired}"
    )
    phase = "Terminating" if picture.rollout.deleting else state.phase
    return clean(f"{picture.rollout.name}: {phase}, step {state.step or '-'}, {weights}: {why(picture.rollout)}")


def _header(picture: Picture, now: float) -> RenderableType:
    rollout = picture.rollout
    state = rollout.status
    phase = "Terminating" if rollout.deleting else state.phase
    lines = [
        Text.assemble(
            (clean(rollout.name), "bold"),
            (f"  namespace {clean(rollout.namespace)}  ", "dim"),
            (clean(phase), phase_style(phase)),
        )
    ]
    if sentence := why(rollout):
        lines.append(Text(clean(sentence)))
    if state.hold_message and state.hold_message not in sentence:
        lines.append(Text(clean(state.hold_message), style="yellow"))
    if state.paused:
        reason = f": {state.paused.reason}" if state.paused.reason else ""
        text = f"paused by {state.paused.by} {age(state.paused.since, now)} ago{reason}"
        lines.append(Text(clean(text), style="yellow"))
    if state.hotfix:
        text = f"hotfix by {state.hotfix.by} {age(state.hotfix.since, now)} ago: {state.hotfix.reason}"
        lines.append(Text(clean(text), style="yellow"))
    if rollout.spec and rollout.spec.paused:
        lines.append(Text("paused by its spec (spec.paused)", style="yellow"))
    lines.append(Text())
    lines += [_releasing(picture, now), _weights(rollout), *_services(rollout), _replicas(picture)]
    return Group(*lines, Text())


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"{name:<10}", "dim"), clean(value))


def _releasing(picture: Picture, now: float) -> Text:
    state, run = picture.rollout.status, picture.rollout.running
    if run is not None and state.stable is not None:
        fast = ", steps skipped because it was stable before" if run.fast else ""
        return _fact(
            "Revision",
            f"{run.pod_hash} attempt {run.attempt} for {age(run.since, now)}, replaces {state.stable.pod_hash}{fast}",
        )
    if state.stable is not None:
        return _fact("Revision", f"{state.stable.pod_hash}, stable for {age(state.stable.since, now)}")
    if state.current is not None:
        return _fact(
            "Revision", f"{state.current.pod_hash}, the first one, coming up for {age(state.current.since, now)}"
        )
    return _fact("Revision", "none yet")


def _weights(rollout: RolloutView) -> Text:
    weights = rollout.status.weights
    text = _fact("Weight", f"{rollout.part(weights.desired)} wanted, {rollout.part(weights.observed)} observed")
    if weights.desired != weights.observed:
        text.append(" (not there yet)", "yellow")
    elif not weights.applied:
        text.append(f" (not yet confirmed by the {_who_confirms(rollout)})", "yellow")
    if weights.reasserted:
        text.append(f"  rewritten by others {plural(weights.reasserted, 'time')}", "yellow")
    return text


def _services(rollout: RolloutView) -> list[Text]:
    """Whose turn it is, where two Services take turns: the weight is that of the other one."""
    if rollout.spec is None or ping_pong.pair(rollout.spec) is None or rollout.status.stable_ping_pong is None:
        return []
    (_, stable), (_, canary) = strategies.of(ping_pong.resolved(rollout.spec, rollout.status)).services
    return [_fact("Services", f"{stable} is stable, {canary} the canary")]


def _who_confirms(rollout: RolloutView) -> str:
    if rollout.in_place:
        return "workload"
    routed = rollout.spec is not None and strategies.of(rollout.spec).routed is not None
    return "router" if routed else "endpoints of the Service"


def _replicas(picture: Picture) -> Text:
    state, spec = picture.rollout.status, picture.rollout.spec
    wanted = f"{spec.replicas} for the full load, " if spec and not picture.rollout.in_place else ""
    return _fact(
        "Pods",
        f"{wanted}{state.replicas} there, {state.ready_replicas} ready, {state.available_replicas} available, "
        f"{state.updated_replicas} of the current revision",
    )


def _tree(title: str, detail: str = "") -> Tree:
    return Tree(Text.assemble((title, "bold"), (f"  {clean(detail)}" if detail else "", "dim")), guide_style="dim")


def _steps(picture: Picture, now: float, marks: Marks) -> Tree | None:
    rollout = picture.rollout
    state, run = rollout.status, rollout.running
    if not picture.steps or (run and run.fast):
        return None
    if run is None:
        tree = _tree("Steps", "of the next release, as the spec has them")
    elif picture.pinned:
        tree = _tree("Steps", f"{min(state.current_step_index, len(picture.steps))} of {len(picture.steps)} done")
    else:
        tree = _tree("Steps", "as the spec has them now; those of this attempt were not found")
    for index, step in enumerate(picture.steps):
        if run is None or index > state.current_step_index:
            tree.add(Text(f"{marks.to_come} {clean(describe(step, rollout.strategy, rollout.total))}", style="dim"))
            continue
        done = index < state.current_step_index
        text = Text.assemble((f"{marks.done if done else marks.now} ", "green" if done else "bold cyan"))
        text.append(clean(describe(step, rollout.strategy, rollout.total)), "" if done else "bold")
        if not done and (lasted := time_left(step, state.step_started_at, now)):
            text.append(f"  {lasted}", "dim")
        branch = tree.add(text)
        for gate in state.gates:
            if gate.step == index and _belongs(picture, gate):
                _add_gate(branch, gate, picture, now, marks, heading=False)
    return tree


def _belongs(picture: Picture, gate: GateRun) -> bool:
    run = picture.rollout.running
    return run is not None and (gate.pod_hash, gate.attempt) == (run.pod_hash, run.attempt)


def _background(picture: Picture, now: float, marks: Marks) -> Tree | None:
    gates = [gate for gate in picture.rollout.status.gates if gate.step < 0]
    if gates:
        tree = _tree("Gates in the background")
        for gate in gates:
            _add_gate(tree, gate, picture, now, marks, heading=True)
        return tree
    return None


def _add_gate(branch: Tree, gate: GateRun, picture: Picture, now: float, marks: Marks, *, heading: bool) -> None:
    # Beneath its own step a gate that simply judges would only repeat the line above.
    plain = gate.verdict == "Running" and not (gate.held or gate.message or gate.extended or gate.window > 1)
    child = branch.add(gate_line(gate, marks, now, heading=heading)) if heading or not plain else branch
    for check in gate.checks:
        child.add(check_line(check, picture.limits(gate), marks, now))


def _revisions(picture: Picture, now: float, marks: Marks) -> Tree | None:
    shown = sorted(
        (s for s in picture.sets if _role(picture, s)[0] < _OLD or s.wanted or s.present),
        key=lambda s: _role(picture, s),
    )
    if not shown:
        return None
    tree = _tree("ReplicaSets")
    for item in shown:
        _, role = _role(picture, item)
        up = item.ready >= item.wanted and item.present == item.wanted
        text = Text.assemble((f"{marks.done if up else marks.now} ", "green" if up else "yellow"))
        text.append(clean(item.name), "bold")
        text.append(f"  {role}", "dim")
        text.append(f"  {item.ready}/{item.wanted} ready", "" if up else "yellow")
        if item.present > item.wanted:
            text.append(f"  {item.present - item.wanted} going", "yellow")
        branch = tree.add(text)
        # Those that are not up are what a person looks for.
        pods = sorted(item.pods, key=lambda pod: pod.ready)
        for pod in pods[:PODS_SHOWN]:
            branch.add(_pod(pod, now, marks))
        if len(pods) > PODS_SHOWN:
            branch.add(Text(f"and {plural(len(pods) - PODS_SHOWN, 'more pod')}", style="dim"))
    return tree


_OLD = 2


def _role(picture: Picture, item: SetView) -> tuple[int, str]:
    run, stable, current = picture.rollout.running, picture.rollout.status.stable, picture.rollout.status.current
    if item.variant:
        return _OLD, f"variant {clean(item.variant)}"
    if run and item.pod_hash == run.pod_hash:
        return 0, "canary"
    if stable and item.pod_hash == stable.pod_hash:
        return 1, "stable"
    if current and item.pod_hash == current.pod_hash:
        return 0, "first"
    if any(r.pod_hash == item.pod_hash for r in picture.rollout.status.rejected):
        return _OLD, "taken back"
    return _OLD, "old"


def _pod(pod: PodView, now: float, marks: Marks) -> Text:
    text = Text.assemble((f"{marks.done if pod.ready else marks.failed} ", "green" if pod.ready else "red"))
    text.append(clean(pod.name))
    if pod.reason:
        text.append(f"  {clean(pod.reason)}", "red")
    if pod.restarts:
        text.append(f"  {plural(pod.restarts, 'restart')}", "yellow")
    text.append(f"  {age(pod.created_at, now)}", "dim")
    return text


def _is_fine(condition: Condition) -> bool:
    if condition.type in FINE_WHEN_TRUE:
        return condition.status == "True" or condition.reason in FINE_REASONS
    if condition.type in FINE_WHEN_FALSE:
        return condition.status == "False"
    return condition.status != "Unknown"


def _conditions(state: RolloutStatus, now: float, marks: Marks) -> Tree | None:
    odd = [condition for condition in state.conditions if not _is_fine(condition)]
    if not odd:
        return None
    tree = _tree("Conditions", "that are not as in a healthy Rollout")
    for condition in odd:
        head = f"{condition.type}={condition.status}, {condition.reason}"
        text = Text.assemble((f"{marks.held} ", "yellow"), (clean(head), "bold"))
        text.append(f"  for {age(condition.last_transition_time, now)}", "dim")
        if condition.message:
            text.append(f"  {clean(condition.message)}")
        tree.add(text)
    return tree


def _rejected(state: RolloutStatus, now: float, marks: Marks) -> Tree | None:
    if not state.rejected:
        return None
    tree = _tree("Taken back", "and not tried again until the template changes or someone retries")
    for item in reversed(state.rejected[-RECENT:]):
        text = Text.assemble((f"{marks.failed} ", "red"))
        text.append(clean(f"{item.pod_hash} attempt {item.attempt}"))
        text.append(f"  {clean(item.reason)}", "bold red")
        text.append(f"  {clean(item.message)}")
        text.append(f"  {age(item.at, now)} ago", "dim")
        tree.add(text)
    return tree


def _actions(state: RolloutStatus, now: float, marks: Marks) -> Tree | None:
    if not state.actions:
        return None
    tree = _tree("Last actions")
    for action in reversed(state.actions[-RECENT:]):
        sign, style = (marks.done, "green") if action.accepted else (marks.failed, "red")
        text = Text.assemble((f"{sign} ", style), (clean(action.verb), "bold"))
        if action.author:
            text.append(f" by {clean(action.author)}")
        text.append("  accepted" if action.accepted else "  refused", style)
        text.append(f"  {clean(action.message)}")
        text.append(f"  {age(action.at, now)} ago ({clean(action.name)})", "dim")
        tree.add(text)
    return tree


def _history(state: RolloutStatus, now: float) -> Tree | None:
    if not state.history:
        return None
    tree = _tree("History")
    for entry in reversed(state.history[-RECENT:]):
        text = Text(clean(f"{entry.pod_hash} attempt {entry.attempt}"))
        text.append(f"  {entry.outcome}", OUTCOME_STYLES.get(entry.outcome, ""))
        text.append(f"  {age(entry.finished_at, now)} ago", "dim")
        if entry.message:
            text.append(f"  {clean(entry.message)}")
        tree.add(text)
    return tree
