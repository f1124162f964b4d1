"""Does it bear bad requests? Each gets its status and its envelope, and the server is well afterwards."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.smoke, pytest.mark.claim("host-a6000")]

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _still_serving(ask):
    """After each bad request a good one is answered."""
    yield
    reply = ask("are you well?", max_tokens=4)
    assert reply.status == 200
    assert reply.usage["completion_tokens"] >= 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_unknown_model_is_not_found(ask, stream):
    """An unknown model is a 404 that names the field, for streams too"""
    reply = ask("hello", model="no-such-model", stream=stream)
    assert reply.status == 404
    error = reply.document["error"]
    assert error["type"] == "NotFoundError"
    assert error["code"] == 404
    assert "no-such-model" in error["message"]


def test_malformed_json_is_refused(client):
    """A body that is not JSON is a 400 with an error object"""
    response = client.post(CHAT, content=b'{"model": ', headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["message"]


@pytest.mark.needs("context_length")
def test_a_prompt_that_does_not_fit_is_refused(ask, stack):
    """A prompt longer than the context is a 400 (or a 413 in front of it), and never a shortened prompt"""
    reply = ask("word " * (stack.max_model_len + 16))  # at least a token a word
    assert reply.status in (400, 413)
    assert reply.status == 413 or reply.document["error"]["message"]


@pytest.mark.parametrize("value", [-1, 0])
def test_max_tokens_below_one_is_refused(ask, value):
    """max_tokens of -1 or 0 is a 400"""
    reply = ask("hello", max_tokens=value)
    assert reply.status == 400
    assert reply.document["error"]["message"]
