"""Trials: questions that more than one load answers: A against B, how much it holds, a run beside others."""

from instruments.trials.endpoint import Endpoint
from instruments.trials.interleaved import Interleaved, judge_saved, run_interleaved
from instruments.trials.knee import KneeSearch, run_search

__all__ = ["Endpoint", "Interleaved", "KneeSearch", "judge_saved", "run_interleaved", "run_search"]
