"""The fake Gemini, driven by the real google-genai client."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from google import genai
from google.genai import errors, types
from PIL import Image
from pydantic import BaseModel, Field

from fakes import gemini as faults
from fakes.gemini import REFUSED_OUTPUTS, FakeGemini
from fakes.media import draw_picture
from fakes.service import FOR_EVER, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

PAINTER = "gemini-nano-banana-2.1"
WRITER = "gemini-3.8-flash"


class Verdict(BaseModel):
    """What a judge might answer."""

    score: int = Field(ge=1, le=5)
    reasons: list[str] = Field(min_length=2)
    colour: str = Field(pattern="^#[0-9a-f]{6}$")
    note: str | None


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini(picture_size=(176, 99)) as service:
        yield service


@pytest.fixture
def client(gemini: FakeGemini) -> genai.Client:
    return client_of(gemini)


def client_of(gemini: FakeGemini, *, key: str = "", api_version: str = "v1", timeout: int = 5000) -> genai.Client:
    options = types.HttpOptions(base_url=gemini.base_url, api_version=api_version, timeout=timeout)
    return genai.Client(api_key=key or gemini.key, http_options=options)


def paint(client: genai.Client, prompt: str = "Scene 3", **config: Any) -> types.GenerateContentResponse:
    """Asks for a keyframe the way the program does."""
    settings = {
        "system_instruction": "Keep Ana identical.",
        "response_modalities": ["IMAGE"],
        "image_config": types.ImageConfig(aspect_ratio="16:9", image_size="1K"),
        "thinking_config": types.ThinkingConfig(thinking_level=types.ThinkingLevel.MINIMAL),
    }
    reference = types.Part.from_bytes(data=draw_picture("reference", 64, 36), mime_type="image/png")
    return client.models.generate_content(
        model=PAINTER, contents=[prompt, reference], config=types.GenerateContentConfig(**settings | config)
    )


def write(client: genai.Client, prompt: str = "Judge this", **config: Any) -> types.GenerateContentResponse:
    """Asks for JSON."""
    settings = {"response_mime_type": "application/json", "response_schema": Verdict}
    return client.models.generate_content(
        model=WRITER, contents=prompt, config=types.GenerateContentConfig(**settings | config)
    )


def picture(response: types.GenerateContentResponse) -> Image.Image:
    data = [part.inline_data.data for part in response.parts or [] if part.inline_data and not part.thought]
    return Image.open(io.BytesIO(data[-1] or b""))


def test_a_picture_comes_after_a_draft_and_decodes(gemini: FakeGemini, client: genai.Client) -> None:
    response = paint(client)
    assert [part.thought for part in response.parts or []] == [True, None]
    assert picture(response).size == (176, 99)
    assert len(picture(response).convert("RGB").getcolors(176 * 99)) > 50
    assert gemini.violations == []


def test_other_words_or_references_make_another_picture(client: genai.Client) -> None:
    first, again, other = paint(client, "one"), paint(client, "one"), paint(client, "two")
    assert picture(first).tobytes() == picture(again).tobytes() != picture(other).tobytes()


def test_without_an_aspect_ratio_the_picture_is_square(client: genai.Client) -> None:
    assert picture(paint(client, image_config=None)).size == (99, 99)


def test_a_picture_is_billed_by_its_tokens_when_it_is_accepted(gemini: FakeGemini, client: genai.Client) -> None:
    usage = paint(client, "The lighthouse").usage_metadata
    assert usage is not None
    (charge,) = gemini.bill
    prompt, thoughts = usage.prompt_token_count or 0, usage.thoughts_token_count or 0
    assert charge.micro_dollars == round(prompt * 1.5 + thoughts * 7.5 + 1120 * 30 + 0.01)
    assert (charge.what, charge.model) == ("keyframe", PAINTER)
    assert charge.call.mentions("The lighthouse")


@pytest.mark.parametrize(
    "schema", [{"response_schema": Verdict}, {"response_json_schema": Verdict.model_json_schema()}]
)
def test_a_schema_is_answered_with_something_valid(client: genai.Client, schema: dict[str, Any]) -> None:
    answer = write(client, **{"response_schema": None} | schema)
    assert Verdict.model_validate_json(answer.text or "").score == 1


def test_a_test_may_give_the_answer_by_the_words_of_the_request(gemini: FakeGemini, client: genai.Client) -> None:
    given = {"score": 5, "reasons": ["a", "b"], "colour": "#123456", "note": None}
    gemini.answer_when("strict judge", given)
    gemini.answer_when(lambda call: call.mentions("echo"), lambda request: json.dumps(request["contents"]))
    assert write(client, system_instruction="You are a strict judge.").parsed == Verdict(**given)
    assert "echo this" in (write(client, "echo this").text or "")
    assert Verdict.model_validate_json(write(client).text or "").score == 1


def test_the_models_can_be_looked_up_for_free(gemini: FakeGemini, client: genai.Client) -> None:
    assert client.models.get(model=PAINTER).name == f"models/{PAINTER}"
    with pytest.raises(errors.ClientError) as error:
        client.models.get(model="gemini-3-pro-image-preview")
    assert error.value.code == 404
    assert gemini.bill == []


def test_the_older_version_of_the_api_is_there_too(gemini: FakeGemini) -> None:
    client = client_of(gemini, api_version="v1beta")
    assert picture(paint(client)).size == (176, 99)


@pytest.mark.parametrize(("key", "code"), [("wrong", 400), (None, 403)])
def test_a_wrong_or_missing_key_is_refused(gemini: FakeGemini, key: str | None, code: int) -> None:
    headers = {"x-goog-api-key": key} if key else {}
    answer = httpx.get(f"{gemini.base_url}/v1/models/{WRITER}", headers=headers)
    assert answer.status_code == code
    assert ("API_KEY_INVALID" in answer.text) == (key is not None)


@pytest.mark.parametrize(
    "body",
    [
        {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"foo": 1}},
        {"contents": []},
        {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "no base64!"}}]}]},
        {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"responseModalities": ["IMAGE"]}},
    ],
)
def test_a_request_outside_the_contract_is_refused_and_remembered(gemini: FakeGemini, body: dict[str, Any]) -> None:
    address = f"{gemini.base_url}/v1/models/{WRITER}:generateContent"
    answer = httpx.post(address, json=body, headers={"x-goog-api-key": gemini.key})
    assert answer.status_code == 400
    assert len(gemini.violations) == 1
    assert gemini.bill == []


@pytest.mark.parametrize(
    "config", [{"response_schema": Verdict, "response_mime_type": "application/json"}, "512", "16K"]
)
def test_an_image_model_takes_no_schema_and_not_every_size(
    gemini: FakeGemini, client: genai.Client, config: Any
) -> None:
    asked = config if isinstance(config, dict) else {"image_config": types.ImageConfig(image_size=config)}
    with pytest.raises(errors.ClientError):
        paint(client, **asked)
    assert len(gemini.violations) == 1


def test_both_alphabets_of_base64_and_both_spellings_are_read(gemini: FakeGemini) -> None:
    parts = [{"inline_data": {"mime_type": "image/png", "data": data}} for data in ("-_-_", "+/+/")]
    body = {"contents": [{"parts": parts}], "generation_config": {"response_modalities": ["IMAGE"]}}
    address = f"{gemini.base_url}/v1/models/{PAINTER}:generateContent"
    assert httpx.post(address, json=body, headers={"x-goog-api-key": gemini.key}).status_code == 200
    assert gemini.violations == []


@pytest.mark.parametrize(
    ("fault", "code", "status", "says"),
    [
        (Fault.status(429), 429, "RESOURCE_EXHAUSTED", ""),
        (Fault.status(429, retry_delay="0.05s"), 429, "RESOURCE_EXHAUSTED", "0.05s"),
        (faults.daily_quota(), 429, "RESOURCE_EXHAUSTED", "PerDay"),
        (Fault.status(402), 402, "RESOURCE_EXHAUSTED", ""),
        (Fault.status(400, reason="API_KEY_INVALID"), 400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
        (Fault.status(403), 403, "PERMISSION_DENIED", ""),
        (Fault.status(404), 404, "NOT_FOUND", ""),
        (Fault.status(500), 500, "INTERNAL", ""),
        (Fault.status(503), 503, "UNAVAILABLE", ""),
        (Fault.status(504), 504, "DEADLINE_EXCEEDED", ""),
    ],
)
def test_an_error_is_answered_once_and_costs_nothing(
    gemini: FakeGemini, client: genai.Client, fault: Fault, code: int, status: str, says: str
) -> None:
    gemini.fail_next(fault)
    with pytest.raises(errors.APIError) as error:
        paint(client)
    assert (error.value.code, error.value.status) == (code, status)
    assert says in json.dumps(error.value.details)
    assert gemini.bill == []
    assert picture(paint(client)).size == (176, 99)


def test_a_blocked_prompt_has_no_candidates(gemini: FakeGemini, client: genai.Client) -> None:
    gemini.fail_next(faults.prompt_blocked())
    response = paint(client)
    assert response.candidates is None
    assert response.prompt_feedback is not None
    assert response.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT


@pytest.mark.parametrize("reason", [*REFUSED_OUTPUTS, "NO_IMAGE", "IMAGE_OTHER", "OTHER", "MALFORMED_RESPONSE"])
def test_a_refused_output_has_a_reason_and_no_parts(gemini: FakeGemini, client: genai.Client, reason: str) -> None:
    gemini.fail_next(faults.finished(reason))
    response = paint(client)
    assert response.parts is None
    assert response.candidates is not None
    assert response.candidates[0].finish_reason == reason
    assert gemini.bill[0].micro_dollars < 2000


def test_there_may_be_words_or_only_a_draft_instead_of_a_picture(gemini: FakeGemini, client: genai.Client) -> None:
    gemini.fail_next(faults.text_only())
    gemini.fail_next(faults.draft_only())
    words, draft = paint(client), paint(client)
    assert "can't draw" in (words.text or "")
    assert [part.thought for part in draft.parts or []] == [True]


def test_json_may_be_cut_off_or_the_whole_answer_empty(gemini: FakeGemini, client: genai.Client) -> None:
    gemini.fail_next(faults.cut_off())
    gemini.fail_next(faults.empty_answer())
    cut, empty = write(client), write(client)
    assert cut.parsed is None
    assert cut.candidates is not None
    assert cut.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert (empty.candidates, empty.prompt_feedback) == (None, None)
    assert len(gemini.bill) == 2


def test_the_body_may_be_something_else_or_break_off(gemini: FakeGemini, client: genai.Client) -> None:
    gemini.fail_next(faults.not_json())
    gemini.fail_next(Fault.cut())
    with pytest.raises(json.JSONDecodeError):
        write(client)
    with pytest.raises(httpx2.RemoteProtocolError):
        write(client)
    assert len(gemini.bill) == 2


def test_a_reply_may_be_lost_after_or_before_the_call_was_accepted(gemini: FakeGemini, client: genai.Client) -> None:
    gemini.fail_next(Fault.lose_reply())
    with pytest.raises(httpx2.TransportError):
        paint(client)
    assert len(gemini.bill) == 1
    gemini.fail_next(Fault.drop())
    with pytest.raises(httpx2.TransportError):
        paint(client)
    assert len(gemini.bill) == 1


def test_a_reply_may_come_too_late_and_is_billed(gemini: FakeGemini) -> None:
    gemini.fail_next(Fault.late(5))
    client = client_of(gemini, timeout=200)
    with pytest.raises(httpx2.ReadTimeout):
        write(client)
    assert len(gemini.bill) == 1


def test_a_fault_hits_only_the_calls_it_is_meant_for(gemini: FakeGemini, client: genai.Client) -> None:
    gemini.fail_next(Fault.status(503), "Scene 4", times=FOR_EVER)
    assert picture(paint(client, "Scene 3")).size == (176, 99)
    for _ in range(2):
        with pytest.raises(errors.ServerError):
            paint(client, "Scene 4")
    gemini.clear_faults()
    assert picture(paint(client, "Scene 4")).size == (176, 99)
    assert gemini.faults_left == 0
