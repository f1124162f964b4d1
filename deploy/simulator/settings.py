"""Settings: everything that dictates what one simulator does, read once from the command line."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from .faults import Ending, Fault, Faults
from .flags import NS_PER_MS, parser
from .form import Form
from .law import Law

DEFAULT_ITL_NS = 3 * NS_PER_MS // 2


@dataclass(frozen=True, slots=True)
class Settings:
    """One simulator's orders.

    `api_key` empty means that no key is asked for; without certfile and keyfile it serves no TLS.
    """

    host: str
    port: int
    model: str
    max_model_len: int
    slots: int
    law: Law
    form: Form
    faults: Faults
    trace: Path | None
    api_key: str
    certfile: Path | None
    keyfile: Path | None


def read_settings(argv: Sequence[str] | None = None) -> Settings:
    """Settings from the command line and, for the key, from VLLM_API_KEY (as vLLM reads it).

    Exits 2 on nonsense.
    """
    reader = parser()
    given = reader.parse_args(argv)
    if nonsense := _nonsense(given):
        reader.error(nonsense)
    itl_ns = given.itl_ms if given.itl_ms is not None else given.step_ms or DEFAULT_ITL_NS
    return Settings(
        host=given.host,
        port=given.port,
        model=given.model,
        max_model_len=given.max_model_len,
        slots=given.slots,
        law=Law(given.ttft_ms, itl_ns, given.jitter_ms, given.seed, given.step_ms),
        form=Form(
            given.tokens_per_chunk,
            given.reasoning_tokens,
            given.tool_call,
            given.role_chunk,
            given.usage,
            given.comment_every_ms,
        ),
        faults=_faults(given),
        trace=given.trace,
        api_key=os.environ.get("VLLM_API_KEY", ""),
        certfile=given.certfile,
        keyfile=given.keyfile,
    )


def _endings(given: argparse.Namespace) -> dict[Ending, int]:
    found = {ending: getattr(given, f"{ending.value}_after") for ending in Ending}
    return {ending: after for ending, after in found.items() if after is not None}


def _nonsense(given: argparse.Namespace) -> str | None:
    if (given.certfile is None) != (given.keyfile is None):
        return "expected --certfile and --keyfile together, seen one of them"
    if (given.stall_after is None) != (given.stall_ms == 0):
        return "expected --stall-after and --stall-ms (more than 0) together, seen one of them"
    if given.error_status not in [*HTTPStatus]:
        return f"expected a status that HTTP names for --error-status, seen {given.error_status}"
    hits = _endings(given) or given.stall_ms or given.slow_header_ms
    if given.fault_share is not None and not hits:
        return "expected a fault that --fault-share is of (--reset-after, --stall-after, ...), seen none"
    return None


def _faults(given: argparse.Namespace) -> Faults:
    ending, after = next(iter(_endings(given).items()), (None, 0))
    fault = Fault(
        ending=ending,
        ending_after=after,
        stall_after=given.stall_after or 0,
        stall_ns=given.stall_ms,
        slow_header_ns=given.slow_header_ms,
    )
    return Faults(
        seed=given.seed,
        error_share=given.error_share,
        error_status=given.error_status,
        share=1.0 if given.fault_share is None else given.fault_share,
        fault=fault,
    )
