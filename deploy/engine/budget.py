"""python -m deploy.engine.budget --config CONFIG.json|FOLDER|NAME [--settings FILE | --gpu-memory-gib N …]

Says before anything is downloaded whether a model fits: weights, KV cache, tokens and sequences. NAME is one
of deploy/engine/architectures/, shapes of published models. Several of them make a table in Markdown.

Exit codes: 0 all fit; 1 one does not (what to change is said); 2 it cannot be computed, or wrong arguments.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from deploy.engine import architecture, memory
from deploy.engine.architecture import DTYPE_BYTES, Architecture, UnsupportedError
from deploy.engine.configuration import Settings, SettingsError, load
from deploy.engine.memory import GIB, Budget, Device, Use

SHAPES = Path(__file__).with_name("architectures")
EXIT_DOES_NOT_FIT = 1
EXIT_UNKNOWN = 2
MOST_UTILIZATION = 0.95


def main(argv: list[str]) -> int:
    """Print the budget of each model asked for."""
    asked = _parser().parse_args(argv)
    try:
        settings = load(asked.settings) if asked.settings else None
        cases = [_case(name, asked, settings) for name in asked.config]
        budgets = [memory.divide(*case) for case in cases]
    except (UnsupportedError, SettingsError) as error:
        print(f"budget: not covered: {error}", file=sys.stderr)
        return EXIT_UNKNOWN
    except (OSError, ValueError) as error:
        print(f"budget: expected a model's config.json; saw {error}", file=sys.stderr)
        return EXIT_UNKNOWN
    if asked.json:
        print(
            json.dumps([dataclasses.asdict(budget) | {"fits": budget.fits} for budget in budgets], indent=2)
        )
    elif len(cases) == 1:
        print(describe(*cases[0], budgets[0]))
    else:
        print(table(asked.config, cases, budgets))
    if all(budget.fits for budget in budgets):
        return 0
    for name, case, budget in zip(asked.config, cases, budgets, strict=True):
        if not budget.fits:
            print(f"{name} does not fit; {'; '.join(remedies(*case))}", file=sys.stderr)
    return EXIT_DOES_NOT_FIT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.engine.budget", description="Does a model fit?")
    parser.add_argument("--config", required=True, nargs="+", metavar="FILE|FOLDER|NAME")
    parser.add_argument("--settings", type=Path, help="a settings file of deploy.engine for what follows")
    parser.add_argument("--gpu-memory-gib", type=float, help="of each GPU, as torch sees it")
    parser.add_argument("--gpus", type=int, help="that share the model by tensor parallelism (1)")
    parser.add_argument("--utilization", type=float, help="the share that vLLM takes (0.9)")
    parser.add_argument("--dtype", choices=sorted(DTYPE_BYTES), help="of weights that are not quantized")
    parser.add_argument("--kv-dtype", choices=["auto", *sorted(memory.KV_DTYPE_BYTES)])
    parser.add_argument("--quantization", choices=["fp8"], help="weights quantized while they are loaded")
    parser.add_argument("--max-model-len", type=int, help="tokens of a sequence (what the model can)")
    parser.add_argument("--max-num-seqs", type=int, help="(64)")
    parser.add_argument("--max-num-batched-tokens", type=int, help="(2048)")
    parser.add_argument("--block-size", type=int, default=16, help="tokens of a block (16; 128 on a CPU)")
    parser.add_argument("--weights-gib", type=float, help="of all GPUs, where a log has said it")
    parser.add_argument("--overhead-gib", type=float, help="of each GPU, instead of the allowance")
    parser.add_argument("--json", action="store_true")
    return parser


def _case(
    name: str, asked: argparse.Namespace, settings: Settings | None
) -> tuple[Architecture, Device, Use]:
    """The arguments of memory.divide: the command line's, else the settings', else a default."""
    model = architecture.read(_config(name), asked.quantization)
    told = settings.model if settings else None
    dtype = asked.dtype or (told.dtype if told and told.dtype != "auto" else _usual(model))
    kv_dtype = asked.kv_dtype or (settings.memory.kv_cache_dtype if settings else "auto")
    if kv_dtype not in ("auto", *memory.KV_DTYPE_BYTES):
        raise UnsupportedError(
            f"a KV cache of {kv_dtype}; covered are auto, {', '.join(memory.KV_DTYPE_BYTES)}"
        )
    device = _device(asked, settings)
    batch = settings.batch if settings else None
    return (
        model,
        device,
        Use(
            max_model_len=asked.max_model_len or (told and told.max_model_len) or model.positions,
            max_num_seqs=asked.max_num_seqs or (batch.max_num_seqs if batch else 64),
            max_num_batched_tokens=asked.max_num_batched_tokens
            or (batch.max_num_batched_tokens if batch else 2048),
            dtype_bytes=DTYPE_BYTES[dtype],
            kv_dtype_bytes=memory.KV_DTYPE_BYTES.get(kv_dtype, DTYPE_BYTES[dtype]),
            block_size=asked.block_size,
            weights_bytes=None if asked.weights_gib is None else int(asked.weights_gib * GIB),
            overhead_bytes=None if asked.overhead_gib is None else int(asked.overhead_gib * GIB),
        ),
    )


def _device(asked: argparse.Namespace, settings: Settings | None) -> Device:
    gib = asked.gpu_memory_gib or (settings.hardware.memory_gib if settings else None)
    if not gib or gib < 0:
        raise UnsupportedError("a GPU of unknown size; give --gpu-memory-gib")
    utilization = asked.utilization or (settings.memory.gpu_utilization if settings else None) or 0.9
    if not 0 < utilization <= 1:
        raise UnsupportedError(f"a utilization of {utilization:g}; it is a share, at most 1")
    gpus = asked.gpus or (settings.tensor_parallel if settings else 1)
    return Device(int(gib * GIB), gpus, utilization)


def _usual(model: Architecture) -> str:
    """vLLM's `auto`: what the checkpoint says, but 16 bits for one of 32."""
    return "float16" if model.dtype == "float32" or model.dtype not in DTYPE_BYTES else model.dtype


def _config(name: str) -> dict[str, Any]:
    path = Path(name)
    if not path.exists() and (SHAPES / f"{name}.json").is_file():
        path = SHAPES / f"{name}.json"
    return dict(json.loads((path / "config.json" if path.is_dir() else path).read_text(encoding="utf-8")))


def remedies(model: Architecture, device: Device, use: Use) -> list[str]:
    """What would make it fit, each tried by the same arithmetic; never empty."""
    found = []
    budget = memory.divide(model, device, use)
    if budget.tokens:
        found.append(f"--max-model-len {budget.tokens} at most")
    if device.utilization < MOST_UTILIZATION:
        more = dataclasses.replace(device, utilization=MOST_UTILIZATION)
        found += [f"--utilization {MOST_UTILIZATION}"] if memory.divide(model, more, use).fits else []
    for gpus in (count for count in (2, 4, 8) if count > device.gpus and not model.heads % count):
        if memory.divide(model, dataclasses.replace(device, gpus=gpus), use).fits:
            found.append(f"--gpus {gpus}")
            break
    if use.kv_dtype_bytes > 1:
        smaller = dataclasses.replace(use, kv_dtype_bytes=1)
        found += ["--kv-dtype fp8"] if memory.divide(model, device, smaller).fits else []
    if model.quantization is None:
        for kind, words in (
            (architecture.Quantization("fp8", 8), "weights in FP8"),
            (_AWQ, "in 4 bits (AWQ)"),
        ):
            if memory.divide(dataclasses.replace(model, quantization=kind), device, use).fits:
                found.append(words)
    return found or ["more memory a GPU, or a smaller model: no single change is enough"]


_AWQ = architecture.Quantization("awq", 4, group=128)


def describe(model: Architecture, device: Device, use: Use, budget: Budget) -> str:
    """The budget in lines; sizes are of one GPU."""
    quantization = (
        f", {model.quantization.method} {model.quantization.bits} bit" if model.quantization else ""
    )
    kib = model.kv_bytes_per_token(use.kv_dtype_bytes) / 1024
    many = f", or {use.max_num_seqs} of {budget.tokens // use.max_num_seqs:,}"
    lines = [
        f"{model.family}, {model.parameters:,} parameters{quantization}, {device.gpus} GPU(s)",
        f"  of each GPU       {_gib(device.memory_bytes)} · {device.utilization:g} = "
        + _gib(budget.budget_bytes),
        f"  weights           {_gib(budget.weights_bytes)}",
        f"  allowance         {_gib(budget.overhead_bytes)} (an estimate: {memory.ALLOWANCE})"
        if use.overhead_bytes is None
        else f"  overhead          {_gib(budget.overhead_bytes)} (as given)",
        f"  KV cache          {_gib(budget.kv_bytes)}, {kib:g} KiB a token on all GPUs together",
        f"  tokens            {budget.tokens:,}",
        f"  sequences         {budget.sequences} of {budget.max_model_len:,} tokens{many}",
        f"  left to others    {_gib(budget.headroom_bytes)}",
    ]
    return "\n".join(lines)


def table(names: list[str], cases: list[tuple[Architecture, Device, Use]], budgets: list[Budget]) -> str:
    """Rows of Markdown; sizes are of one GPU."""
    head = (
        "model | parameters | GPUs | weights | KV per token | KV cache | tokens | sequences × length | fits"
    )
    rows = [f"| {head} |", "|" + "---|" * 9]
    for name, (model, device, use), budget in zip(names, cases, budgets, strict=True):
        kib = model.kv_bytes_per_token(use.kv_dtype_bytes) / 1024
        rows.append(
            f"| {Path(name).stem if name.endswith('.json') else name} | {model.parameters / 1e9:.2f} B | "
            f"{device.gpus} | {_gib(budget.weights_bytes)} | {kib:g} KiB | {_gib(max(0, budget.kv_bytes))} | "
            f"{budget.tokens:,} | {budget.sequences} × {use.max_model_len:,} | "
            f"{'yes' if budget.fits else 'no'} |"
        )
    return "\n".join(rows)


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
