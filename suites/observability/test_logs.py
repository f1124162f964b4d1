"""Can a request be followed through the logs, and do they say what failed without saying what was asked?

Workloads: `observed-mixed` and `observed-left` of test_laws.py; single requests; one stage whose engine logs
its requests, and is then killed. Bounds: `log-clock-s`. Needs: logs that can be read (a stack of ours).
Costs: 5 s, and a stage of 15 s.
"""

from __future__ import annotations

import json
import signal
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = [
    pytest.mark.observability,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("logs", "gateway"),
]

PARTS = ["gateway", pytest.param("ingress", marks=pytest.mark.needs("ingress"))]
WORKLOADS = ["observed-mixed", "observed-left"]
BOOKS = pytest.mark.needs("engine_metrics", "gateway_metrics", "prometheus", "exclusive")
WORDS, MAYBE = (str,), (str, type(None))
FIELDS = {
    "gateway": {
        **dict.fromkeys(
            ("request_id", "method", "path", "key", "client", "outcome", "event", "level", "ts"), WORDS
        ),
        **dict.fromkeys(("upstream_error", "replica"), MAYBE),
        **dict.fromkeys(("status", "bytes", "retries"), (int,)),
        "duration_s": (float, int),
        "ttft_s": (float, int, type(None)),
    },
    "ingress": {
        **dict.fromkeys(
            ("ts", "request_id", "client", "method", "path", "protocol", "tls", "completed"), WORDS
        ),
        **dict.fromkeys(("upstream", "upstream_status", "upstream_first_byte_s", "rate", "open"), WORDS),
        **dict.fromkeys(("status", "bytes"), (int,)),
        "duration_s": (float, int),
    },
}


@pytest.fixture
def staged(stage, profile):
    """A stage whose engine logs each request: vLLM when it is asked to, the simulator by its trace"""
    engine = {
        "arguments": [*profile.engine.arguments, "--enable-log-requests"],
        "simulator_arguments": [*profile.engine.simulator_arguments, "--trace", "/dev/stdout"],
    }
    return stage("logged", engine=engine, monitoring="none", exporter={"kind": "none"})


@BOOKS
@pytest.mark.parametrize("part", PARTS)
def test_every_line_of_a_log_is_an_object_and_each_request_has_its_fields(part, books, logged, documents):
    """Each line is one JSON object with level and time; a request's has the stated fields and no other"""
    for workload in WORKLOADS:
        books(workload)
    found = documents(logged(part))
    assert all(isinstance(line.get("ts"), str) for line in found), "a line without its time"
    if part == "gateway":
        assert {line.get("level") for line in found} <= {"info", "warning", "error", "critical"}
        found = [line for line in found if line["event"] == "request"]
    assert len(found) > len(WORKLOADS), "hardly a line"
    for line in found:
        assert set(line) == set(FIELDS[part]), line
        wrong = {
            name: line[name] for name, kinds in FIELDS[part].items() if not isinstance(line[name], kinds)
        }
        assert not wrong, wrong


@BOOKS
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_request_of_a_load_has_one_line(workload, part, books, logged, documents):
    """Of each request that a client sent there is one line, under its id, with the status that it got"""
    sent = {one.request_id: one for one in books(workload).measured.run.records if one.sent_ns is not None}
    lines = [line for line in documents(logged(part)) if line.get("request_id") in sent]
    counts = Counter(line["request_id"] for line in lines)
    assert {name: count for name, count in counts.items() if count > 1} == {}, "twice"
    assert sent.keys() - counts.keys() == set(), "no line"
    unlike = {
        line["request_id"]: line["status"]
        for line in lines
        if line["status"] != sent[line["request_id"]].status
    }
    assert unlike == {}, "another status than the client's"


@pytest.mark.needs("stage")
def test_an_id_joins_client_ingress_gateway_and_engine(staged, asker, visitor, logged, documents):
    """One id of a client's is on its answer, in the answer's own id, and in every log on its way"""
    wanted = f"joined-{uuid.uuid4().hex}"
    found = asker(visitor(on=staged, headers={"X-Request-Id": wanted}), staged.model)("hello", max_tokens=4)
    assert found.status == 200
    assert found.headers["x-request-id"] == wanted
    assert wanted in found.document["id"], "the engine did not hear of the client's id"
    (line,) = documents(logged("gateway", wanted, of=staged))
    assert line["request_id"] == wanted
    if staged.ingress_url:
        (line,) = documents(logged("ingress", wanted, of=staged))
        assert line["request_id"] == wanted
    assert logged("engine", wanted, of=staged), "the engine's own log has no line with it"


@pytest.mark.parametrize("odd", ["two words", "x" * 300, 'quote"brace}', "sk-looks-like-a-key", "(none)"])
def test_an_odd_id_is_replaced_by_one_of_our_own(odd, visitor, logged, documents):
    """An id that could forge a line, or none, is replaced by one of the gateway's own"""
    answer = visitor(headers={} if odd == "(none)" else {"X-Request-Id": odd}).get("/v1/models")
    given = answer.headers["x-request-id"]
    assert 16 <= len(given) <= 128
    assert given.isascii()
    assert given != odd
    (line,) = documents(logged("gateway", given))
    assert (line["path"], line["status"]) == ("/v1/models", answer.status_code)
    assert logged("gateway", json.dumps(odd)[1:-1], least=0) == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_no_prompt_and_no_answer_is_in_any_log(stream, ask, stack, logged):
    """What was asked, and what was answered, is in no part's log; nor is it when the request is refused"""
    told = f"tell {uuid.uuid4().hex} nothing"
    found = ask(told, stream=stream)
    assert found.status == 200
    refused = ask(told, stream=stream, max_tokens=10_000_000)
    assert refused.status == 400
    assert logged("gateway", found.headers["x-request-id"]), "no line at all"
    words = [told.split()[1], *([found.text] if len(found.text) > 8 else [])]
    for part in ("gateway", "ingress", "engine"):
        for word in words:
            assert logged(part, word, least=0) == [], f"{part} has it"


@pytest.mark.needs("stage")
def test_an_engine_that_logs_requests_logs_no_prompt(staged, asker, visitor, logged):
    """An engine that is asked to log its requests says their ids and lengths, and not their words"""
    secret, wanted = uuid.uuid4().hex, f"told-{uuid.uuid4().hex}"
    found = asker(visitor(on=staged, headers={"X-Request-Id": wanted}), staged.model)(
        f"tell {secret} nothing"
    )
    assert found.status == 200
    assert logged("engine", wanted, of=staged), "it logged no request"
    assert logged("engine", secret, of=staged, least=0) == []


@pytest.mark.parametrize("part", PARTS)
def test_instants_are_in_utc_and_of_now(part, visitor, logged, documents, bound):
    """A line's instant is in UTC, and lies between the sending of its request and now"""
    began, wanted = datetime.now(UTC), f"timed-{uuid.uuid4().hex}"
    assert visitor(headers={"X-Request-Id": wanted}).get("/v1/models").status_code == 200
    (line,) = documents(logged(part, wanted))
    at = datetime.fromisoformat(line["ts"])
    assert at.utcoffset() == timedelta(0), line["ts"]
    late = timedelta(seconds=bound("log-clock-s"))  # nginx writes whole seconds
    assert began - late <= at <= datetime.now(UTC) + late


@pytest.mark.needs("stage")
@pytest.mark.disruptive
def test_a_failure_is_logged_with_its_level_and_its_cause(staged, asker, visitor, logged, documents):
    """A request that fails because its engine died is an error in the log, with id, status and cause"""
    wanted = f"failed-{uuid.uuid4().hex}"
    (engine,) = [one for one in staged.components if one.name == "engine"]
    engine.signal(signal.SIGKILL)
    try:
        asking = asker(visitor(on=staged, headers={"X-Request-Id": wanted}), staged.model)
        found = asking("hello", max_tokens=4)
        assert found.status in (502, 503), found.status
        (line,) = documents(logged("gateway", wanted, of=staged))
        assert line["status"] == found.status
        assert line["level"] in ("error", "warning"), line
        assert line["upstream_error"] in ("unreachable", "disconnected") or line["outcome"] == "shed", line
    finally:
        engine.stop()
