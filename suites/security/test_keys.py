"""Do keys stay secret: in logs, metrics, series, alerts, reports, answers, lists of processes?

Load: some sixty single requests with every key, right and wrong, in every place where one can be written,
errors included. Bound: not one key, nor a part of one as long as `security-key-fragment`. Needs: keys, and
what each claim looks at. Costs about 5 s.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import httpx
import pytest

from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [pytest.mark.security, pytest.mark.needs("gateway", "keys")]

MODELS, CHAT = "/v1/models", "/v1/chat/completions"
LOOKS, PAIRS = 6, 7  # looks at most, pairs of one address
WRONG = f"sk-wrong-{secrets.token_urlsafe(24)}"
# When what was shown to the gateway is known to Prometheus.
SCRAPED, SCRAPED_S = 'min(timestamp(up{job="gateway"}))', 30.0
# Written where the model's name stands: a body is the client's own text, and engines log unknown names.
NAMED = f"sk-named-{secrets.token_urlsafe(24)}"
WAYS = ["front", pytest.param("gateway", marks=pytest.mark.needs("ingress"))]


def shown_everywhere(key: str) -> Iterator[tuple[dict[str, str], str]]:
    """Headers and queries in which people put keys, whether they are read there or not."""
    yield {"Authorization": f"Bearer {key}"}, ""
    yield {"X-API-Key": key}, ""
    yield {"Authorization": f"Basic {base64.b64encode(f'suite:{key}'.encode()).decode()}"}, ""
    yield {"Authorization": key}, ""
    yield {"Cookie": f"key={key}"}, ""
    yield {"X-Request-Id": key, "Authorization": f"Bearer {key}"}, ""
    yield {"User-Agent": key, "Referer": f"https://localhost/?key={key}"}, ""
    yield {"Proxy-Authorization": f"Bearer {key}"}, ""
    yield {}, f"?api_key={key}"
    yield {"Authorization": f"Bearer {key}"}, f"?access_token={key}"


def ask_with_everything(client: httpx.Client, key: str, model: str) -> list[httpx.Response]:
    """Requests that are served, refused, wrong in every way; each shows the key somewhere."""
    answers = []
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    for headers, query in shown_everywhere(key):
        answers.append(client.get(MODELS + query, headers=headers))
        answers.append(client.post(CHAT + query, headers=headers, json={**body, "max_tokens": -1}))
        answers.append(client.get(f"/nowhere{query}", headers=headers))
    bearer = {"Authorization": f"Bearer {key}"}
    answers.append(client.post(CHAT, headers=bearer, json=body))
    answers.append(client.post(CHAT, headers=bearer, content=b"{no json"))
    answers.append(client.post(CHAT, headers=bearer, json={**body, "model": NAMED}))
    answers.append(client.post(CHAT, headers={**bearer, "Content-Type": key}, content=b"{}"))
    answers.append(client.delete(MODELS, headers=bearer))
    return answers


@pytest.fixture(scope="module")
def said() -> set[str]:
    """The ways that were asked already, as what is written stays written."""
    return set()


@pytest.fixture
def driven(guest, stack, said):
    """Traffic that shows every key everywhere, once by each way in; the keys that nobody may find."""
    known = {name: key.reveal() for name, key in stack.keys.items() if key.reveal()}
    shown, hidden = {**known, "wrong": WRONG}, {**known, "wrong": WRONG, "model": NAMED}
    ways = ["front", *(["gateway"] if stack.gateway_url != stack.base_url else [])]
    for way in ways:
        for name, key in shown.items() if way not in said else ():
            client = guest(way)
            ask_with_everything(client, key, stack.model)
            with suppress(httpx.HTTPError):  # refused by the client's own library, or by nobody
                client.get(MODELS, headers={"Authorization": f"Bearer {key}\t{name}"})
    said.update(ways)
    return hidden


def fragments(key: str, length: int) -> Iterable[bytes]:
    """The key, its encoding, and the parts of it that would make the rest easier to guess."""
    secret = key.rpartition("-")[2] if len(key.rpartition("-")[2]) >= length else key[-2 * length :]
    yield key.encode()
    yield base64.b64encode(key.encode())
    for start in range(len(secret) - length + 1):
        yield secret[start : start + length].encode()


def found_in(texts: Iterable[tuple[str, bytes]], keys: dict[str, str], length: int) -> list[str]:
    """Which key stands where, in words without the key."""
    parts = {name: tuple(dict.fromkeys(fragments(key, length))) for name, key in keys.items()}
    return [
        f"the key {name} (or a part of it) in {place}"
        for place, text in texts
        for name, looked_for in parts.items()
        if any(part in text for part in looked_for)
    ]


@pytest.mark.needs("logs")
@pytest.mark.claim("gateway-rtx3090", "host-a6000", "nobody")
def test_no_file_of_the_run_holds_a_key(driven, run_files, bound):
    """No log, record, report or time series that the run has written holds a key or a part of one"""
    files = [*run_files()]
    assert [name for name, text in files if name.endswith("logs/gateway.log") and text], "no log was written"
    keys = {name: key for name, key in driven.items() if name != "model"}
    assert found_in(files, keys, int(bound("security-key-fragment"))) == []


@pytest.mark.needs("gateway_metrics", "engine_metrics")
@pytest.mark.claim("host-a6000", "nobody")
def test_no_metric_holds_a_key(driven, stack, bound):
    """No label of the gateway's or the engine's metrics holds a key, whatever clients call their model"""
    pages = {"gateway": stack.gateway_metrics_url, "engine": f"{stack.engine_url}/metrics"}
    texts = [(name, httpx.get(url, trust_env=False, timeout=10.0).content) for name, url in pages.items()]
    assert all(b"# TYPE" in text for _, text in texts)
    assert found_in(texts, driven, int(bound("security-key-fragment"))) == []


@pytest.mark.needs("prometheus")
@pytest.mark.claim("nobody")
def test_no_series_and_no_alert_holds_a_key(driven, stack, prometheus, bound):
    """What Prometheus and Alertmanager tell whoever asks holds no key: series, targets, settings, alerts"""
    until, shown_at = time.monotonic() + SCRAPED_S, time.time()
    while (
        not (found := prometheus("/api/v1/query", query=SCRAPED)["result"])
        or float(found[0]["value"][1]) <= shown_at
    ):
        if time.monotonic() > until:
            raise ObjectiveInconclusive(f"Prometheus has not scraped the gateway for {SCRAPED_S:g} s")
        time.sleep(0.2)
    asked = {
        "series": prometheus("/api/v1/series", **{"match[]": '{__name__=~".+"}'}),
        "targets": prometheus("/api/v1/targets"),
        "configuration": prometheus("/api/v1/status/config"),
        "flags": prometheus("/api/v1/status/flags"),
        "alerts": prometheus("/api/v1/alerts"),
    }
    assert asked["series"], "Prometheus knows no series"
    texts = [(name, json.dumps(told).encode()) for name, told in asked.items()]
    if stack.alertmanager_url:
        for path in ("/api/v2/status", "/api/v2/alerts"):
            answer = httpx.get(stack.alertmanager_url + path, trust_env=False, timeout=10.0)
            texts.append((f"Alertmanager {path}", answer.content))
    assert found_in(texts, driven, int(bound("security-key-fragment"))) == []


@pytest.mark.needs("logs")
@pytest.mark.claim("nobody")
def test_the_list_of_processes_shows_no_key(driven, stack, command_lines, bound):
    """No argument of a process holds a key: the list of processes is everybody's to read"""
    lines = command_lines()
    mine = [part.pid for part in stack.components]
    assert all(pid in lines for pid in mine)
    texts = ((f"the arguments of process {pid}", line) for pid, line in lines.items())
    assert found_in(texts, driven, int(bound("security-key-fragment"))) == []


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("whose", ["suite", "wrong"])
def test_no_answer_repeats_a_key(guest, stack, bound, way, whose):
    """No answer, and no header of one, repeats the key that was shown: answers are logged by clients"""
    key = WRONG if whose == "wrong" else stack.keys[whose].reveal()
    body = {"model": stack.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    client, texts = guest(way), []
    for headers, query in shown_everywhere(key):
        if "X-Request-Id" in headers:  # a client's own name for its request comes back to it, on purpose
            continue
        for path in (MODELS, "/nowhere"):
            answer = client.get(path + query, headers=headers)
            texts.append((f"GET {path}: HTTP {answer.status_code}", told_by(answer)))
        answer = client.post(CHAT + query, headers=headers, json={**body, "max_tokens": -1})
        texts.append((f"POST {CHAT}: HTTP {answer.status_code}", told_by(answer)))
    assert found_in(texts, {whose: key}, int(bound("security-key-fragment"))) == []


def told_by(answer: httpx.Response) -> bytes:
    return json.dumps([*answer.headers.multi_items()]).encode() + answer.content


@pytest.mark.claim("host-a6000", "nobody")
def test_how_long_a_refusal_takes_tells_nothing_of_the_key(guest, stack, bound):
    """A guess that begins as the key does is refused as fast as any other, by interleaved pairs"""
    key = stack.keys["suite"].reveal()
    near, far = key[:-1] + ("A" if key[-1] != "A" else "B"), hashlib.sha256(key.encode()).hexdigest()
    far = far[: len(near)].ljust(len(near), "0")
    pairs, most, each_s = int(bound("security-timing-pairs")), bound("security-timing-s"), []
    for _ in range(LOOKS):
        each_s += [pair for _ in range(-(-pairs // PAIRS)) for pair in guessed(guest("front"), near, far)]
        low, high = interval(each_s)
        if low > most or high < -most or (low >= -most and high <= most):
            break
    assert low <= most, f"a guess that begins as the key does takes {low:.4f} s longer at least"
    assert high >= -most, f"a guess that begins as the key does takes {-high:.4f} s less at least"
    if low < -most or high > most:
        raise ObjectiveInconclusive(f"between {low:.4f} s and {high:.4f} s: this machine is too busy to tell")


def guessed(client: httpx.Client, near: str, far: str) -> list[float]:
    """How much longer the near guess took than the far one, in seconds, in pairs of changing order.

    So few of one address that no limit on guesses is met.
    """
    client.get("/health")
    each_s = []
    for number in range(PAIRS):
        took = {}
        for guess in (near, far) if number % 2 else (far, near):
            began = time.perf_counter()
            status = client.get(MODELS, headers={"X-API-Key": guess}).status_code
            took[guess] = time.perf_counter() - began
            assert status == 401
        each_s.append(took[near] - took[far])
    return each_s


def interval(values: list[float]) -> tuple[float, float]:
    """Where the median is at 99.9 %, by order statistics: a binomial count, taken as normal."""
    ordered = sorted(values)
    rank = max(1, math.floor(len(ordered) / 2 - 3.29 * math.sqrt(len(ordered)) / 2))
    return ordered[rank - 1], ordered[-rank]
