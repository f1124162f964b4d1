"""GuideLLM: asyncio and httpx in worker processes of its own."""

import json

from benchmarks import place
from benchmarks.asking import CHAT_PATH
from benchmarks.installer import engine_and_model, environment
from benchmarks.peers.peer import Ask, Command, Peer, Reading

# torch is pinned to the engine's: its build without CUDA is at hand then.
REQUIREMENTS = ["guidellm==0.8.1", "torch==2.13.0"]
REPORT = "report.json"


def install() -> None:
    engine_and_model()
    environment("guidellm", REQUIREMENTS, cpu_torch=True)


def command(ask: Ask) -> Command:
    """One worker process: on one core ten of them (its default) only cost ten starts."""
    load = ask.scenario
    argv = [
        *[str(place.HOME / "guidellm" / "bin" / "guidellm"), "run", "--disable-console"],
        *[
            "--backend",
            f"kind=openai_http,target={ask.base_url},model={place.MODEL_NAME},request_format={CHAT_PATH}",
        ],
        *["--profile", f"kind=concurrent,streams={load.streams}"],
        *["--constraint", f"kind=max_requests,count={load.requests}"],
        *["--data", f"kind=synthetic_text,prompt_tokens={load.prompt_tokens},output_tokens={load.tokens}"],
        *["--tokenizer", f"kind=huggingface_auto,model={place.MODEL}"],
        *["--metrics", "kind=generative,sample_size=0"],
        *["--output", f"kind=json,path={ask.folder / REPORT}"],
    ]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    own = {"HF_HOME": str(place.HOME / "hf"), "GUIDELLM__MAX_WORKER_PROCESSES": "1"}
    return Command(argv, offline | own)


def read(ask: Ask) -> Reading:
    return parse((ask.folder / REPORT).read_text())


def parse(text: str) -> Reading:
    """TTFT of each successful request; it keeps no instants of later tokens."""
    done = json.loads(text)["benchmarks"][0]["requests"]["successful"]
    ttft = tuple(one["time_to_first_token_ms"] for one in done if one["time_to_first_token_ms"] is not None)
    return Reading(completed=len(done), ttft_ms=ttft)


PEER = Peer(
    name="guidellm",
    title="GuideLLM (asyncio, httpx)",
    how="the user's clock from the request's start in its worker to the first chunk with content; values per "
    "request from its JSON report. It spaces later tokens evenly: no ITL to compare. One worker process",
    install=install,
    command=command,
    read=read,
)
