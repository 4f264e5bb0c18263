"""Clips from MiniMax over HTTP: bought once whatever breaks, found again, and never half a file."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import av
import httpx
import pytest
from fakes.media import draw_picture
from fakes.replicate import (
    FakeReplicate,
    aborted,
    canceled,
    data_removed,
    download_cut,
    failed,
    html_instead,
    listed_output,
    not_a_video,
    output_gone,
    stuck,
    unknown_status,
)
from fakes.service import FOR_EVER, Call, Fault
from replicate.file import File
from replicate.prediction import Prediction

from downstream.domain.errors import (
    DownstreamError,
    Interrupted,
    Misconfigured,
    OnHold,
    PersonDecides,
    Refused,
    Throttled,
    TryAgain,
    Unknown,
)
from downstream.domain.ports import ClipRequest
from downstream.domain.production import MotionType
from downstream.prices import read_prices
from downstream.providers.minimax import MinimaxClips, wire
from downstream.providers.minimax.clips import duration, prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Answer = TypeVar("Answer")

PRICE = 190_000
PROMPT = "the planted motion prompt"
CREATE = "models.predictions.create"


class Killed(BaseException):
    """The process ended here."""


@dataclass
class OpenGate:
    """Lets everybody through, and sends again at once what was throttled."""

    hints: list[float | None] = field(default_factory=list)
    closed: DownstreamError | None = None

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:
        """As ``Gate.run``."""
        if self.closed and not creates:
            raise self.closed
        while True:
            try:
                return send()
            except Throttled as error:
                self.hints.append(error.hint_seconds)


@dataclass
class PaperCall:
    """A call whose facts outlive the run; ``lives`` is how many notes and waits this run survives."""

    facts: dict[str, Any] = field(default_factory=dict)
    lives: int = 1_000_000
    end: BaseException = field(default_factory=Killed)
    lock_descriptors: tuple[int, ...] = ()
    attempt: int = 1
    key: str = "order-clips-s01-0123456789ab-1"
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cost: int | None = None
    exact: bool = True
    waited: list[float] = field(default_factory=list)

    def note(self, **facts: Any) -> None:
        """As ``Call.note``; a run may end just before or just after."""
        self._live()
        self.facts.update(facts)
        self._live()

    def spent(self, cost_micros: int, *, exact: bool = True) -> None:
        """As ``Call.spent``."""
        self.cost, self.exact = cost_micros, exact

    def now(self) -> datetime:
        return datetime.now(UTC)

    def check(self) -> None:
        """The order may spend money."""

    def wait(self, seconds: float) -> None:
        """As ``Call.wait``, in much less time."""
        self._live()
        self.waited.append(seconds)
        time.sleep(min(seconds, 0.03))

    def _live(self) -> None:
        if self.lives == 0:
            raise self.end
        self.lives -= 1


@pytest.fixture
def replicate() -> Iterator[FakeReplicate]:
    with FakeReplicate(clip_size=(176, 98), clip_seconds=0.4, smallest_side=90) as fake:
        yield fake
        assert fake.violations == []
        assert fake.delivery_authorizations == []


@pytest.fixture
def gate() -> OpenGate:
    return OpenGate()


@pytest.fixture
def clips(replicate: FakeReplicate, gate: OpenGate, tmp_path: Path) -> MinimaxClips:
    prices = read_prices(tmp_path)
    return MinimaxClips(replicate.token, replicate.base_url, gate, prices, "768p", patience_seconds=30.0)


@pytest.fixture
def request_(tmp_path: Path) -> ClipRequest:
    keyframe = tmp_path / "s01.png"
    keyframe.write_bytes(draw_picture("a keyframe", 176, 99))
    return ClipRequest(
        stream_id="order",
        segment_id="s01",
        keyframe=keyframe,
        prompt=PROMPT,
        motion_type=next(iter(MotionType)),
        intensity=0.5,
        seconds=6.0,
        frames_per_second=24,
        width=176,
        height=99,
        notes=("the hand has six fingers",),
    )


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    return folder / "s01.mp4"


def decoded(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def nothing_lies_in(folder: Path) -> bool:
    return not list(folder.iterdir())


def finish(replicate: FakeReplicate) -> None:
    """Every prediction ends now, also those to come."""
    replicate.clip_latency_seconds = 0.0
    for prediction in replicate.predictions.values():
        prediction.starts = prediction.ends = prediction.created


def sent_input(replicate: FakeReplicate) -> Mapping[str, Any]:
    inputs: Mapping[str, Any] = replicate.calls_of(CREATE)[-1].document["input"]
    return inputs


def test_a_clip_is_bought_and_lies_whole_where_it_belongs(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    call = PaperCall()

    clips.make(request_, destination, call)

    assert decoded(destination) == 10
    assert list(destination.parent.iterdir()) == [destination]
    assert [charge.micro_dollars for charge in replicate.bill] == [PRICE]
    assert (call.cost, call.exact) == (PRICE, False)
    assert call.facts["prediction"] in replicate.predictions


def test_the_service_is_asked_for_everything_explicitly(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    clips.make(request_, destination, PaperCall())

    stored = next(iter(replicate.files.values()))
    assert sent_input(replicate) == {
        "prompt": f"{PROMPT}\nCorrect this: the hand has six fingers",
        "first_frame_image": f"{replicate.base_url}/v1/files/{stored.id}",
        "duration": 6,
        "resolution": "768p",
        "prompt_optimizer": True,
    }
    assert (stored.name, stored.content_type) == ("order-clips-s01-0123456789ab-1.png", "image/png")
    assert stored.content == request_.keyframe.read_bytes()
    assert replicate.calls_of(CREATE)[0].request.headers["cancel-after"] == "20m"


def test_the_prices_are_those_of_the_table(clips: MinimaxClips, request_: ClipRequest) -> None:
    assert clips.price_micros(request_) == PRICE
    assert clips.price_micros(replace(request_, seconds=7.5)) == 320_000


def test_clips_are_six_or_ten_seconds_long(request_: ClipRequest) -> None:
    assert [duration(replace(request_, seconds=seconds)) for seconds in (0.5, 6.0, 6.1, 10.0)] == [6, 6, 10, 10]


def test_the_newest_correction_comes_first_and_is_the_last_to_be_cut_off(request_: ClipRequest) -> None:
    corrected = replace(request_, notes=("old " * 300, "newer", "newest"))

    told = prompt(replace(corrected, prompt="p" * 1000))

    assert told.startswith("p" * 1000 + "\nCorrect this: newest\nCorrect this: newer\nCorrect this: old")
    assert len(told) == 2000


def test_a_clip_depends_on_what_is_sent_and_on_nothing_else(
    clips: MinimaxClips, request_: ClipRequest, tmp_path: Path
) -> None:
    assert clips.inputs(request_) == {
        "prompt": prompt(request_),
        "keyframe": request_.keyframe,
        "duration": 6,
        "resolution": "768p",
        "take": 1,
    }
    unlike: dict[str, Any] = {"width": 352, "height": 198, "frames_per_second": 12, "seconds": 5.0, "intensity": 0.9}
    assert clips.inputs(replace(request_, **unlike)) == clips.inputs(request_)
    changes: list[dict[str, Any]] = [{"take": 2}, {"notes": ()}, {"seconds": 10.0}, {"keyframe": tmp_path / "a.png"}]
    for change in changes:
        assert clips.inputs(replace(request_, **change)) != clips.inputs(request_)


def test_a_prompt_is_never_longer_than_the_service_takes(request_: ClipRequest) -> None:
    long = replace(request_, prompt="p" * 1990, notes=("n" * 50,))

    assert prompt(long) == "p" * 1990 + "\nCorrect t"
    assert prompt(replace(long, prompt="p" * 2100)) == "p" * 2000


@pytest.mark.parametrize("lives", range(8))
def test_a_run_that_ends_at_any_point_is_gone_on_with_and_nothing_is_bought_twice(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, lives: int
) -> None:
    replicate.clip_latency_seconds = 60.0
    call = PaperCall(lives=lives)
    with pytest.raises(Killed):
        clips.make(request_, destination, call)
    again = PaperCall(facts=call.facts)
    finish(replicate)

    clips.make(request_, destination, again)

    assert len(replicate.bill) == 1
    assert (again.cost, decoded(destination)) == (PRICE, 10)


def test_a_run_that_is_told_to_end_leaves_the_prediction_to_the_next(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.clip_latency_seconds = 60.0
    call = PaperCall(lives=6, end=Interrupted("told to end"))

    with pytest.raises(Interrupted):
        clips.make(request_, destination, call)

    assert call.cost is None
    assert not replicate.calls_of("predictions.cancel")
    finish(replicate)
    clips.make(request_, destination, PaperCall(facts=call.facts))
    assert len(replicate.bill) == 1


@pytest.mark.parametrize("fault", [Fault.lose_reply(), Fault.cut()], ids=["lost", "cut"])
def test_a_create_whose_reply_was_lost_is_found_in_the_list(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, fault: Fault
) -> None:
    replicate.fail_next(fault)
    call = PaperCall()

    clips.make(request_, destination, call)

    assert (len(replicate.bill), call.cost) == (1, PRICE)


def test_it_is_found_behind_a_hundred_others(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    def crowd(moment: str, call: Call) -> None:
        if moment == "accepted" and call.operation == CREATE:
            ours = next(iter(replicate.predictions.values()))
            for number in range(120):
                other = replace(ours, id=f"other{number}", input={"first_frame_image": f"other{number}"})
                replicate.predictions[other.id] = other

    replicate.on_request(crowd)
    replicate.fail_next(Fault.lose_reply())

    clips.make(request_, destination, PaperCall())

    assert len(replicate.bill) == 1
    assert len(replicate.calls_of("predictions.list")) == 2


@pytest.mark.parametrize("fault", [Fault.drop(), Fault.status(500), Fault.status(503)], ids=["drop", "500", "503"])
def test_a_create_without_answer_is_made_again_only_when_the_list_has_had_time_to_show_it(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, fault: Fault
) -> None:
    replicate.fail_next(fault)
    call = PaperCall()

    clips.make(request_, destination, call)

    assert len(replicate.bill) == 1
    assert len(replicate.calls_of(CREATE)) == 2
    assert 25 < max(call.waited) <= 30
    assert len(replicate.calls_of("predictions.list")) == 2


def test_a_service_that_stays_silent_leaves_the_call_open_and_the_next_run_goes_on_with_it(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.status(502), times=2)
    call = PaperCall()

    with pytest.raises(TryAgain) as caught:
        clips.make(request_, destination, call)

    assert (call.cost, caught.value.wait_seconds, caught.value.nothing_sent) == (None, 30.0, False)
    assert caught.value.soon
    clips.make(request_, destination, PaperCall(facts=call.facts))
    assert len(replicate.bill) == 1


def test_the_sdk_waits_no_longer_for_a_create_than_it_is_told(
    clips: MinimaxClips,
    replicate: FakeReplicate,
    request_: ClipRequest,
    destination: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create = wire.Replicate.create

    def create_in_haste(service: wire.Replicate, model: str, inputs: dict[str, Any]) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(wire, "TIMEOUT", httpx.Timeout(1.5))
            return create(service, model, inputs)

    monkeypatch.setattr(wire.Replicate, "create", create_in_haste)
    replicate.fail_next(Fault.late(30.0))

    clips.make(request_, destination, PaperCall())

    assert len(replicate.calls_of("predictions.list")) == 1
    assert len(replicate.bill) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": "aborted", "version": "hidden"}, "canceled"),
        ({"status": "paused", "version": None}, "processing"),
        ({"status": "starting"}, "starting"),
    ],
)
def test_the_sdk_reads_every_answer_to_a_create(answer: dict[str, Any], status: str) -> None:
    mended = wire._mended({"id": "p1", "model": "minimax/hailuo-2.3-fast", "input": {}, **answer})

    assert Prediction(**mended).status == status


def test_the_sdk_reads_a_file_without_name_and_etag() -> None:
    answer = {"id": "f1", "content_type": "image/png", "size": 1, "checksums": {}, "metadata": {}, "created_at": "now"}

    assert File(**wire._mended({**answer, "urls": {"get": "somewhere"}})).urls == {"get": "somewhere"}


@pytest.mark.parametrize("age", [timedelta(minutes=51), timedelta(hours=-3)], ids=["too old", "clock set back"])
def test_what_can_no_longer_be_found_counts_as_bought(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, age: timedelta
) -> None:
    began = (datetime.now(UTC) - age).isoformat()
    call = PaperCall(facts={"creating": began, "source": f"{replicate.base_url}/v1/files/gone"})

    with pytest.raises(Unknown) as caught:
        clips.make(request_, destination, call)

    assert (call.cost, caught.value.soon, caught.value.nothing_sent) == (None, False, False)
    assert not replicate.calls_of(CREATE)


def test_a_prediction_that_the_service_forgot_counts_as_bought(
    clips: MinimaxClips, request_: ClipRequest, destination: Path
) -> None:
    call = PaperCall(facts={"creating": datetime.now(UTC).isoformat(), "prediction": "forgotten"})

    with pytest.raises(Unknown):
        clips.make(request_, destination, call)

    assert call.cost is None


@pytest.mark.parametrize(("retry_after", "hint"), [("7", 7.0), ("", 30.0)], ids=["header", "sentence"])
def test_a_throttled_create_says_how_long_to_wait_and_is_not_billed(
    clips: MinimaxClips,
    replicate: FakeReplicate,
    gate: OpenGate,
    request_: ClipRequest,
    destination: Path,
    retry_after: str,
    hint: float,
) -> None:
    replicate.fail_next(Fault.status(429, retry_after=retry_after))

    clips.make(request_, destination, PaperCall())

    assert gate.hints == [hint]
    assert len(replicate.bill) == 1


def test_a_throttled_poll_goes_through_the_gate_and_not_through_the_sdks_own_retries(
    clips: MinimaxClips, replicate: FakeReplicate, gate: OpenGate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.status(429, retry_after="3"), operations={"predictions.get"})

    clips.make(request_, destination, PaperCall())

    assert gate.hints == [3.0]


def test_an_empty_account_puts_the_service_on_hold_and_costs_nothing(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.status(402))
    call = PaperCall()

    with pytest.raises(OnHold) as caught:
        clips.make(request_, destination, call)

    assert (caught.value.fingerprint, caught.value.wait_seconds) == ("minimax.credit", 3600.0)
    assert (call.cost, replicate.bill) == (0, [])
    clips.make(request_, destination, PaperCall(facts=call.facts))
    assert len(replicate.bill) == 1


def test_a_gate_that_closes_while_a_clip_is_waited_for_does_not_make_it_free(
    clips: MinimaxClips, replicate: FakeReplicate, gate: OpenGate, request_: ClipRequest, destination: Path
) -> None:
    call = PaperCall(lives=6)
    replicate.clip_latency_seconds = 60.0
    with pytest.raises(Killed):
        clips.make(request_, destination, call)
    gate.closed = TryAgain("no room")
    gate.closed.nothing_sent = True
    again = PaperCall(facts=call.facts)

    with pytest.raises(TryAgain) as caught:
        clips.make(request_, destination, again)

    assert (again.cost, caught.value.nothing_sent) == (None, False)


def test_a_service_that_does_not_tell_how_far_a_clip_is_is_asked_again_soon(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.drop(), operations={"predictions.get"}, times=FOR_EVER)
    call = PaperCall()

    with pytest.raises(TryAgain) as caught:
        clips.make(request_, destination, call)

    assert (caught.value.soon, call.cost, len(replicate.bill)) == (True, None, 1)


def test_a_service_that_takes_no_keyframe_has_sold_nothing_that_could_be_fetched(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.drop(), operations={"files.create"}, times=FOR_EVER)
    call = PaperCall()

    with pytest.raises(TryAgain) as caught:
        clips.make(request_, destination, call)

    assert (caught.value.soon, call.cost, replicate.bill) == (False, 0, [])


def test_a_run_that_ends_before_anything_was_asked_for_has_spent_nothing(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.drop(), operations={"files.create"}, times=FOR_EVER)
    call = PaperCall(lives=0, end=Interrupted("told to end"))

    with pytest.raises(Interrupted):
        clips.make(request_, destination, call)

    assert (call.cost, replicate.bill) == (0, [])


def test_a_wrong_token_is_a_matter_of_the_settings(
    replicate: FakeReplicate, request_: ClipRequest, tmp_path: Path
) -> None:
    clips = MinimaxClips("r8_another", replicate.base_url, OpenGate(), read_prices(tmp_path), "768p")

    with pytest.raises(Misconfigured, match="REPLICATE_API_TOKEN"):
        clips.make(request_, tmp_path / "clip.mp4", PaperCall())


def test_a_model_that_is_gone_is_a_matter_of_the_price_table(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.models = {}
    call = PaperCall()

    with pytest.raises(Misconfigured, match=r"minimax/hailuo-2\.3-fast: see prices\.toml"):
        clips.make(request_, destination, call)

    assert call.facts["creating"] is None


def test_an_input_that_is_not_accepted_is_for_a_person_and_costs_nothing(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.status(422, message=f"- input: {PROMPT} is not nice"))
    call = PaperCall()

    with pytest.raises(PersonDecides, match=r"\(422\)$"):
        clips.make(request_, destination, call)

    assert call.cost == 0


def test_inputs_that_are_not_accepted_are_named_and_not_quoted() -> None:
    problem = {"detail": PROMPT, "invalid_fields": [{"field": "input.duration"}, {"field": PROMPT}, {"field": None}]}

    error = wire._error(422, {}, httpx.Response(422, json=problem).content)

    assert str(error) == "Replicate does not accept the request (422, input.duration)"


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (failed(), TryAgain, r"s01 \(E1001\) failed"),
        (failed(f"E005 The input was flagged as sensitive: {PROMPT}"), Refused, r"refused clip s01 \(E005\)"),
        (failed("Content policy violation"), Refused, "refused clip s01: reword"),
        (canceled(), TryAgain, "s01 was canceled"),
        (aborted(), TryAgain, "s01 was canceled"),
        (data_removed(), TryAgain, "kept|keeps"),
    ],
)
def test_a_prediction_without_a_clip_counts_as_bought_and_says_why(
    clips: MinimaxClips,
    replicate: FakeReplicate,
    request_: ClipRequest,
    destination: Path,
    fault: Fault,
    kind: type[DownstreamError],
    words: str,
) -> None:
    replicate.fail_next(fault)
    call = PaperCall()

    with pytest.raises(kind, match=words) as caught:
        clips.make(request_, destination, call)

    assert type(caught.value) is not Unknown
    assert (call.cost, call.exact) == (PRICE, False)
    assert nothing_lies_in(destination.parent)
    assert len(replicate.bill) == 1


@pytest.mark.parametrize("fault", [stuck(), unknown_status()], ids=["stuck", "unknown status"])
def test_a_prediction_that_does_not_end_is_waited_for_with_patience_and_then_canceled(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, fault: Fault
) -> None:
    replicate.fail_next(fault)
    call = PaperCall()

    with pytest.raises(TryAgain):
        clips.make(request_, destination, call)

    assert len(replicate.calls_of("predictions.get")) == len(call.waited)
    assert len(replicate.calls_of("predictions.cancel")) == 1
    assert call.cost == PRICE
    assert 30.0 <= sum(call.waited) < 33.0


def test_an_output_in_a_list_is_an_output(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(listed_output())

    clips.make(request_, destination, PaperCall())

    assert decoded(destination) == 10


def test_hiccups_between_are_waited_out(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(Fault.drop(), operations={"files.create"})
    replicate.fail_next(Fault.status(503), operations={"predictions.get"}, times=2)
    replicate.fail_next(Fault.cut(), operations={"predictions.get"})

    clips.make(request_, destination, PaperCall())

    assert replicate.faults_left == 0
    assert len(replicate.bill) == 1


BAD_DOWNLOADS = pytest.mark.parametrize(
    "fault",
    [
        download_cut(),
        output_gone(),
        output_gone(401),
        output_gone(410),
        html_instead(),
        not_a_video(),
    ],
    ids=["cut", "404", "401", "410", "a page", "noise"],
)


@BAD_DOWNLOADS
def test_a_download_that_went_wrong_is_made_again(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, fault: Fault
) -> None:
    replicate.fail_next(fault, times=2)

    clips.make(request_, destination, PaperCall())

    assert decoded(destination) == 10
    assert len(replicate.bill) == 1


@BAD_DOWNLOADS
def test_a_download_that_keeps_going_wrong_is_left_to_the_next_run(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, fault: Fault
) -> None:
    replicate.fail_next(fault, times=FOR_EVER)
    call = PaperCall()

    with pytest.raises(TryAgain) as caught:
        clips.make(request_, destination, call)

    assert (call.cost, nothing_lies_in(destination.parent)) == (None, True)
    assert (caught.value.soon, caught.value.wait_seconds) == (True, 60.0)
    replicate.clear_faults()
    clips.make(request_, destination, PaperCall(facts=call.facts))
    assert (len(replicate.bill), decoded(destination)) == (1, 10)


def aged(call: PaperCall) -> PaperCall:
    """The next run's call, more than an hour later."""
    began = datetime.fromisoformat(call.facts["creating"]) - timedelta(minutes=61)
    return PaperCall(facts=call.facts | {"creating": began.isoformat()})


@BAD_DOWNLOADS
def test_a_download_that_goes_wrong_for_an_hour_is_for_a_person(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, fault: Fault
) -> None:
    replicate.fail_next(fault, times=FOR_EVER)
    call = PaperCall()
    with pytest.raises(TryAgain):
        clips.make(request_, destination, call)
    last = aged(call)

    with pytest.raises(PersonDecides, match=r"did not deliver it: .* downstream retry order buys it again"):
        clips.make(request_, destination, last)

    assert (last.cost, last.exact, len(replicate.bill)) == (PRICE, False, 1)


def test_a_clip_that_is_shown_for_longer_than_an_hour_is_fetched_all_the_same(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path
) -> None:
    replicate.fail_next(html_instead(), times=4)
    call = PaperCall()
    with pytest.raises(TryAgain):
        clips.make(request_, destination, call)

    clips.make(request_, destination, aged(call))

    assert (len(replicate.bill), decoded(destination)) == (1, 10)


@pytest.mark.parametrize(
    ("fault", "kind"), [(html_instead(), PersonDecides), (download_cut(), TryAgain)], ids=["no clip", "cut"]
)
def test_a_clip_that_is_gone_before_it_arrived_counts_as_bought(
    clips: MinimaxClips,
    replicate: FakeReplicate,
    request_: ClipRequest,
    destination: Path,
    fault: Fault,
    kind: type[DownstreamError],
) -> None:
    replicate.fail_next(fault, times=4)
    call = PaperCall()
    with pytest.raises(TryAgain):
        clips.make(request_, destination, call)
    replicate.retention_seconds = 0.0
    last = PaperCall(facts=call.facts)

    with pytest.raises(kind) as caught:
        clips.make(request_, destination, last)

    assert not getattr(caught.value, "soon", False)
    assert (last.cost, last.exact, len(replicate.bill)) == (PRICE, False, 1)


def test_a_clip_that_ends_in_the_middle_is_no_clip(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, tmp_path: Path
) -> None:
    clips.make(request_, destination, PaperCall())
    whole = destination.read_bytes()
    part = tmp_path / "part.mp4"
    part.write_bytes(whole[: len(whole) // 2])
    from downstream.providers.minimax import download

    with pytest.raises(download.Spoiled, match="decoded"):
        download._check(part)


def test_a_list_that_goes_on_at_another_host_is_not_followed(replicate: FakeReplicate) -> None:
    with FakeReplicate(token=replicate.token) as stranger:
        service = wire.Replicate(replicate.token, replicate.base_url)

        with pytest.raises(TryAgain, match="another host"):
            service.page(f"{stranger.base_url}/v1/predictions")

        assert stranger.calls == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status(401),
        Fault.status(402),
        Fault.status(422, message=PROMPT),
        Fault.status(500, message=PROMPT),
        failed(f"E005 sensitive: {PROMPT}"),
        failed(PROMPT),
    ],
)
def test_no_error_tells_the_token_or_the_prompt(
    clips: MinimaxClips, replicate: FakeReplicate, request_: ClipRequest, destination: Path, fault: Fault
) -> None:
    replicate.fail_next(fault, times=FOR_EVER)

    with pytest.raises(DownstreamError) as caught:
        clips.make(request_, destination, PaperCall())

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert replicate.token not in told
    assert PROMPT not in told
