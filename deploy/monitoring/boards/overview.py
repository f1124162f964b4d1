"""The overview: is the service well, and if not, which dashboard to open next."""

from __future__ import annotations

from deploy.monitoring.boards.engine import KV, OUTPUT, QUEUE
from deploy.monitoring.boards.gpu import BUSY
from deploy.monitoring.boards.latency import E2E, ITL, TPOT, TTFT
from deploy.monitoring.boards.objectives import BURN
from deploy.monitoring.boards.traffic import ANSWERS, ERROR_SHARE

PANELS = [ANSWERS, ERROR_SHARE, BURN, TTFT, TPOT, E2E, ITL, OUTPUT, QUEUE, KV, BUSY]
