"""When requests are due: arrival processes. An open loop's schedule follows from one seed, before the run."""

from __future__ import annotations

from typing import Annotated

from instruments.arrivals.choice import ByKind
from instruments.arrivals.processes import Burst, ClosedLoop, Constant, Gamma, OpenLoop, Poisson, Replay
from instruments.arrivals.ramps import Ramp, Stage, Stages

ArrivalProcess = ClosedLoop | OpenLoop

# What YAML can name: `{kind: poisson, rate_per_s: 20}`.
Arrivals = Annotated[
    ClosedLoop | Constant | Poisson | Gamma | Ramp | Stages | Burst | Replay,
    ByKind(),
]

__all__ = [
    "ArrivalProcess",
    "Arrivals",
    "Burst",
    "ClosedLoop",
    "Constant",
    "Gamma",
    "OpenLoop",
    "Poisson",
    "Ramp",
    "Replay",
    "Stage",
    "Stages",
]
