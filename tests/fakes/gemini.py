"""Stands for the Gemini API: pictures, JSON answers, what they cost, and every way it has of not giving a picture."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jsonschema import Draft202012Validator

from fakes.http_server import Answer, Request
from fakes.media import draw_picture
from fakes.plausible import plausible, standard_schema
from fakes.service import Call, FakeService, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

TextAnswer = Callable[[dict[str, Any]], dict[str, Any] | str]
"""Makes a model's answer from the request."""

REFUSED_OUTPUTS = (
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "SAFETY",
    "PROHIBITED_CONTENT",
    "BLOCKLIST",
    "SPII",
    "RECITATION",
)
"""Finish reasons that mean: not with these words."""

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_IMAGE_TOKENS = {"512": 747, "1K": 1120, "2K": 1120, "4K": 2000}
_TOKENS_PER_REFERENCE = {"IMAGE": 258, "VIDEO": 1548}
_MOST_REFERENCES = 14
_MOST_BYTES = 20_000_000
_FREE_FORM = {"responseSchema", "responseJsonSchema", "labels"}
"""Members whose own members are the caller's words, not the service's."""


def daily_quota() -> Fault:
    """429: no more today."""
    return Fault.status(429, quota_id="GenerateRequestsPerDayPerProjectPerModel")


def prompt_blocked(reason: str = "PROHIBITED_CONTENT") -> Fault:
    """The prompt is refused: feedback, no candidates."""
    return Fault(outcome="prompt_blocked", detail=reason)


def finished(reason: str) -> Fault:
    """A candidate without content: an output refused (``REFUSED_OUTPUTS``), ``NO_IMAGE``, ``OTHER``..."""
    return Fault(outcome="finished", detail=reason)


def text_only() -> Fault:
    """STOP, and words instead of a picture."""
    return Fault(outcome="text_only")


def draft_only() -> Fault:
    """STOP, and nothing but a part marked as thought."""
    return Fault(outcome="draft_only")


def cut_off() -> Fault:
    """MAX_TOKENS: the text, or nothing of a picture, breaks off in the middle."""
    return Fault(outcome="cut_off")


def empty_answer() -> Fault:
    """200 with ``{}``."""
    return Fault(outcome="empty")


def not_json() -> Fault:
    """200 with a page in HTML."""
    return Fault(outcome="undocumented_html")


class FakeGemini(FakeService):
    """``generateContent`` and the models. ``prices``: dollars per million tokens by model, as in the contract."""

    name = "gemini"
    main_operations = frozenset({"generateContent_v1", "generateContent_v1beta"})

    def __init__(
        self,
        *,
        key: str = "planted-google-key",
        picture_size: tuple[int, int] = (1376, 768),
        picture_mime_type: str = "image/png",
        keyframe_latency_seconds: float = 0.0,
        text_latency_seconds: float = 0.0,
        drafts: bool = True,
        prices: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        super().__init__()
        self.key = key
        self.picture_size = picture_size
        self.picture_mime_type = picture_mime_type
        self.keyframe_latency_seconds = keyframe_latency_seconds
        self.text_latency_seconds = text_latency_seconds
        self.drafts = drafts
        self.models = {name: model for name, model in self.contract.models.items() if _lives(model)}
        self.prices = prices or {name: model["usd_per_mtok"] for name, model in self.models.items()}
        self.text_answer: TextAnswer = self._plausible_answer
        self._answers: list[tuple[Callable[[Call], bool], TextAnswer | dict[str, Any] | str]] = []
        self.handlers = dict.fromkeys(self.main_operations, self._generate) | dict.fromkeys(
            ("getModel_v1", "getModel_v1beta"), self._model
        )

    def answer_when(self, match: Callable[[Call], bool] | str, answer: TextAnswer | dict[str, Any] | str) -> None:
        """Requests for text that match (a predicate, or words they mention) get ``answer``; the last rule wins."""
        matches = match if callable(match) else lambda call: call.mentions(match)
        self._answers.insert(0, (matches, answer))

    # Checks

    def read_body(self, request: Request) -> Any:
        return _camel_members(super().read_body(request))

    def stranger(self, call: Call) -> Answer | None:
        key = call.request.headers.get("x-goog-api-key")
        if key is None:
            return self.error(403, message="Method doesn't allow unregistered callers.")
        if key != self.key:
            return self.error(400, message="API key not valid.", reason="API_KEY_INVALID")
        return None

    def further_problems(self, call: Call) -> Iterator[str]:
        if call.operation not in self.main_operations or call.parameters["model"] not in self.models:
            return
        model = self.models[call.parameters["model"]]
        settings = call.document.get("generationConfig", {})
        blobs = [blob for _kind, blob in _references(call.document)]
        yield from (problem for blob in blobs for problem in _blob_problems(blob))
        if len(call.request.body) > _MOST_BYTES:
            yield "the request is larger than 20 MB"
        yield from (
            _image_problems(model, settings, len(blobs)) if model["kind"] == "image" else _text_problems(settings)
        )

    def error(
        self, status: int, message: str = "", retry_delay: str = "", quota_id: str = "", reason: str = ""
    ) -> Answer:
        """Google's error body. ``retry_delay`` such as ``34.07s`` becomes a RetryInfo."""
        details: list[dict[str, Any]] = []
        if reason:
            details.append({"@type": _type("ErrorInfo"), "reason": reason, "domain": "googleapis.com"})
        if quota_id:
            details.append({"@type": _type("QuotaFailure"), "violations": [{"quotaId": quota_id}]})
        if retry_delay:
            details.append({"@type": _type("RetryInfo"), "retryDelay": retry_delay})
        error: dict[str, Any] = {
            "code": status,
            "message": message or HTTPStatus(status).phrase,
            "status": _STATUS_NAMES.get(status, "INTERNAL"),
        }
        return Answer.of_json(status, {"error": error | ({"details": details} if details else {})})

    # Operations

    def _model(self, call: Call) -> Answer:
        name = call.parameters["model"]
        if name not in self.models:
            return self._unknown_model(name)
        return Answer.of_json(
            200,
            {
                "name": f"models/{name}",
                "version": "1",
                "displayName": name,
                "inputTokenLimit": 131_072,
                "outputTokenLimit": 32_768,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            },
        )

    def _generate(self, call: Call) -> Answer:
        name = call.parameters["model"]
        if name not in self.models:
            return self._unknown_model(name)
        wants_picture = self.models[name]["kind"] == "image"
        parts, details = self._picture(call) if wants_picture else self._text(call)
        document = _answer(
            name, parts, _usage(call, details, thinks="thinking" in self.models[name] or not wants_picture)
        )
        seen = _spoilt(document, call.fault)
        what = "keyframe" if wants_picture else "text"
        self._charge(
            call, what, name, self.cost(name, (seen if "usageMetadata" in seen else document)["usageMetadata"])
        )
        answer = Answer.of_json(200, seen)
        if call.fault.outcome == "undocumented_html":
            answer = Answer(200, b"<html><body>Temporarily something else</body></html>", {"content-type": "text/html"})
        answer.wait_seconds = self.keyframe_latency_seconds if wants_picture else self.text_latency_seconds
        return answer

    def cost(self, model: str, usage: Mapping[str, Any]) -> int:
        """Millionths of a dollar, half a millionth rounded up: tokens in, out by modality, and thoughts as text."""
        price = {name: Decimal(str(dollars)) for name, dollars in self.prices[model].items()}
        text = price.get("output_text", price.get("output", Decimal(0)))
        total = usage.get("promptTokenCount", 0) * price["input"] + usage.get("thoughtsTokenCount", 0) * text
        for detail in usage.get("candidatesTokensDetails", []):
            rate = price.get("output_image", text) if detail["modality"] == "IMAGE" else text
            total += detail["tokenCount"] * rate
        return int(total.quantize(Decimal(1), ROUND_HALF_UP))

    def _unknown_model(self, name: str) -> Answer:
        return self.error(404, message=f"models/{name} is not found for API version v1.")

    def _picture(self, call: Call) -> tuple[list[dict[str, Any]], tuple[str, int]]:
        config = call.document.get("generationConfig", {}).get("imageConfig", {})
        size = config.get("imageSize", "1K")
        width, height = self._size(config.get("aspectRatio", "1:1"), size)
        recipe = call.words + "".join(_digest(blob) for _kind, blob in _references(call.document))
        parts = [_picture_part(recipe, width, height, self.picture_mime_type) | {"thoughtSignature": "QUJD"}]
        if self.drafts and "thinking" in self.models[call.parameters["model"]]:
            draft = _picture_part(f"draft {recipe}", width, height, self.picture_mime_type)
            parts.insert(0, draft | {"thought": True})
        return parts, ("IMAGE", _IMAGE_TOKENS[size])

    def _size(self, aspect_ratio: str, image_size: str) -> tuple[int, int]:
        factor = {"2K": 2, "4K": 4}.get(image_size, 1)
        width, height = (side * factor for side in self.picture_size)
        across, down = map(int, aspect_ratio.split(":"))
        return (width, height) if (across, down) == (16, 9) else (round(height * across / down), height)

    def _text(self, call: Call) -> tuple[list[dict[str, Any]], tuple[str, int]]:
        made: Any = next((answer for matches, answer in self._answers if matches(call)), self.text_answer)
        answer = made(call.document) if callable(made) else made
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return [{"text": text}], ("TEXT", _text_tokens(text))

    def _plausible_answer(self, request: dict[str, Any]) -> dict[str, Any] | str:
        settings = request.get("generationConfig", {})
        schema = settings.get("responseJsonSchema") or standard_schema(settings.get("responseSchema"))
        if not schema:
            return "A quiet answer."
        answer: dict[str, Any] = plausible(schema)
        wrong = [error.message for error in Draft202012Validator(schema).iter_errors(answer)]
        if wrong:
            self.defects.append(f"no plausible answer, register one with answer_when: {wrong[:3]}")
        return answer


def _lives(model: Mapping[str, Any]) -> bool:
    return "usd_per_mtok" in model


def _type(name: str) -> str:
    return f"type.googleapis.com/google.rpc.{name}"


def _camel_members(node: Any) -> Any:
    """ProtoJSON takes both spellings of a member: everything is read as camelCase."""
    if isinstance(node, list):
        return [_camel_members(item) for item in node]
    if not isinstance(node, dict):
        return node
    named = ((re.sub(r"_([a-z])", lambda match: match[1].upper(), name), value) for name, value in node.items())
    return {name: value if name in _FREE_FORM else _camel_members(value) for name, value in named}


def _references(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pictures and films in a request."""
    for content in document["contents"]:
        for part in content.get("parts", []):
            if "inlineData" in part:
                yield part["inlineData"]["mimeType"].partition("/")[0].upper(), part["inlineData"]


def _digest(blob: Mapping[str, Any]) -> str:
    return hashlib.sha256(blob["data"].encode()).hexdigest()


def _blob_problems(blob: Mapping[str, Any]) -> Iterator[str]:
    try:
        base64.b64decode(blob["data"].replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        yield "inlineData.data is no base64"


def _image_problems(model: Mapping[str, Any], settings: Mapping[str, Any], references: int) -> Iterator[str]:
    size = settings.get("imageConfig", {}).get("imageSize", "1K")
    level = settings.get("thinkingConfig", {}).get("thinkingLevel", "").lower()
    if size not in model["sizes"]:
        yield f"imageSize {size} is not supported by this model"
    if references > _MOST_REFERENCES:
        yield f"more than {_MOST_REFERENCES} reference images"
    if {"responseSchema", "responseJsonSchema"} & settings.keys() or settings.get(
        "responseMimeType", "text/plain"
    ) != "text/plain":
        yield "image models take no schema and answer no JSON"
    if level and level not in model.get("thinking", []):
        yield f"thinkingLevel {level} is not supported by this model"


def _text_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    if "IMAGE" in settings.get("responseModalities", []):
        yield "this model makes no images"
    if "responseSchema" in settings and "responseJsonSchema" in settings:
        yield "responseSchema and responseJsonSchema exclude each other"
    if {"responseSchema", "responseJsonSchema"} & settings.keys() and settings.get(
        "responseMimeType"
    ) != "application/json":
        yield "a response schema needs responseMimeType application/json"


def _picture_part(recipe: str, width: int, height: int, mime_type: str) -> dict[str, Any]:
    data = base64.b64encode(draw_picture(recipe, width, height, mime_type)).decode()
    return {"inlineData": {"mimeType": mime_type, "data": data}}


def _text_tokens(text: str) -> int:
    return len(text) // 4 + 1


def _usage(call: Call, made: tuple[str, int], *, thinks: bool) -> dict[str, Any]:
    words = _text_tokens(call.words)
    kinds = [kind for kind, _blob in _references(call.document)]
    seen = [
        {"modality": kind, "tokenCount": kinds.count(kind) * _TOKENS_PER_REFERENCE[kind]} for kind in sorted({*kinds})
    ]
    prompt = words + sum(item["tokenCount"] for item in seen)
    thoughts = 40 if thinks else 0
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": made[1],
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + made[1] + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": words}, *seen],
        "candidatesTokensDetails": [{"modality": made[0], "tokenCount": made[1]}],
    }


def _answer(model: str, parts: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": model,
        "responseId": uuid4().hex,
    }


def _spoilt(document: dict[str, Any], fault: Fault) -> dict[str, Any]:
    """The answer as ``fault`` wants it."""
    parts = document["candidates"][0]["content"]["parts"]
    prompt = document["usageMetadata"]["promptTokenCount"]
    asked_only = {**document, "usageMetadata": {"promptTokenCount": prompt, "totalTokenCount": prompt}}
    if fault.outcome == "empty":
        return {}
    if fault.outcome == "prompt_blocked":
        blocked = {**asked_only, "promptFeedback": {"blockReason": fault.detail}}
        del blocked["candidates"]
        return blocked
    if fault.outcome == "finished":
        return {**asked_only, "candidates": [{"finishReason": fault.detail, "finishMessage": "Not shown.", "index": 0}]}
    if fault.outcome == "text_only":
        return _with_parts(asked_only, [{"text": "I can't draw that, but I can describe it."}])
    if fault.outcome == "draft_only":
        return _with_parts(document, [{**parts[0], "thought": True}])
    if fault.outcome == "cut_off":
        return _with_parts(
            document,
            [{"text": part["text"][: len(part["text"]) // 2]} for part in parts if "text" in part],
            "MAX_TOKENS",
        )
    return document


def _with_parts(document: dict[str, Any], parts: list[dict[str, Any]], reason: str = "STOP") -> dict[str, Any]:
    content = {"role": "model", "parts": parts}
    return {**document, "candidates": [{"content": content, "finishReason": reason, "index": 0}]}
