"""A request's line has the level of how it ended: what the stack broke stands out."""

from __future__ import annotations

import io
import json

import pytest

from deploy.gateway.account import Account, Outcome
from deploy.gateway.logs import json_logger, log_request


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        ("completed", "info"),
        ("client_left", "info"),
        ("unauthorized", "info"),
        ("limited", "info"),
        ("refused", "info"),
        ("shed", "warning"),
        ("cut_by_shutdown", "warning"),
        ("upstream_error", "error"),
        ("failed", "error"),
    ],
)
def test_a_requests_line_has_the_level_of_its_end(outcome: Outcome, level: str) -> None:
    written = io.StringIO()
    account = Account("an-id", "POST", "/v1/completions", "/v1/completions", 0.0, outcome=outcome)
    log_request(json_logger(written), account, 0.25)
    line = json.loads(written.getvalue())
    assert (line["level"], line["event"], line["outcome"]) == (level, "request", outcome)
