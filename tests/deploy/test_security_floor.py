"""The security floor: of the whole host stack while it runs, and of every asset as it lies there."""

from __future__ import annotations

import re
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from pydantic import TypeAdapter

from environments.binaries import find_nginx
from environments.local import local_stack
from environments.profile import Profile, profile_path
from environments.provider import Stack
from instruments.catalog import checked, read_yaml
from tests.environments.census import parent_of

ROOT = Path(__file__).parents[2]
UNGUARDED = """
/metrics /invocations /tokenize /detokenize /pause /resume /is_paused /sleep /wake_up /collective_rpc
/reset_prefix_cache /generative_scoring /scale_elastic_ep /is_scaling_elastic_ep /kv_event_sources /load
/version /ping /server_info /openapi.json /docs /redoc /v1/load_lora_adapter /inference/v1/generate
/start_profile
""".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("floor")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    """The profile `host` as it is shipped, with a simulated engine: what is looked at is not the engine's."""
    if find_nginx() is None:
        pytest.skip("no nginx on this machine (make setup PARTS=nginx)")
    path = profile_path("host")
    profile = checked(read_yaml(path), TypeAdapter(Profile), str(path))
    assert profile.engine is not None
    with local_stack(
        replace(profile, engine=replace(profile.engine, kind="simulator")), folder, print
    ) as found:
        yield found


def processes(stack: Stack) -> dict[int, list[str]]:
    """Command lines of all that the stack runs, their wardens and children too, by process id."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    parents = {}
    for pid in pids:
        with suppress(LookupError):  # it has ended since
            parents[pid] = parent_of(pid)
    own = {part.pid for part in (*stack.components, *stack.watchers) if part.pid}
    own |= {parents[pid] for pid in own}  # the warden
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    found = {}
    for pid in own:
        with suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return found


def test_no_key_is_on_a_command_line(stack: Stack) -> None:
    found = processes(stack)
    assert len(found) >= 12  # six programs and more, each under a warden: the look was no empty one
    secrets = [key.reveal() for key in stack.keys.values()]
    assert len(secrets) == 4
    for words in found.values():
        assert not any(secret in word for secret in secrets for word in words), words[:3]


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    inodes = {
        link.readlink().name.partition("[")[2].rstrip("]")
        for pid in processes(stack)
        for link in Path(f"/proc/{pid}/fd").glob("*")
        if link.is_symlink() and str(link.readlink()).startswith("socket:")
    }
    listening = [
        (line.split()[1].rpartition(":")[0], line.split()[1].rpartition(":")[2])
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in inodes
    ]
    assert len(listening) >= 7  # engine, gateway twice, nginx twice, exporter, Prometheus, Alertmanager …
    loopback = {"0100007F", "00000000000000000000000001000000"}
    assert {address for address, _ in listening} <= loopback


def test_what_vllm_leaves_open_is_not_reached_through_ingress_or_gateway(stack: Stack) -> None:
    assert stack.gateway_url is not None
    with httpx.Client(verify=stack.tls(), headers=stack.headers(), trust_env=False, timeout=10.0) as client:
        for place in (stack.base_url, stack.gateway_url):
            for route in UNGUARDED:
                for form in (
                    route,
                    f"/v1/..{route}",
                    f"//{route[1:]}",
                    f"/%2e{route}",
                    f"{route}/",
                    route.upper(),
                ):
                    for method in ("GET", "POST"):
                        answer = client.request(method, place + form, content=b"{}")
                        assert answer.status_code in (400, 404, 405, 429, 431), f"{method} {form}: {answer}"
                        assert "vllm" not in answer.text


def test_what_holds_a_key_is_for_its_owner_only(stack: Stack, folder: Path) -> None:
    """Files of the run that hold a secret, in all its forms, cannot be read by others; logs hold none."""
    httpx.get(f"{stack.base_url}/v1/models", headers=stack.headers(), verify=stack.tls(), trust_env=False)
    secrets = [key.reveal().encode() for key in stack.keys.values()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" and path.stat().st_size for path in files)
    for path in files:
        text = path.read_bytes()
        if any(secret in text for secret in secrets) or b"PRIVATE KEY" in text:
            assert path.suffix != ".log"
            closed = [parent.stat().st_mode & 0o077 == 0 for parent in (path, *path.parents)]
            assert any(closed), f"{path.relative_to(folder)} can be read by others"


# ---- the assets as they lie there -----------------------------------------------------------------------


def documents() -> Iterator[tuple[Path, object]]:
    """Every YAML document of deploy/, our own and for others' programs."""
    for path in sorted((ROOT / "deploy").rglob("*.y*ml")):
        if ".template" not in path.name:
            try:
                for document in yaml.safe_load_all(path.read_text()):
                    yield path.relative_to(ROOT), document
            except yaml.YAMLError as error:  # compose's own tags
                if "!" not in str(error):
                    raise


def pairs(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of every leaf."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from pairs(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from pairs(value, f"{path}[{index}]")
    else:
        yield path, node


SECRET_FIELD = re.compile(r"(?i)(password|passwd|secret|api[-_]?key|token)$")
REFERENCE = re.compile(
    r"^(\$\{?[A-Z_]|/run/|/etc/|[a-z-]+(-key|-keys|-secret|-tls|-admin)$|required$|[A-Z][A-Z0-9_]+$)"
)


def test_no_asset_carries_a_password_or_a_key() -> None:
    seen = 0
    for path, document in documents():
        for place, value in pairs(document):
            seen += 1
            if isinstance(value, str):
                assert not re.search(r"\b(sk-[A-Za-z0-9]{8,}|hf_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16})", value), (
                    f"{path}{place}"
                )
                assert not re.search(r"(^|\s)--(api-key|hf-token)\b", value), f"{path}{place}: {value}"
                if SECRET_FIELD.search(place) and value:
                    assert REFERENCE.match(value), f"{path}{place}: {value!r} is no reference to a secret"
    assert seen > 1000


def test_a_port_that_is_bound_to_every_address_would_be_seen() -> None:
    """The look at /proc/net/tcp finds what the test above would have to find."""
    with socket.socket() as wire:
        wire.bind(("0.0.0.0", 0))  # noqa: S104  for a moment, and nobody is accepted
        wire.listen()
        port = f"{wire.getsockname()[1]:04X}"
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        assert any(line.split()[1] == f"00000000:{port}" and line.split()[3] == "0A" for line in lines)


def test_what_is_kept_for_make_smoke_is_for_its_owner_only() -> None:
    """A running `make stack` of this clone, where there is one."""
    kept = ROOT / ".cache" / "stack" / "stack.json"
    if kept.exists():
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
