"""Laws of counts: what clients sent and received is what the server says it answered and generated.

Facts of vLLM (0.32, its `v1/metrics` and `v1/engine/output_processor.py`, and as measured on it): a request
that the API refuses is counted nowhere; one whose client leaves is counted as a first token, as prompt
tokens and as generated tokens, but neither as a success of any reason nor as an end-to-end time. So the
server's count of first tokens less its count of ends is the number of those that were aborted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from instruments.records import RequestRecord
from instruments.slo.laws import Balance, Untold, weighed
from instruments.slo.laws.clients import Seen, tokens_seen
from instruments.slo.laws.server import Counted

# What `finished_reason` may be in vLLM; a word of a client's that is none of these cannot be looked up.
REASONS = ("stop", "length", "abort", "error", "repetition")


def requests(seen: Seen, counted: Counted) -> Balance:
    """Sent = successes + refused + aborted; a client that left before its first token is in no count."""
    successes, aborted = counted.grown("successes"), _aborted(counted)
    completed, left = len(seen.completed), len(seen.open)
    uncounted = seen.sent - successes - seen.refused - aborted
    most_uncounted = left - len(seen.began)
    kept = completed <= successes <= completed + left and 0 <= uncounted <= most_uncounted
    told = f"{successes:g} successes + {seen.refused} refused + {aborted:g} aborted"
    if not left:
        reason = f"{seen.sent} requests were sent, {completed} completed, {seen.refused} were refused"
        return weighed(kept, reason, f"{completed} successes + {seen.refused} refused + 0 aborted", told)
    reason = (
        f"{seen.sent} requests were sent, {completed} completed, {seen.refused} were refused, and {left} "
        f"clients left or got no whole answer, {most_uncounted} of them without a token"
    )
    expected = (
        f"{_between(completed, completed + left)} successes; with the refused and the aborted "
        f"{_between(seen.sent - most_uncounted, seen.sent)}"
    )
    return weighed(kept, reason, expected, f"{told} = {seen.sent - uncounted:g}")


def finish_reasons(seen: Seen, counted: Counted) -> Balance:
    """Answers by finish reason: each as often at the server as at the clients."""
    clients, left = seen.finish_reasons(), len(seen.open)
    strange = sorted(set(clients) - set(REASONS))
    if strange:
        raise Untold(f"vLLM counts no finish reason {', '.join(strange)}, which a client was told")
    server = {
        name: grown for name, grown in counted.grown_by("successes", "finished_reason").items() if grown
    }
    more = {name: server.get(name, 0.0) - clients[name] for name in {*server, *clients}}
    kept = all(count >= 0 for count in more.values()) and sum(more.values()) <= left
    reason = f"finish reasons of {len(seen.completed)} answers" + (
        f"; up to {left} more, of clients that left" if left else ""
    )
    return weighed(kept, reason, _by_name(clients), _by_name(server))


def first_tokens(seen: Seen, counted: Counted) -> Balance:
    """The server timed a first token for each request that got one, and for no other."""
    timed = counted.grown("ttft", "_count")
    # An answer of special tokens alone is a token to the server, and no text to a client.
    answered = sum(record.completion_tokens != 0 for record in seen.completed)
    low, high = answered + len(seen.began), answered + len(seen.open)
    reason = f"{answered} answers, {len(seen.began)} clients that left after a first token"
    if high > low:
        reason += f", {high - low} that left before they saw one"
    return weighed(low <= timed <= high, reason, f"{_between(low, high)} first tokens", f"{timed:g}")


def generation_tokens(seen: Seen, counted: Counted) -> Balance:
    """Σ usage.completion_tokens = Δ generation_tokens."""
    if not seen.open:
        _require_untrimmed(seen, counted)
    least = sum(tokens_seen(record) for record in seen.began)
    most = None if seen.output_tokens_most is None else seen.output_tokens_most * len(seen.open)
    return _tokens(seen, counted, "generation_tokens", completion_tokens, (least, most))


def prompt_tokens(seen: Seen, counted: Counted) -> Balance:
    """Σ usage.prompt_tokens = Δ prompt_tokens."""
    least: int = sum(record.prompt_tokens or 1 for record in seen.began)
    most: int | None = None
    if seen.prompts_as_asked:
        least, most = (sum(one.prompt_tokens_asked or 0 for one in some) for some in (seen.began, seen.open))
    return _tokens(seen, counted, "prompt_tokens", lambda record: record.prompt_tokens, (least, most))


def completion_tokens(record: RequestRecord) -> int | None:
    return record.completion_tokens


def _tokens(
    seen: Seen,
    counted: Counted,
    ours: str,
    of: Callable[[RequestRecord], int | None],
    left: tuple[int, int | None],
) -> Balance:
    """Exact when every request was answered or refused, else within bounds.

    Of a client that left no usage is known, but bounds for all that left (`left`): what they saw, or one
    token of a prompt, and what they asked for, where the run tells. Where the server's successes are just
    the clients' answers, its finished requests' tokens must equal usage, which leaves no more room than the
    aborted ones take.
    """
    usage, grown = seen.usage(of), counted.grown(ours)
    said = f"usage of {len(seen.completed)} answers"
    if not seen.open:
        return weighed(grown == usage, said, f"{usage} tokens", f"{grown:g} ({grown - usage:+g})")
    said += f", and what {len(seen.open)} clients that left were sent"
    least, high = usage + left[0], None if left[1] is None else usage + left[1]
    finished = counted.grown_if_exposed(f"finished_{ours}", "_sum")
    same = finished is not None and counted.grown("successes") == len(seen.completed)
    if not same and high is None:
        raise Untold(f"nothing bounds the tokens of {len(seen.open)} clients that left")
    kept = least <= grown and (high is None or grown <= high) and (not same or finished == usage)
    expected = f"at least {least} tokens" if high is None else f"{_between(least, high)} tokens"
    shown = f"{grown:g}"
    if same:
        expected += f", {usage} of them of finished requests"
        shown += f", {finished:g} of finished requests"
    return weighed(kept, said, expected, shown)


def _require_untrimmed(seen: Seen, counted: Counted) -> None:
    """Untold where vLLM may have counted more than it sent.

    A step of speculative decoding gives several tokens; those behind a stop string are counted and dropped.
    """
    accepted = counted.grown_if_exposed("drafts_accepted") or 0.0
    over = counted.grown("generation_tokens") - seen.usage(completion_tokens)
    stopped = any(record.finish_reason == "stop" for record in seen.completed)
    if stopped and 0 < over <= accepted:
        raise Untold(
            f"{over:g} tokens more than usage, with {accepted:g} drafted tokens accepted: vLLM counts "
            "those behind a stop string, and does not send them"
        )


def _aborted(counted: Counted) -> float:
    return counted.grown("ttft", "_count") - counted.grown("e2e", "_count")


def _between(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _by_name(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{counts[name]:g} {name}" for name in sorted(counts)) or "none"
