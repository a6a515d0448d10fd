"""What a journal says newly is counted once."""

from __future__ import annotations

from headgate.api.common import to_time
from headgate.api.gate import CheckRun, GateRun, Measurement, Verdict
from headgate.api.rollout import RolloutStatus
from headgate.engine.telling import new_verdicts

NOW = to_time(1_800_000_000.0)


def journal(*verdicts: Verdict, window: int = 1) -> RolloutStatus:
    """A journal whose gate has measured these."""
    measurements = [Measurement(at=NOW, verdict=v) for v in verdicts]
    check = CheckRun(name="success", asked=len(verdicts), measurements=measurements[-10:])
    run = GateRun(name="g", step=0, pod_hash="p", attempt=1, window=window, started_at=NOW, checks=[check])
    return RolloutStatus(gates=[run])


def test_each_measurement_counts_once() -> None:
    """A journal that is written again counts nothing again."""
    assert list(new_verdicts(journal("Pass"), journal("Pass", "Fail", "Unknown"))) == ["Fail", "Unknown"]
    assert list(new_verdicts(journal("Pass"), journal("Pass"))) == []


def test_a_gate_that_begins_again_counts_from_its_first_measurement() -> None:
    """A later window is another run."""
    assert list(new_verdicts(journal("Error", "Error"), journal("Pass", window=2))) == ["Pass"]
