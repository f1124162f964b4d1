"""The chat page in a real Chromium, through a real gateway, before an upstream that a test dictates."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Page, Route, async_playwright, expect

from deploy.gateway.chat import PAGE, policy
from tests.deploy.gateway_stage import DONE, SECRET, Reply, Request, Running, Upstream, stage, until

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
MODELS = b'{"object":"list","data":[{"id":"tiny","object":"model"}]}'


def token(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


def usage(tokens: int) -> bytes:
    return b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":%d}}\n\n' % tokens


@dataclass
class Engine:
    """What the upstream says: pieces of a stream, or seconds to wait before the next; or a refusal."""

    pieces: list[bytes | float | asyncio.Event] = field(default_factory=list)
    refusal: tuple[int, bytes, tuple[str, ...]] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, request: Request, reply: Reply) -> None:
        if request.target == "/v1/models":
            await reply.whole(200, MODELS)
            return
        self.asked.append(json.loads(request.body))
        if self.refusal:
            status, body, headers = self.refusal
            await reply.whole(status, body, *headers)
            return
        await reply.stream()
        for piece in self.pieces:
            if isinstance(piece, bytes):
                await reply.chunk(piece)
            elif isinstance(piece, float):
                await asyncio.sleep(piece)  # a dictated pause of the engine, not a wait of the test
            else:
                await piece.wait()
        await reply.end()


@dataclass
class Opened:
    """The page, what serves it, and every URL that the browser asked for."""

    page: Page
    engine: Engine
    upstream: Upstream
    gateway: Running
    urls: list[str]

    async def ask(self, text: str = "hello") -> None:
        await self.page.get_by_label("Message").fill(text)
        await self.page.keyboard.press("Enter")

    async def figures(self) -> str:
        await expect(self.page.locator("li.assistant .figures").last).not_to_be_empty()
        return await self.page.locator("li.assistant .figures").last.inner_text()


@asynccontextmanager
async def opened(key: str = SECRET) -> AsyncIterator[Opened]:
    engine = Engine()
    async with stage(chat_page=True) as (upstream, gateway), async_playwright() as playwright:
        upstream.script = engine
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        page.set_default_timeout(15_000)
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        await page.goto(f"{gateway.url}/chat")
        await page.get_by_label("API key").fill(key)
        await page.keyboard.press("Tab")
        yield Opened(page, engine, upstream, gateway, urls)
        await browser.close()


async def test_text_comes_as_it_is_made_and_times_are_true() -> None:
    async with opened() as chat:
        held = asyncio.Event()
        chat.engine.pieces = [
            ROLE,
            0.3,
            token("Hel"),
            0.2,
            token("lo "),
            held,
            token("there"),
            usage(3),
            DONE,
        ]
        await chat.ask()
        answer = chat.page.locator("li.assistant .text")
        await expect(answer).to_have_text("Hello ")  # while the rest is held back
        await expect(chat.page.get_by_role("button", name="Stop")).to_be_enabled()
        await asyncio.sleep(0.2)  # the third token is 0.4 s after the first, at the least
        held.set()
        await expect(answer).to_have_text("Hello there")
        said = await chat.figures()
        found = re.fullmatch(
            r"first token (.+?) · 3 tokens · ([\d.]+) tokens/s after the first · (.+?) in all", said
        )
        assert found, said
        assert milliseconds(found[1]) >= 300  # the role alone, which came at once, is no token
        assert 0 < float(found[2]) <= 5.0  # two tokens more in 0.4 s or longer
        assert milliseconds(found[3]) >= 700
        assert chat.engine.asked[0]["messages"] == [{"role": "user", "content": "hello"}]
        assert chat.engine.asked[0]["stream_options"] == {"include_usage": True}
        await expect(chat.page.get_by_role("status")).to_have_text("Answer complete.")


def milliseconds(text: str) -> float:
    number, unit = text.split(" ")
    return float(number) * {"ms": 1, "s": 1000}[unit]


@pytest.mark.parametrize("how", ["button", "Escape"])
async def test_an_answer_can_be_stopped_and_the_engine_is_let_go(how: str) -> None:
    async with opened() as chat:
        chat.engine.pieces = [ROLE, token("one "), token("two"), asyncio.Event()]
        await chat.ask()
        await expect(chat.page.locator("li.assistant .text")).to_have_text("one two")
        if how == "button":
            await chat.page.get_by_role("button", name="Stop").click()
        else:
            await chat.page.keyboard.press("Escape")
        await expect(chat.page.get_by_role("alert").last).to_have_text("Stopped by you.")
        await until(lambda: chat.upstream.serving == 0, "the engine is let go")
        await expect(chat.page.get_by_label("Message")).to_be_focused()
        chat.engine.pieces = [ROLE, token("three"), usage(1), DONE]
        await chat.ask("and then?")
        await expect(chat.page.locator("li.assistant .text").last).to_have_text("three")
        assert [one["content"] for one in chat.engine.asked[1]["messages"]] == [
            "hello",
            "one two",
            "and then?",
        ]


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (
            [ROLE, token("half"), b'data: {"error":{"message":"EngineCore died","code":500}}\n\n', DONE],
            "The engine failed in the middle of the answer: EngineCore died",
        ),
        ([ROLE, token("half")], "cut short: the stream ended without its end mark"),
    ],
    ids=["error event before [DONE]", "no [DONE]"],
)
async def test_a_broken_answer_is_never_shown_as_a_whole_one(pieces: list[Any], said: str) -> None:
    async with opened() as chat:
        chat.engine.pieces = pieces
        await chat.ask()
        await expect(chat.page.locator("li.assistant .error")).to_contain_text(said)
        await expect(chat.page.get_by_role("status")).to_have_text("The answer failed.")
        await expect(chat.page.get_by_label("Message")).to_have_value("hello")  # to be sent again
        chat.engine.pieces = [ROLE, token("whole"), usage(1), DONE]
        await chat.page.keyboard.press("Enter")
        await expect(chat.page.locator("li.assistant .text").last).to_have_text("whole")
        assert [one["content"] for one in chat.engine.asked[1]["messages"]] == ["hello"]


async def test_refusals_are_said_in_words() -> None:
    async with opened() as chat:
        chat.engine.refusal = (429, b'{"error":{"message":"slow down"}}', ("Retry-After: 7",))
        await chat.ask()
        await expect(chat.page.locator("li.assistant .error")).to_have_text(
            "Too many requests. HTTP 429, try again in 7 s: slow down"
        )
    async with opened(key="sk-wrong") as chat:
        await expect(chat.page.get_by_role("status")).to_contain_text("The key was not accepted. HTTP 401")
        await chat.ask()
        assert chat.engine.asked == []


async def test_a_question_sent_twice_by_mistake_is_asked_once() -> None:
    async with opened() as chat:
        chat.engine.pieces = [ROLE, token("x"), usage(1), DONE]
        models_wanted = asyncio.Event()

        async def late(route: Route) -> None:
            await models_wanted.wait()
            await route.continue_()

        await chat.page.route("**/v1/models", late)
        await chat.page.evaluate("document.getElementById('model').replaceChildren()")
        await chat.ask()
        await chat.page.keyboard.press("Enter")  # while the models are still looked up
        models_wanted.set()
        await chat.figures()
        await expect(chat.page.get_by_role("button", name="Stop")).to_be_disabled()
        assert await chat.page.locator("li.user").count() == 1
        assert len(chat.engine.asked) == 1


async def test_the_key_is_in_no_address_and_no_storage() -> None:
    async with opened() as chat:
        chat.engine.pieces = [ROLE, token("x"), usage(1), DONE]
        await chat.ask()
        await chat.figures()
        kept = await chat.page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert SECRET not in kept
        assert not any(SECRET in url for url in chat.urls)
        assert SECRET not in chat.gateway.log_text
        assert await chat.page.context.storage_state() == {"cookies": [], "origins": []}
        await chat.page.reload()
        await expect(chat.page.get_by_label("API key")).to_have_value("")


async def test_what_the_model_says_is_text_and_the_page_speaks_to_nobody_else() -> None:
    async with opened() as chat:
        evil = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
        chat.engine.pieces = [ROLE, token(evil), usage(1), DONE]
        await chat.ask()
        await expect(chat.page.locator("li.assistant .text")).to_have_text(evil)
        assert await chat.page.title() == "Chat – vLLM"
        origin = chat.gateway.url
        assert all(url.startswith((origin, "data:")) for url in chat.urls)
        refused = await chat.page.evaluate(
            "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.constructor.name)"
        )
        assert refused == "TypeError"
        headers = (await chat.page.request.get(f"{origin}/chat")).headers
        assert headers["content-security-policy"] == policy(PAGE.read_bytes())
        assert "'unsafe" not in headers["content-security-policy"]


async def test_it_can_be_used_without_a_mouse_and_read_without_a_screen() -> None:
    async with opened() as chat:
        await expect(chat.page.get_by_role("status")).to_have_text("Ready.")
        await chat.page.get_by_label("Message").fill("one")
        await chat.page.keyboard.press("Shift+Enter")
        await chat.page.keyboard.type("two")
        await expect(chat.page.get_by_label("Message")).to_have_value("one\ntwo")
        chat.engine.pieces = [ROLE, token("yes"), usage(1), DONE]
        await chat.page.keyboard.press("Tab")
        await chat.page.keyboard.press("Space")  # the next thing after the message is Send
        await chat.figures()
        tree = await chat.page.locator("body").aria_snapshot()
        for line in (
            '- heading "Chat" [level=1]',
            '- textbox "API key (kept in this tab only)"',
            '- combobox "Model"',
            '- log "Conversation"',
            '- heading "You" [level=2]',
            '- heading "Answer" [level=2]',
            '- button "Send"',
            '- button "Stop" [disabled]',
            "- status",
        ):
            assert line in tree, f"{line!r} is not in\n{tree}"


PAIRS = "ink/card faint/card faint/ground ink/mine faint/mine on-action/action bad/bad-ground"


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("pair", PAIRS.split())
def test_colours_have_the_contrast_of_wcag_aa(scheme: int, pair: str) -> None:
    """4.5 to 1 for text, by the formula of WCAG 2.2, section 1.4.3."""
    block = re.findall(r":root \{(.*?)\}", PAGE.read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6});", block))
    bright, dark = sorted((luminance(colours[name]) for name in pair.split("/")), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
