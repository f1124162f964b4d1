"""The host stack with a part left out: said where it is missed, and absent where it is not wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from environments.local import local_stack
from environments.profile import IngressProfile, profile_path, read_profile
from environments.provider import MissingBinary


def test_without_nginx_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.ingress.find_nginx", lambda: None)
    host = read_profile(profile_path("host"))
    assert host.engine is not None
    quick = replace(host, engine=replace(host.engine, kind="simulator"), monitoring="none")
    with pytest.raises(MissingBinary, match="make setup PARTS=nginx"), local_stack(quick, tmp_path, print):
        pytest.fail("it stands")


def test_a_profile_may_leave_the_ingress_out(tmp_path: Path) -> None:
    host = read_profile(profile_path("host"))
    assert host.engine is not None
    plain = replace(
        host,
        engine=replace(host.engine, kind="simulator"),
        ingress=IngressProfile(kind="none"),
        exporter=replace(host.exporter, kind="none"),
        monitoring="none",
    )
    with local_stack(plain, tmp_path, lambda _: None) as running:
        assert running.base_url == running.gateway_url
        assert running.base_url.startswith("https://")
        assert {"ingress", "exporter"} <= set(running.missing)
