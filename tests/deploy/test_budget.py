"""The memory budget: parameters and bytes by hand, as published, and as tensors that are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.engine import architecture, budget, memory
from deploy.engine.architecture import Architecture, Quantization, UnsupportedError
from deploy.engine.configuration import load
from deploy.engine.memory import GIB, Device, Use
from deploy.setup import clone, engine

SHAPES = clone.ROOT / "deploy" / "engine" / "architectures"
SETTINGS = clone.ROOT / "deploy" / "engine" / "settings"
# As published with the models (the sum of their tensors), worked out by nobody here.
PUBLISHED = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.2-3b": 3_212_749_824,
    "tinyllama-1.1b": 1_100_048_384,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2.5-7b": 7_615_616_512,
    "mixtral-8x7b": 46_702_792_704,
}
# Counts what transformers builds of each config in argv, on the meta device: no memory, real shapes.
COUNT = """
import json, sys, torch, transformers
transformers.logging.set_verbosity_error()
found = []
for path in sys.argv[1:]:
    said = json.load(open(path))
    family = getattr(transformers, said["architectures"][0])
    said.pop("quantization_config", None)
    config = family.config_class(**said)
    with torch.device("meta"):
        model = family(config)
    model.tie_weights()
    found.append(sum(one.numel() for one in model.parameters()))
print(json.dumps(found))
"""
SMALL: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 128,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "biases": {"attention_bias": True, "mlp_bias": True},
    "tied": {"tie_word_embeddings": True},
    "head dimension of its own": {"head_dim": 24},
    "old Llama, no grouped heads": {"num_key_value_heads": None},
    "qwen2": {"architectures": ["Qwen2ForCausalLM"]},
    "qwen3": {"architectures": ["Qwen3ForCausalLM"], "head_dim": 16},
    "mixtral": {"architectures": ["MixtralForCausalLM"], "num_local_experts": 4},
}


def shape(name: str, **changes: Any) -> Architecture:
    return architecture.read(json.loads((SHAPES / f"{name}.json").read_text()) | changes)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items(), ids=PUBLISHED)
def test_parameters_are_the_published_count(name: str, parameters: int) -> None:
    assert shape(name).parameters == parameters


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Parameters of what transformers builds of each shape, variant and the tiny model."""
    if not engine.DESCRIPTION.is_file():
        pytest.skip("transformers is in .engine, which is not made: `make setup PARTS='engine model'`")
    folder = tmp_path_factory.mktemp("configs")
    for name, changes in VARIANTS.items():
        (folder / f"{name}.json").write_text(json.dumps(SMALL | changes))
    paths = [*SHAPES.glob("*.json"), *folder.glob("*.json")]
    tiny = clone.ROOT / ".cache" / "models" / "tiny" / "config.json"
    paths += [tiny] if tiny.is_file() else []
    argv = [str(clone.ENGINE / "bin" / "python"), "-c", COUNT, *map(str, paths)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    names = [path.parent.name if path == tiny else path.stem for path in paths]
    return dict(zip(names, json.loads(done.stdout.splitlines()[-1]), strict=True))


def test_parameters_are_those_of_the_tensors_that_transformers_makes(counted: dict[str, int]) -> None:
    ours = {path.stem: shape(path.stem).parameters for path in SHAPES.glob("*.json")}
    ours |= {name: architecture.read(SMALL | changes).parameters for name, changes in VARIANTS.items()}
    if "tiny" in counted:
        tiny = json.loads((clone.ROOT / ".cache" / "models" / "tiny" / "config.json").read_text())
        ours["tiny"] = architecture.read(tiny).parameters
    assert ours == counted


def test_a_token_of_llama_3_70b_takes_320_kib_and_26_gb_hold_79346() -> None:
    each = shape("llama-3-70b").kv_bytes_per_token(2)
    assert each == 2 * 80 * 8 * 128 * 2 == 327_680 == 320 * 1024
    assert 26_000_000_000 // each == 79_345  # 79,345.7: the guide rounds it up
    assert 26 * GIB // each == 85_196
    assert memory.kv_tokens(26_000_000_000, each, 16) == 79_344, "in whole blocks of 16"


@pytest.mark.parametrize(
    ("name", "kib"),
    [("llama-3.1-8b", 128), ("tinyllama-1.1b", 22), ("qwen2.5-7b", 56), ("mixtral-8x7b", 128)],
)
def test_kv_bytes_by_hand(name: str, kib: int) -> None:
    # 2·32·8·128·2; 2·22·4·64·2; 2·28·4·128·2; the experts share one attention
    assert shape(name).kv_bytes_per_token(2) == kib * 1024
    assert shape(name).kv_bytes_per_token(1) == kib * 512


def test_awq_of_70b_by_hand() -> None:
    model = shape("llama-3.1-70b-awq")
    linear = 80 * (8192 * (2 * 8192 + 2 * 1024) + 3 * 8192 * 28672)
    assert model.linear == linear == 68_451_041_280
    # 4 bits a weight, and for each 128 of them a scale of 2 bytes and a zero point of 4 bits.
    assert model.linear_bytes(2) == linear // 2 + linear // 128 * 5 // 2 == 35_562_455_040
    whole = model.linear_bytes(2) + 2 * (model.embedding + model.small)
    assert whole == 39_767_785_472, "39.8 GB, of which 4.2 are the embeddings that stay in 16 bits"


def test_gptq_keeps_an_index_and_fp8_a_scale() -> None:
    one = replace(architecture.read(SMALL), layers=1)
    inputs = 64 * (1 + 2 + 1 + 2) + 96  # of q, k and v, o, gate and up; of down
    awq = replace(one, quantization=Quantization("awq", 4, group=32)).linear_bytes(2)
    gptq = replace(one, quantization=Quantization("gptq", 4, group=32)).linear_bytes(2)
    assert gptq - awq == 4 * inputs
    fp8 = replace(one, quantization=Quantization("fp8", 8)).linear_bytes(2)
    assert fp8 == one.linear + 4 * 7, "seven matrices"
    blocks = replace(one, quantization=Quantization("fp8", 8, block=(32, 32))).linear_bytes(2)
    # Blocks that are not full count as one: q 4, k and v 2 each, o 4, gate and up 6 each, down 6.
    assert blocks == one.linear + 4 * (4 + 2 * 2 + 4 + 2 * 6 + 6)


USE = Use(8192, 64, 2048, dtype_bytes=2, kv_dtype_bytes=2)
A6000 = Device(48 * GIB, gpus=2, utilization=0.9)


def test_the_host_of_two_a6000_by_hand() -> None:
    """The stack's guide: Llama-3-70B does not fit in 16 bits over 2 × 48 GB, in 4 bits it does."""
    plain = memory.divide(shape("llama-3-70b"), A6000, USE)
    assert not plain.fits
    assert plain.kv_bytes < 0
    small = replace(USE, overhead_bytes=2 * GIB)
    made = memory.divide(shape("llama-3.1-70b-awq"), A6000, small)
    norms = 2 * (2 * 80 + 1) * 8192  # on both GPUs
    weights = (39_767_785_472 - norms) // 2 + norms
    assert made.weights_bytes == weights
    assert made.kv_bytes == int(48 * GIB * 0.9) - weights - 2 * GIB
    assert made.tokens == made.kv_bytes // (163_840 * 16) * 16 == 148_624
    assert (made.sequences, made.fits) == (18, True)
    assert made.headroom_bytes == 48 * GIB - int(48 * GIB * 0.9)


def test_more_gpus_than_kv_heads_hold_a_head_each() -> None:
    model = shape("qwen2.5-7b")  # 4 KV heads of 128
    assert memory.kv_bytes_of_one(model, 2, 2) == 56 * 1024 // 2
    assert memory.kv_bytes_of_one(model, 4, 2) == 56 * 1024 // 4
    eight = replace(model, heads=32)
    assert memory.kv_bytes_of_one(eight, 8, 2) == 56 * 1024 // 4


def test_half_the_bytes_a_token_are_twice_the_tokens() -> None:
    model, device = shape("llama-3.1-8b"), Device(24 * GIB, 1, 0.9)
    whole, half = (memory.divide(model, device, replace(USE, kv_dtype_bytes=size)).tokens for size in (2, 1))
    assert abs(half - 2 * whole) <= 32


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"architectures": ["DeepseekV3ForCausalLM"]}, "DeepseekV3ForCausalLM"),
        ({"kv_lora_rank": 512}, "latent attention"),
        ({"layer_types": ["linear_attention"]}, "not attention"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "bitsandbytes"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
    ],
)
def test_what_is_not_covered_is_said_and_not_guessed(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(UnsupportedError, match=what):
        shape("llama-3.1-8b", **changes)


def test_a_sliding_window_is_covered_only_where_it_changes_nothing() -> None:
    model = shape("mistral-7b-v0.1")
    assert memory.divide(model, A6000, replace(USE, max_model_len=4096)).fits
    with pytest.raises(UnsupportedError, match="sliding window of 4096"):
        memory.divide(model, A6000, replace(USE, max_model_len=4097))
    assert shape("qwen2.5-7b").window is None, "its config names one that it does not use"


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="28 heads"):
        memory.divide(shape("qwen2.5-7b"), replace(A6000, gpus=8), USE)


@pytest.mark.parametrize(
    ("stack", "name"),
    [
        ("a6000", "llama-3.1-70b-awq"),
        ("minikube-rtx3060", "tinyllama-1.1b"),
        ("eks-g5", "llama-3.1-8b"),
        ("kubeadm-t4", "llama-3.2-3b"),
        ("rtx3090", "llama-3.1-8b"),
    ],
)
def test_every_stacks_model_fits_its_gpu_by_its_settings(
    stack: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SETTINGS / f"{stack}.yaml"
    assert budget.main(["--config", name, "--settings", str(path), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    settings = load(path)
    assert said["max_model_len"] == settings.model.max_model_len
    assert said["tokens"] / settings.batch.max_num_seqs > 300, "a full batch has no room for a short answer"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.engine.budget", *arguments]
    return subprocess.run(command, cwd=clone.ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_exit_codes_tell_fitting_not_fitting_and_not_knowing(tmp_path: Path) -> None:
    gpu = ["--gpu-memory-gib", "48", "--gpus", "2"]
    assert run("--config", "llama-3.1-70b-awq", *gpu, "--max-model-len", "8192").returncode == 0
    table = run("--config", "llama-3-70b", "llama-3.1-8b", *gpu)
    assert table.returncode == 1
    assert "| llama-3-70b | 70.55 B | 2 | 65.7 GiB | 320 KiB | 0.0 GiB | 0 | 0 × 8,192 | no |" in table.stdout
    assert "| llama-3.1-8b | 8.03 B | 2 | 7.5 GiB | 128 KiB |" in table.stdout
    assert "--gpus 4" in table.stderr
    assert "in 4 bits" in table.stderr
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    unknown = run("--config", str(tmp_path), *gpu)
    assert unknown.returncode == 2
    assert "GPT2LMHeadModel" in unknown.stderr
    assert run("--config", "no-such-model", *gpu).returncode == 2
    assert run("--config", "llama-3.1-8b").returncode == 2, "of what size of GPU?"


@pytest.mark.parametrize("gib", [16.0, 20.0, 24.0])
def test_each_remedy_is_one(gib: float, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--config", "llama-3.1-8b", "--gpu-memory-gib", str(gib)]
    assert budget.main(base) == 1, "131,072 tokens are 16 GiB of KV cache beside 15 of weights"
    said = capsys.readouterr().err.strip().partition("; ")[2].split("; ")
    flags = [one.removesuffix(" at most").split() for one in said if one.startswith("--")]
    assert flags
    for flag in flags:
        assert budget.main([*base, *flag]) == 0, flag
