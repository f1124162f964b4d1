"""From numbers to judgements. What judges a run never imports what produced it."""

from instruments.slo.judging import evaluate
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.verdict import State, Verdict

__all__ = ["ServiceLevelObjective", "State", "Verdict", "evaluate"]
