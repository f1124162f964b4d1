"""A verdict told to a webhook: what it was, why, and where the page is; nothing secret, and nothing large.

The webhook's URL is a secret: whoever has it can post in its name. It comes from an environment variable
alone, and no message, log or error of this file holds any part of it.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from instruments.errors import ConfigurationError, SloError
from reports import wording
from reports.model import SessionReport

FORMATS = ("slack", "json")
MOST_BYTES = 4096
TRIES = 2
TIMEOUT_S = 10.0
BACKOFF_S = 1.0
_LONGEST_LINK = 1_000
_SENDING = threading.local()
_AGAIN = frozenset({408, 425, 429, *range(500, 600)})


class NotNotified(SloError):
    """The webhook did not take the verdict."""


def address_of(variable: str, environ: Mapping[str, str]) -> str:
    """The webhook's URL out of the environment. ConfigurationError, without its value, when it is no good."""
    url = environ.get(variable, "").strip()
    if not url:
        raise ConfigurationError(
            f"--url-env {variable}: this variable is not set",
            expected="the webhook's URL in it",
            hint=f"export {variable}=https://…",
        )
    if not _allowed(url):
        raise ConfigurationError(
            f"--url-env {variable}: its value is no address that a verdict is sent to",
            expected="https://HOST/…, or http:// to this machine itself, in printable ASCII",
        )
    return url


def checked_link(link: str | None) -> str | None:
    """A link that may stand in a message; ConfigurationError for any other, which does not hold it."""
    if link is None or not (link := link.strip()):
        return None
    parts = _split(link)
    if parts is None or parts[0] not in ("http", "https") or parts[1] or len(link) > _LONGEST_LINK:
        raise ConfigurationError(
            "--link: not a link that may be sent",
            expected=f"http(s)://HOST/… without user or key in it, at most {_LONGEST_LINK:,} characters",
        )
    return link


def link_of_build(environ: Mapping[str, str]) -> str | None:
    """Where the job that ran this shows its artefacts, from the variables of the CI services."""
    if environ.get("GITHUB_ACTIONS"):
        names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
        server, repository, run = (environ.get(name, "") for name in names)
        found = f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""
    else:
        found = environ.get("CI_JOB_URL") or environ.get("BUILD_URL") or ""
    try:
        return checked_link(found)
    except ConfigurationError:
        return None


def body_of(report: SessionReport, kind: str, link: str | None = None) -> bytes:
    """What is sent: fewer than MOST_BYTES, the reason cut where it must be."""
    for longest in (1_000, 300, 80, 20):
        document = _slack(report, link, longest) if kind == "slack" else _json(report, link, longest)
        body = json.dumps(document).encode()
        if len(body) < MOST_BYTES:
            return body
    raise NotNotified("the message would be too large", expected=f"fewer than {MOST_BYTES:,} bytes")


def post(
    url: str, body: bytes, *, timeout_s: float = TIMEOUT_S, tries: int = TRIES, backoff_s: float = BACKOFF_S
) -> int:
    """Send it; the status of the answer. NotNotified, without the URL, when it was not taken.

    Each try ends within `timeout_s` as a whole. Redirects are not followed: the message is for this address.
    """
    seen = ""
    for number in range(tries):
        if number:
            time.sleep(backoff_s * 2 ** (number - 1))
        answer = _bounded(lambda: _try(url, body, timeout_s), timeout_s)
        if isinstance(answer, int) and 200 <= answer < 300:
            return answer
        seen = f"HTTP {answer}" if isinstance(answer, int) else answer
        if isinstance(answer, int) and answer not in _AGAIN:
            break
    redirected = "; redirects are not followed" if seen.startswith("HTTP 3") else ""
    raise NotNotified("the webhook did not take the verdict", expected="HTTP 2xx", seen=f"{seen}{redirected}")


def _allowed(url: str) -> bool:
    parts = _split(url)
    if parts is None:
        return False
    scheme, _, host = parts
    return scheme == "https" or (scheme == "http" and _is_loopback(host))


def _split(url: str) -> tuple[str, bool, str] | None:
    """(scheme, whether there is a user, host) of a URL in printable ASCII with a host; else None."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return (parts.scheme.lower(), "@" in parts.netloc, host) if host else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _try(url: str, body: bytes, timeout_s: float) -> int | str:
    """The status, or the kind of failure in words: an error of httpx may hold the URL, its kind does not."""
    headers = {"Content-Type": "application/json", "User-Agent": "vllm-slo"}
    # Beyond this machine a proxy may stand between; to itself none does.
    beyond = urlsplit(url).scheme == "https"
    try:
        with (
            _unlogged(),
            httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=beyond) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            return answer.status_code
    except httpx.TimeoutException:
        return f"no answer within {timeout_s:g} s"
    except Exception as error:  # of a proxy's settings, of TLS: whatever it is costs no session its exit code
        return f"no answer ({type(error).__name__})"


def _bounded(call: Callable[[], int | str], bound_s: float) -> int | str:
    """The call's result; what takes longer, as a name that is looked up for minutes, is left alone."""
    answers: queue.Queue[int | str] = queue.Queue()
    threading.Thread(target=lambda: answers.put(call()), daemon=True).start()
    try:
        return answers.get(timeout=bound_s)
    except queue.Empty:
        return f"no answer within {bound_s:g} s"


def _is_anothers(_: logging.LogRecord) -> bool:
    """Whether a record of httpx, which logs the URL of every request, is of another thread's request."""
    return not getattr(_SENDING, "now", False)


@contextmanager
def _unlogged() -> Iterator[None]:
    logging.getLogger("httpx").addFilter(_is_anothers)  # once, however often
    _SENDING.now = True
    try:
        yield
    finally:
        _SENDING.now = False


def _json(report: SessionReport, link: str | None, longest: int) -> dict[str, Any]:
    session = report.session
    return {
        "run_id": wording.one_line(session.run_id, 120),
        "state": str(report.state),
        "reason": wording.one_line(report.reason, longest),
        "exit_code": report.exit_code,
        "environment": wording.one_line(session.environment, 120),
        "engine": session.engine and wording.one_line(session.engine, 120),
        "simulated": report.simulated,
        "gate": session.gate,
        "objectives": dict(sorted(_objectives(report).items())),
        "claims": {"total": len(report.claims), **dict(sorted(report.told_counts.items()))},
        "link": link,
    }


def _slack(report: SessionReport, link: str | None, longest: int) -> dict[str, str]:
    """One text, as Slack, Mattermost and Rocket.Chat read it."""
    session = report.session
    simulated = ", simulated" if report.simulated else ""
    where = wording.one_line(f"{session.run_id} on {session.environment}", 200)
    said = [
        f"*{report.state}{simulated}*: {_escaped(where)}, exit code {report.exit_code}",
        _escaped(wording.one_line(report.reason, longest)),
        f"objectives: {_said(_objectives(report))}; claims: {_said(report.told_counts)}",
    ]
    return {"text": "\n".join([*said, f"<{_escaped(link)}>"] if link else said)}


def _objectives(report: SessionReport) -> Counter[str]:
    return Counter(str(one.state) for one in report.verdicts)


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _escaped(text: str) -> str:
    """The three characters that Slack makes links and mentions of."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
