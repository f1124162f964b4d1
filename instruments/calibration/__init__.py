"""Calibration: the client is put to a server of known timing, and its error is what it says beyond that.

`python -m instruments calibrate` prints it; a gate measures it before it judges, at the number of
streams that it will use, and keeps it with the run.
"""

from __future__ import annotations

from instruments.calibration.measure import PROFILES, KnownServer, Level, calibrated
from instruments.calibration.truth import ClientError, Truth, compared, read_truths

__all__ = [
    "PROFILES", "ClientError", "KnownServer", "Level", "Truth", "calibrated", "compared", "read_truths",
]  # fmt: skip
