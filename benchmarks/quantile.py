"""The quantile that server and client are compared by."""

from collections.abc import Sequence

import numpy as np


def p99(values: Sequence[float]) -> float:
    """The 99th percentile, linear between order statistics (Hyndman and Fan's type 7, as vLLM and k6 use it).

    ValueError without values.
    """
    if not values:
        raise ValueError("no values, so no quantile")
    return float(np.percentile(values, 99))
