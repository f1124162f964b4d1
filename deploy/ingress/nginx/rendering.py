"""Rendering: the template's words replaced for these settings and for what this nginx can do."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.ingress.nginx.settings import RATE, Settings

TEMPLATE = Path(__file__).with_name("nginx.conf.template")
HSTS = "add_header Strict-Transport-Security $hsts always;"  # add_header here takes the server's own away
PLACE = "/.refused/"  # a path and no @name: a request that has no readable path cannot go to a name
ASK_BOUND_S = 10.0
FRAMING_BYTES = 65_536
# What nginx refuses by itself: status, the envelope's type (the gateway's names), what is said.
# Without apostrophes: nginx has no way to write one inside its own.
REFUSALS = (
    (400, "bad_request", "This is not an HTTP request that can be understood."),
    (404, "not_found_error", "No such route."),
    (405, "method_not_allowed", "This method is not allowed here."),
    (408, "timeout_error", "The request did not arrive in time."),
    (413, "request_too_large", "The body is larger than is allowed."),
    (414, "request_too_large", "The address is longer than is allowed."),
    (431, "request_too_large", "The headers are larger than is allowed."),
    (500, "internal_error", "The ingress made a mistake."),
    (501, "bad_request", "This way to send a body is not known here."),
    (502, "upstream_error", "The gateway cannot be reached."),
    (504, "upstream_timeout", "The gateway did not answer in time."),
    (505, "bad_request", "This version of HTTP is not spoken here."),
)
LIMITED = ("rate_limit_error", "Too many requests from this address.")
RETRY_AFTER = (502, 504)


@dataclass(frozen=True)
class Nginx:
    """What an nginx can do. The defaults are those of Debian 12's."""

    version: tuple[int, ...] = (1, 22, 1)
    openssl: tuple[int, ...] = (3, 0)

    @property
    def http2_is_a_directive(self) -> bool:
        """Since 1.25.1 `http2 on;`, before it a word of `listen`."""
        return self.version >= (1, 25, 1)

    @property
    def curves(self) -> str:
        """The guideline's, less the post-quantum one where OpenSSL does not know it."""
        hybrid = "X25519MLKEM768:" if self.openssl >= (3, 5) else ""
        return f"{hybrid}X25519:prime256v1:secp384r1"


def ask(program: str) -> Nginx:
    """What `nginx -V` says of itself. OSError or ValueError when it says nothing that can be read."""
    done = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=ASK_BOUND_S, check=False)
    version = re.search(r"nginx/(\d+(?:\.\d+)+)", done.stderr)
    # "built with OpenSSL A (running with OpenSSL B)" where they differ: what runs is what counts.
    openssl = re.findall(r"OpenSSL (\d+\.\d+)", done.stderr)
    if version is None:
        raise ValueError(f"{program} -V does not say which nginx it is: {done.stderr.strip()[:200]}")
    return Nginx(_numbers(version[1]), _numbers(openssl[-1]) if openssl else (3, 0))


def render(settings: Settings, nginx: Nginx) -> str:
    """The whole configuration."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in _words(settings, nginx).items():
        text = text.replace(f"@{name}@", value)
    left = re.search(r"@[A-Z_]+@", text)
    if left is not None:
        raise ValueError(f"the template has a word that nobody replaces: {left[0]}")
    return text


def _words(settings: Settings, nginx: Nginx) -> dict[str, str]:
    port = settings.listen[0].rpartition(":")[2]
    return {
        "USER_LINE": f"user {settings.user};" if settings.user else "",
        "FOLDER": settings.folder,
        "PID": settings.pid,
        "ERROR_LOG": settings.error_log,
        "ACCESS_LOG": settings.access_log,
        "OWN_ADDRESSES": _lines(2, (f"{one} 1;" for one in settings.own_addresses)),
        "RATE": _rate(settings.rate),
        "OWN_RATE": _rate(settings.own_rate),
        "REJECT_CODE": str(settings.reject_code),
        "BURST": _burst(settings.burst),
        "OWN_BURST": _burst(settings.own_burst),
        "STREAMS": str(settings.streams),
        "OWN_STREAMS": str(settings.own_streams),
        "CERTIFICATE": settings.certificate,
        "PRIVATE_KEY": settings.private_key,
        "CURVES": nginx.curves,
        "MAX_BODY_BYTES": str(settings.max_body_bytes),
        "BODY_BUFFER_BYTES": str(settings.max_body_bytes + FRAMING_BYTES),
        "READ_TIMEOUT_S": str(settings.read_timeout_s),
        "SHUTDOWN_S": str(settings.read_timeout_s + 20),
        # One that fails is set aside for ten seconds, unless it is the only one: nginx's defaults.
        "UPSTREAMS": _lines(2, (f"server {one};" for one in settings.upstreams)),
        "KEPT_CONNECTIONS": _lines(2, _kept(settings.kept_connections)),
        "LISTEN_HTTP": _lines(2, (f"listen {one};" for one in settings.listen_http)),
        "LISTEN": _listen(settings, nginx),
        "SERVER_NAME": settings.server_name,
        "PUBLIC_PORT": "" if port == "443" else f":{port}",
        "LOCATIONS": _locations(settings),
        "ERROR_PAGES": _lines(2, _error_pages(settings)),
        "ERROR_LOCATIONS": _lines(2, _error_locations(settings)),
    }


def _kept(count: int) -> Iterable[str]:
    if count:
        yield f"keepalive {count};"
        yield ("keepalive_timeout 60s;     # less than the gateway's 75 s: the side that sends lets go first")


def _listen(settings: Settings, nginx: Nginx) -> str:
    if nginx.http2_is_a_directive:
        return _lines(2, [*(f"listen {one} ssl;" for one in settings.listen), "http2 on;"])
    return _lines(2, (f"listen {one} ssl http2;" for one in settings.listen))


def _locations(settings: Settings) -> str:
    places = ["/v1/", "= /health", "= /ready"]
    places += ["= /generate"] if settings.generate else []
    places += ["= /chat"] if settings.chat_page else []
    passed_on = "if ($untidy) { return 404; } proxy_pass http://gateway;"
    lines = [f"location {place} {{ {passed_on} }}" for place in places]
    # Without this nginx sends /v1 to /v1/ by itself.
    return _lines(2, [*lines, "location = /v1 { return 404; }"])


def _refusals(settings: Settings) -> list[tuple[int, str, str]]:
    return sorted([*REFUSALS, (settings.reject_code, *LIMITED)])


def _error_pages(settings: Settings) -> Iterable[str]:
    yield f"error_page 494 =431 {PLACE}431;"  # nginx's own number for headers that are too large
    yield from (f"error_page {status} {PLACE}{status};" for status, _, _ in _refusals(settings))


def _error_locations(settings: Settings) -> Iterable[str]:
    for status, kind, message in _refusals(settings):
        envelope = {"error": {"message": message, "type": kind, "param": None, "code": status}}
        retry = status == settings.reject_code or status in RETRY_AFTER
        yield f"location = {PLACE}{status} {{"
        yield "    internal;"
        yield "    default_type application/json;"
        yield f"    {HSTS}"
        yield "    add_header X-Request-Id $request_id_known always;"
        if retry:
            yield f"    add_header Retry-After {_retry_after_s(settings)} always;"
        yield f"    return {status} '{json.dumps(envelope)}';"
        yield "}"


def _retry_after_s(settings: Settings) -> int:
    """After so many whole seconds there is room for one request again."""
    count, period = RATE.fullmatch(settings.rate).groups()  # type: ignore[union-attr]  # checked
    return max(1, -(-(60 if period == "minute" else 1) // int(count)))


def _rate(text: str) -> str:
    count, _, period = text.partition("/")
    return f"{count}r/{period[0]}"


def _burst(count: int) -> str:
    return f" burst={count} nodelay" if count else ""  # nginx takes no burst of 0


def _lines(depth: int, lines: Iterable[str]) -> str:
    return "\n".join(f"{'    ' * depth}{line}" for line in lines)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
