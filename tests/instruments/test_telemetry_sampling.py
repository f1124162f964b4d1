"""What sampling rests on: a beat that keeps time, and engines sampled at instants of their own made one."""

from __future__ import annotations

import threading
import time

from instruments.telemetry.metronome import Metronome
from instruments.telemetry.prometheus import merged
from instruments.telemetry.record import Series

BOUND_S = 10.0


def test_engines_that_are_scraped_at_different_instants_are_added_up_by_their_latest_samples() -> None:
    one = Series((0.0, 1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0))
    other = Series((0.5, 1.5), (10.0, 20.0))  # gone after 1.5: it no longer counts 2.5 s on
    found = merged("running", [one, other])
    assert found == Series((0.0, 0.5, 1.0, 1.5, 2.0, 3.0), (1.0, 11.0, 12.0, 22.0, 23.0, 24.0))
    later = merged("running", [Series((*one.at_s, 4.5), (*one.values, 5.0)), other])
    assert later.values[-1] == 5.0
    assert merged("kv_cache_usage", [one, other]).values == (1.0, 10.0, 10.0, 20.0, 20.0, 20.0)
    assert merged("running", []) == Series()


def test_a_metronome_beats_at_once_and_does_not_make_up_for_beats_it_missed() -> None:
    beats: list[float] = []
    slow_ended_s: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 1:
            threading.Event().wait(0.2)  # five beats are missed meanwhile
            slow_ended_s.append(time.monotonic())

    metronome = Metronome(beat, 0.04, "beats")
    metronome.start()
    bound = time.monotonic() + BOUND_S
    while len(beats) < 5:
        assert time.monotonic() < bound, "it does not go on beating"
        time.sleep(0.005)
    assert metronome.stop(BOUND_S)
    assert metronome.stop(BOUND_S), "any number of times"
    assert beats[4] >= slow_ended_s[0] + 3 * 0.04, "one at once, and the others a beat apart"
