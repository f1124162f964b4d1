"""An engine's settings: what a file may say, and the flags that come of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.engine import extra, flags, launch
from deploy.engine.buckets import DEFAULTS_S, with_limits
from deploy.engine.configuration import SettingsError, load, parse
from deploy.setup import clone, engine
from instruments.slo.objective import load_objectives
from tests.deploy.vllm_parser import rejections

SETTINGS = sorted((clone.ROOT / "deploy" / "engine" / "settings").glob("*.yaml"))
STACKS = {"local", "a6000", "minikube-rtx3060", "eks-g5", "kubeadm-t4", "rtx3090"}
OBJECTIVES = clone.ROOT / "suites" / "catalog" / "objectives"
FAMILY = {
    **dict.fromkeys(("ttft_s", "server_ttft_s"), "time_to_first_token"),
    **dict.fromkeys(("tpot_s", "server_itl_s"), "inter_token_latency"),
    **dict.fromkeys(("e2e_s", "server_e2e_s"), "request_latency"),
}
SECRET = "sk-should-not-be-seen"
BARE: dict[str, Any] = {
    "model": {"source": "/models/m", "served_name": "m"},
    "hardware": {"device": "a GPU"},
    "batch": {"max_num_seqs": 64, "max_num_batched_tokens": 2048},
    "memory": {"gpu_utilization": 0.9},
}


def changed(**fields: Any) -> dict[str, Any]:
    """BARE with fields merged in, one level deep."""
    merged = {
        name: {**BARE.get(name, {}), **value} for name, value in fields.items() if isinstance(value, dict)
    }
    return {**BARE, **fields, **merged}


def test_there_is_a_settings_file_for_every_stack() -> None:
    assert {path.stem for path in SETTINGS} == STACKS


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_every_settings_file_parses_with_the_pinned_vllm(path: Path) -> None:
    everything = [flags.args(load(one)) for one in SETTINGS]  # asked at once, answered from memory after
    refused = dict(zip([one.stem for one in SETTINGS], rejections(everything), strict=True))
    assert refused[path.stem] is None


def test_the_flags_of_a_file_are_these() -> None:
    document = changed(
        model={"quantization": "awq_marlin", "dtype": "half", "max_model_len": 4096},
        memory={"kv_cache_dtype": "fp8", "prefix_caching": False},
        queue={"max_num_queued_reqs": 128, "max_num_queued_tokens": 65536},
        listen={"port": 8001},
        hardware={"count": 2},
        log={"requests": True, "access": True, "level": "WARNING"},
        tensor_parallel=2,
        shutdown_timeout_s=30,
        request_id_headers=False,
        interactive_docs=True,
        extra_arguments=["--block-size", "32"],
    )
    expected = "/models/m --served-model-name m --dtype half --quantization awq_marlin --max-model-len 4096"
    expected += " --tensor-parallel-size 2 --gpu-memory-utilization 0.9 --kv-cache-dtype fp8"
    expected += " --no-enable-prefix-caching --max-num-seqs 64 --max-num-batched-tokens 2048"
    expected += " --max-num-queued-reqs 128 --max-num-queued-tokens 65536 --host 127.0.0.1 --port 8001"
    expected += " --shutdown-timeout 30 --log-level WARNING --enable-log-requests"
    expected += " --disable-access-log-for-endpoints /health,/metrics,/ping --block-size 32"
    assert flags.args(parse(document)) == expected.split()
    assert rejections([flags.args(parse(document))]) == [None]


def test_a_model_of_a_hub_is_served_at_its_commit_and_online() -> None:
    hub = parse(changed(model={"source": "org/name", "revision": "a" * 40}))
    assert flags.args(hub)[:3] == ["org/name", "--revision", "a" * 40]
    assert "HF_HUB_OFFLINE" not in flags.environment(hub)
    assert flags.environment(parse(BARE))["HF_HUB_OFFLINE"] == "1"


def test_default_bounds_are_the_pinned_vllms_own() -> None:
    if not engine.DESCRIPTION.is_file():
        pytest.skip("vLLM is not installed")
    (path,) = clone.ENGINE.glob("lib/python3*/site-packages/vllm/v1/metrics/buckets.py")
    spec = importlib.util.spec_from_file_location("vllm_buckets", path)
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    for family, bounds in DEFAULTS_S.items():
        assert list(bounds) == theirs.histogram_buckets(family)


def test_a_limit_becomes_a_bound_and_the_rest_stays() -> None:
    made = with_limits({"time_to_first_token": [0.2, 0.25], "inter_token_latency": [0.05]})
    assert list(made) == ["time_to_first_token"], "0.05 is a bound already"
    assert made["time_to_first_token"][6:12] == [0.08, 0.1, 0.2, 0.25, 0.5, 0.75]
    assert len(made["time_to_first_token"]) == 23


def latency_limits() -> set[tuple[str, float]]:
    """Latency limits that engines' histograms are asked about, with the family of the histogram.

    Those of which rules and panels are made, and those that are judged by the server's own numbers.
    """
    found = set()
    for path in OBJECTIVES.glob("*.yaml"):
        for objective in load_objectives(path).values():
            if path.stem != "smoke" and not objective.indicator.startswith("server_"):
                continue
            said = {objective.indicator: objective.at_most, **objective.per_request}
            found |= {(FAMILY[name], limit) for name, limit in said.items() if name in FAMILY}
    return {(family, limit) for family, limit in found if limit is not None}


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_every_latency_limit_of_the_catalog_is_a_bound_of_every_engine(path: Path) -> None:
    settings = load(path)
    bounds = {**DEFAULTS_S, **with_limits(settings.slo_limits_s)}
    wanted = latency_limits()
    assert ("time_to_first_token", 0.2) in wanted
    assert [one for one in sorted(wanted) if one[1] not in bounds[one[0]]] == []  # type: ignore[index]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"model": {"source": "org/name"}}, "model.revision: is missing"),
        ({"model": {"source": "org/name", "revision": "main"}}, "model.revision"),
        ({"model": {"revision": "a" * 40}}, "says nothing of a folder"),
        ({"model": {"source": "two words"}}, "neither a folder"),
        ({"model": {"source": "--api-key"}}, "model.source"),
        ({"tensor_parallel": 2}, "hardware.count 1"),
        ({"hardware": {"compute_capability": 7.5}}, "has no bfloat16"),
        ({"hardware": {"compute_capability": 7.5}, "model": {"dtype": "bfloat16"}}, "has no bfloat16"),
        ({"memory": {"kv_cache_bytes": 1 << 26}}, "exactly one of gpu_utilization"),
        ({"memory": {"gpu_utilization": 1.2}}, "memory.gpu_utilization"),
        ({"queue": {"max_num_queued_reqs": 63}}, "counts running requests too"),
        ({"batch": {"max_num_batched_tokens": 32}}, "at least batch.max_num_seqs"),
        ({"batch": {"max_seqs": 3}}, "batch.max_seqs: is not a known field"),
        ({"slo_limits_s": {"ttft": [0.2]}}, "slo_limits_s.ttft"),
        ({"slo_limits_s": {"time_to_first_token": [0]}}, "slo_limits_s.time_to_first_token.0"),
        ({"environment": {"VLLM_API_KEY": SECRET}}, "environment.VLLM_API_KEY: no secret"),
        ({"environment": {"HF_TOKEN": SECRET}}, "environment.HF_TOKEN: no secret"),
        ({"environment": {"VLLM_SERVER_DEV_MODE": "1"}}, "opens /sleep"),
        ({"extra_arguments": [""]}, "extra_arguments.0: is empty"),
        ({"extra_arguments": [SECRET]}, "begins with a value"),
    ],
)
def test_a_file_that_cannot_work_is_refused_by_the_path_of_its_field(
    fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse(changed(**fields))
    assert complaint in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_a_t4_takes_half() -> None:
    settings = parse(changed(hardware={"compute_capability": 7.5}, model={"dtype": "half"}))
    assert settings.model.dtype == "half"


def test_a_variable_whose_name_only_begins_like_a_secrets_passes() -> None:
    said = {"TOKENIZERS_PARALLELISM": "false", "VLLM_FUSED_MOE_NUM_TOKENS": "1"}
    assert parse(changed(environment=said)).environment == said


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("tensor_parallel: 1\ntensor_parallel: 2\n")
    with pytest.raises(SettingsError, match="'tensor_parallel' is given twice"):
        load(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    "words",
    [
        ["--api-key", SECRET],
        [f"--api_key={SECRET}"],
        [f"--api-k={SECRET}"],
        ["--hf-token", SECRET],
        ["--swap-space", "4"],
        ["--disable-log-requests"],
        ["--trust-remote-code"],
        ["--trust_remote_code"],
        ["--config", "/etc/other.yaml"],
        ["--port", "9"],
        ["--max-num-seqs", "9"],
        ["--max-num-se", "9"],
        ["-tp", "2"],
        ["--custom-histogram-buckets.time_to_first_token+", "1"],
    ],
    ids=lambda words: words[0].partition("=")[0],
)
def test_an_extra_argument_that_is_a_secret_gone_dangerous_or_a_fields_own_is_refused(
    words: list[str],
) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse(changed(extra_arguments=["--block-size", "16", *words]))
    assert "extra_arguments.2" in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_extra_arguments_that_only_look_alike_pass() -> None:
    words = [
        "--model-impl",
        "vllm",
        "--config-format",
        "hf",
        "--max-logprobs",
        "-1",
        "--api-server-count",
        "2",
    ]
    assert parse(changed(extra_arguments=words)).extra_arguments == tuple(words)
    assert rejections([["m", *words]]) == [None]


def test_the_lists_of_flags_are_true_of_the_pinned_vllm() -> None:
    gone = rejections([["m", flag] for flag in extra.REMOVED])
    assert [flag for flag, why in zip(extra.REMOVED, gone, strict=True) if why is None] == []
    there = [*extra.OWNED, *extra.SECRET, *(flag for flag in extra.DANGEROUS if flag != "--omni")]
    known = [why for why in rejections([["m", flag] for flag in there]) if why and "unrecognized" in why]
    assert known == []


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_every_flag_that_a_field_writes_is_barred_from_the_extra_arguments(path: Path) -> None:
    settings = load(path)
    own = flags.args(settings)[: -len(settings.extra_arguments) or None]
    written = {word for word in own if word.startswith("--")}
    assert {flag for flag in written if flag not in extra.OWNED} <= {"--disable-access-log-for-endpoints"}


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.engine.launch", *arguments]
    return subprocess.run(
        command, cwd=clone.ROOT, env=env or {}, capture_output=True, text=True, timeout=60, check=False
    )


def test_what_is_printed_is_what_would_be_run() -> None:
    path = clone.ROOT / "deploy" / "engine" / "settings" / "kubeadm-t4.yaml"
    shown = json.loads(run("--settings", str(path), "--print-json").stdout)
    settings = load(path)
    assert shown["command"] == ["vllm", "serve"]
    assert shown["args"] == flags.args(settings)
    assert shown["environment"] == flags.environment(settings)
    line = run("--settings", str(path), "--print", "--port", "8123", "--model", "/elsewhere").stdout
    assert line.startswith("vllm serve /elsewhere --served-model-name llama-3.2-3b --dtype half ")
    assert " --port 8123 " in line
    assert '\'{"time_to_first_token": ' in line, "quoted for a shell"


def test_nothing_starts_without_a_key_or_from_a_file_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(BARE))
    without = run("--settings", str(tmp_path / "s.yaml"))
    assert without.returncode == 2
    assert "VLLM_API_KEY" in without.stderr
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(changed(tensor_parallel=2)))
    wrong = run("--settings", str(tmp_path / "s.yaml"), env={"VLLM_API_KEY": SECRET})
    assert wrong.returncode == 2
    assert "tensor_parallel" in wrong.stderr
    assert SECRET not in wrong.stderr


def test_in_an_image_the_vllm_on_path_takes_the_place_of_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[str, list[str], dict[str, str]]] = []

    def become(path: str, argv: list[str], env: dict[str, str]) -> None:
        became.append((path, argv, env))
        raise SystemExit(0)

    vllm = tmp_path / "vllm"
    vllm.touch(mode=0o755)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(changed(environment={"OMP_NUM_THREADS": "4"})))
    monkeypatch.setattr(launch, "ROOT", tmp_path)  # no .engine there
    monkeypatch.setattr("os.execve", become)
    for name, value in {"PATH": str(tmp_path), "VLLM_API_KEY": SECRET, "OMP_NUM_THREADS": "9"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        launch.main(["--settings", str(tmp_path / "s.yaml")])
    ((path, argv, env),) = became
    assert path == str(vllm)
    assert argv == [str(vllm), "serve", *flags.args(parse(BARE))]
    assert SECRET not in " ".join(argv)
    assert (env["VLLM_API_KEY"], env["OMP_NUM_THREADS"]) == (SECRET, "4")
