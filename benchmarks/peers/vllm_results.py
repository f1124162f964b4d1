"""The result file of `vllm bench serve`: the Python client and the Rust one write the same."""

import json

from benchmarks import place
from benchmarks.asking import CHAT_PATH
from benchmarks.peers.peer import Ask, Reading

RESULT = "result.json"


def arguments(ask: Ask) -> list[str]:
    """The command line that both clients understand; no request but those of the scenario is sent."""
    load = ask.scenario
    return [
        *["bench", "serve", "--backend", "openai-chat", "--endpoint", CHAT_PATH],
        *["--base-url", ask.base_url, "--model", place.MODEL_NAME, "--tokenizer", str(place.MODEL)],
        *["--dataset-name", "random", "--random-input-len", str(load.prompt_tokens)],
        *["--random-output-len", str(load.tokens), "--num-prompts", str(load.requests)],
        *["--max-concurrency", str(load.streams), "--seed", str(ask.seed), "--ignore-eos", "--disable-tqdm"],
        *["--ready-check-timeout-sec", "0", "--save-result", "--save-detailed"],
        *["--result-dir", str(ask.folder), "--result-filename", RESULT],
    ]


def read(ask: Ask) -> Reading:
    """Per request TTFT and gaps between chunks, from `--save-detailed`."""
    return parse((ask.folder / RESULT).read_text())


def parse(text: str) -> Reading:
    """The reading of a result file. Its lists hold seconds, failed requests as zeros beside their error."""
    result = json.loads(text)
    good = [index for index, error in enumerate(result["errors"]) if not error]
    return Reading(
        completed=result["completed"],
        ttft_ms=tuple(result["ttfts"][index] * 1e3 for index in good),
        itl_ms=tuple(gap * 1e3 for index in good for gap in result["itls"][index]),
    )
