"""Trials: repetitions of an experiment, each with a seed of its own, spread over processes.

Repetition r of an experiment draws from (seed, experiment's name, r) and from nothing else: neither how many
processes nor how many repetitions there are changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Protocol
from zlib import crc32

import numpy as np

PIECE = 25  # repetitions that one process takes at a time

# What came out of each part of one repetition, a letter a part, and what it took (requests, probes, …).
Trial = tuple[str, tuple[int, ...]]


class Experiment(Protocol):
    """Something to be repeated. It is sent to other processes, so it is data."""

    @property
    def name(self) -> str: ...

    def once(self, random: np.random.Generator, repetition: int) -> Trial: ...


def seeded(experiment: Experiment, seed: int, repetition: int) -> np.random.Generator:
    """The one source of chance of one repetition."""
    return np.random.default_rng([seed, crc32(experiment.name.encode()), repetition])


def repeat(wanted: Sequence[tuple[Experiment, int]], seed: int, processes: int = 1) -> dict[str, list[Trial]]:
    """So many repetitions of each experiment, by its name, in their order."""
    pieces = [
        (experiment, range(first, min(first + PIECE, times)), seed)
        for experiment, times in wanted
        for first in range(0, times, PIECE)
    ]
    if processes == 1:
        return _gathered(pieces, map(_piece, pieces))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return _gathered(pieces, pool.map(_piece, pieces))


Piece = tuple[Experiment, range, int]


def _piece(piece: Piece) -> list[Trial]:
    experiment, repetitions, seed = piece
    return [experiment.once(seeded(experiment, seed, one), one) for one in repetitions]


def _gathered(pieces: Iterable[Piece], done: Iterable[list[Trial]]) -> dict[str, list[Trial]]:
    trials: dict[str, list[Trial]] = {}
    for (experiment, _, _), some in zip(pieces, done, strict=True):
        trials.setdefault(experiment.name, []).extend(some)
    return trials
