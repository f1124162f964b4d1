"""What options make of a target: its key, its address, its TLS."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from instruments.cli.arguments import add_run_arguments
from instruments.cli.server import target_of
from instruments.errors import ConfigurationError

URL = "http://127.0.0.1:8000"


def options(words: str, url: str = URL) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    return parser.parse_args(["--base-url", url, *words.split()])


def test_a_target_has_the_key_and_never_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_KEY", "sk-hidden")
    target = target_of(options("--api-key-env STACK_KEY --connect-timeout 1 --request-timeout 9"))
    assert target.headers == {"Authorization": "Bearer sk-hidden"}
    assert (target.timeouts.connect_s, target.timeouts.total_s) == (1.0, 9.0)
    assert "sk-hidden" not in repr(target)


@pytest.mark.parametrize("key", ["", "sk-hidden\n", "sk-hidden é"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("STACK_KEY", key)
    with pytest.raises(ConfigurationError) as refused:
        target_of(options("--api-key-env STACK_KEY"))
    assert "STACK_KEY" in str(refused.value)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "words", "told"),
    [
        ("ftp://host", "", "is not an address"),
        ("http://", "", "is not an address"),
        ("http://host:port", "", "is not an address"),
        ("http://host/v1", "", "more than a base URL"),
        ("http://ex ample:80", "", "is not an address"),
        ("http://a..b", "", "is not an address"),
        ("http://host/?key=hunter2", "", "more than a base URL"),
        ("https://me:hunter2@host:port", "", "holds a user or a password"),
        ("http://me:hunt/er2@host", "", "holds a user or a password"),
        ("me:hunter2@host", "", "holds a user or a password"),
        ("//me:hunter2@host", "", "holds a user or a password"),
        (URL, "--proxy me:hunter2@host:3128", "holds a user or a password"),
        ("http://user:hunter2@host", "", "holds a user or a password"),
        (URL, "--proxy http://user:hunter2@host:3128", "holds a user or a password"),
        (URL, "--proxy https://host:3128", "is not an address"),
        (URL, "--insecure", "is about TLS"),
        (URL, "--ca-file ca.pem", "is about TLS"),
        ("https://host", "--client-key key.pem", "--client-key needs --client-cert"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, words: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        target_of(options(words, url))
    assert told in str(refused.value)
    assert not {"hunter2", "er2"} & set(re.findall(r"\w+", str(refused.value)))


def test_tls_options_reach_the_target() -> None:
    target = target_of(
        options("--ca-file a.pem --client-cert c.pem --client-key k.pem --insecure", "https://host")
    )
    assert target.ca_file == Path("a.pem")
    assert (target.client_cert_file, target.client_key_file) == (Path("c.pem"), Path("k.pem"))
    assert not target.verify
    assert target_of(options("", "https://host")).verify
