"""Engines by a file of settings: what cannot be used, or contradicts the profile, is told before a start.

That such an engine serves is shown by tests/environments/test_laws_vllm.py, whose vLLM is started this way.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.engine import start_engine
from environments.profile import EngineProfile, PortProfile
from environments.provider import Secret, StackNotReady

LOCAL = Path("deploy/engine/settings/local.yaml")


def refused(profile: EngineProfile, folder: Path) -> str:
    with pytest.raises(StackNotReady) as error:
        start_engine(profile, PortProfile(), Secret("sk-e"), folder / "stack", folder / "logs")
    assert not (folder / "logs").exists(), "something was started"
    return str(error.value)


@pytest.mark.parametrize(
    ("model", "max_model_len", "seen"),
    [("another", 1024, "--served-model-name tiny"), ("tiny", 4096, "--max-model-len 1024")],
)
def test_a_profile_that_says_something_else_than_the_settings_is_refused(
    tmp_path: Path, model: str, max_model_len: int, seen: str
) -> None:
    profile = EngineProfile(
        "vllm", model=model, max_model_len=max_model_len, settings=LOCAL, weights=tmp_path
    )
    told = refused(profile, tmp_path)
    assert "contradict each other" in told
    assert seen in told.partition("seen:")[2]


def test_settings_that_the_launcher_refuses_are_told_in_its_words(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("model: {source: a, served_name: tiny, max_model_len: long}\n")
    told = refused(EngineProfile("vllm", settings=wrong, weights=tmp_path), tmp_path)
    assert "engine's settings cannot be used" in told
    assert "max_model_len" in told
