"""What all the fakes have in common, and all of them together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from jsonschema import Draft202012Validator

from fakes.contract import Contract
from fakes.gemini import FakeGemini
from fakes.plausible import plausible, standard_schema
from fakes.services import Services

if TYPE_CHECKING:
    from fakes.service import Call

WRITER = "/v1/models/gemini-3.8-flash:generateContent"
BODY = {"contents": [{"parts": [{"text": "Scene 3"}]}]}


def ask(gemini: FakeGemini) -> httpx.Response:
    return httpx.post(gemini.base_url + WRITER, json=BODY, headers={"x-goog-api-key": gemini.key}, timeout=30)


def test_listeners_hear_of_a_call_three_times_after_it_was_billed() -> None:
    heard: list[tuple[str, bool, int]] = []
    finished = Event()

    def listen(moment: str, call: Call) -> None:
        heard.append((moment, call.mentions("Scene 3"), len(gemini.bill)))
        if moment == "after_reply":
            finished.set()

    with FakeGemini() as gemini:
        gemini.on_request(listen)
        for _ in range(2):
            finished.clear()
            ask(gemini)
            assert finished.wait(10)  # the client may have its reply a moment before the server's thread goes on
    moments = ["accepted", "before_reply", "after_reply"]
    assert heard == [(moment, True, 1) for moment in moments] + [(moment, True, 2) for moment in moments]


def test_calls_are_answered_side_by_side() -> None:
    together = Barrier(4)

    def wait_for_the_others(moment: str, _call: Call) -> None:
        if moment == "accepted":
            together.wait(30)

    with FakeGemini() as gemini:
        gemini.on_request(wait_for_the_others)
        threads = [Thread(target=ask, args=(gemini,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert gemini.most_at_once == {"generateContent_v1": 4}


def test_a_fake_that_breaks_its_own_contract_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="is not of type 'string'"), FakeGemini() as gemini:  # noqa: PT012
        gemini.handlers["getModel_v1"] = lambda call: gemini._model(call).__class__.of_json(200, {"name": 7})
        httpx.get(f"{gemini.base_url}/v1/models/x", headers={"x-goog-api-key": gemini.key})


def test_half_a_request_is_none() -> None:
    with FakeGemini() as gemini:
        address = urlsplit(gemini.base_url)
        head = f"POST {WRITER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.sendall(head.encode() + b"{")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        assert (gemini.calls, gemini.violations, gemini.bill) == ([], [], [])


def test_a_client_that_keeps_waiting_does_not_keep_a_fake_from_stopping() -> None:
    failures: list[Exception] = []
    accepted = Event()

    def wait_for_ever() -> None:
        try:
            ask(gemini)
        except httpx.HTTPError as error:
            failures.append(error)

    with FakeGemini(text_latency_seconds=60) as gemini:
        gemini.on_request(lambda _moment, _call: accepted.set())
        client = Thread(target=wait_for_ever)
        client.start()
        assert accepted.wait(5)
    client.join(timeout=5)
    assert [type(error) for error in failures] == [httpx.RemoteProtocolError]


def test_the_environment_points_at_all_four_services() -> None:
    with Services() as services:
        settings = services.environment()
        headers = {"Authorization": f"Bearer {settings['REPLICATE_API_TOKEN']}"}
        assert httpx.get(f"{settings['REPLICATE_BASE_URL']}/v1/account", headers=headers).status_code == 200
        assert ask(services.gemini).status_code == 200
        assert Path(settings["SSL_CERT_FILE"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
        assert settings["SMTP_URL"] == f"smtps://downstream:planted%3Ap%40ss%2Fword@127.0.0.1:{services.smtp.port}"
        assert [charge.service for charge in services.bill] == ["gemini"]
        assert (services.violations, services.faults_left) == ([], 0)


def test_the_fakes_run_as_a_program_of_their_own() -> None:
    tests = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, "-m", "fakes"], cwd=tests, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        settings = dict(program.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(10))
        answer = httpx.get(f"{settings['VERCEL_BASE_URL']}/v9/projects/x")
        program.send_signal(signal.SIGTERM)
        assert (answer.status_code, program.wait(timeout=10)) == (403, 0)


@pytest.mark.parametrize("name", ["gemini", "replicate", "vercel"])
def test_the_examples_in_a_contract_satisfy_it(name: str) -> None:
    contract = Contract(name)
    schemas = contract.document["components"]["schemas"]
    examples = {key: schema["example"] for key, schema in schemas.items() if "example" in schema}
    assert [problem for key, value in examples.items() for problem in contract.schema_problems(key, value)] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 200, "maxLength": 210},
        {"type": "string", "pattern": r"^[a-z]{2}-\d{3}(x|y)?$"},
        {"type": "integer", "minimum": 3, "maximum": 4},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
        {"type": "integer", "maximum": -7, "multipleOf": 7},
        {"type": "array", "items": {"type": "integer"}, "minItems": 3},
        {"type": "array", "maxItems": 0},
        {"type": ["null", "boolean"]},
        {"anyOf": [{"const": "a"}, {"type": "null"}]},
        {"enum": ["push_in", "rest"]},
        {"$ref": "#/$defs/Leaf", "$defs": {"Leaf": {"type": "object", "properties": {"size": {"type": "number"}}}}},
        {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}], "required": ["a", "b"]},
    ],
)
def test_a_plausible_answer_is_valid(schema: dict[str, Any]) -> None:
    assert list(Draft202012Validator(schema).iter_errors(plausible(schema))) == []


def test_geminis_dialect_becomes_json_schema() -> None:
    dialect = {
        "type": "ARRAY",
        "min_items": "2",
        "items": {"type": "STRING", "nullable": True},
        "property_ordering": [],
    }
    text = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert standard_schema(dialect) == {"type": "array", "minItems": 2, "items": text}
