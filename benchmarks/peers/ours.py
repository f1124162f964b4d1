"""Our client: `python -m instruments run`, read back through its journal."""

from collections.abc import Sequence
from itertools import pairwise

from benchmarks import place
from benchmarks.installer import Unavailable
from benchmarks.peers.peer import Ask, Command, Peer, Reading
from benchmarks.quantile import p99
from instruments.journal import load_run
from instruments.records import Outcome, RequestRecord

JOURNAL = "ours.jsonl"
VOID = 3  # its self-check found the client to be what was measured


def install() -> None:
    """Nothing to install: it is this clone's own environment."""
    if not (place.ROOT / "instruments" / "__main__.py").exists():
        raise Unavailable("this clone has no `python -m instruments run`")


def command(ask: Ask) -> Command:
    load = ask.scenario
    argv = [
        *[place.PYTHON, "-m", "instruments", "run", "--base-url", ask.base_url, "--model", place.MODEL_NAME],
        *["--requests", str(load.requests), "--prompt-tokens", str(load.prompt_tokens)],
        *[
            "--output-tokens",
            str(load.tokens),
            "--seed",
            str(ask.seed),
            "--load-processes",
            str(load.processes),
        ],
        *["--journal", str(ask.folder / JOURNAL)],
    ]
    if load.rate_per_s is None:
        argv += ["--users", str(load.streams)]
    else:
        argv += ["--rate", f"{load.rate_per_s:g}", "--arrivals", load.arrivals]
    if ask.ca_file is not None:
        argv += ["--ca-file", str(ask.ca_file)]
    return Command(argv, {"PYTHONPATH": str(place.ROOT)})


def read(ask: Ask) -> Reading:
    return reading(load_run(ask.folder / JOURNAL).records)


def reading(records: Sequence[RequestRecord]) -> Reading:
    """TTFT from sending to the first token; gaps between the chunks that carry text; send lag and rate."""
    done = [one for one in records if one.outcome is Outcome.COMPLETED and one.first_token_ns is not None]
    return Reading(
        completed=len(done),
        ttft_ms=tuple(((one.first_token_ns or 0) - (one.sent_ns or 0)) / 1e6 for one in done),
        itl_ms=tuple((b - a) / 1e6 for one in done for a, b in pairwise(one.chunks_ns)),
        extra=_sending(records),
    )


def _sending(records: Sequence[RequestRecord]) -> dict[str, float]:
    """Send lag p99 in ms, and the achieved rate as a share of the offered one.

    The same requests over the span from the first due instant to the last sent one, and to the last due one.
    """
    sent = sorted((one.due_ns, one.sent_ns) for one in records if one.sent_ns is not None)
    if len(sent) < 2:
        return {}
    offered_ns = sent[-1][0] - sent[0][0]
    achieved_ns = max(at for _, at in sent) - sent[0][0]
    lag = {"send_lag_p99_ms": p99([(at - due) / 1e6 for due, at in sent])}
    return lag if not offered_ns or not achieved_ns else {**lag, "achieved_share": offered_ns / achieved_ns}


PEER = Peer(
    name="ours",
    title="**ours**",
    how="the kernel's clock where it stamps what it receives: from before the request is handed over to "
    "the arrival of the piece with the first token; gaps between chunks; values per request from its journal",
    install=install,
    command=command,
    read=read,
    void_status=VOID,
)
