"""What the clients of a load saw, counted over all of its phases: the server's counters know of none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instruments.records import LoadRun, Outcome, RequestRecord
from instruments.slo.laws import Untold
from instruments.statistics.indicators import e2e_s, ttft_s

REFUSALS = (Outcome.REFUSED, Outcome.RATE_LIMITED)


@dataclass(frozen=True, slots=True)
class Seen:
    """Requests that were sent, by what the client knows of their end.

    Of one that was neither completed nor refused (the client left, a bound ran out, the answer broke off)
    the client cannot know whether the server counts it as a success: it is `open`.
    """

    sent: int
    completed: Sequence[RequestRecord]
    refused: int
    open: Sequence[RequestRecord]
    timed: Mapping[str, tuple[float, ...]]  # "ttft" and "e2e": seconds, ascending
    output_tokens_most: int | None  # that any request asked for; None when the run does not tell

    @property
    def began(self) -> list[RequestRecord]:
        """The open ones whose first token was seen."""
        return [record for record in self.open if record.first_token_ns is not None]

    @property
    def prompts_as_asked(self) -> bool:
        """Whether prompts were as long as the workload meant them to be: all whose `usage` tells it were."""
        asked = [record.prompt_tokens_asked for record in (*self.completed, *self.open)]
        return (
            bool(self.completed)
            and None not in asked
            and all(record.prompt_tokens == record.prompt_tokens_asked for record in self.completed)
        )

    def finish_reasons(self) -> Counter[str]:
        """Completed answers by the server's word for their end; Untold when one did not say."""
        counts = Counter(record.finish_reason for record in self.completed)
        unsaid = counts.pop(None, 0)
        if unsaid:
            raise Untold(f"{unsaid} of {len(self.completed)} answers came without a finish_reason")
        words: Counter[str] = Counter()
        for word, count in counts.items():
            words[AS_STOP.get(str(word), str(word))] += count
        return words

    def usage(self, of: Callable[[RequestRecord], int | None]) -> int:
        """The sum of `usage` over completed answers; Untold when one came without."""
        told = [of(record) for record in self.completed]
        if None in told:
            raise Untold(f"{told.count(None)} of {len(told)} answers came without usage")
        return sum(count for count in told if count is not None)


# Words of the API for an answer that the engine ended as a stop.
AS_STOP = {"tool_calls": "stop", "function_call": "stop"}


def seen_by_clients(run: LoadRun) -> Seen:
    """Count the records of a run."""
    sent = [record for record in run.records if record.sent_ns is not None]
    completed = [record for record in sent if record.outcome is Outcome.COMPLETED]
    refused = sum(record.outcome in REFUSALS for record in sent)
    return Seen(
        sent=len(sent),
        completed=completed,
        refused=refused,
        open=[record for record in sent if record.outcome not in (Outcome.COMPLETED, *REFUSALS)],
        timed={
            "ttft": tuple(sorted(value for record in sent if (value := ttft_s(record)) is not None)),
            "e2e": tuple(sorted(value for record in completed if (value := e2e_s(record)) is not None)),
        },
        output_tokens_most=_output_tokens_most(run.description.get("workload")),
    )


def tokens_seen(record: RequestRecord) -> int:
    """How many tokens of an answer reached the client, at least: a chunk of text is one or more."""
    told = record.completion_tokens or 0
    return max(told, sum(record.chunk_tokens) if record.chunk_tokens else len(record.chunks_ns))


def _output_tokens_most(workload: Any) -> int | None:
    """The longest answer that a workload asks for, from its description; None when that does not tell."""
    if not isinstance(workload, Mapping):
        return None
    own = workload.get("output_tokens")
    lengths = [scenario.get("output_tokens") or own for scenario in workload.get("mix") or ()] or [own]
    most = [_longest(length) for length in lengths]
    return None if None in most else max(one for one in most if one is not None)


def _longest(length: Any) -> int | None:
    """Of a length as `instruments.workloads.lengths` writes it."""
    if isinstance(length, int):
        return length
    if not isinstance(length, Mapping):
        return None
    if "uniform" in length:
        return int(length["uniform"][1])
    if "empirical" in length:
        return max(one if isinstance(one, int) else int(one[0]) for one in length["empirical"])
    return int(length["max"]) if "max" in length else None
