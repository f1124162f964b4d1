"""What a server says of itself before a load: which model it serves, and how many tokens a text has there.

Asked over one keep-alive connection of the standard library's client, which knows no proxy but the one
that it is given, and takes a tenth of the time that others take to import.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

from instruments.errors import ConfigurationError
from instruments.target import Target
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary, measure_vocabulary

ANSWER_LIMIT_BYTES = 4 << 20
ANSWER_BOUND_S = 10.0
NOT_OFFERED = (404, 405, 501)
TOKENIZE = "/tokenize"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as GET /v1/models tells it."""

    name: str
    max_model_len: int | None  # tokens of prompt and answer together
    simulated: bool


class NotOffered(Exception):
    """The server has no such route."""


class Inquiry:
    """A few questions to a target. ConfigurationError says what is wrong with it; keys are never told."""

    def __init__(self, target: Target) -> None:
        self._base = _parts(target.base_url)
        via = self._base if target.proxy is None else _parts(target.proxy)
        self._place = self._base.netloc.rpartition("@")[2]
        self._headers = {**target.headers, "Accept": "application/json"}
        bound_s = min(ANSWER_BOUND_S, target.timeouts.total_s)
        tls = target.tls_context()
        host = via.hostname or ""
        self._prefix = self._base.path.rstrip("/")
        if tls is None:
            self._connection = http.client.HTTPConnection(host, via.port or 80, timeout=bound_s)
            if target.proxy is not None:  # which is told the whole address
                self._prefix = f"http://{self._place}{self._prefix}"
        else:
            port = via.port or (443 if target.proxy is None else 80)
            self._connection = http.client.HTTPSConnection(host, port, timeout=bound_s, context=tls)
            if target.proxy is not None:
                self._connection.set_tunnel(self._base.hostname or "", self._base.port or 443)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def models(self) -> Sequence[ServedModel]:
        """All that GET /v1/models lists; there is at least one. NotOffered where there is no such list."""
        try:
            found = [_model(one) for one in self._ask("GET", "/v1/models")["data"]]
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError):  # 1e999 is no length
            raise self._odd("/v1/models", 'a list of models under "data"') from None
        if not found:
            raise ConfigurationError(f"{self._place} serves no model", expected="one in GET /v1/models")
        return found

    def count(self, model: str, text: str) -> int:
        """Tokens of a plain prompt, special ones included. NotOffered where the server does not tell."""
        return self._tokens({"model": model, "prompt": text})

    def count_chat(self, model: str, text: str) -> int:
        """Tokens of a chat of one user message, template included. NotOffered as above."""
        return self._tokens({"model": model, "messages": [{"role": "user", "content": text}]})

    def _tokens(self, body: Mapping[str, Any]) -> int:
        answer = self._ask("POST", TOKENIZE, body)
        try:
            return int(answer["count"])
        except (LookupError, TypeError, ValueError, OverflowError):
            raise self._odd(TOKENIZE, 'a number under "count"') from None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = self._headers
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers = {**headers, "Content-Type": "application/json"}
        try:
            self._connection.request(method, self._prefix + path, body=data, headers=headers)
            answer = self._connection.getresponse()
            content = answer.read(ANSWER_LIMIT_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        # Gateways refuse what they do not pass on in ways of their own; a load can do without token counts.
        if answer.status in NOT_OFFERED or (path == TOKENIZE and answer.status != 200):
            raise NotOffered
        if answer.status != 200:
            raise self._refused(method, path, answer.status)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise self._odd(path, "JSON") from None

    def _unreachable(self, error: Exception) -> ConfigurationError:
        tls = type(error).__name__.startswith("SSL")
        return ConfigurationError(
            f"{self._place} cannot be asked",
            expected=f"an answer within {self._connection.timeout:g} s",
            seen=f"{type(error).__name__}: {error}",
            hint="--ca-file names the authority that signed the server's certificate"
            if tls
            else "look at --base-url, and whether the server is up",
        )

    def _refused(self, method: str, path: str, status: int) -> ConfigurationError:
        return ConfigurationError(
            f"{self._place} does not answer {method} {path}",
            expected="HTTP 200",
            seen=f"HTTP {status}",
            hint="--api-key-env NAME names the environment variable that holds the key"
            if status in (401, 403)
            else None,
        )

    def _odd(self, path: str, expected: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._place} answers {path} with something else than expected",
            expected=expected,
            hint="look whether the base URL is that of an OpenAI-compatible server",
        )


def vocabulary_of(inquiry: Inquiry, model: str) -> Vocabulary:
    """What words cost in the served model; WORDS_AS_TOKENS where the server does not tell.

    Costs a hundred questions or so, of a fraction of a millisecond each on a near server.
    """
    try:
        return measure_vocabulary(
            lambda text: inquiry.count(model, text), lambda text: inquiry.count_chat(model, text)
        )
    except NotOffered:
        return WORDS_AS_TOKENS


def _model(listed: Mapping[str, Any]) -> ServedModel:
    length = listed.get("max_model_len")
    return ServedModel(
        name=str(listed["id"]),
        max_model_len=None if length is None else int(length),
        # The simulator says so wherever it is asked.
        simulated="simulator" in str(listed.get("owned_by")),
    )


def _parts(url: str) -> SplitResult:
    parts = address_of(url)
    if parts is None:
        # What stands before an @ may be a password, however little the rest looks like an address.
        shown = "…@" + url.rpartition("@")[2] if "@" in url else url
        raise ConfigurationError(
            f"{shown!r} is not a base URL", expected="http://HOST[:PORT] or https://HOST[:PORT]"
        )
    return parts


def address_of(url: str) -> SplitResult | None:
    """The parts of an address that can be asked, or None where it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as the resolver will have it: no label is empty, or too long
    except ValueError:  # a port that is none, an IPv6 address without its bracket, a name that is none
        return None
    sendable = parts.path.isascii() and not any(c <= " " or c == "\x7f" for c in host + parts.path)
    return parts if parts.scheme in ("http", "https") and host and port != 0 and sendable else None
