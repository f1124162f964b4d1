"""Does it serve? Health, models, chat and completions, streams, cancellation."""

from __future__ import annotations

import time

import pytest

pytestmark = [pytest.mark.smoke, pytest.mark.claim("eks-s3", "host-a6000", "gateway-rtx3090")]

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
FREED_WITHIN_S = 1.0


@pytest.mark.needs("gateway")
@pytest.mark.parametrize("route", ["/health", "/ready"])
def test_it_says_that_it_is_well(client, route):
    """Health and readiness answer 200, to anybody"""
    assert client.get(route, headers={"Authorization": ""}).status_code == 200


def test_the_model_is_listed(client, stack):
    """The served model is in the list of models"""
    response = client.get("/v1/models")
    assert response.status_code == 200
    assert stack.model in [model["id"] for model in response.json()["data"]]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS], ids=["chat", "completions"])
def test_streaming_and_plain_answers_agree(ask, stack, path):
    """A greedy answer has the same text and the same usage whether it is streamed or not"""
    prompt = f"tell me about rivers and stones, number {path}"
    plain, streamed = ask(prompt, path=path), ask(prompt, path=path, stream=True)
    assert (plain.status, streamed.status) == (200, 200)
    assert plain.text
    if "exclusive" not in stack.missing:
        # Beside other load a GPU's kernels may round differently, and a greedy text may differ with it.
        assert streamed.text == plain.text
    counted = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert {name: streamed.usage[name] for name in counted} == {name: plain.usage[name] for name in counted}
    assert streamed.finish_reason == plain.finish_reason


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS], ids=["chat", "completions"])
def test_the_length_asked_for_is_the_length_given(ask, path):
    """max_tokens is kept to the token, and finish_reason says so"""
    reply = ask("count to a hundred", path=path, max_tokens=17)
    assert reply.usage["completion_tokens"] == 17
    assert reply.finish_reason == "length"


def test_events_come_in_order(ask):
    """A chat stream is role, content, finish_reason, usage, [DONE], in this order"""
    reply = ask("tell me about bridges", stream=True)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    with_choices = [event["choices"][0] for event in reply.events if event["choices"]]
    assert with_choices[0]["delta"].get("role") == "assistant"
    assert not with_choices[0]["delta"].get("content")
    finished = [bool(choice.get("finish_reason")) for choice in with_choices]
    assert finished == [False] * (len(finished) - 1) + [True]
    last = reply.events[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 24
    assert reply.done
    assert reply.body.rstrip().endswith("data: [DONE]")


def test_tokens_arrive_while_they_are_made(ask, stack):
    """A stream is not held back: its events arrive spread over the time that the answer takes"""
    reply = ask("tell me a long story", stream=True, max_tokens=min(400, (stack.max_model_len or 800) // 2))
    assert reply.status == 200
    arrivals = reply.arrivals_s
    # In one burst, next to no time lies between first and last; evenly spread, all but the first token's.
    spread = (arrivals[-1] - arrivals[0]) / arrivals[-1]
    assert spread > 0.25, f"the first after {arrivals[0]:.3f} s, the last after {arrivals[-1]:.3f} s"
    distinct = len({round(at, 3) for at in arrivals})
    assert distinct >= 8, f"{distinct} different milliseconds for {len(arrivals)} events"


@pytest.mark.needs("engine_metrics", "exclusive")
def test_a_client_that_leaves_frees_its_slot(client, stack, scrape):
    """A stream that is abandoned in the middle stops being generated"""
    asked = (stack.max_model_len or 1024) - 100
    body = {
        "model": stack.model,
        "messages": [{"role": "user", "content": "write on and on"}],
        "max_tokens": asked,
        "ignore_eos": True,
        "stream": True,
    }
    before = scrape.snapshot().total("vllm:generation_tokens_total") or 0.0
    with client.stream("POST", CHAT, json=body) as response:
        assert response.status_code == 200
        next(response.iter_lines())
    left = time.monotonic()
    while (running := scrape.snapshot().total("vllm:num_requests_running")) and (
        time.monotonic() - left < FREED_WITHIN_S
    ):
        time.sleep(0.02)
    made = (scrape.snapshot().total("vllm:generation_tokens_total") or 0.0) - before
    assert running == 0, f"{running} still running {FREED_WITHIN_S} s after the client left"
    assert made < asked / 2, f"{made:.0f} of {asked} tokens were made for a client that had left"
