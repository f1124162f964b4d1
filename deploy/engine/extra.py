"""What may not stand among the arguments and variables that a settings file adds by hand, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

# Flags with a secret behind them: every user of the machine reads arguments, and a file is copied about.
SECRET = {
    "--api-key": "set VLLM_API_KEY in the engine's environment",
    "--hf-token": "set HF_TOKEN where deploy.weights runs; the engine reads a folder",
}
# Flags of older versions, which stand in published manifests and end a start of this one.
REMOVED = {
    "--swap-space": "V1 does not swap; --kv-offloading-size is what came after it",
    "--disable-log-requests": "requests are not logged unless log.requests says so",
    "--num-scheduler-steps": "gone with V0",
    "--device": "the build decides",
    "--max-seq-len-to-capture": "gone; see --compilation-config",
    "--guided-decoding-backend": "now --structured-outputs-config",
    "--use-v2-block-manager": "gone with V0",
}
# Flags that a field of the settings writes.
OWNED = {
    "--model": "model.source",
    "--revision": "model.revision",
    "--served-model-name": "model.served_name",
    "--dtype": "model.dtype",
    "--quantization": "model.quantization",
    "-q": "model.quantization",
    "--load-format": "model.load_format",
    "--max-model-len": "model.max_model_len",
    "--tensor-parallel-size": "tensor_parallel",
    "-tp": "tensor_parallel",
    "--gpu-memory-utilization": "memory.gpu_utilization",
    "--device-memory-utilization": "memory.gpu_utilization",
    "--kv-cache-memory-bytes": "memory.kv_cache_bytes",
    "--kv-cache-dtype": "memory.kv_cache_dtype",
    "--enable-prefix-caching": "memory.prefix_caching",
    "--no-enable-prefix-caching": "memory.prefix_caching",
    "--max-num-seqs": "batch.max_num_seqs",
    "--max-num-batched-tokens": "batch.max_num_batched_tokens",
    "--max-num-queued-reqs": "queue.max_num_queued_reqs",
    "--max-num-queued-tokens": "queue.max_num_queued_tokens",
    "--host": "listen.host",
    "--port": "listen.port",
    "--shutdown-timeout": "shutdown_timeout_s",
    "--custom-histogram-buckets": "slo_limits_s",
    "--enable-request-id-headers": "request_id_headers",
    "--disable-fastapi-docs": "interactive_docs",
    "--enable-log-requests": "log.requests",
    "--disable-uvicorn-access-log": "log.access",
    "--log-level": "log.level",
}
DANGEROUS = {
    "--trust-remote-code": "runs code out of the model's repository",
    "--enable-tokenizer-info-endpoint": "hands out the chat template to anybody",
    "--config": "a second file of flags, which nobody checks",
    "--omni": "starts another program",
}
WHY = (
    ("holds a secret", SECRET),
    ("is gone from the pinned vLLM", REMOVED),
    ("is not allowed", DANGEROUS),
)
# As the end of a word: TOKENIZERS_PARALLELISM and ..._NUM_TOKENS hold none.
SECRET_WORD = re.compile(r"(KEYS?|TOKEN|SECRETS?|PASSWORDS?|CREDENTIALS?)(_|$)")
REFUSED_VARIABLES = {
    "VLLM_SERVER_DEV_MODE": "opens /sleep, /collective_rpc and others to anybody",
    "VLLM_USE_V1": "was removed in 0.29",
    "VLLM_CPU_KVCACHE_SPACE": "overrules memory.kv_cache_bytes",
    "VLLM_LOG_STATS_INTERVAL": "is log.statistics_every_s",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "runs code that a message brings",
}


def checked_word(word: str) -> str:
    """An argument as it may stand in a file. Raises ValueError."""
    if not word or "\0" in word or "\n" in word:
        raise ValueError("is empty, or has a line break or a NUL in it")
    return word


def refused_flags(words: Sequence[str]) -> Iterator[str]:
    """A complaint for each flag among `words` that is not allowed; values are never repeated."""
    if words and not words[0].startswith("-"):
        yield "extra_arguments: begins with a value; a flag comes first"
    for at, word in enumerate(words):
        if not word.startswith("-") or word.lstrip("-")[:1].isdigit():
            continue
        name = word.partition("=")[0].partition(".")[0].replace("_", "-")
        reason = _reason(name)
        if reason:
            yield f"extra_arguments.{at}: {name} {reason}"


def _reason(name: str) -> str | None:
    for why, flags in WHY:
        for flag, instead in flags.items():
            if _means(name, flag):
                return f"{why}: {instead}"
    return next(
        (f"has a field of its own: {place}" for flag, place in OWNED.items() if _means(name, flag)), None
    )


def _means(name: str, flag: str) -> bool:
    """Whether vLLM's parser may read `name` as `flag`: it takes any unambiguous beginning."""
    if flag.startswith("--"):
        return name == flag or (len(name) > 3 and name.startswith("--") and flag.startswith(name))
    return name.startswith(flag) and not name.startswith("--")


def refused_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """A complaint for each variable that is not allowed in a file."""
    for name in variables:
        if name in REFUSED_VARIABLES:
            yield f"environment.{name}: {REFUSED_VARIABLES[name]}"
        elif SECRET_WORD.search(name.upper()):
            yield f"environment.{name}: no secret in a file; set it where the engine is started"
        elif not name.isidentifier():
            yield f"environment.{name}: is not the name of a variable"
