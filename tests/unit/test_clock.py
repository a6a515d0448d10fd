"""The server's time from the `Date` of its answers."""

from __future__ import annotations

from math import floor

from headgate.engine.clock import ServerClock


class World:
    """A server clock and a local monotonic clock that tick together."""

    def __init__(self) -> None:
        self.mono = 50.0
        self.offset = 1_000_000.25
        self.clock = ServerClock(monotonic=lambda: self.mono, wall=lambda: 5.0)

    def answer(self, took: float = 0.01) -> None:
        """One request."""
        began = self.mono
        self.mono += took
        self.clock.observe(float(floor(self.mono - took / 2 + self.offset)), began, self.mono)

    @property
    def error(self) -> float:
        """How far the estimate is off."""
        return self.clock.now() - (self.mono + self.offset)


def test_the_first_answer_replaces_the_local_clock() -> None:
    """A wrong local clock does not matter after one answer; whole seconds leave half a second of doubt."""
    world = World()
    world.answer()
    assert abs(world.error) <= 0.52


def test_many_answers_narrow_the_estimate() -> None:
    """Dates in whole seconds at odd moments give the time to a few hundredths."""
    world = World()
    for _ in range(60):
        world.mono += 2.03
        world.answer()
    assert abs(world.error) < 0.06


def test_now_never_goes_back_when_the_server_is_set_back() -> None:
    """A server clock that is set back makes ours run slowly until both agree, never backwards and never at a stand."""
    world = World()
    world.answer()
    before = world.clock.now()
    world.offset -= 30
    seen = [before]
    for _ in range(40):
        world.mono += 2.0
        world.answer()
        seen.append(world.clock.now())
    assert seen == sorted(seen), f"the time went back: {seen}"
    assert len(set(seen)) == len(seen)
    assert abs(world.error) < 0.6


def test_one_strange_answer_does_not_move_the_clock() -> None:
    """A single date far in the future is not believed: a pause must last."""
    world = World()
    world.answer()
    world.clock.observe(world.mono + world.offset + 3600, world.mono, world.mono)
    assert abs(world.error) <= 0.52


def test_three_strange_answers_that_differ_do_not_move_the_clock() -> None:
    """Only a step that several answers agree on is one."""
    world = World()
    world.answer()
    for ahead in (-600, 3600, 90_000, 120, 7200):
        world.mono += 0.5
        world.clock.observe(world.mono + world.offset + ahead, world.mono, world.mono)
    assert abs(world.error) <= 0.52, f"the clock is {world.error:.0f} s off"


def test_a_lasting_step_forward_is_believed() -> None:
    """A server clock that stays ahead is followed."""
    world = World()
    world.answer()
    world.offset += 3600
    for _ in range(4):
        world.mono += 2.0
        world.answer()
    assert abs(world.error) <= 0.6
