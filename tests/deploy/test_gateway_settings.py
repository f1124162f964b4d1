"""The settings file is checked whole, and every complaint names its field and what is allowed there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deploy.gateway.keys import KeyRing
from deploy.gateway.settings import DEFAULT_ROUTES, Settings, SettingsError, load, parse
from deploy.gateway.settings_clients import Bounds, Cors, Key, Limits, Queue
from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import ROOT, settings_of


def complaint_about(**changed: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(settings_of("http://127.0.0.1:1", **changed))
    return str(caught.value)


@pytest.mark.parametrize(
    ("changed", "path", "allowed"),
    [
        ({"listen": {"port": 70000}}, "listen.port:", "less than or equal to 65535 (found 70000)"),
        ({"listen": {}}, "listen.port:", "is missing"),
        ({"metrics": 9100}, "metrics:", "must be a mapping; allowed: port, host"),
        ({"upstream": {"url": "127.0.0.1:8000"}}, "upstream.url:", "http://HOST:PORT"),
        ({"upstream": {"url": "http://a:b@c:1"}}, "upstream.url:", "upstream.api_key_env"),
        ({"upstream": {"url": "http://a:1", "timeout": 3}}, "upstream.timeout:", "allowed: url, replicas"),
        ({"authentication": "none"}, "authentication:", "'required' or 'off'"),
        ({"authentication": False}, "authentication:", "'required' or 'off'"),
        ({"keys": [{"name": "A B", "key_env": "X"}]}, "keys.0.name:", "match pattern"),
        ({"keys": [{"name": "a", "key_env": "X", "limit": "5/fortnight"}]}, "keys.0.limit:", "100/second"),
        ({"limits": {"client": "0/second"}}, "limits.client:", "COUNT at least 1"),
        ({"limits": {"client": "1/second;9/hour"}}, "limits.client:", "one COUNT/PERIOD"),
        ({"limits": {"client": "1/99999999999 year"}}, "limits.client:", "PERIOD at most a year"),
        ({"trusted_proxies": ["10.0.0.0/99"]}, "trusted_proxies.0:", "not a valid IPv4 or IPv6 network"),
        (
            {"tls": {"certificate": "a", "private_key": "b", "minimum_version": "1.4"}},
            "tls.minimum_version:",
            "'1.2'",
        ),
        ({"routes": ["DELETE /v1/models"]}, "routes.0:", "(GET|POST)"),
        ({"drain_timeout_s": 0}, "drain_timeout_s:", "greater than 0"),
        ({"bounds": {"max_body_bytes": "big"}}, "bounds.max_body_bytes:", "valid integer"),
        ({"bounds": {"max_n": 0}}, "bounds.max_n:", "greater than or equal to 1"),
        ({"bounds": {"require_max_tokens": True}}, "bounds.require_max_tokens:", "give that too"),
        ({"keys": [{"name": "a"}]}, "keys.0:", "one of key_env and sha256, has none"),
        ({"keys": [{"name": "a", "key_env": "A", "sha256": "0" * 64}]}, "keys.0:", "has both"),
        ({"keys": [{"name": "a", "sha256": "0" * 63}]}, "keys.0.sha256:", "keygen NAME"),
        ({"keys": [{"name": "a", "sha256": "A" * 64}]}, "keys.0.sha256:", "64 hex digits"),
        ({"keys": [{"name": "a", "key_env": "A"}] * 2}, "keys:", "one entry a name"),
        ({"keys": [{"name": "anonymous", "key_env": "A"}]}, "keys:", "choose another"),
        ({"limits": {"key_tokens": "many"}}, "limits.key_tokens:", "100/second"),
        ({"limits": {"storage": "redis"}}, "limits.redis_url_env:", "the variable that holds its URL"),
        ({"limits": {"redis_url_env": "R"}}, "limits.redis_url_env:", "say 'storage: redis'"),
        ({"limits": {"window": "sliding"}}, "limits.window:", "allowed: moving"),
        ({"limits": {"on_storage_failure": "shrug"}}, "limits.on_storage_failure:", "'refuse' or 'allow'"),
        ({"admission": {"queued": 3}}, "admission.in_flight:", "is missing"),
        ({"admission": {"in_flight": 1, "queued": -1}}, "admission.queued:", "greater than or equal to 0"),
        ({"cors": {"origins": ["*"]}}, "cors.origins.0:", "SCHEME://HOST"),
        ({"cors": {"origins": ["https://a.example/"]}}, "cors.origins.0:", "as browsers send it"),
        ({"cors": {"origins": ["https://A.example"]}}, "cors.origins.0:", "lower case"),
        ({"routes": ["GET /health"]}, "routes.0:", "the gateway's own"),
        ({"routes": ["GET /generate"]}, "routes:", "POST /generate"),
        ({"chat_page": 3}, "chat_page:", "path of an HTML file"),
        ({"keys": []}, "keys:", "say 'authentication: off'"),
        ({"colour": "blue"}, "colour:", "allowed: listen, metrics"),
    ],
)
def test_complaint_names_the_field_and_what_is_allowed(
    changed: dict[str, Any], path: str, allowed: str
) -> None:
    text = complaint_about(**changed)
    assert path in text
    assert allowed in text


def test_all_wrong_fields_are_named_at_once() -> None:
    text = complaint_about(listen={"port": -1}, drain_timeout_s=-1, colour=1)
    assert len(text.splitlines()) == 3


def test_a_key_written_where_a_name_belongs_is_not_repeated() -> None:
    text = complaint_about(keys=[{"name": "a", "key": "sk-oops", "key_env": "sk-oops-too"}])
    assert "keys.0.key:" in text
    assert "keys.0.key_env:" in text
    assert "sk-oops" not in text


@pytest.mark.parametrize(
    "changed",
    [
        {"upstream": {"replicas": ["http://u:hunter2@h:1"]}},
        {"upstream": {"replicas": "http://u:hunter2@h:1"}},
        {"upstream": {"replicas": ["http://h:1/?key=hunter2"]}},
        {"tracing": {"endpoint": "http://u:hunter2@h/v1/traces"}},
        {"cors": {"origins": ["https://u:hunter2@h"]}},
        {"authentication": "sk-hunter2"},
        {"limits": {"client": "hunter2hunter2hunter2hunter2"}},
    ],
)
def test_a_secret_written_where_it_does_not_belong_is_not_repeated(changed: dict[str, Any]) -> None:
    assert "hunter2" not in complaint_about(**changed)


@pytest.mark.parametrize(
    "line",
    [
        "? [a]\n: 1",
        "{a: 1}: 2",
        "drain_timeout_s: 2001-99-99",
        "drain_timeout_s: !!int hunter2",
        "drain_timeout_s: !!float x",
        "drain_timeout_s: !!bool 7",
        "drain_timeout_s: !!timestamp 7",
        "drain_timeout_s: !!set [a]",
        "drain_timeout_s: !hunter2 5",
        "drain_timeout_s: *hunter2",
        "drain_timeout_s: " + "[" * 5000,
    ],
)
def test_whatever_a_file_holds_is_a_complaint_and_no_crash(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError, match=r"gateway.yaml: is (not YAML|nested)") as caught:
        load(written(tmp_path, line))
    assert "hunter2" not in str(caught.value)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text("listen: {port: 0}\nmetrics: {port: 0}\nupstream: {url: 'http://e:1'}\n" + text)
    return file


def test_off_is_a_word_in_the_file_not_a_boolean(tmp_path: Path) -> None:
    assert load(written(tmp_path, "authentication: off\n")).authentication == "off"


def test_a_tls_version_may_be_written_without_quotes(tmp_path: Path) -> None:
    settings = load(
        written(
            tmp_path,
            "authentication: off\ntls: {certificate: c, private_key: k, minimum_version: 1.3}\n",
        )
    )
    assert settings.tls is not None
    assert settings.tls.minimum_version == "1.3"


def test_a_field_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'authentication' is given twice"):
        load(written(tmp_path, "authentication: off\nauthentication: required\n"))


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "keys.1.key_env: the environment variable B is not set"),
        ({"B": "x y"}, "spaces"),
        ({"B": "one"}, "same key as 'a'"),
    ],
)
def test_secrets_must_be_there_usable_and_different(environment: dict[str, str], complaint: str) -> None:
    settings = parse(
        settings_of("http://e:1", keys=[{"name": "a", "key_env": "A"}, {"name": "b", "key_env": "B"}])
    )
    with pytest.raises(SettingsError, match=r"keys\.1\.key_env") as caught:
        KeyRing(settings, {"A": "one", **environment})
    assert complaint in str(caught.value)


async def test_process_with_bad_settings_exits_2_and_says_where(tmp_path: Path) -> None:
    document = settings_of("http://127.0.0.1:1", listen={"port": 99999})
    async with process(tmp_path, document) as started:
        assert await started.exit_code() == 2
    assert "listen.port: Input should be less than or equal to 65535 (found 99999)" in started.stderr


async def test_process_without_its_secret_exits_2(tmp_path: Path) -> None:
    async with process(tmp_path, settings_of("http://127.0.0.1:1"), {"GATEWAY_KEY": "x"}) as started:
        assert await started.exit_code() == 2
    assert any("upstream.api_key_env: the environment variable ENGINE_KEY" in line for line in started.stderr)


def test_the_example_is_the_documentation_and_loads() -> None:
    example = load(ROOT / "deploy/gateway/gateway.yaml")
    assert example.routes == DEFAULT_ROUTES
    defaults = parse(settings_of("http://127.0.0.1:8000"))
    for field in ("admission", "bounds", "cors", "openapi", "chat_page", "keys_file", "tracing"):
        assert getattr(example, field) == getattr(defaults, field), field
    assert dataclasses.replace(example.limits, client=None, anonymous=None) == defaults.limits
    assert (example.drain_timeout_s, example.body_timeout_s, example.trusted_proxies) == (20, 60, ())


def test_the_guide_names_every_field_there_is() -> None:
    guide = (ROOT / "deploy/gateway/README.md").read_text()
    table, _, rest = guide.partition("\n### Keys")
    for field in dataclasses.fields(Settings):
        assert f"`{field.name}" in table, field.name
    for block in (Bounds, Limits, Queue, Key, Cors):
        for field in dataclasses.fields(block):
            assert field.name in rest or field.name in table, f"{block.__name__}.{field.name}"
    said = rest.partition("## Bounds")[2].partition("\n## ")[0]
    for name, default in (("max_depth", 64), ("max_n", 16), ("max_messages", 2048), ("max_prompts", 128)):
        assert f"`{name}` {default}" in said
        assert getattr(Bounds(), name) == default
    assert Bounds().max_body_bytes == 4 << 20
