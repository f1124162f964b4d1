"""The ingress's configuration: what settings are refused, and that nginx takes what is made of the others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from deploy.ingress.nginx.rendering import Nginx, ask, render
from deploy.ingress.nginx.settings import Settings, SettingsError, load
from environments.certificates import make_certificates
from tests.deploy.ingress_stage import nginx

ROOT = Path(__file__).parents[2]
HOST = ROOT / "deploy" / "ingress" / "nginx" / "host.yaml"
LEAST = {"server_name": "llm.example.com", "certificate": "/c.pem", "private_key": "/k.pem"}


def rendered(program: Nginx | None = None, **changes: Any) -> str:
    settings = TypeAdapter(Settings).validate_python(LEAST | changes)
    return render(settings, program or Nginx())


def refused(folder: Path, document: object) -> str:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(SettingsError) as error:
        load(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("rate", "10 per second", "allowed: one COUNT/second or COUNT/minute"),
        ("rate", "0/second", "is not a rate"),
        ("reject_code", 418, "429 or 503"),
        ("burst", -1, "greater than or equal to 0"),
        ("own_addresses", ["all of them"], "own_addresses.0"),
        ("certificate", "/c.pem; include /etc/passwd", "must be one word"),
        ("upstreams", ["a:1 backup; }"], "upstreams.0: must be one word"),
        ("access_log", "/tmp/a\n}", "must be one word"),
        ("server_name", "a.example.com;", "server_name"),
        ("server_name", "_", "server_name"),
        ("sever_name", "x", "sever_name: Unexpected keyword argument"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(tmp_path: Path, field: str, value: object, told: str) -> None:
    complaint = refused(tmp_path, LEAST | {field: value})
    assert field in complaint
    assert told in complaint


def test_every_wrong_field_is_named_not_the_first_alone(tmp_path: Path) -> None:
    complaint = refused(tmp_path, {"server_name": "a", "rate": "fast", "burst": "much"})
    assert len(complaint.splitlines()) == 4  # two wrong, two missing


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("version", "word", "directive"),
    [
        ((1, 22, 1), True, False),
        ((1, 25, 0), True, False),
        ((1, 25, 1), False, True),
        ((1, 31, 3), False, True),
    ],
)
def test_http2_is_asked_for_as_this_version_wants_it(
    version: tuple[int, ...], word: bool, directive: bool
) -> None:
    text = rendered(Nginx(version))
    assert ("ssl http2;" in text, "http2 on;" in text) == (word, directive)


def test_the_post_quantum_curve_is_offered_where_openssl_knows_it() -> None:
    asked = re.compile(r"ssl_ecdh_curve (\S+);")
    known = asked.search(rendered(Nginx(openssl=(3, 5))))
    unknown = asked.search(rendered(Nginx(openssl=(3, 0))))
    assert known is not None
    assert known[1] == "X25519MLKEM768:X25519:prime256v1:secp384r1"
    assert unknown is not None
    assert unknown[1] == "X25519:prime256v1:secp384r1"


def test_what_nginx_says_of_itself_is_read() -> None:
    found = ask(str(nginx().path))
    assert found.version >= (1, 18)
    assert found.openssl >= (1, 1)


@pytest.mark.parametrize(
    ("rate", "directive", "retry_after"), [("10/second", "10r/s", 1), ("6/minute", "6r/m", 10)]
)
def test_a_rate_and_the_time_after_which_there_is_room_again(
    rate: str, directive: str, retry_after: int
) -> None:
    text = rendered(rate=rate)
    assert f"zone=strangers:10m rate={directive};" in text
    limited = text.partition("location = /.refused/429 {")[2].partition("}\n        location")[0]
    assert f"add_header Retry-After {retry_after} always;" in limited


def test_routes_are_let_in_only_when_asked_for() -> None:
    plain, more = rendered(), rendered(generate=True, chat_page=True)
    for place in ("= /generate", "= /chat"):
        assert f"location {place} {{" not in plain
        assert f"location {place} {{ if" in more


def test_the_redirect_goes_to_our_own_name_and_not_to_the_one_that_was_asked_for() -> None:
    assert "return 308 https://llm.example.com$request_uri;" in rendered()
    assert "https://llm.example.com:8443$request_uri;" in rendered(listen=["127.0.0.1:8443"])
    assert "308 https://$" not in rendered()


def test_a_generation_of_ten_minutes_is_waited_for() -> None:
    text = rendered()
    waited = re.search(r"proxy_read_timeout (\d+)s;", text)
    kept = re.search(r"worker_shutdown_timeout (\d+)s;", text)
    assert waited is not None
    assert kept is not None
    # The gateway's own bound is 600 s: it must be the one that says 504, in its own words.
    assert 600 < int(waited[1]) < int(kept[1])


def test_the_settings_of_a_host_promise_10_requests_a_second(
    tmp_path: Path,
) -> None:
    settings = load(HOST)
    assert (settings.rate, settings.reject_code) == ("10/second", 429)
    done = subprocess.run(
        [sys.executable, "-m", "deploy.ingress.nginx", "render", "--settings", HOST, "--output",
         tmp_path / "c"],
        cwd=ROOT, timeout=30, check=True, capture_output=True,
    )  # fmt: skip
    assert done.stdout == b""
    assert "limit_req_zone $stranger_key zone=strangers:10m rate=10r/s;" in (tmp_path / "c").read_text()


def test_the_program_says_what_is_wrong_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("server_name: a\n")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.ingress.nginx", "render", "--settings", tmp_path / "s.yaml"],
        cwd=ROOT, timeout=30, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "certificate: Field required" in done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reject_code": 503, "burst": 0, "own_burst": 0},
        {"generate": True, "chat_page": True, "rate": "600/minute"},
        {"own_addresses": ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1/32"]},
        {"upstreams": ["127.0.0.1:8080", "127.0.0.1:8081"], "listen": ["127.0.0.1:8443", "[::1]:8443"]},
    ],
    ids=["plain", "503", "all-routes", "networks", "several"],
)
def test_nginx_takes_the_configuration(tmp_path: Path, changes: dict[str, Any]) -> None:
    program = nginx()
    certificates = make_certificates(tmp_path / "tls")
    here: dict[str, Any] = {
        "certificate": str(certificates.chain),
        "private_key": str(certificates.key),
        "folder": str(tmp_path),
        "pid": str(tmp_path / "nginx.pid"),
        "access_log": str(tmp_path / "access"),
        "error_log": "stderr",
        "user": "root" if os.geteuid() == 0 else None,
        "listen": ["127.0.0.1:8443"],
        "listen_http": ["127.0.0.1:8081"],
    }
    config = tmp_path / "nginx.conf"
    config.write_text(rendered(ask(str(program.path)), **here | changes))
    done = subprocess.run(
        [program.path, "-t", "-e", "stderr", "-p", tmp_path, "-c", config],
        env={**os.environ, **program.environment}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
