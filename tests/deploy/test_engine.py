"""The engine's launcher and its tiny model; what needs vLLM itself is skipped where it is not installed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jinja2
import pytest

from deploy.engine import serve
from deploy.setup import clone, engine

KEY = "sk-never-in-argv"
PYTHON = clone.ENGINE / "bin" / "python"
needs_engine = pytest.mark.skipif(
    not engine.DESCRIPTION.is_file(), reason="vLLM is not installed: `make setup PARTS='engine model'`"
)
# Prints, as JSON, what the tokenizer makes of the texts in argv[2:].
TOKENIZE = """
import json, sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
encoded = [tokenizer.encode(text, add_special_tokens=False) for text in sys.argv[2:]]
print(json.dumps([[e.ids, e.tokens, tokenizer.decode(e.ids, skip_special_tokens=False)] for e in encoded]))
"""


@pytest.mark.parametrize("flag", ["--api-key", "--api_key=", "--api-k=", "--hf-token=", "--hf_token="])
def test_a_secret_among_the_arguments_is_refused_and_not_repeated(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [flag + KEY] if flag.endswith("=") else [flag, KEY]
    with pytest.raises(SystemExit) as refusal:
        serve.refuse_secrets(["--model", "tiny", *flags])
    assert refusal.value.code == 2
    said = capsys.readouterr().err
    assert "expected no secret among the arguments" in said
    assert KEY not in said


def test_flags_that_only_look_alike_pass() -> None:
    serve.refuse_secrets(["--api-server-count", "2", "--hf-config-path", "x", "--model", "--api"])


def test_caches_and_temporary_files_go_where_they_are_told(tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": "/home/somebody/.cache"}
    serve.keep_inside(tmp_path / "run", tmp_path / "cache", env)
    # The hub's cache stays the user's: models named by repository are not fetched twice.
    assert env.pop("HF_HOME") == "/home/somebody/.cache/huggingface"
    assert env["TMPDIR"] == str(tmp_path / "run" / "tmp")
    assert Path(env["TMPDIR"]).is_dir()
    for name, place in env.items():
        assert os.path.realpath(place).startswith(str(tmp_path)), name


def test_a_scratch_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as refusal:
        serve.keep_inside(tmp_path / "file", tmp_path, {})
    assert refusal.value.code == 2


@pytest.mark.parametrize("length", [20, 200], ids=["short", "longer than a socket's path may be"])
def test_a_socket_of_vllm_fits_into_any_scratch_folder(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("x" * length)
    folder.mkdir()
    name = "0123456789abcdef0123456789abcdef0123"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{serve.socket_folder(folder)}/{name}")
    assert [entry.name for entry in folder.iterdir()] == [name]


def test_cpu_defaults_yield_to_the_caller_but_for_the_one_that_crashes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    env = {"OMP_NUM_THREADS": "8", "VLLM_CPU_KVCACHE_SPACE": ""}
    serve.suit_cpu(env)
    assert env == {"OMP_NUM_THREADS": "8", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    assert "--kv-cache-memory-bytes" in capsys.readouterr().err


def test_only_a_model_in_a_folder_is_served_offline(tmp_path: Path) -> None:
    assert serve.is_local_model(["--port", "1", "--model", str(tmp_path)])
    assert serve.is_local_model([f"--model={tmp_path}"])
    assert not serve.is_local_model(["--model", "somebody/some-model"])
    assert not serve.is_local_model(["--port", "1"])


def test_another_vllm_is_started_the_plain_way_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.99.0+cpu")
    monkeypatch.setattr(serve, "serve_plain", lambda: started.append("plain"))
    serve.serve_forked()
    assert started == ["plain"]
    assert "vLLM is 0.99.0+cpu" in capsys.readouterr().err


def make_model(folder: Path) -> Path:
    argv = [PYTHON, clone.ROOT / "deploy" / "engine" / "tiny_model.py", folder]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


def tokenize(model: Path, *texts: str) -> list[tuple[list[int], list[str], str]]:
    done = subprocess.run(
        [PYTHON, "-c", TOKENIZE, model, *texts], check=True, capture_output=True, text=True, timeout=60
    )
    return [(ids, tokens, decoded) for ids, tokens, decoded in json.loads(done.stdout)]


def read(model: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((model / name).read_text()))


@needs_engine
def test_the_same_corpus_gives_the_same_model_byte_for_byte(tiny: Path, tmp_path: Path) -> None:
    again = make_model(tmp_path / "again")
    assert sorted(path.name for path in tiny.iterdir()) == sorted(path.name for path in again.iterdir())
    for path in tiny.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


@needs_engine
def test_any_text_survives_the_tokenizer(tiny: Path) -> None:
    texts = ["The time to first token.", "  two  spaces\nand a line", "Grüße, 東京 🚦", "zqxj", "\t\x01\x7f"]
    assert [decoded for _, _, decoded in tokenize(tiny, *texts)] == texts


@needs_engine
def test_words_of_the_trade_are_single_tokens_and_configuration_agrees(tiny: Path) -> None:
    (((first, second), _, _),) = tokenize(tiny, " latency queue")
    config = read(tiny, "config.json")
    assert first != second
    assert max(first, second) < config["vocab_size"] <= 2048
    assert config["hidden_size"] == config["num_attention_heads"] * config["head_dim"]
    assert config["num_attention_heads"] % config["num_key_value_heads"] == 0


@needs_engine
def test_a_rendered_chat_opens_each_turn_with_one_special_token(tiny: Path) -> None:
    settings = read(tiny, "tokenizer_config.json")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    environment = jinja2.Environment(autoescape=False)  # noqa: S701  (a prompt, not a page)
    text = environment.from_string(settings["chat_template"]).render(
        messages=messages, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
    assert text == "<s><|system|>Be brief.</s><|user|>Hello</s><|assistant|>"
    ((_, tokens, _),) = tokenize(tiny, text)
    special = [token for token in tokens if token in {"<s>", "</s>", *settings["additional_special_tokens"]}]
    assert special == ["<s>", "<|system|>", "</s>", "<|user|>", "</s>", "<|assistant|>"]


@pytest.fixture
def server(tiny: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A real vLLM on a free port: its process, and its address once it is healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = (
        "--load-format dummy --served-model-name tiny --host 127.0.0.1 --max-model-len 256 --dtype bfloat16"
    )
    flags += " --enforce-eager --distributed-executor-backend uni --kv-cache-memory-bytes 16777216"
    argv = [PYTHON, clone.ROOT / "deploy" / "engine" / "serve.py", "--model", tiny, "--port", str(port)]
    env = os.environ | {"VLLM_API_KEY": KEY, "VLLM_SLO_SCRATCH": str(tmp_path / "scratch")}
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*map(str, argv), *flags.split()], env=env, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_healthy(process, f"http://127.0.0.1:{port}", log)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_healthy(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{address}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"vLLM was not healthy within 120 s; its log ends:\n{log.read_text()[-2000:]}")


def processes_of_group(group: int) -> list[int]:
    """The living processes of a process group; a zombie that nobody reaps is not living."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # ended while we looked
        if int(process_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def open_files(process: int) -> set[str]:
    return {str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}


@needs_engine
@pytest.mark.skipif(shutil.which("lscpu") is None, reason="vLLM's CPU build asks lscpu, which is not here")
def test_a_served_model_keeps_its_key_secret_its_files_in_place_and_leaves_no_process(
    server: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    process, address = server
    asked = {"model": "tiny", "prompt": "The queue", "max_tokens": 4, "ignore_eos": True}
    with_key = {"Authorization": f"Bearer {KEY}"}
    assert httpx.post(f"{address}/v1/completions", json=asked, timeout=30).status_code == 401
    answer = httpx.post(f"{address}/v1/completions", json=asked, headers=with_key, timeout=30)
    assert answer.json()["usage"]["completion_tokens"] == 4

    group = processes_of_group(process.pid)
    assert len(group) == 2, "the API server and one engine core, and no worker"
    scratch = str(tmp_path / "scratch")
    for member in group:
        assert KEY.encode() not in Path(f"/proc/{member}/cmdline").read_bytes()
        strays = [f for f in open_files(member) if f.startswith(("/tmp/", "/dev/shm/"))]
        assert [f for f in strays if not f.startswith((scratch, str(tmp_path / "log")))] == []
    assert KEY not in (tmp_path / "log").read_text()

    # Only the API server is killed, and not its group: the engine core must go with it.
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while (left := processes_of_group(process.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []
