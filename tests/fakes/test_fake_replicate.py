"""The fake Replicate, driven by the real client and by plain HTTP."""

from __future__ import annotations

import base64
import io
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import av
import httpx
import numpy as np
import pytest
import replicate as sdk
from PIL import Image
from replicate.exceptions import ReplicateError

from fakes import replicate as faults
from fakes.media import draw_picture
from fakes.replicate import FakeReplicate
from fakes.service import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "minimax/hailuo-2.3-fast"
FRAME = draw_picture("a first frame", 176, 99)
DATA_URI = f"data:image/png;base64,{base64.b64encode(FRAME).decode()}"


@pytest.fixture
def replicate() -> Iterator[FakeReplicate]:
    with FakeReplicate(clip_size=(176, 98), clip_seconds=0.4, smallest_side=90) as service:
        yield service


@pytest.fixture
def api(replicate: FakeReplicate) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {replicate.token}"}
    with httpx.Client(base_url=f"{replicate.base_url}/v1", headers=headers, timeout=5) as client:
        yield client


@pytest.fixture
def client(replicate: FakeReplicate) -> sdk.Client:
    return sdk.Client(api_token=replicate.token, base_url=replicate.base_url)


def asked(**changes: Any) -> dict[str, Any]:
    """A clip's input, as the program sends it."""
    settled = {"prompt": "slow push-in", "first_frame_image": DATA_URI, "duration": 6, "resolution": "768p"}
    return settled | {"prompt_optimizer": True} | changes


def create(api: httpx.Client, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
    return api.post(f"/models/{MODEL}/predictions", json={"input": asked(**changes)}, headers=headers or {})


def get(api: httpx.Client, created: httpx.Response) -> dict[str, Any]:
    document: dict[str, Any] = api.get(f"/predictions/{created.json()['id']}").json()
    return document


def frames(content: bytes) -> list[np.ndarray[Any, Any]]:
    with av.open(io.BytesIO(content)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_a_clip_is_a_film_that_begins_as_its_uploaded_keyframe(replicate: FakeReplicate, client: sdk.Client) -> None:
    file = client.files.create(io.BytesIO(FRAME), filename="order-1.png")
    created = client.models.predictions.create(MODEL, input=asked(first_frame_image=file.urls["get"]))
    done = client.predictions.get(created.id)
    assert (created.status, created.output, done.status) == ("starting", None, "succeeded")
    film = frames(httpx.get(done.output).content)
    keyframe = np.asarray(Image.open(io.BytesIO(FRAME)).convert("RGB").resize((176, 98)), dtype=float)
    assert len(film) == 10
    assert np.abs(film[0] - keyframe).mean() < 12
    assert np.abs(film[-1].astype(float) - film[0]).mean() > 2
    assert replicate.violations == []
    assert replicate.delivery_authorizations == []


def test_a_prediction_takes_its_time(replicate: FakeReplicate, api: httpx.Client) -> None:
    replicate.clip_latency_seconds = 0.4
    created = create(api)
    seen = []
    while seen[-1:] != ["succeeded"]:
        seen.append(get(api, created)["status"])
        time.sleep(0.02)
    assert created.status_code == 201
    assert list(dict.fromkeys([created.json()["status"], *seen])) == ["starting", "processing", "succeeded"]


def test_a_created_clip_is_billed_at_the_price_of_its_kind(replicate: FakeReplicate, api: httpx.Client) -> None:
    create(api)
    create(api, duration=10)
    create(api, resolution="1080p")
    assert [charge.micro_dollars for charge in replicate.bill] == [190_000, 320_000, 330_000]
    assert replicate.bill[0].call.mentions("slow push-in")


def test_any_bytes_survive_an_upload(replicate: FakeReplicate, api: httpx.Client) -> None:
    for ending in (b"", b"\r\n", b"\n", b"\r", b"--\r\n"):
        content = os.urandom(5000) + ending
        stored = api.post("/files", files={"content": ("x.bin", content)}).json()
        assert replicate.files[stored["id"]].content == content
        assert (stored["name"], stored["size"]) == ("x.bin", len(content))


def test_a_file_can_be_looked_up_and_deleted_once(client: sdk.Client) -> None:
    file = client.files.create(io.BytesIO(FRAME))
    assert client.files.get(file.id).size == len(FRAME)
    client.files.delete(file.id)
    with pytest.raises(ReplicateError) as error:
        client.files.get(file.id)
    assert error.value.status == 404


def test_a_keyframe_that_is_no_picture_or_too_small_fails_the_prediction(api: httpx.Client) -> None:
    small = base64.b64encode(draw_picture("small", 80, 45)).decode()
    for address in ("data:image/png;base64,QUJD", f"data:image/png;base64,{small}", "https://example.com/x.png"):
        done = get(api, create(api, first_frame_image=address))
        assert (done["status"], done["output"]) == ("failed", None)
        assert done["error"].startswith("E1004")


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({"duration": 5}, {}),
        ({"resolution": "1080p", "duration": 10}, {}),
        ({"last_frame_image": DATA_URI}, {}),
        ({}, {"Cancel-After": "2s"}),
        ({}, {"Cancel-After": "soon"}),
        ({}, {"Prefer": "wait=61"}),
    ],
)
def test_a_create_outside_the_contract_is_refused_and_remembered(
    replicate: FakeReplicate, api: httpx.Client, changes: dict[str, Any], headers: dict[str, str]
) -> None:
    assert create(api, headers=headers, **changes).status_code == 422
    assert len(replicate.violations) == 1
    assert replicate.bill == []


def test_strangers_are_refused(replicate: FakeReplicate) -> None:
    with pytest.raises(ReplicateError) as error:
        sdk.Client(api_token="wrong", base_url=replicate.base_url).predictions.list()  # noqa: S106
    assert error.value.status == 401


def test_the_account_can_be_looked_up_for_free(client: sdk.Client) -> None:
    assert client.accounts.current().username == "downstream"


def test_predictions_are_listed_newest_first_a_hundred_a_page(replicate: FakeReplicate, client: sdk.Client) -> None:
    for index in range(103):
        client.models.predictions.create(MODEL, input=asked(prompt=f"clip {index}"))
    first = client.predictions.list()
    assert (len(first.results), first.results[0].input["prompt"]) == (100, "clip 102")
    second = client.predictions.list(first.next)
    assert [item.input["prompt"] for item in second.results] == ["clip 2", "clip 1", "clip 0"]
    assert second.next is None
    assert replicate.violations == []


def test_a_list_can_be_limited_to_a_time(api: httpx.Client) -> None:
    create(api, prompt="before")
    middle = datetime.now(UTC).isoformat()
    create(api, prompt="after")
    after = api.get("/predictions", params={"created_after": middle}).json()["results"]
    before = api.get("/predictions", params={"created_before": middle}).json()["results"]
    assert [item["input"]["prompt"] for item in after + before] == ["after", "before"]


def test_a_create_may_wait_for_the_end_or_for_a_while(replicate: FakeReplicate, api: httpx.Client) -> None:
    replicate.clip_latency_seconds = 0.1
    assert create(api, headers={"Prefer": "wait=5"}).json()["status"] == "succeeded"
    replicate.clip_latency_seconds = 60
    waited = create(api, headers={"Prefer": "wait=1"})
    assert (waited.status_code, waited.json()["status"]) == (202, "starting")


def test_a_prediction_can_be_canceled(replicate: FakeReplicate, client: sdk.Client) -> None:
    replicate.clip_latency_seconds = 60
    created = client.models.predictions.create(MODEL, input=asked())
    assert client.predictions.cancel(created.id).status == "canceled"
    assert client.predictions.get(created.id).output is None


def test_a_deadline_cancels_what_runs_and_aborts_what_has_not_begun(
    replicate: FakeReplicate, api: httpx.Client
) -> None:
    replicate.time_scale = 0.01
    replicate.clip_latency_seconds = 0.2
    running = create(api, headers={"Cancel-After": "10s"})
    replicate.clip_latency_seconds = 60
    waiting = create(api, headers={"Cancel-After": "10s"})
    time.sleep(0.15)
    assert get(api, running)["status"] == "canceled"
    assert get(api, waiting)["status"] == "aborted"


def test_outputs_and_inputs_are_removed_in_time(replicate: FakeReplicate, api: httpx.Client) -> None:
    replicate.retention_seconds = 3.0
    created = create(api)
    address = get(api, created)["output"]
    assert httpx.get(address).status_code == 200
    time.sleep(3.0)
    later = get(api, created)
    assert (later["status"], later["output"], later["input"], later["data_removed"]) == ("succeeded", None, {}, True)
    assert httpx.get(address).status_code == 404


def test_a_token_sent_to_the_host_of_the_outputs_is_noticed(replicate: FakeReplicate, api: httpx.Client) -> None:
    api.get(get(api, create(api))["output"])
    assert replicate.delivery_authorizations == [f"Bearer {replicate.token}"]


@pytest.mark.parametrize(
    ("fault", "status", "detail", "retry_after"),
    [
        (Fault.status(401), 401, "Unauthorized", None),
        (Fault.status(402), 402, "Insufficient credit", None),
        (Fault.status(422), 422, "", None),
        (Fault.status(429), 429, "resets in ~30s", None),
        (Fault.status(429, retry_after="2"), 429, "resets in ~2s", "2"),
        (Fault.status(500), 500, "", None),
        (Fault.status(503), 503, "", None),
    ],
)
def test_an_error_is_answered_once_and_costs_nothing(
    replicate: FakeReplicate, api: httpx.Client, fault: Fault, status: int, detail: str, retry_after: str | None
) -> None:
    replicate.fail_next(fault)
    answer = create(api)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert detail in answer.json()["detail"]
    assert replicate.bill == []
    assert create(api).status_code == 201


def test_a_lost_reply_leaves_a_prediction_that_can_be_found(replicate: FakeReplicate, api: httpx.Client) -> None:
    replicate.fail_next(Fault.lose_reply())
    with pytest.raises(httpx.RemoteProtocolError):
        create(api, prompt="find me")
    (found,) = api.get("/predictions").json()["results"]
    assert (found["input"]["prompt"], len(replicate.bill)) == ("find me", 1)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (faults.failed("E1001 no"), "failed"),
        (faults.canceled(), "canceled"),
        (faults.aborted(), "aborted"),
        (faults.stuck(), "processing"),
        (faults.unknown_status("paused"), "paused"),
    ],
)
def test_a_prediction_may_end_without_a_clip(
    replicate: FakeReplicate, api: httpx.Client, fault: Fault, status: str
) -> None:
    replicate.fail_next(fault)
    done = get(api, create(api))
    assert (done["status"], done["output"]) == (status, None)
    assert done["error"] == ("E1001 no" if status == "failed" else None)


def test_an_output_may_be_a_list_or_already_removed(replicate: FakeReplicate, api: httpx.Client) -> None:
    replicate.fail_next(faults.listed_output())
    replicate.fail_next(faults.data_removed())
    listed, removed = get(api, create(api)), get(api, create(api))
    assert len(frames(httpx.get(listed["output"][0]).content)) == 10
    assert (removed["status"], removed["output"], removed["data_removed"]) == ("succeeded", None, True)


def test_a_download_may_go_wrong_in_four_ways(replicate: FakeReplicate, api: httpx.Client) -> None:
    address = get(api, create(api))["output"]
    for fault in (faults.output_gone(), faults.download_cut(), faults.html_instead(), faults.not_a_video()):
        replicate.fail_next(fault)
    assert httpx.get(address).status_code == 404
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(address)
    assert httpx.get(address).headers["content-type"] == "text/html"
    noise = httpx.get(address)
    assert noise.headers["content-type"] == "video/mp4"
    with pytest.raises(av.InvalidDataError):
        frames(noise.content)
    assert len(frames(httpx.get(address).content)) == 10
