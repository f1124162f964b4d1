"""The security floor of the assets as they lie there. That of a running stack: test_host_stack.py."""

from __future__ import annotations

import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


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
