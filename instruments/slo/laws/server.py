"""What the server counted during a load: growths between two snapshots, exact or not told at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from instruments.slo.laws import Untold
from instruments.telemetry import Snapshot, growth
from instruments.telemetry.snapshot import Labels
from instruments.telemetry.vllm import HISTOGRAM, NAMES

# Metrics that only the laws read; one name each, in all versions of vLLM from 0.6 on that have them.
LAW_NAMES: Mapping[str, tuple[str, ...]] = {
    "finished_prompt_tokens": ("vllm:request_prompt_tokens",),  # histograms, of requests that finished
    "finished_generation_tokens": ("vllm:request_generation_tokens",),
    "answers_asked": ("vllm:request_params_n",),  # how many answers each finished request asked for
    "drafts_accepted": ("vllm:spec_decode_num_accepted_tokens_total",),
}


@dataclass(frozen=True, slots=True)
class Counted:
    """The server's books around one load.

    A growth is exact here: where a series is gone, began anew or holds no number, Untold is raised, for a
    law of exact counts has nothing to say then.
    """

    before: Snapshot
    after: Snapshot

    def grown(self, ours: str, part: str = "", **labels: str) -> float:
        """How much a counter grew; `part` is `_count`, `_sum` or `_bucket` of a histogram, or nothing."""
        name = self._find(ours, part)
        if name is None:
            raise Untold(f"the server exposes no {_names(ours)[0]}{part}")
        if not self.before.series(name) and not self._declared(name):
            raise Untold(f"{name} was there after the load and not before it")
        grown = growth(self.before, self.after, name, **labels)
        if grown.vanished:
            raise Untold(f"{_written(name, grown.vanished[0])} is gone, or not a number")
        if grown.resets:
            raise Untold(f"{name} began anew during the load ({grown.resets} series): its count is lost")
        value = grown.value or 0.0  # no series with these labels: none was counted
        if not math.isfinite(value):
            raise Untold(f"{name} grew by {value}")
        return value

    def grown_if_exposed(self, ours: str, part: str = "") -> float | None:
        """The same; None for a metric that this server does not have."""
        return None if self._find(ours, part) is None else self.grown(ours, part)

    def grown_by(self, ours: str, label: str, part: str = "") -> dict[str, float]:
        """The growth for each value of a label, such as a finish reason or a bucket's bound."""
        name = self._find(ours, part)
        held = [*self.before.series(name), *self.after.series(name)] if name is not None else []
        values = {value for has in held for key, value in has if key == label}
        if not values:
            raise Untold(f"the server exposes no {_names(ours)[0]}{part} by {label}")
        return {value: self.grown(ours, part, **{label: value}) for value in sorted(values)}

    def gauge(self, ours: str, *, before: bool = False) -> float:
        """A gauge after the load, or before it, summed over engines. Untold unless all say a number."""
        snapshot, when = (self.before, "before") if before else (self.after, "after")
        for name in _names(ours):
            if series := snapshot.series(name):
                value = sum(series.values())
                if not math.isfinite(value):
                    raise Untold(f"{name} was not a number {when} the load")
                return value
        raise Untold(f"the server showed no {_names(ours)[0]} {when} the load")

    def _find(self, ours: str, part: str) -> str | None:
        names = [f"{name}{part}" for name in _names(ours)]
        return next((name for name in names if self.after.series(name) or self.before.series(name)), None)

    def _declared(self, name: str) -> bool:
        """Whether the server had declared a metric before the load, though it had no series yet."""
        stem = next((name.removesuffix(end) for end in HISTOGRAM if name.endswith(end)), name)
        return bool({name, stem} & set(self.before.families))


def _names(ours: str) -> tuple[str, ...]:
    return NAMES[ours] if ours in NAMES else LAW_NAMES[ours]


def _written(name: str, labels: Labels) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels))
    return f"{name}{{{inside}}}"
