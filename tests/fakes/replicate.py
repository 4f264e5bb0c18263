"""Stands for Replicate and its MiniMax models: files, predictions that take their time, and the host of the outputs."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

from PIL import Image, UnidentifiedImageError

from fakes.http_server import Answer, Request
from fakes.media import draw_picture, make_clip
from fakes.replicate_runs import Prediction, StoredFile, duration_seconds, moment, read_form, timestamp
from fakes.service import Call, FakeService, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PAGE = 100
_MOST_FILE_BYTES = 100_000_000
_MOST_PROMPT_CHARACTERS = 2000
_MOST_DATA_URI_BYTES = 256_000
_LEAST_DEADLINE_SECONDS = 5
_LONGEST_WAIT_SECONDS = 60
_CREATES = frozenset({"predictions.create", "models.predictions.create"})
_DOWNLOAD = frozenset({"download"})


def failed(error: str = "E1001 The model could not make this video.") -> Fault:
    """The next prediction fails."""
    return Fault(outcome="failed", detail=error)


def canceled() -> Fault:
    """The next prediction is canceled by somebody while it runs."""
    return Fault(outcome="canceled")


def aborted() -> Fault:
    """The next prediction is aborted before it starts."""
    return Fault(outcome="aborted")


def stuck() -> Fault:
    """The next prediction never stops processing, unless it is canceled or has a deadline."""
    return Fault(outcome="stuck")


def unknown_status(status: str = "paused") -> Fault:
    """The next prediction ends in a status nobody has heard of."""
    return Fault(outcome="undocumented_status", detail=status)


def listed_output() -> Fault:
    """The next prediction's output is a list with one address."""
    return Fault(outcome="listed")


def data_removed() -> Fault:
    """The next prediction's data are gone as soon as it has succeeded."""
    return Fault(outcome="removed")


def output_gone(status: int = 404) -> Fault:
    """The next download is refused."""
    return Fault(refused=status, operations=_DOWNLOAD)


def download_cut(share: float = 0.5) -> Fault:
    """The next download promises more than it sends."""
    return Fault(sent_share=share, operations=_DOWNLOAD)


def html_instead() -> Fault:
    """The next download is a page in HTML, with status 200."""
    return Fault(outcome="html", operations=_DOWNLOAD)


def not_a_video() -> Fault:
    """The next download is called a video and is none."""
    return Fault(outcome="noise", operations=_DOWNLOAD)


class FakeReplicate(FakeService):
    """The API, and on a second port the host of the outputs. ``clip_*`` are what the clips really measure.

    ``smallest_side`` is MiniMax's limit for first frames; ``time_scale`` shortens ``Cancel-After``.
    """

    name = "replicate"
    main_operations = _CREATES
    invalid_status = 422

    def __init__(
        self,
        *,
        token: str = "r8_planted_replicate_token",  # noqa: S107 - obviously no secret
        clip_size: tuple[int, int] = (1366, 768),
        clip_seconds: float | None = None,
        clip_frames_per_second: int = 25,
        clip_latency_seconds: float = 0.0,
        upload_latency_seconds: float = 0.0,
        retention_seconds: float = 3600.0,
        smallest_side: int = 300,
        time_scale: float = 1.0,
        prices: Mapping[str, Mapping[str, float]] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.now = now
        self.token = token
        self.clip_size = clip_size
        self.clip_seconds = clip_seconds
        self.clip_frames_per_second = clip_frames_per_second
        self.clip_latency_seconds = clip_latency_seconds
        self.upload_latency_seconds = upload_latency_seconds
        self.retention_seconds = retention_seconds
        self.smallest_side = smallest_side
        self.time_scale = time_scale
        self.models = self.contract.models
        self.prices = prices or {name: model["usd_per_video"] or {} for name, model in self.models.items()}
        self.files: dict[str, StoredFile] = {}
        self.predictions: dict[str, Prediction] = {}
        self.delivery_authorizations: list[str] = []
        """The Authorization headers that reached the host of the outputs: there should be none."""
        self._delivery = self.beside("download", self._deliver)
        self.delivery_url = ""
        self.handlers = {
            "account.get": self._account,
            "files.create": self._create_file,
            "files.get": self._get_file,
            "files.delete": self._delete_file,
            "models.predictions.create": self._create,
            "predictions.create": self._create,
            "predictions.get": self._get,
            "predictions.cancel": self._cancel,
            "predictions.list": self._list,
        }

    def __enter__(self) -> Self:
        self.delivery_url = f"http://{self._delivery.open_port()}"
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._delivery.stop()
        super().__exit__(kind, *rest)

    # Checks

    def read_body(self, request: Request) -> Any:
        content_type = request.headers.get("content-type", "")
        return read_form(content_type, request.body) if "multipart" in content_type else super().read_body(request)

    def stranger(self, call: Call) -> Answer | None:
        if call.request.headers.get("authorization") == f"Bearer {self.token}":
            return None
        return self.error(401, title="Unauthenticated", message="You did not pass a valid authentication token")

    def further_problems(self, call: Call) -> Iterator[str]:
        if call.operation not in _CREATES:
            return
        model = self.models.get(_model_of(call))
        if model:
            yield from self.contract.schema_problems(model["input"], call.document["input"])
        waits = call.request.headers.get("prefer", "").partition("=")[2]
        if waits and int(waits) > _LONGEST_WAIT_SECONDS:
            yield "Prefer: wait takes 1 to 60 seconds"
        seconds = duration_seconds(call.request.headers.get("cancel-after", "1h"))
        if seconds is None or seconds < _LEAST_DEADLINE_SECONDS:
            yield "Cancel-After is no duration of 5 seconds or more"

    def error(self, status: int, message: str = "", title: str = "", retry_after: str = "") -> Answer:
        """A problem document; the throttle's has nothing but ``detail``."""
        if status == 429:
            seconds = retry_after or "30"
            detail = message or f"Request was throttled. Your rate limit resets in ~{seconds}s."
            return Answer.of_json(429, {"detail": detail}, **({"retry_after": retry_after} if retry_after else {}))
        title = title or ("Insufficient credit" if status == 402 else HTTPStatus(status).phrase)
        problem = {"title": title, "detail": message or title, "status": status}
        return Answer.of_json(status, problem, content_type="application/problem+json")

    # Files

    def _account(self, _call: Call) -> Answer:
        return Answer.of_json(200, {"type": "organization", "username": "downstream", "name": "DownStream"})

    def _create_file(self, call: Call) -> Answer:
        form, now = call.document, self.now()
        if len(form["content"]) > _MOST_FILE_BYTES:
            return Answer.of_json(413, {"detail": "Files must be less than 100MB in size"})
        name, content_type = form.get("filename", "file"), form.get("type", "application/octet-stream")
        expires = now + self.retention_seconds
        stored = StoredFile(uuid4().hex[:26], name, content_type, form["content"].encode("latin-1"), now, expires)
        self.files[stored.id] = stored
        answer = Answer.of_json(201, self._file_document(stored))
        answer.wait_seconds = self.upload_latency_seconds
        return answer

    def _get_file(self, call: Call) -> Answer:
        stored = self._stored(call.parameters["file_id"])
        return Answer.of_json(200, self._file_document(stored)) if stored else self._no_file()

    def _delete_file(self, call: Call) -> Answer:
        return Answer(204) if self.files.pop(call.parameters["file_id"], None) else self._no_file()

    def _no_file(self) -> Answer:
        return self.error(404, message="File not found")

    def _stored(self, file_id: str) -> StoredFile | None:
        stored = self.files.get(file_id)
        return stored if stored and self.now() < stored.expires else None

    def _file_document(self, stored: StoredFile) -> dict[str, Any]:
        checksum = hashlib.sha256(stored.content).hexdigest()
        return {
            "id": stored.id,
            "name": stored.name,
            "etag": checksum[:32],
            "content_type": stored.content_type,
            "size": len(stored.content),
            "checksums": {"sha256": checksum},
            "metadata": {},
            "created_at": moment(stored.created),
            "expires_at": moment(stored.expires),
            "urls": {"get": f"{self.base_url}/v1/files/{stored.id}"},
        }

    # Predictions

    def _create(self, call: Call) -> Answer:
        model, now = _model_of(call), self.now()
        if model not in self.models:
            return self.error(404, message="The requested resource could not be found.")
        source = call.document["input"]
        prediction = Prediction(
            uuid4().hex[:26],
            model,
            dict(source),
            now,
            now + self.clip_latency_seconds * 0.1,
            now + self.clip_latency_seconds,
            sources=dict(source),
        )
        self._set_deadline(prediction, call)
        self._decide(prediction, call.fault)
        self.predictions[prediction.id] = prediction
        self._charge(call, "clip", model, self.cost(model, source))
        return self._created(call, prediction)

    def cost(self, model: str, source: Mapping[str, Any]) -> int:
        """Millionths of a dollar for one video; 0 where the contract knows no price."""
        settled = {"resolution": "768p", "duration": 6, **source}
        return round(self.prices[model].get(f"{settled['resolution']}/{settled['duration']}s", 0) * 1_000_000)

    def _set_deadline(self, prediction: Prediction, call: Call) -> None:
        seconds = duration_seconds(call.request.headers.get("cancel-after", ""))
        if seconds is not None:
            prediction.deadline = prediction.created + seconds * self.time_scale

    def _decide(self, prediction: Prediction, fault: Fault) -> None:
        """How it will end."""
        prediction.outcome, prediction.detail = fault.outcome, fault.detail
        if fault.outcome == "stuck":
            prediction.ends = inf
        elif fault.outcome not in {"failed", "canceled", "aborted"}:
            try:
                prediction.frame = self._first_frame(prediction.input)
            except ValueError as error:
                prediction.outcome, prediction.detail = "failed", f"E1004 {error}"

    def _first_frame(self, source: Mapping[str, Any]) -> bytes:
        if len(source["prompt"]) > _MOST_PROMPT_CHARACTERS:
            raise ValueError("the prompt is longer than 2000 characters")
        if "first_frame_image" not in source:
            return draw_picture(source["prompt"], *self.clip_size)
        content = self._fetched(source["first_frame_image"])
        try:
            width, height = Image.open(io.BytesIO(content)).size
        except UnidentifiedImageError as error:
            raise ValueError("the first frame is no picture") from error
        if min(width, height) < self.smallest_side or not 0.4 <= width / height <= 2.5:
            raise ValueError(f"a first frame of {width}x{height} is too small or too long")
        return content

    def _fetched(self, address: str) -> bytes:
        if address.startswith("data:"):
            if len(address) > _MOST_DATA_URI_BYTES:
                raise ValueError("the data URI is larger than 256 kB")
            return base64.b64decode(address.partition(",")[2])
        stored = self._stored(address.removeprefix(f"{self.base_url}/v1/files/"))
        if stored is None:
            raise ValueError("the first frame could not be fetched")
        return stored.content

    def _created(self, call: Call, prediction: Prediction) -> Answer:
        preference = call.request.headers.get("prefer", "")
        if not preference:
            return Answer.of_json(201, self.describe(prediction, prediction.created - 1))
        waits = min(
            float(preference.partition("=")[2] or _LONGEST_WAIT_SECONDS), prediction.finished_at - prediction.created
        )
        seen = prediction.created + waits
        answer = Answer.of_json(201 if prediction.finished_at <= seen else 202, self.describe(prediction, seen))
        answer.wait_seconds = waits
        return answer

    def _get(self, call: Call) -> Answer:
        prediction = self.predictions.get(call.parameters["prediction_id"])
        if prediction is None:
            return self.error(404, message="Prediction not found")
        if prediction.outcome.startswith("undocumented"):
            call.fault = Fault(outcome=prediction.outcome)
        return Answer.of_json(200, self.describe(prediction, self.now()))

    def _cancel(self, call: Call) -> Answer:
        prediction = self.predictions.get(call.parameters["prediction_id"])
        if prediction is not None:
            prediction.canceled_at = min(prediction.canceled_at, self.now())
        return self._get(call)

    def _list(self, call: Call) -> Answer:
        query = {name: values[0] for name, values in parse_qs(call.request.query).items()}
        after, before = timestamp(query.get("created_after"), 0.0), timestamp(query.get("created_before"), inf)
        chosen = [item for item in reversed(self.predictions.values()) if after <= item.created < before]
        start = int(query.get("cursor", "0"))
        page = {"results": [self.describe(item, self.now()) for item in chosen[start : start + _PAGE]]}
        if any(item.outcome.startswith("undocumented") for item in chosen):
            call.fault = Fault(outcome="undocumented_status")
        links = {
            "previous": start - _PAGE if start else None,
            "next": start + _PAGE if len(chosen) > start + _PAGE else None,
        }
        return Answer.of_json(200, page | {name: self._page_link(query, place) for name, place in links.items()})

    def _page_link(self, query: Mapping[str, str], start: int | None) -> str | None:
        if start is None:
            return None
        return f"{self.base_url}/v1/predictions?{urlencode({**query, 'cursor': str(start)})}"

    def describe(self, prediction: Prediction, now: float) -> dict[str, Any]:
        """The prediction as the API shows it at ``now``."""
        status = prediction.status(now)
        gone = self._is_gone(prediction, now)
        over = now >= prediction.finished_at
        address = f"{self.base_url}/v1/predictions/{prediction.id}"
        return {
            "id": prediction.id,
            "model": prediction.model,
            "version": "hidden",
            "input": {} if gone else prediction.input,
            "logs": "" if not over or gone else "done\n",
            "output": self._output(prediction) if status == "succeeded" and not gone else None,
            "data_removed": gone,
            "error": prediction.detail if status == "failed" else None,
            "source": "api",
            "status": status,
            "created_at": moment(prediction.created),
            "started_at": moment(prediction.starts) if now >= prediction.starts and status != "aborted" else None,
            "completed_at": moment(prediction.finished_at) if over else None,
            "deadline": moment(prediction.deadline) if prediction.deadline < inf else None,
            "metrics": {"predict_time": prediction.ends - prediction.starts} if status == "succeeded" else None,
            "urls": {
                "get": address,
                "cancel": f"{address}/cancel",
                "web": f"https://replicate.com/p/{prediction.id}",
            },
        }

    def _is_gone(self, prediction: Prediction, now: float) -> bool:
        if prediction.outcome == "removed" and now >= prediction.finished_at:
            return True
        return now >= prediction.created + self.retention_seconds

    def _output(self, prediction: Prediction) -> str | list[str]:
        address = f"{self.delivery_url}/xezq/{prediction.id}/output.mp4"
        return [address] if prediction.outcome == "listed" else address

    # The host of the outputs

    def _deliver(self, call: Call) -> Answer:
        if "authorization" in call.request.headers:
            self.delivery_authorizations.append(call.request.headers["authorization"])
        if call.fault.outcome == "html":
            return Answer(200, b"<!doctype html><title>Please wait</title>", {"content-type": "text/html"})
        if call.fault.outcome == "noise":
            return Answer(200, b"\0\1\2\3" * 4096, {"content-type": "video/mp4"})
        return self._download(call)

    def _download(self, call: Call) -> Answer:
        prediction = self.predictions.get(call.request.path.split("/")[-2])
        now = self.now()
        if prediction is None or prediction.status(now) != "succeeded" or self._is_gone(prediction, now):
            return Answer(404, b"not found", {"content-type": "text/plain"})
        seconds = self.clip_seconds or prediction.sources.get("duration", 6)
        words = str(prediction.sources.get("prompt"))
        clip = make_clip(prediction.frame, *self.clip_size, seconds, self.clip_frames_per_second, words)
        return Answer(200, clip, {"content-type": "video/mp4"})


def _model_of(call: Call) -> str:
    if "model_owner" in call.parameters:
        return f"{call.parameters['model_owner']}/{call.parameters['model_name']}"
    return str(call.document["version"]).partition(":")[0]
