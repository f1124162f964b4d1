"""The ingress's limits: so many requests of an address and no more, whatever it claims; others are free."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.deploy.ingress_stage import STRANGER, Ingress, echo, envelope, ingress
from tests.deploy.running import AUTH, simulator

MODELS = "/v1/models"
RATE, BURST = 10, 20
ADDRESSES = (f"127.0.1.{number}" for number in count(1))  # each test its own: nobody has used it before


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    with echo() as upstream, ingress(tmp_path_factory.mktemp("ingress"), upstream, burst=BURST) as running:
        yield running


def asked(client: httpx.Client, times: int, **options: dict[str, str]) -> tuple[list[httpx.Response], float]:
    """Answers, one after the other over one connection, and the seconds from the first to the last."""
    client.get("/nowhere")  # the handshake is no part of it, and what is 404 is not counted
    began = time.monotonic()
    answers = [client.get(MODELS, **options) for _ in range(times)]  # type: ignore[arg-type]
    return answers, time.monotonic() - began


def admitted_of(answers: list[httpx.Response]) -> int:
    assert {answer.status_code for answer in answers} <= {200, 429}
    return sum(answer.status_code == 200 for answer in answers)


def test_no_more_than_the_burst_and_the_rate_are_admitted(stage: Ingress) -> None:
    answers, took_s = asked(stage.client(next(ADDRESSES)), 120)
    assert 1 + BURST <= admitted_of(answers) <= 1 + BURST + RATE * took_s
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    for answer in refused:
        assert envelope(answer) == (429, "rate_limit_error")
        assert answer.headers["retry-after"] == "1"


def test_after_the_time_that_it_names_there_is_room_again(stage: Ingress) -> None:
    client = stage.client(next(ADDRESSES))
    answers, _ = asked(client, 60)
    assert answers[-1].status_code == 429
    time.sleep(int(answers[-1].headers["retry-after"]))
    assert client.get(MODELS).status_code == 200


def test_at_the_rate_that_is_promised_nothing_is_refused(stage: Ingress) -> None:
    client = stage.client(next(ADDRESSES))
    began = time.monotonic()
    for number in range(12):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        assert client.get(MODELS).status_code == 200


def test_whoever_claims_another_address_with_each_request_is_held_all_the_same(stage: Ingress) -> None:
    client = stage.client(next(ADDRESSES))
    client.get("/nowhere")
    began = time.monotonic()
    answers = []
    for number in range(120):
        claimed = f"10.1.{number // 250}.{number % 250 + 1}"
        headers = {"X-Forwarded-For": claimed, "X-Real-IP": claimed, "Forwarded": f"for={claimed}"}
        answers.append(client.get(MODELS, headers=headers))
    assert admitted_of(answers) <= 1 + BURST + RATE * (time.monotonic() - began)


def test_another_connection_is_no_way_around(stage: Ingress) -> None:
    address = next(ADDRESSES)
    clients = [stage.client(address) for _ in range(4)]
    for client in clients:
        client.get("/nowhere")
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda client: [client.get(MODELS) for _ in range(30)], clients))
    took_s = time.monotonic() - began
    assert admitted_of([answer for answers in found for answer in answers]) <= 1 + BURST + RATE * took_s


def test_while_one_address_is_held_another_is_served(stage: Ingress) -> None:
    held, _ = asked(stage.client(next(ADDRESSES)), 60)
    assert held[-1].status_code == 429
    assert stage.client(next(ADDRESSES)).get(MODELS).status_code == 200


def test_an_address_of_our_own_has_a_rate_of_its_own(stage: Ingress) -> None:
    answers, _ = asked(stage.client("127.0.0.1"), 120)
    assert admitted_of(answers) == 120


def test_the_log_says_who_was_refused(stage: Ingress) -> None:
    address = next(ADDRESSES)
    client = stage.client(address)
    asked(client, 40)
    names = [f"refused-{number}" for number in range(20)]
    refused = [
        name for name in names if client.get(MODELS, headers={"X-Request-Id": name}).status_code == 429
    ]
    line = stage.log(refused[0])
    assert (line["status"], line["rate"], line["client"]) == (429, "REJECTED", address)


def test_the_code_of_a_refusal_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    with echo() as upstream, ingress(tmp_path, upstream, burst=2, reject_code=503) as running:
        answers, _ = asked(running.client(STRANGER), 20)
        assert {answer.status_code for answer in answers} == {200, 503}
        assert envelope(answers[-1]) == (503, "rate_limit_error")


def test_an_ipv6_client_is_its_whole_network_of_64_bits_however_it_is_written(tmp_path: Path) -> None:
    """The addresses are pretended by nginx's realip module: this host need have none of them."""
    pretend = "set_real_ip_from 127.0.0.0/8; real_ip_header X-Pretended;"
    alike = ("2001:db8::1", "2001:db8::1:2:3:4", "2001:db8:0:0:1::", "2001:db8:0:0:a:b:c:d")
    others = (
        "2001:db8:0:1::1",
        "2001:db8:1::1",
        "2001::1:2:3:4:5",
        "2001::2:2:3:4:5",
        "192.0.2.1",
        "192.0.2.2",
    )
    limits = {"burst": 0, "rate": "1/minute"}
    with echo() as upstream, ingress(tmp_path, upstream, more=pretend, **limits) as running:
        client = running.client(STRANGER)
        said = {
            address: client.get(MODELS, headers={"X-Pretended": address}).status_code
            for address in (*alike, *others)
        }
    assert said == {**dict.fromkeys(alike, 429), alike[0]: 200, **dict.fromkeys(others, 200)}


def test_so_many_streams_of_an_address_and_no_more(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--ttft-ms", "20", "--itl-ms", "20") as engine,
        ingress(tmp_path, f"127.0.0.1:{engine.port}", streams=3) as running,
    ):
        body = {"model": "tiny", "prompt": "a", "max_tokens": 400, "stream": True}
        client = running.client(STRANGER, headers=AUTH)
        open_streams = []
        try:
            for _ in range(3):
                request = client.build_request("POST", "/v1/completions", json=body)
                open_streams.append(client.send(request, stream=True))
                assert open_streams[-1].status_code == 200
            fourth = client.post("/v1/completions", json=body)
            assert envelope(fourth) == (429, "rate_limit_error")
            assert running.client(headers=AUTH).get(MODELS).status_code == 200
        finally:
            for stream in open_streams:
                stream.close()
