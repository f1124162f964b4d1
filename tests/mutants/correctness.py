"""Faults for the correctness suite: what goes wrong beside others alone, and what an engine passes over."""

from __future__ import annotations

from .mutant import Mutant, behind

CANARIES = "suites/correctness/test_canaries.py"
CROSS_TALK = "suites/correctness/test_cross_talk.py"
PARAMETERS = "suites/correctness/test_parameters.py"
TOKENS = "suites/correctness/test_token_truth.py"


def fault(name: str, why: str, scope: str, *red: str, also: tuple[str, ...] = ()) -> Mutant:
    """One of answers of the simulator."""
    return Mutant(name, (scope,), red, why, also, engine=behind(name))


def of_vllm(name: str, why: str, *red: str, scope: str = PARAMETERS, also: tuple[str, ...] = ()) -> Mutant:
    """One of what the simulator does not do."""
    return Mutant(name, (scope,), red, why, also, engine=behind(name), kind="vllm")


MUTANTS = [
    fault(
        "texts-exchanged",
        "beside others, each is told the text of the one before",
        CROSS_TALK,
        "nobody_gets_a_strangers_answer[plain]",
        "nobody_gets_a_strangers_answer[stream]",
    ),
    Mutant(
        "text-varies",
        (CANARIES,),
        ("load_does_not_change_what_is_said",),
        "beside others, one letter of each answer is another",
        also=("streamed_and_plain_agree",),
        # Slow enough that nobody is ever alone beside the load.
        engine=behind("text-varies") | {"simulator_arguments": ["--ttft-ms", "20", "--itl-ms", "4"]},
    ),
    fault(
        "ids-exchanged",
        "beside others, each event carries the id of the one before",
        CROSS_TALK,
        "every_event_is_of_its_own_request",
    ),
    fault(
        "prompts-exchanged",
        "beside others, each is told the prompt's count of the one before",
        CROSS_TALK,
        "each_prompt_is_counted_as_its_own[plain]",
        "each_prompt_is_counted_as_its_own[stream]",
    ),
    fault(
        "mistakes-swallowed",
        "beside others, a client's mistake is told as 200",
        CROSS_TALK,
        "errors_go_to_those_who_made_them",
    ),
    Mutant(
        "crowded-token-dropped",
        (CANARIES,),
        ("streamed_and_plain_agree_under_load[chat]", "streamed_and_plain_agree_under_load[completions]"),
        "each stream lacks one event with text",
        engine=behind("token-dropped"),
    ),
    fault(
        "short-answers",
        "beside others, each answer is a token short",
        PARAMETERS,
        "each_gets_the_length_it_asked_for[plain]",
        "each_gets_the_length_it_asked_for[stream]",
    ),
    Mutant(
        "crowded-length-told-as-stop",
        (PARAMETERS,),
        ("each_gets_the_length_it_asked_for",),
        "beside others, an answer that was cut at its length is told to have stopped",
        engine=behind("length-told-as-stop"),
    ),
    Mutant(
        "crowded-usage-inflated",
        (TOKENS,),
        ("usage_is_what_the_engine_counted[plain]", "usage_is_what_the_engine_counted[stream]"),
        "usage tells one generated token too many",
        also=("total_is_prompt_and_completion",),
        engine=behind("usage-inflated"),
    ),
    fault(
        "total-wrong", "beside others, the total is one too many", TOKENS, "total_is_prompt_and_completion"
    ),
    of_vllm("stop-ignored", "stop sequences are not passed on", "stop_sequences_end_an_answer"),
    of_vllm(
        "stop-told-as-length",
        "beside others, an answer that stopped is told to have been cut",
        "stop_sequences_end_an_answer",
        also=("json_mode",),
    ),
    of_vllm("logprobs-dropped", "logprobs is not passed on", "each_token_has_its_log_probability"),
    of_vllm("format-ignored", "response_format is not passed on", "json_mode_answers_in_json"),
    Mutant(
        "usage-inflated-vllm",
        (f"{TOKENS}::test_tokens_are_as_many_as_their_ids",),
        ("tokens_are_as_many_as_their_ids",),
        "usage tells one generated token too many",
        engine=behind("usage-inflated"),
        kind="vllm",
    ),
]
