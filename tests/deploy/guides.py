"""The guides of monitoring as the tests read them."""

from __future__ import annotations

import re

from environments.binaries import ROOT

METRICS = (ROOT / "deploy" / "guides" / "metrics.md").read_text("utf-8")
TROUBLE = (ROOT / "deploy" / "guides" / "troubleshooting.md").read_text("utf-8")


def queries(text: str) -> list[str]:
    """The lines of all blocks of PromQL."""
    blocks = re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]
