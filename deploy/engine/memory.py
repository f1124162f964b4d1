"""The memory of a GPU, divided: weights, an allowance for the rest, and the tokens that the KV cache holds.

vLLM takes `utilization` of each GPU's memory, loads the weights, measures what a full batch needs, and gives
all that is left to the KV cache. Weights and KV cache are sums over shapes; the measured part is an allowance
here (`ALLOWANCE`), which the log of a real start replaces (`overhead_bytes`).
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.engine.architecture import Architecture, UnsupportedError

GIB = 2**30
ALLOWANCE = (
    "1 GiB for CUDA's context, NCCL and captured graphs; a batch of hidden states, 2 · tokens · (4 · hidden "
    "+ 3 · intermediate / GPUs) bytes; four float32 copies of the logits of every sequence"
)
FIXED_BYTES = GIB
KV_DTYPE_BYTES = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Device:
    """`gpus` alike that share one model by tensor parallelism; `memory_bytes` of each, as torch sees it."""

    memory_bytes: int
    gpus: int
    utilization: float


@dataclass(frozen=True, slots=True)
class Use:
    """How the engine is started."""

    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    dtype_bytes: int
    kv_dtype_bytes: int
    block_size: int = 16
    weights_bytes: int | None = None  # of all GPUs together, where they are known better than by the sum
    overhead_bytes: int | None = None  # of each GPU, where a real start has said it


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes of one GPU, tokens of the whole engine. `kv_bytes` below 0: the weights alone do not fit."""

    budget_bytes: int
    weights_bytes: int
    overhead_bytes: int
    kv_bytes: int
    kv_bytes_per_token: int
    tokens: int
    sequences: int
    headroom_bytes: int
    max_model_len: int

    @property
    def fits(self) -> bool:
        """Whether one sequence of the full length has room; vLLM does not start otherwise."""
        return self.sequences >= 1


def divide(model: Architecture, device: Device, use: Use) -> Budget:
    """The budget of one GPU. Raises UnsupportedError where shapes cannot be divided or the window matters."""
    _require_divisible(model, device.gpus)
    if model.window is not None and use.max_model_len > model.window:
        raise UnsupportedError(
            f"a sliding window of {model.window} tokens, but sequences of {use.max_model_len}: what is kept "
            f"then depends on its layout; up to --max-model-len {model.window} nothing does"
        )
    budget = int(device.memory_bytes * device.utilization)
    weights = _weights_of_one(model, device.gpus, use)
    overhead = allowance(model, device.gpus, use) if use.overhead_bytes is None else use.overhead_bytes
    each = kv_bytes_of_one(model, device.gpus, use.kv_dtype_bytes)
    kv = budget - weights - overhead
    tokens = kv_tokens(kv, each, use.block_size)
    return Budget(
        budget_bytes=budget,
        weights_bytes=weights,
        overhead_bytes=overhead,
        kv_bytes=kv,
        kv_bytes_per_token=each,
        tokens=tokens,
        sequences=tokens // use.max_model_len,
        headroom_bytes=device.memory_bytes - budget,
        max_model_len=use.max_model_len,
    )


def kv_tokens(kv_bytes: int, bytes_per_token: int, block_size: int) -> int:
    """Tokens that fit into whole blocks of `kv_bytes`."""
    return max(0, kv_bytes // (bytes_per_token * block_size)) * block_size


def kv_bytes_of_one(model: Architecture, gpus: int, kv_dtype_bytes: int) -> int:
    """Bytes a token takes on each GPU: KV heads are shared out, and with fewer heads than GPUs copied."""
    return model.kv_bytes_per_token(kv_dtype_bytes) // model.kv_heads * max(1, model.kv_heads // gpus)


def _weights_of_one(model: Architecture, gpus: int, use: Use) -> int:
    if use.weights_bytes is not None:
        return -(-use.weights_bytes // gpus)
    shared = model.linear_bytes(use.dtype_bytes) + model.embedding * use.dtype_bytes
    copied = max(0, gpus - model.kv_heads) * 2 * model.layers * model.hidden * model.head_dim
    return -(-(shared + copied * use.dtype_bytes) // gpus) + model.small * use.dtype_bytes


def allowance(model: Architecture, gpus: int, use: Use) -> int:
    """Bytes of each GPU for all but weights and KV cache; see ALLOWANCE."""
    hidden = 2 * use.max_num_batched_tokens * (4 * model.hidden + 3 * model.intermediate // gpus)
    logits = 4 * 4 * use.max_num_seqs * model.vocabulary
    return FIXED_BYTES + hidden + logits


def _require_divisible(model: Architecture, gpus: int) -> None:
    if model.heads % gpus or (model.kv_heads % gpus and gpus % model.kv_heads):
        raise UnsupportedError(
            f"{model.heads} heads and {model.kv_heads} KV heads over {gpus} GPUs: they do not divide evenly"
        )
