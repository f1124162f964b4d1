"""Keys: digests instead of secrets, files of them, their reload, and what is never said."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from deploy.gateway.keys import KeyRing
from deploy.gateway.keys_command import new_key
from deploy.gateway.settings import SettingsError, keys_in, parse
from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    ROOT,
    Reply,
    Request,
    Upstream,
    settings_of,
    stage,
)

ALICE, BOB = "sk-alice-7d1f", "sk-bob-99a2"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def entry(name: str, key: str, **more: str) -> dict[str, str]:
    return {"name": name, "sha256": digest(key), **more}


def written(path: Path, *entries: dict[str, str]) -> str:
    path.write_text(yaml.safe_dump(list(entries)))
    return str(path)


async def test_a_digest_in_the_settings_lets_its_key_in_and_is_itself_no_key() -> None:
    async with stage(keys=[entry("alice", ALICE)]) as (upstream, running):
        for credential, status in ((ALICE, 200), (digest(ALICE), 401), (BOB, 401)):
            answer = await running.client.get("/v1/models", headers={"X-API-Key": credential})
            assert answer.status_code == status, credential
        assert len(upstream.requests) == 1
        assert [line["key"] for line in running.lines()] == ["alice", "anonymous", "anonymous"]


async def test_keys_of_a_file_stand_beside_those_of_the_environment_with_limits_of_their_own(
    tmp_path: Path,
) -> None:
    file = written(tmp_path / "keys.yaml", entry("alice", ALICE, limit="1/hour"), entry("bob", BOB))
    async with stage(keys_file=file, limits={"key": "2/hour"}) as (_, running):

        async def statuses(headers: dict[str, str]) -> list[int]:
            return [(await running.client.get("/v1/models", headers=headers)).status_code for _ in range(3)]

        assert await statuses({"X-API-Key": ALICE}) == [200, 429, 429]
        assert await statuses({"X-API-Key": BOB}) == [200, 200, 429]
        assert await statuses(AUTHORIZED) == [200, 200, 429]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "- {name: a, key: sk-plain}",
            "keys.0.key: a plain key has no place in a file; allowed: name, key_env",
        ),
        ("- {name: a, sha256: sk-plain}", "keys.0.sha256: is not a SHA-256 digest"),
        ("- {name: a, key_env: A}", "keys.0.key_env: has no place in a keys_file; allowed: sha256"),
        ("- {name: sk-plain, token: sk-plain}", "keys.0.token: a plain key has no place"),
        ("- sk-plain", "keys.0: must be a mapping; allowed: name"),
        ("sk-plain", "keys: Input should be a valid tuple"),
        ("- {name: a, sha256: sk-plain", "is not YAML (line "),
        ("keys: {sk-plain: 1}", "keys: Input should be a valid tuple"),
        ("- {name: a, sha256: sk-plain, sha256: x}", "'sha256' is given twice"),
        (f"[{{name: a, sha256: '{'0' * 64}'}}, {{name: a, sha256: '{'1' * 64}'}}]", "one entry a name"),
    ],
)
def test_a_keys_file_that_cannot_be_used_says_so_and_shows_nothing(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        keys_in(file)
    assert all(line.startswith(f"keys_file: {file}") for line in str(caught.value).splitlines())
    assert complaint in str(caught.value)
    assert "sk-plain" not in str(caught.value)


def test_a_keys_file_may_hold_its_list_under_a_name(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump({"keys": [entry("alice", ALICE)]}))
    assert [key.name for key in keys_in(file)] == ["alice"]


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([entry("suite", ALICE)], "the name 'suite' is among `keys` too"),
        ([entry("alice", "one")], "keys_file: keys.0.sha256: holds the same key as 'suite'"),
    ],
)
def test_a_file_may_not_contradict_the_settings(
    tmp_path: Path, entries: list[dict[str, str]], complaint: str
) -> None:
    settings = parse(settings_of("http://e:1", keys_file=written(tmp_path / "keys.yaml", *entries)))
    with pytest.raises(SettingsError, match=complaint):
        KeyRing(settings, {"GATEWAY_KEY": "one"})


def test_no_key_at_all_is_refused_where_one_is_required(tmp_path: Path) -> None:
    settings = parse(settings_of("http://e:1", keys=[], keys_file=written(tmp_path / "keys.yaml")))
    with pytest.raises(SettingsError, match="has no entry and there are no other keys"):
        KeyRing(settings, {})


def test_every_digest_is_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = parse(settings_of("http://e:1", keys=[entry(f"k{n}", f"key {n}") for n in range(5)]))
    ring = KeyRing(settings, {})
    compared: list[tuple[int, int]] = []

    def counting(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("deploy.gateway.keys.hmac.compare_digest", counting)
    for credential in (b"key 0", b"key 4", b"none of them", b""):
        compared.clear()
        ring.key_of(credential)
        assert compared == [(32, 32)] * 5


async def test_sighup_reads_the_file_anew_and_drops_no_stream(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def held(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(b"data: 1\n\n")
        await go.wait()
        await reply.chunk(DONE)
        await reply.end()

    path = tmp_path / "keys.yaml"
    document = {"keys": [], "keys_file": written(path, entry("alice", ALICE))}
    async with (
        Upstream().running() as upstream,
        process(tmp_path, settings_of(upstream.url, **document)) as started,
        httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
    ):

        async def status(key: str) -> int:
            return (await client.get("/v1/models", headers={"X-API-Key": key})).status_code

        async def reloaded(event: str) -> dict[str, object]:
            started.signal(signal.SIGHUP)
            return await started.event(event)

        upstream.script = held
        async with client.stream("POST", CHAT, headers={"X-API-Key": ALICE}, json={}) as response:
            parts = response.aiter_raw()
            assert await anext(parts) == b"data: 1\n\n"
            written(path, entry("bob", BOB))
            assert (await reloaded("keys_reloaded"))["keys"] == 1
            upstream.script = lambda request, reply: reply.whole(200, b"{}")
            assert (await status(ALICE), await status(BOB)) == (401, 200)
            path.write_text(f"- {{name: carol, key: {ALICE}}}")
            assert "a plain key has no place" in str((await reloaded("keys_not_reloaded"))["error"])
            assert (await status(ALICE), await status(BOB)) == (401, 200)  # the old ring stands
            go.set()
            assert b"".join([part async for part in parts]) == DONE
        started.signal(signal.SIGTERM)
        assert await started.exit_code() == 0
    assert not any(key in line for key in (ALICE, BOB) for line in started.stderr)


def gateway_command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.gateway", *words], cwd=ROOT, capture_output=True, text=True, timeout=30
    )


def test_keygen_prints_a_key_and_an_entry_that_knows_it(tmp_path: Path) -> None:
    done = gateway_command("keygen", "team-a")
    first, _, line = done.stdout.splitlines()
    key = first.rpartition(" ")[2]
    assert len(key) == len("sk-") + 43  # 32 bytes in base64 without padding: 256 / 6, rounded up
    file = tmp_path / "keys.yaml"
    file.write_text(line + "\n")
    settings = parse(settings_of("http://e:1", keys=[], keys_file=str(file)))
    found = KeyRing(settings, {}).key_of(key.encode())
    assert found is not None
    assert found.name == "team-a"
    assert (done.returncode, done.stderr) == (0, "")


def test_keygen_refuses_a_name_that_the_settings_would_refuse() -> None:
    done = gateway_command("keygen", "Team A")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the name of a key must match" in done.stderr


def test_no_two_keys_are_alike() -> None:
    assert len({new_key("a")[0] for _ in range(100)}) == 100


def test_without_a_command_the_settings_are_asked_for() -> None:
    done = gateway_command()
    assert done.returncode == 2
    assert "--config" in done.stderr


def test_the_description_is_printed_from_the_settings() -> None:
    done = gateway_command("openapi", "--config", "deploy/gateway/gateway.yaml")
    assert set(json.loads(done.stdout)["paths"]) == {
        "/v1/models", "/v1/chat/completions", "/v1/completions", "/health", "/ready",
    }  # fmt: skip
