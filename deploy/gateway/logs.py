"""Logs: one JSON object a line, on stderr; no prompts, no keys."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from deploy.gateway.account import Account, Outcome

# What is nobody's wish but a client's or a limit's is no fault of the stack.
_LEVELS: Mapping[Outcome, int] = {
    "failed": logging.ERROR,
    "upstream_error": logging.ERROR,
    "cut_by_shutdown": logging.WARNING,
    "shed": logging.WARNING,
}
_QUIET = {
    # Said by uvicorn when an answer is cut on purpose; our own line has the reason.
    "ASGI callable returned without completing response.",
    # Said on every shutdown.
    "Cancel %s running task(s), timeout graceful shutdown exceeded",
}


def json_logger(stream: TextIO) -> FilteringBoundLogger:
    """A logger that writes to this stream, made without touching anything global."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    return logger


def log_request(log: FilteringBoundLogger, account: Account, duration_s: float) -> None:
    """The one line of a request, at the level of how it ended."""
    log.log(
        _LEVELS.get(account.outcome, logging.INFO),
        "request",
        request_id=account.request_id,
        method=account.method,
        path=account.path,
        status=account.final_status,
        key=account.key,
        client=account.client,
        duration_s=round(duration_s, 6),
        ttft_s=None if account.ttft_s is None else round(account.ttft_s, 6),
        bytes=account.bytes_sent,
        outcome=account.outcome,
        upstream_error=account.upstream_error,
        replica=account.replica,
        retries=len(account.retries),
    )


class StandardLibraryBridge(logging.Handler):
    """Brings warnings of uvicorn, asyncio and httpx into the same JSON lines."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as one line."""
        if record.msg in _QUIET:
            return
        self._log.log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )


def bridge_standard_library(log: FilteringBoundLogger) -> None:
    """Make `log` the only handler of the standard library's root logger, from WARNING up."""
    root = logging.getLogger()
    root.handlers[:] = [StandardLibraryBridge(log)]
    root.setLevel(logging.WARNING)
