"""Keyframes from Gemini: what is sent along, which picture is taken, and every way of not getting one."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes.gemini import (
    REFUSED_OUTPUTS,
    FakeGemini,
    cut_off,
    draft_only,
    empty_answer,
    finished,
    prompt_blocked,
    text_only,
)
from fakes.http_server import Answer, HttpServer
from fakes.media import draw_picture
from model_tools import KEY, PRICES, Books, OpenGate
from PIL import Image

from downstream.domain.errors import Misconfigured, Refused, TryAgain
from downstream.domain.ports import KeyframeRequest, Picture
from downstream.providers.gemini.keyframes import GeminiKeyframes
from downstream.providers.gemini.service import GeminiService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.service import Call, Fault

REQUEST = KeyframeRequest(
    stream_id="a-story",
    segment_id="03",
    prompt="Ana stands at the planted gate.",
    negative_prompt="crowds, lettering",
    palette=("#101020", "#806040", "#f0e0c0"),
    width=1280,
    height=720,
)


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini(picture_size=(176, 99)) as fake:
        yield fake
        assert fake.violations == []


def keyframes(gemini: FakeGemini) -> GeminiKeyframes:
    return GeminiKeyframes(GeminiService(KEY, gemini.base_url, "v1", OpenGate(), PRICES))


def parts(call: Call) -> list[Any]:
    """What was sent, in order: texts, and pictures as their bytes."""
    sent: list[Any] = []
    for part in call.document["contents"][0]["parts"]:
        data = part.get("inlineData", {}).get("data", "")
        sent.append(part.get("text") or base64.urlsafe_b64decode(data))
    return sent


def test_a_still_comes_as_it_was_sent_and_costs_what_is_billed(gemini: FakeGemini) -> None:
    books = Books()

    picture = keyframes(gemini).make(REQUEST, books)

    assert Image.open(io.BytesIO(picture.data)).size == (176, 99)
    assert picture.mime_type == "image/png"
    assert (books.cost_micros, books.exact) == (gemini.spent_micro_dollars(), True)
    assert gemini.spent_micro_dollars() < keyframes(gemini).price_micros(REQUEST)


def test_shape_and_size_are_asked_for(gemini: FakeGemini) -> None:
    keyframes(gemini).make(REQUEST, Books())

    settings = gemini.calls[0].document["generationConfig"]
    assert settings["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "1K"}
    assert settings["responseModalities"] == ["IMAGE"]
    assert gemini.calls[0].parameters["model"] == PRICES.models.keyframes


def test_prompt_palette_exclusions_and_notes_are_told(gemini: FakeGemini) -> None:
    keyframes(gemini).make(replace(REQUEST, take=2, notes=("six fingers", "too dark")), Books())

    (words,) = parts(gemini.calls[0])
    for told in (REQUEST.prompt, "#101020, #806040, #f0e0c0", "crowds, lettering", "- six fingers\n- too dark", "60 %"):
        assert told in words


def test_a_still_depends_on_its_words_its_cast_and_its_take_and_on_nothing_else(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    maker = keyframes(gemini)
    maker.make(REQUEST, Books())

    assert maker.inputs(REQUEST) == {"prompt": parts(gemini.calls[0])[0], "cast_sheet": None, "take": 1}
    unlike: dict[str, Any] = {"width": 640, "height": 360, "previous": tmp_path / "02.png"}
    assert maker.inputs(replace(REQUEST, **unlike)) == maker.inputs(REQUEST)
    changes: list[dict[str, Any]] = [
        {"cast_sheet": tmp_path / "cast.png"},
        {"take": 2},
        {"notes": ("too dark",)},
        {"palette": ("#000000",)},
        {"negative_prompt": "dogs"},
        {"prompt": "Ana sits."},
    ]
    for change in changes:
        assert maker.inputs(replace(REQUEST, **change)) != maker.inputs(REQUEST)


def test_cast_and_previous_picture_are_shown_and_each_is_said_to_be_what_it_is(
    gemini: FakeGemini, tmp_path: Path
) -> None:
    cast, previous = tmp_path / "cast.png", tmp_path / "02.jpg"
    cast.write_bytes(draw_picture("cast", 64, 36))
    previous.write_bytes(draw_picture("previous", 64, 36, "image/jpeg"))

    keyframes(gemini).make(replace(REQUEST, cast_sheet=cast, previous=previous), Books())

    sent = parts(gemini.calls[0])
    assert sent[2::2] == [cast.read_bytes(), previous.read_bytes()]
    assert "reference sheet of the characters" in sent[1]
    assert "the one before in the series" in sent[3]


def test_pictures_that_are_shown_are_paid_for(tmp_path: Path) -> None:
    shown = replace(REQUEST, cast_sheet=tmp_path / "cast.png", previous=tmp_path / "02.png")
    maker = GeminiKeyframes(GeminiService(KEY, "http://127.0.0.1:1", "v1", OpenGate(), PRICES))

    assert maker.price_micros(shown) > maker.price_micros(REQUEST) > 0


def test_the_cast_sheet_shows_everybody_on_plain_ground(gemini: FakeGemini) -> None:
    keyframes(gemini).make(replace(REQUEST, segment_id="cast", prompt="Ana: a red coat"), Books())

    (words,) = parts(gemini.calls[0])
    assert "plain neutral ground" in words
    assert "Ana: a red coat" in words


def test_drafts_are_skipped(gemini: FakeGemini) -> None:
    """The fake sends a draft first; a picture without one shows which was taken."""
    taken = keyframes(gemini).make(REQUEST, Books())

    gemini.drafts = False
    assert taken == keyframes(gemini).make(REQUEST, Books())


def inline(data: bytes, mime_type: str = "image/png", **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}} | more


def made_from(*sent: dict[str, Any], reason: str | None = "STOP") -> Picture:
    """What is made of an answer with these parts."""
    candidate = {"content": {"role": "model", "parts": list(sent)}, "finishReason": reason, "index": 0}
    body = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 10}}
    server = HttpServer(lambda _request: Answer.of_json(200, body))
    service = GeminiService(KEY, f"http://{server.open_port()}", "v1", OpenGate(), PRICES)
    try:
        return GeminiKeyframes(service).make(REQUEST, Books())
    finally:
        server.stop()


def test_the_last_picture_that_is_no_thought_is_the_one() -> None:
    picture = made_from(
        inline(b"draft", thought=True),
        {"text": "Here it is."},
        inline(b"first"),
        inline(b"last", "image/jpeg"),
        inline(b"afterthought", thought=True),
        {"text": "Done."},
    )

    assert picture == Picture(b"last", "image/jpeg")


@pytest.mark.parametrize("part", [inline(b""), inline(b"film", "video/mp4"), {"text": "words"}])
def test_what_is_no_picture_is_not_taken_for_one(part: dict[str, Any]) -> None:
    with pytest.raises(TryAgain, match="no picture"):
        made_from(part)


@pytest.mark.parametrize("reason", [None, "FINISH_REASON_UNSPECIFIED", "CONTINUATION", "SOMETHING_NEW", "a sentence"])
def test_an_answer_that_is_not_finished_is_not_taken(reason: str | None) -> None:
    with pytest.raises(TryAgain) as caught:
        made_from(inline(b"half"), reason=reason)

    assert "a sentence" not in str(caught.value)


# The table of refusals and hiccups: every row is HTTP 200


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"])
def test_a_refused_prompt_says_why_and_costs_what_was_read(gemini: FakeGemini, reason: str) -> None:
    check_refused(gemini, prompt_blocked(reason), reason)


@pytest.mark.parametrize("reason", REFUSED_OUTPUTS)
def test_a_refused_picture_says_why_and_costs_what_was_read(gemini: FakeGemini, reason: str) -> None:
    check_refused(gemini, finished(reason), reason)


def check_refused(gemini: FakeGemini, fault: Fault, reason: str) -> None:
    gemini.fail_next(fault)
    books = Books()

    with pytest.raises(Refused) as caught:
        keyframes(gemini).make(REQUEST, books)

    assert f"({reason})" in str(caught.value)
    assert "keyframe 03" in str(caught.value)
    assert "planted" not in str(caught.value)
    assert (books.cost_micros, books.exact) == (gemini.spent_micro_dollars(), True)


@pytest.mark.parametrize(
    "fault",
    [
        finished("NO_IMAGE"),
        finished("IMAGE_OTHER"),
        finished("OTHER"),
        finished("MALFORMED_RESPONSE"),
        text_only(),
        draft_only(),
        cut_off(),
    ],
)
def test_a_hiccup_is_tried_again_and_costs_what_is_billed(gemini: FakeGemini, fault: Fault) -> None:
    gemini.fail_next(fault)
    books = Books()

    with pytest.raises(TryAgain):
        keyframes(gemini).make(REQUEST, books)

    assert (books.cost_micros, books.exact) == (gemini.spent_micro_dollars(), True)


def test_an_empty_answer_is_tried_again_and_counts_as_the_whole_price(gemini: FakeGemini) -> None:
    gemini.fail_next(empty_answer())
    books = Books()

    with pytest.raises(TryAgain):
        keyframes(gemini).make(REQUEST, books)

    assert (books.cost_micros, books.exact) == (keyframes(gemini).price_micros(REQUEST), False)


def test_a_model_that_was_shut_down_is_named(gemini: FakeGemini) -> None:
    models = PRICES.models.model_copy(update={"keyframes": "gemini-3-pro-image-preview"})
    tokens = PRICES.tokens | {models.keyframes: PRICES.tokens_of(PRICES.models.keyframes)}
    prices = PRICES.model_copy(update={"models": models, "tokens": tokens})
    service = GeminiService(KEY, gemini.base_url, "v1", OpenGate(), prices)

    with pytest.raises(Misconfigured, match="gemini-3-pro-image-preview"):
        GeminiKeyframes(service).make(REQUEST, Books())
