"""Replicate's HTTP interface through its SDK, which is mended where money or the token would be at risk.

The SDK (replicate 1.0.7) knows the addresses, the bodies and the shapes of answers. ``_Transport`` lies below it,
because left alone it would

- wait without end for the answer to a POST: it overrides its own client's time-outs with none;
- send GETs that were answered 429, 503 or 504 up to nine times more, past the pace all processes share, and then forget
  the headers that say how long to wait;
- send the token to whatever host the ``next`` of a list names;
- fail to parse the status ``aborted``, one it has not heard of, a prediction without a version and a file without name
  or etag: after a create, that would lose the id of something that was paid for;
- leave out ``Cancel-After``, which it does not know.

Behaviour of the service: https://replicate.com/docs/reference/http
"""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx

from downstream.domain.errors import (
    DownstreamError,
    Misconfigured,
    OnHold,
    PersonDecides,
    Throttled,
    TryAgain,
)
from downstream.domain.pace import hint_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from replicate.prediction import Prediction

Answer = TypeVar("Answer")

TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=60.0, pool=60.0)
TOTAL_SECONDS = 90.0
"""No answer takes longer, however it drips in."""
LARGEST_ANSWER_BYTES = 32_000_000
CANCEL_AFTER = "20m"
"""The service itself ends what has run that long, even when nobody here is left to ask for it."""
OUT_OF_CREDIT_SECONDS = 3600.0

STATUSES = {"starting", "processing", "succeeded", "failed", "canceled"}
"""The ones the SDK can parse."""


class NoAnswer(TryAgain):
    """Whether Replicate did what it was asked is not known."""


class NotThere(TryAgain):
    """Replicate has nothing of that name."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a prediction is; ``first_frame`` is the address of its keyframe, empty once its data was removed."""

    id: str
    status: str
    output: str
    error: str
    first_frame: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the list of predictions; ``next`` is the address of the one after it."""

    states: tuple[State, ...]
    next: str | None


class Replicate:
    """The few calls that are needed; each is sent once.

    All raise ``NoAnswer``, ``NotThere``, ``Throttled`` (nothing was done), ``OnHold`` (out of credit),
    ``Misconfigured`` (the token) or ``PersonDecides`` (what was asked is not accepted).
    """

    def __init__(self, token: str, base_url: str) -> None:
        from replicate.client import Client  # heavy, and only making clips needs it

        self._sdk = Client(api_token=token, base_url=base_url, transport=_Transport(base_url))

    def upload(self, name: str, data: bytes, mime_type: str) -> str:
        """Returns the address under which a model finds this file for a while."""
        file = io.BytesIO(data)
        return _read(lambda: self._sdk.files.create(file, filename=name, content_type=mime_type).urls["get"])

    def create(self, model: str, inputs: dict[str, Any]) -> str:
        """Buys a prediction; returns its id."""
        return _read(lambda: self._sdk.models.predictions.create(model, inputs).id)

    def get(self, prediction: str) -> State:
        """How far that prediction is."""
        return _read(lambda: _state(self._sdk.predictions.get(prediction)))

    def cancel(self, prediction: str) -> State:
        """Asks for the prediction's end; returns how far it had come."""
        return _read(lambda: _state(self._sdk.predictions.cancel(prediction)))

    def page(self, address: str) -> Page:
        """One page of the list of predictions, newest first."""
        return _read(lambda: _page(self._sdk.predictions.list(address)))


def list_since(moment: datetime) -> str:
    """The address of the list's first page."""
    return f"/v1/predictions?created_after={quote(moment.astimezone(UTC).isoformat())}"


def _read(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except (ValueError, LookupError, TypeError):  # the SDK's models, and pydantic below them
        raise NoAnswer("Replicate's answer cannot be understood") from None


def _state(prediction: Prediction) -> State:
    output = prediction.output
    first = output[0] if isinstance(output, list) and output else output
    inputs = prediction.input or {}
    return State(
        id=prediction.id,
        status=prediction.status,
        output=first if isinstance(first, str) else "",
        error=prediction.error or "",
        first_frame=str(inputs.get("first_frame_image") or ""),
    )


def _page(page: Any) -> Page:
    return Page(tuple(_state(prediction) for prediction in page.results), page.next)


class _Transport(httpx.BaseTransport):
    """Sends each request once, to one host, within a time; what the SDK gets to see is an answer it can read."""

    def __init__(self, base_url: str) -> None:
        self._origin = _origin(httpx.URL(base_url))
        self._wire = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if _origin(request.url) != self._origin:
            raise TryAgain("Replicate's list goes on at another host; the token is not sent there")
        request.extensions["timeout"] = TIMEOUT.as_dict()
        if request.method == "POST" and request.url.path.endswith("/predictions"):
            request.headers["Cancel-After"] = CANCEL_AFTER
        status, headers, body = self._send(request)
        if not 200 <= status < 300:
            raise _error(status, headers, body)
        return httpx.Response(status, json=_mended(_parsed(body)))

    def _send(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        ends = time.monotonic() + TOTAL_SECONDS
        body = bytearray()
        try:
            response = self._wire.handle_request(request)
            try:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > LARGEST_ANSWER_BYTES or time.monotonic() > ends:
                        raise NoAnswer("Replicate's answer has no end")
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise NoAnswer(f"no answer from Replicate ({type(error).__name__})") from None
        return response.status_code, response.headers, bytes(body)

    def close(self) -> None:
        self._wire.close()


def _origin(address: httpx.URL) -> tuple[str, str, int]:
    return address.scheme, address.host, address.port or {"http": 80, "https": 443}.get(address.scheme, 0)


def _parsed(body: bytes) -> dict[str, Any]:
    """The answer's object; an empty one where there is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _mended(answer: dict[str, Any]) -> dict[str, Any]:
    """The same answer in the words that the SDK's models know."""
    if isinstance(answer.get("results"), list):
        return {**answer, "results": [_mended(each) for each in answer["results"]]}
    if "status" not in answer:
        return {"name": "", "etag": "", **answer}
    status = "canceled" if answer["status"] == "aborted" else answer["status"]
    return {
        **answer,
        "version": answer.get("version") or "hidden",
        "status": status if status in STATUSES else "processing",
    }


def _error(status: int, headers: Mapping[str, str], body: bytes) -> DownstreamError:
    """What an answer other than a success means. Its text is not quoted: it may repeat what was sent."""
    answer = _parsed(body)
    if status in {401, 403}:
        return Misconfigured(f"Replicate does not accept REPLICATE_API_TOKEN ({status}); set a valid token")
    if status == 402:
        return OnHold(
            "the Replicate account is out of credit (402): add credit at replicate.com",
            fingerprint="minimax.credit",
            wait_seconds=OUT_OF_CREDIT_SECONDS,
        )
    if status == 404:
        return NotThere("Replicate does not know what was asked for (404)")
    if status == 429:
        return Throttled("Replicate asks for less haste (429)", hint_seconds=_hint_seconds(headers, answer))
    if 400 <= status < 500 and status != 408:
        return PersonDecides(f"Replicate does not accept the request ({status}{_fields(answer)})")
    return NoAnswer(f"Replicate answered {status}")


def _hint_seconds(headers: Mapping[str, str], answer: dict[str, Any]) -> float | None:
    """How long to wait, by the header or else by the sentence in the body."""
    by_header = hint_seconds(headers.get("Retry-After", ""))
    found = re.search(r"resets in ~?(\d{1,6}) ?s", str(answer.get("detail")))
    return float(found[1]) if found and by_header is None else by_header


def _fields(answer: dict[str, Any]) -> str:
    """The names of the inputs that were not accepted."""
    listed = answer.get("invalid_fields")
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    names = [str(each.get("field")) for each in entries]
    return "".join(f", {name}" for name in names if re.fullmatch(r"[a-z_.]{1,60}", name))
