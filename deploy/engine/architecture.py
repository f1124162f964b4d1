"""The shape of a model out of its config.json: how many parameters it has, and how many bytes they take.

Exact for decoders of the families in FAMILIES; anything else is refused: a wrong sum is worse than none.
Shapes are those of the checkpoints, as in transformers' modelling files; tests count real tensors beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Whether q, k, v and the output projection have a bias (a word: the field that says so), and q and k norms.
FAMILIES = {
    "LlamaForCausalLM": ("attention_bias", "attention_bias", False),
    "MistralForCausalLM": (False, False, False),
    "MixtralForCausalLM": (False, False, False),
    "Qwen2ForCausalLM": (True, False, False),
    "Qwen3ForCausalLM": ("attention_bias", "attention_bias", True),
}
DTYPE_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
GROUP_SCALE_BYTES = 2  # AWQ and GPTQ keep a float16 scale a group
FP8_SCALE_BYTES = 4


class UnsupportedError(Exception):
    """The arithmetic does not cover this model; the text says what of it."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """Of the linear layers between embedding and output: bits a weight, and weights that share a scale.

    `group` for AWQ and GPTQ runs along the input; `block` for FP8 is a rectangle, None one scale a matrix.
    """

    method: str
    bits: int
    group: int | None = None
    block: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Matrix:
    """`count` linear layers of one shape in every decoder layer."""

    inputs: int
    outputs: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """What memory depends on. `window`: tokens of the sliding window, None for full attention."""

    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    experts: int
    bias_qkv: bool
    bias_output: bool
    bias_mlp: bool
    norms_qk: bool
    positions: int
    window: int | None
    dtype: str
    quantization: Quantization | None

    def matrices(self) -> list[Matrix]:
        """The linear layers of one decoder layer, which quantization is about."""
        attention = self.heads * self.head_dim
        keys = self.kv_heads * self.head_dim
        copies = max(1, self.experts)
        return [
            Matrix(self.hidden, attention),
            Matrix(self.hidden, keys, 2),
            Matrix(attention, self.hidden),
            Matrix(self.hidden, self.intermediate, 2 * copies),
            Matrix(self.intermediate, self.hidden, copies),
        ]

    @property
    def linear(self) -> int:
        """Parameters in those of all layers."""
        return self.layers * sum(one.inputs * one.outputs * one.count for one in self.matrices())

    @property
    def embedding(self) -> int:
        """Parameters of the embedding and, where it is a matrix of its own, of the output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def small(self) -> int:
        """Parameters of norms, biases and routers: never quantized, and on every GPU."""
        attention, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        each = 2 * self.hidden
        each += attention + 2 * keys if self.bias_qkv else 0
        each += self.hidden if self.bias_output else 0
        each += 2 * self.intermediate + self.hidden if self.bias_mlp else 0
        each += 2 * self.head_dim if self.norms_qk else 0
        each += self.hidden * self.experts
        return self.layers * each + self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.embedding + self.linear + self.small

    def linear_bytes(self, dtype_bytes: int) -> int:
        """Bytes of the linear layers with all that quantization keeps beside the weights."""
        if self.quantization is None:
            return self.linear * dtype_bytes
        kind = self.quantization
        return self.layers * sum(one.count * _matrix_bytes(one, kind) for one in self.matrices())

    def kv_bytes_per_token(self, kv_dtype_bytes: int) -> int:
        """2 (keys and values) · layers · KV heads · head dimension · bytes."""
        return 2 * self.layers * self.kv_heads * self.head_dim * kv_dtype_bytes


def _matrix_bytes(matrix: Matrix, kind: Quantization) -> int:
    weights = matrix.inputs * matrix.outputs
    if kind.bits == 8 and kind.method == "fp8":
        rows, columns = kind.block or (matrix.outputs, matrix.inputs)
        scales = -(-matrix.outputs // rows) * -(-matrix.inputs // columns)
        return weights + scales * FP8_SCALE_BYTES
    groups = -(-matrix.inputs // (kind.group or matrix.inputs))
    packed = weights * kind.bits // 8
    beside = groups * matrix.outputs * GROUP_SCALE_BYTES + groups * matrix.outputs * kind.bits // 8
    index = matrix.inputs * 4 if kind.method == "gptq" else 0  # which group a row belongs to
    return packed + beside + index


def read(config: Mapping[str, Any], quantize: str | None = None) -> Architecture:
    """The shape in a parsed config.json; `quantize` "fp8" for a checkpoint quantized as it is loaded.

    Raises UnsupportedError for what the arithmetic does not cover, or what the file does not say.
    """
    family = (config.get("architectures") or ["(none)"])[0]
    if family not in FAMILIES:
        raise UnsupportedError(f"the architecture {family}; covered are {', '.join(FAMILIES)}")
    if config.get("kv_lora_rank"):
        raise UnsupportedError("multi-head latent attention: its KV cache is not 2 · heads · dimension")
    if set(config.get("layer_types") or ["full_attention"]) - {"full_attention", "sliding_attention"}:
        raise UnsupportedError("layers that are not attention: they keep another state than a KV cache")
    bias_qkv, bias_output, norms_qk = FAMILIES[family]
    heads, hidden = _number(config, "num_attention_heads"), _number(config, "hidden_size")
    says_bias = bool(config.get("attention_bias", False))
    old_llama = family == "LlamaForCausalLM" and config.get("num_key_value_heads") is None
    return Architecture(
        family=family,
        layers=_number(config, "num_hidden_layers"),
        hidden=hidden,
        intermediate=_number(config, "intermediate_size"),
        heads=heads,
        kv_heads=heads if old_llama else _number(config, "num_key_value_heads"),
        head_dim=int(config.get("head_dim") or hidden // heads),
        vocabulary=_number(config, "vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
        experts=_number(config, "num_local_experts") if family == "MixtralForCausalLM" else 0,
        bias_qkv=says_bias if bias_qkv == "attention_bias" else bool(bias_qkv),
        bias_output=says_bias if bias_output == "attention_bias" else bool(bias_output),
        bias_mlp=bool(config.get("mlp_bias", False)),
        norms_qk=norms_qk,
        positions=_number(config, "max_position_embeddings"),
        window=_window(config),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or "bfloat16"),
        quantization=_quantization(config.get("quantization_config"), quantize),
    )


def _number(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or value < 1:
        raise UnsupportedError(f"a config.json that says {name}: {value!r}; a whole number is needed")
    return value


def _window(config: Mapping[str, Any]) -> int | None:
    """Qwen2 names a window that it does not use unless `use_sliding_window` says so."""
    window = config.get("sliding_window")
    return int(window) if window and config.get("use_sliding_window", True) else None


def _quantization(found: Mapping[str, Any] | None, quantize: str | None) -> Quantization | None:
    if found is None:
        if quantize not in (None, "fp8"):
            raise UnsupportedError(f"quantizing by {quantize!r} while loading; only fp8 is covered")
        return Quantization("fp8", 8) if quantize else None
    method = str(found.get("quant_method", "")).lower()
    if method in ("awq", "gptq"):
        return Quantization(method, _number(found, "bits"), group=_group(found))
    if method == "fp8":
        block = found.get("weight_block_size")
        return Quantization("fp8", 8, block=(int(block[0]), int(block[1])) if block else None)
    raise UnsupportedError(f"quantization by {method!r}; covered are awq, gptq, fp8, or give --weights-gib")


def _group(found: Mapping[str, Any]) -> int | None:
    size = int(found.get("group_size", 128))
    return size if size > 0 else None
