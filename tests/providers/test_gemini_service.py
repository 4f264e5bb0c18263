"""Every way a request to Gemini can end without an answer: what is raised, what it cost, and that nothing leaks."""

from __future__ import annotations

import logging
import socket
import traceback
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fakes.gemini import FakeGemini, daily_quota, empty_answer, not_json
from fakes.http_server import Answer, HttpServer
from fakes.service import Fault
from model_tools import KEY, PRICES, Books, OpenGate

from downstream.domain.errors import (
    DownstreamError,
    InTrouble,
    Misconfigured,
    OnHold,
    PersonDecides,
    Throttled,
    TryAgain,
    Unknown,
)
from downstream.providers.gemini.request import Ask, Shown, cost_micros
from downstream.providers.gemini.service import GeminiService
from downstream.providers.gemini.troubles import Cost, quota_resets_at, trouble_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.http_server import Request

WORDS = "the planted words of the story"
ASK = Ask("plan", "gemini-3.8-flash", (WORDS,), 1000, instructions="Plan.")
QUOTE = ASK.price_micros(PRICES.tokens_of(ASK.model))


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini() as fake:
        yield fake
        assert fake.violations == []


def service(gemini: FakeGemini, *, patience: int = 0, **more: Any) -> GeminiService:
    return GeminiService(KEY, gemini.base_url, "v1", OpenGate(patience), PRICES, **more)


def failing(gemini: FakeGemini, fault: Fault, **more: Any) -> tuple[DownstreamError, Books]:
    """What a call that meets ``fault`` raises, and what it told of its cost."""
    gemini.fail_next(fault)
    return raised(service(gemini, **more))


def raised(asked: GeminiService, ask: Ask = ASK) -> tuple[DownstreamError, Books]:
    books = Books()
    with pytest.raises(DownstreamError) as caught:
        asked.ask(ask, books)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert KEY not in told
    assert WORDS not in told
    return caught.value, books


# The table of error answers


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault.status(400, reason="API_KEY_INVALID"), Misconfigured, "GOOGLE_AI_API_KEY"),
        (Fault.status(401), Misconfigured, "GOOGLE_AI_API_KEY"),
        (Fault.status(403), Misconfigured, "GOOGLE_AI_API_KEY"),
        (Fault.status(404), Misconfigured, "gemini-3.8-flash"),
        (Fault.status(400), PersonDecides, "plan"),
        (Fault.status(413), PersonDecides, "plan"),
        (Fault.status(402), OnHold, "credit"),
        (Fault.status(429), Throttled, "less haste"),
    ],
)
def test_an_error_of_ours_or_of_the_account_costs_nothing(
    gemini: FakeGemini, fault: Fault, kind: type[DownstreamError], words: str
) -> None:
    error, books = failing(gemini, fault)

    assert type(error) is kind
    assert words in str(error)
    assert (books.cost_micros, books.exact) == (0, True)


@pytest.mark.parametrize("status", [499, 500, 503, 504])
def test_a_fault_that_google_reports_may_have_been_billed(gemini: FakeGemini, status: int) -> None:
    error, books = failing(gemini, Fault.status(status, message="not now"))

    assert type(error) is InTrouble
    assert error.wait_seconds == 60
    assert (books.cost_micros, books.exact) == (QUOTE, False)


def test_an_empty_account_holds_everybody_for_an_hour(gemini: FakeGemini) -> None:
    error, _ = failing(gemini, Fault.status(402))

    assert isinstance(error, OnHold)
    assert (error.fingerprint, error.wait_seconds) == ("gemini.credit", 3600)


def test_a_used_up_day_holds_everybody_until_midnight_in_california(gemini: FakeGemini) -> None:
    error, books = failing(gemini, daily_quota())

    assert isinstance(error, OnHold)
    assert error.fingerprint == "gemini.quota"
    until = quota_resets_at(datetime.now(UTC))
    assert f"{until:%Y-%m-%d %H:%M} UTC" in str(error)
    assert 0 < error.wait_seconds <= 25 * 3600
    assert books.cost_micros == 0


@pytest.mark.parametrize(
    ("now", "reset"),
    [
        ("2026-11-23T19:00:00+00:00", "2026-11-24T08:00:00+00:00"),
        ("2026-07-01T06:59:00+00:00", "2026-07-01T07:00:00+00:00"),
        ("2026-07-01T07:00:00+00:00", "2026-07-02T07:00:00+00:00"),
        ("2026-10-31T12:00:00+00:00", "2026-11-01T07:00:00+00:00"),
        ("2026-11-01T12:00:00+00:00", "2026-11-02T08:00:00+00:00"),
    ],
)
def test_the_day_ends_at_midnight_in_california_in_summer_and_winter(now: str, reset: str) -> None:
    assert quota_resets_at(datetime.fromisoformat(now)) == datetime.fromisoformat(reset)


@pytest.mark.parametrize(
    ("said", "hint"), [("34.074824224s", 34.074824224), ("2s", 2.0), ("", None), ("soon", None), ("-1s", None)]
)
def test_the_wait_that_the_service_asks_for_is_passed_on(gemini: FakeGemini, said: str, hint: float | None) -> None:
    error, _ = failing(gemini, Fault.status(429, retry_delay=said))

    assert isinstance(error, Throttled)
    assert error.hint_seconds == hint


def test_the_services_own_words_are_never_repeated(gemini: FakeGemini) -> None:
    for status in (400, 403, 404, 429, 500):
        error, _ = failing(gemini, Fault.status(status, message=f"bad input: {WORDS} {KEY}"))
        assert "bad input" not in str(error)


# Throttled, and then


def test_a_throttled_call_that_is_let_through_later_costs_what_it_cost(gemini: FakeGemini) -> None:
    gemini.fail_next(Fault.status(429))
    books = Books()

    service(gemini, patience=1).ask(ASK, books)

    assert books.exact
    assert books.cost_micros == gemini.spent_micro_dollars()


def test_a_throttled_call_whose_second_reply_is_lost_is_unknown(gemini: FakeGemini) -> None:
    gemini.fail_next(Fault.status(429))
    gemini.fail_next(Fault.lose_reply())

    error, books = raised(service(gemini, patience=1))

    assert type(error) is Unknown
    assert books.cost_micros is None


def test_a_gate_that_never_opens_costs_nothing(gemini: FakeGemini) -> None:
    class ClosedGate:
        def run(self, send: Any, *, creates: bool = True) -> Any:  # noqa: ARG002
            raise OnHold("on hold", fingerprint="gemini.quota", wait_seconds=60)

    error, books = raised(GeminiService(KEY, gemini.base_url, "v1", ClosedGate(), PRICES))

    assert isinstance(error, OnHold)
    assert books.cost_micros == 0
    assert gemini.calls == []


# No answer


@pytest.mark.parametrize("fault", [Fault.drop(), Fault.lose_reply(), Fault.cut(), not_json()])
def test_a_request_without_an_answer_that_can_be_read_is_unknown(gemini: FakeGemini, fault: Fault) -> None:
    error, books = failing(gemini, fault)

    assert type(error) is Unknown
    assert books.cost_micros is None


def test_an_answer_that_takes_too_long_is_unknown(gemini: FakeGemini) -> None:
    error, books = failing(gemini, Fault.late(30), timeout_seconds=1.5)

    assert type(error) is Unknown
    assert "ReadTimeout" in str(error)
    assert books.cost_micros is None


def test_a_closed_port_costs_nothing() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        error, books = raised(GeminiService(KEY, address, "v1", OpenGate(), PRICES))

    assert type(error) is TryAgain
    assert "nothing was sent" in str(error)
    assert books.cost_micros == 0


def test_a_name_nobody_knows_costs_nothing() -> None:
    error, books = raised(GeminiService(KEY, "http://gemini.invalid", "v1", OpenGate(), PRICES))

    assert type(error) is TryAgain
    assert books.cost_micros == 0


@pytest.mark.parametrize("kind", ["ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"])
def test_a_connection_that_never_stood_costs_nothing(kind: str) -> None:
    trouble = trouble_of(getattr(httpx2, kind)(WORDS), "plan", ASK.model, datetime.now(UTC))

    assert (type(trouble.error), trouble.cost) == (TryAgain, Cost.NOTHING)
    assert WORDS not in str(trouble.error)


@pytest.mark.parametrize(
    "kind",
    ["ReadTimeout", "WriteTimeout", "ReadError", "WriteError", "CloseError", "RemoteProtocolError", "DecodingError"],
)
def test_a_connection_that_broke_later_is_unknown(kind: str) -> None:
    trouble = trouble_of(getattr(httpx2, kind)(WORDS), "plan", ASK.model, datetime.now(UTC))

    assert (type(trouble.error), trouble.cost) == (Unknown, Cost.UNKNOWN)
    assert WORDS not in str(trouble.error)


def answering(answer: Answer) -> tuple[DownstreamError, Books, list[Request]]:
    """What a call raises that gets just this answer, from whatever stands there."""
    seen: list[Request] = []
    server = HttpServer(lambda request: seen.append(request) or answer)
    try:
        asked = GeminiService(KEY, f"http://{server.open_port()}", "v1", OpenGate(), PRICES)
        return (*raised(asked), seen)
    finally:
        server.stop()


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"[]", b'{"error": "bad gateway"}'])
def test_a_fault_of_something_in_between_is_unknown(status: int, body: bytes) -> None:
    error, books, _ = answering(Answer(status, body))

    assert type(error) is Unknown
    assert books.cost_micros is None


@pytest.mark.parametrize("body", [b"7", b'{"candidates": 5}', b'{"usageMetadata": []}', b"\xff\xfe"])
def test_a_200_of_some_other_shape_is_unknown(body: bytes) -> None:
    error, books, _ = answering(Answer(200, body, {"content-type": "application/json"}))

    assert type(error) is Unknown
    assert books.cost_micros is None


def test_a_redirect_is_not_followed() -> None:
    error, books, seen = answering(Answer(307, b"", {"location": "http://127.0.0.1:1/elsewhere"}))

    assert type(error) is Misconfigured
    assert "GOOGLE_GEMINI_BASE_URL" in str(error)
    assert (books.cost_micros, len(seen)) == (0, 1)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, Misconfigured), (407, PersonDecides), (408, TryAgain), (429, Throttled), (204, Unknown)]
)
def test_an_answer_without_a_body_of_googles_is_told_by_its_status(status: int, kind: type[DownstreamError]) -> None:
    error, _, seen = answering(Answer(status, b"nothing to see"))

    assert type(error) is kind
    assert len(seen) == 1


def test_a_region_that_is_not_served_is_a_matter_of_the_account() -> None:
    body = {"error": {"code": 400, "message": "User location is not supported.", "status": "FAILED_PRECONDITION"}}
    error, books, _ = answering(Answer.of_json(400, body))

    assert type(error) is Misconfigured
    assert books.cost_micros == 0


@pytest.mark.parametrize(
    "details", [5, [5], [{"@type": 5}], [{"@type": "x.QuotaFailure", "violations": [3]}], [{"@type": "x.RetryInfo"}]]
)
def test_details_of_any_shape_are_survived(details: Any) -> None:
    body = {"error": {"code": 429, "message": "", "status": "RESOURCE_EXHAUSTED", "details": details}}

    assert type(answering(Answer.of_json(429, body))[0]) is Throttled


def test_a_picture_that_cannot_be_read_is_noticed_before_anything_is_sent(gemini: FakeGemini, tmp_path: Path) -> None:
    broken = tmp_path / "sheet.jpg"
    broken.write_bytes(b"no picture")

    for shown in (Shown(broken, 640), Shown(tmp_path / "missing.png"), Shown(tmp_path / "a.gif")):
        error, books = raised(service(gemini), Ask("judge", ASK.model, (shown,), 10))
        assert type(error) is TryAgain
        assert books.cost_micros == 0
    assert gemini.calls == []


# What an answer costs


def test_an_answer_costs_exactly_what_is_billed(gemini: FakeGemini) -> None:
    books = Books()

    service(gemini).ask(ASK, books)

    assert (books.cost_micros, books.exact) == (gemini.spent_micro_dollars(), True)
    assert 0 < gemini.spent_micro_dollars() < QUOTE


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"null", b"{}", b""])
def test_an_empty_answer_of_any_shape_is_read_as_one(body: bytes) -> None:
    server = HttpServer(lambda _request: Answer(200, body, {"content-type": "application/json"}))
    books = Books()

    response = GeminiService(KEY, f"http://{server.open_port()}", "v1", OpenGate(), PRICES).ask(ASK, books)
    server.stop()

    assert (response.candidates, books.cost_micros, books.exact) == (None, QUOTE, False)


def test_an_answer_that_does_not_say_its_tokens_counts_as_the_whole_price(gemini: FakeGemini) -> None:
    gemini.fail_next(empty_answer())
    books = Books()

    service(gemini).ask(ASK, books)

    assert (books.cost_micros, books.exact) == (QUOTE, False)


def test_pictures_words_and_thoughts_have_their_own_prices() -> None:
    from google.genai import types

    usage = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=268,
        candidates_token_count=1130,
        thoughts_token_count=40,
        candidates_tokens_details=[
            types.ModalityTokenCount(modality=types.MediaModality.IMAGE, token_count=1120),
            types.ModalityTokenCount(modality=types.MediaModality.TEXT, token_count=10),
        ],
    )
    banana = PRICES.tokens_of("gemini-nano-banana-2.1")

    assert cost_micros(usage, banana) == 268 * 1.5 + 50 * 7.5 + 1120 * 30
    assert cost_micros(usage.model_copy(update={"candidates_tokens_details": None}), banana) > 1130 * 30


def test_text_of_any_script_costs_no_more_than_was_reserved() -> None:
    prices = PRICES.tokens_of(ASK.model)

    japanese, english = (
        Ask("plan", ASK.model, (words,), 1000).price_micros(prices) for words in ("春" * 3000, "a" * 3000)
    )

    assert (japanese, english) == (3000 * 0.75 + 3750, 1000 * 0.75 + 3750)


def test_a_model_without_a_price_is_a_gap_in_the_table(gemini: FakeGemini) -> None:
    with pytest.raises(Misconfigured, match="gemini-9"):
        service(gemini).price_micros(Ask("plan", "gemini-9", ("words",), 1000))


# The client


def test_keys_and_addresses_in_the_environment_are_not_used(
    gemini: FakeGemini, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "somebody-elses")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1beta")

    service(gemini).ask(ASK, Books())

    call = gemini.calls[0]
    assert call.request.headers["x-goog-api-key"] == KEY
    assert call.operation == "generateContent_v1"
    assert capfd.readouterr().err == ""


def test_the_version_is_a_setting(gemini: FakeGemini) -> None:
    GeminiService(KEY, gemini.base_url, "v1beta", OpenGate(), PRICES).ask(ASK, Books())

    assert gemini.calls[0].operation == "generateContent_v1beta"


def test_a_request_is_sent_once_and_says_how_long_it_waits(gemini: FakeGemini) -> None:
    failing(gemini, Fault.status(503), timeout_seconds=90)

    assert len(gemini.calls) == 1
    assert gemini.calls[0].request.headers["x-server-timeout"] == "90"


def test_a_finish_reason_of_tomorrow_is_no_noise() -> None:
    body = {"candidates": [{"finishReason": "SOMETHING_NEW", "index": 0}], "usageMetadata": {"promptTokenCount": 1}}
    server = HttpServer(lambda _request: Answer.of_json(200, body))
    with warnings.catch_warnings(record=True) as caught:
        asked = GeminiService(KEY, f"http://{server.open_port()}", "v1", OpenGate(), PRICES)
        asked.ask(ASK, Books())
    server.stop()

    assert caught == []


def test_neither_the_service_nor_its_logs_show_the_key(gemini: FakeGemini, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asked = service(gemini)
    asked.ask(ASK, Books())

    assert KEY not in f"{asked!r} {vars(asked)!r} {caplog.text}"
    assert WORDS not in caplog.text
