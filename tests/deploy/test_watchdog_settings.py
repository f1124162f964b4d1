"""The watchdog's settings, its backoff by hand, and what it reads of a page of metrics."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.watchdog.backoff import Backoff
from deploy.watchdog.checks import total
from deploy.watchdog.settings import Restarts, SettingsError, load

ROOT = Path(__file__).parents[2]
SET = {"VLLM_API_KEY": "k", "GATEWAY_KEY": "k"}


def test_the_delays_double_to_the_longest_and_begin_anew_after_a_stable_time() -> None:
    rule = Restarts(
        first_delay_s=1, longest_delay_s=5, jitter_share=0, stable_after_s=60, most=9, within_s=600
    )
    backoff = Backoff(rule, random.Random(0))
    assert [backoff.delay_s(now, up_for_s=0) for now in range(4)] == [1, 2, 4, 5]
    assert backoff.delay_s(100, up_for_s=59) == 5
    assert backoff.delay_s(200, up_for_s=60) == 1


def test_it_gives_up_at_the_failure_after_the_most_restarts_in_the_window() -> None:
    rule = Restarts(most=2, within_s=10, jitter_share=0)
    backoff = Backoff(rule, random.Random(0))
    assert [backoff.delay_s(now, 0) is None for now in (0, 5, 9)] == [False, False, True]
    later = Backoff(rule, random.Random(0))
    assert [later.delay_s(now, 0) is None for now in (0, 5, 10)] == [False, False, False]  # 0 left the window
    assert Backoff(Restarts(most=0), random.Random(0)).delay_s(0, 0) is None


def test_the_jitter_shortens_only_and_is_the_seeds() -> None:
    rule = Restarts(first_delay_s=10, longest_delay_s=10, jitter_share=0.2, most=50)
    runs = [
        [Backoff(rule, chance).delay_s(0, 0) for chance in [random.Random(seed)] * 20] for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert all(delay is not None and 8 <= delay <= 10 for run in runs for delay in run)
    assert len(set(runs[0])) == 20


def test_progress_is_the_sum_over_all_engines_or_nothing() -> None:
    page = 'a_total{engine="0"} 3\na_total{engine="1"} 4\nb_total 1.5\nab_total 9\n# HELP a_total x 5\n'
    assert total(page, ("a_total", "b_total")) == 8.5
    assert total(page, ("c_total",)) is None


def test_the_file_that_comes_with_it_can_be_used(tmp_path: Path) -> None:
    settings = load(ROOT / "deploy/watchdog/watchdog.yaml", SET)
    assert list(settings.children) == ["engine", "exporter", "gateway"]
    with pytest.raises(SettingsError, match="VLLM_API_KEY is not set"):
        load(ROOT / "deploy/watchdog/watchdog.yaml", {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("children: {}", "children: "),
        ("children: {engine: {command: []}}", "children.engine.command"),
        ("children: {engine: {command: [x], color: 1}}", "color"),
        ("children: {Engine: {command: [x]}}", "children.Engine"),
        ("children: {engine: {command: [x, --api-key=sk-1]}}", "environment_from"),
        ("children: {engine: {command: [x], environment: {MY_KEY: sk-1}}}", "MY_KEY looks like a secret"),
        ("children: {engine: {command: [x], health: {url: 'http://u:sk-1@h/'}}}", "health.url"),
        ("children: {engine: {command: [x], start_timeout_s: -1}}", "start_timeout_s"),
        ("children: {engine: {command: [x], folder: /no/such}}", "no folder /no/such"),
        ("restarts: {most: -1}", "restarts.most"),
        ("{", "while parsing"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_is_shown(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "watchdog.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    assert complaint in str(caught.value)
    assert "sk-1" not in str(caught.value)


def test_settings_that_cannot_be_used_are_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.watchdog", "--config", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr
