"""What can go wrong at Replicate, and what the order, the operator and the books have of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fakes.replicate import (
    aborted,
    canceled,
    data_removed,
    download_cut,
    failed,
    html_instead,
    listed_output,
    not_a_video,
    output_gone,
)
from fakes.service import FOR_EVER, Fault
from live import answer, judgement
from matrix import BEFORE_CLIPS, ECHO, IN_REVIEW, JUDGE, ORDER, TALE, TITLE, WRONG_KEY, Tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.service import Call
    from matrix import Row

    OpenRow = Callable[..., Row]

THIRD = "slow move number 3"
"""In the prompt of the third clip."""
CLIP = 190_000
"""Its price in millionths of a dollar."""
ALL_CLIPS = Counter({"replicate clip": 5})
ONE_MORE = {"replicate clip": 1}


# --- clips that do not come ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (failed(f"E1001 {ECHO}"), "the making of clip 03 (E1001) failed at MiniMax"),
        (failed(ECHO), "the making of clip 03 failed at MiniMax"),
        (canceled(), "the making of clip 03 was canceled at MiniMax"),
        (aborted(), "the making of clip 03 was canceled at MiniMax"),
        (data_removed(), "the clip is gone: the service keeps it for an hour only"),
    ],
    ids=["failed", "failed without a code", "canceled", "aborted", "expired"],
)
def test_a_clip_that_does_not_come_counts_as_bought_and_is_bought_anew(
    open_row: OpenRow, fault: Fault, reason: str
) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(fault, THIRD)

    assert row.tick("process") == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == ("pending", reason)
    assert (row.phases("clips/03"), row.cost("clips/03")) == (["intent", "failed"], [CLIP])
    assert row.bill == ALL_CLIPS
    row.finish(begun=BEFORE_CLIPS, extra=ONE_MORE)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (output_gone(), "the clip could not be fetched (404)"),
        (output_gone(403), "the clip could not be fetched (403)"),
        (html_instead(), "what was delivered is not an MP4 file"),
        (not_a_video(), "what was delivered is not an MP4 file"),
    ],
    ids=["404", "403", "a page", "noise"],
)
def test_what_is_delivered_instead_of_a_clip_is_not_taken_and_the_clip_is_fetched_by_a_later_run(
    open_row: OpenRow, fault: Fault, reason: str
) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(fault, times=FOR_EVER)

    for tries in (1, 2):
        row.later()
        assert row.tick("process") == Tick(7, "", ())
        assert (row.where(), row.waits_for(), row.job()["tries"]) == ("pending", reason, tries)

    assert {row.phases(f"clips/0{number}") == ["intent"] for number in range(1, 6)} == {True}
    assert row.bill == ALL_CLIPS
    row.services.replicate.clear_faults()
    row.finish(begun=BEFORE_CLIPS, extra={})


@pytest.mark.parametrize("retention_seconds", [0, 86_400], ids=["gone", "kept for longer"])
def test_a_clip_that_is_never_delivered_ends_with_a_person_when_its_hour_is_over(
    open_row: OpenRow, retention_seconds: int
) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(html_instead(), lambda call: is_of_third(row, call), times=FOR_EVER)
    assert row.tick("process") == Tick(7, "", ())
    jump(row, -2)
    row.services.replicate.retention_seconds = retention_seconds
    row.later()

    given_up = row.tick("process")

    reason = (
        "clip 03 was made and paid for, but Replicate did not deliver it: what was delivered is not an MP4 file. "
        f"downstream retry {ORDER} buys it again"
    )
    assert given_up.code == 4
    assert given_up.tells(f"{ORDER} failed: {reason}")
    assert row.failure() == ("person_decides", reason)
    assert (row.phases("clips/03"), row.cost("clips/03")) == (["intent", "failed"], [CLIP])
    assert row.bill == ALL_CLIPS

    row.services.replicate.clear_faults()
    row.services.replicate.retention_seconds = 3600
    assert row.tick("retry", ORDER).code == 0
    row.finish(begun=BEFORE_CLIPS, extra=ONE_MORE)


def is_of_third(row: Row, call: Call) -> bool:
    """The download of the third clip."""
    prediction = row.services.replicate.predictions[call.request.path.split("/")[-2]]
    return THIRD in prediction.sources["prompt"]


FLAGGED = failed(f"E005 The input was flagged as sensitive. {ECHO}")
REWORDED = "The light wanders slowly"
"""In the prompt of a clip that was refused once."""


def test_what_a_filter_refuses_is_reworded_once(open_row: OpenRow) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(FLAGGED, THIRD)

    assert row.tick("process") == Tick(0, "", ())

    assert row.phases("clips/03") == ["intent", "refused", "intent", "outcome"]
    assert row.phases("reword/clips/03") == ["intent", "outcome"]
    asked = [call.words for call in row.services.replicate.calls_of("models.predictions.create")]
    assert [REWORDED in words for words in asked].count(True) == 1
    row.finish(begun=BEFORE_CLIPS, extra=ONE_MORE | {"gemini text": 1})


def test_a_reworded_clip_is_known_when_another_is_made_again(open_row: OpenRow) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(FLAGGED, THIRD)
    assert row.tick("process") == Tick(0, "", ())
    assert row.tick("review", "--regenerate", ORDER, "--segments", "2", "--note", "no sail") == Tick(0, "", ())

    row.services.gemini.answer_when(JUDGE, against_third)
    assert row.tick("process") == Tick(0, "", ())

    assert row.where() == "review"
    assert row.phases("clips/03") == ["intent", "refused", "intent", "outcome"]


def against_third(request: dict[str, Any]) -> dict[str, Any]:
    """A judgement of keyframes that passes all but the third."""
    found = answer(request)
    ids = [one["segment_id"] for one in found["segments"]]
    return judgement(ids, request["generationConfig"]["responseJsonSchema"], {"03": "six fingers"})


def test_what_is_refused_twice_is_for_a_person_and_not_bought_again_by_a_mere_retry(open_row: OpenRow) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(FLAGGED, THIRD)
    row.services.replicate.fail_next(FLAGGED, REWORDED)

    given_up = row.tick("process")

    assert given_up.code == 4
    reason = (
        "MiniMax's content filter refused clip 03 (E005): reword its motion or its keyframe. "
        f"downstream retry {ORDER} --from clips --segment 3 asks again"
    )
    assert row.failure() == ("refused", reason)
    assert given_up.tells(f"{ORDER} failed: {reason}")
    assert (row.phases("clips/03"), row.cost("clips/03")) == (["intent", "refused"] * 2, [CLIP] * 2)
    bill = row.bill

    assert row.tick("retry", ORDER).code == 0
    assert row.tick("process").code == 4
    assert (row.failure(), row.bill) == (("refused", reason), bill)

    assert row.tick("retry", ORDER, "--from", "clips", "--segment", "3").code == 0
    row.finish(begun=BEFORE_CLIPS, extra={"replicate clip": 2, "gemini text": 1})


# --- waited out in place -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "operations"),
    [
        (listed_output(), None),
        (download_cut(), None),
        (output_gone(), None),
        (html_instead(), None),
        (not_a_video(), None),
        (Fault.lose_reply(), None),
        (Fault.status(429, message=ECHO, retry_after="1"), None),
        (Fault.status(429, message="Request was throttled. Your rate limit resets in ~1s."), None),
        (Fault.status(429, message=ECHO), None),
        (Fault.status(503, message=ECHO), {"files.create"}),
        (Fault.status(500, message=ECHO), {"predictions.get"}),
        (Fault.drop(), {"predictions.get"}),
        (Fault.status(429, message=ECHO, retry_after="1"), {"predictions.get"}),
    ],
    ids=[
        "output in a list",
        "download cut",
        "404 at download",
        "a page at download",
        "noise at download",
        "lost create",
        "429 with header",
        "429 with hint",
        "429",
        "503 at upload",
        "500 at poll",
        "drop at poll",
        "429 at poll",
    ],
)
def test_what_passes_is_waited_out_and_every_clip_is_bought_once(
    open_row: OpenRow, fault: Fault, operations: set[str] | None
) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(fault, operations=operations)

    assert row.tick("process") == Tick(0, "", ())

    assert row.where() == "review"
    assert row.bill == ALL_CLIPS
    assert len(row.services.replicate.predictions) == 5
    assert row.phases("clips/03") == ["intent", "outcome"]


def test_creates_without_an_answer_are_looked_for_and_only_what_was_not_made_is_made_again(open_row: OpenRow) -> None:
    row = open_row("before clips")
    for number, fault in enumerate((Fault.status(503, message=ECHO), Fault.drop(), Fault.lose_reply()), 1):
        row.services.replicate.fail_next(fault, f"slow move number {number}")

    assert row.tick("process") == Tick(0, "", ())

    asked = Counter(
        re.findall(r"slow move number \d", call.words)[0]
        for call in row.services.replicate.calls_of("models.predictions.create")
    )
    assert sorted(asked.values(), reverse=True) == [2, 2, 1, 1, 1]
    assert asked[THIRD] == 1
    assert row.bill == ALL_CLIPS
    assert not [line for line in row.receipts() if line["phase"] in {"unknown", "failed"}]


# --- the account, the settings, the request ------------------------------------------------------------------------


def test_an_empty_account_holds_everybody_is_told_once_and_goes_on_by_itself(open_row: OpenRow) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(Fault.status(402, message=ECHO), times=FOR_EVER)

    first = row.tick("process")
    asked = len(row.services.replicate.calls_of("models.predictions.create"))
    row.order("order-2", TALE, title=TITLE)
    second = row.tick("process")
    row.later()
    third = row.tick("process")

    assert first.code == 7
    assert first.tells("the Replicate account is out of credit (402)", "It is looked at again at 20")
    assert (second, third) == (Tick(7, "", ()), Tick(7, "", ()))
    assert len(row.services.replicate.calls_of("models.predictions.create")) == asked
    for order in (ORDER, "order-2"):
        assert (row.where(order), row.waits_for(order)) == ("pending", "minimax.credit")
    assert row.bill == BEFORE_CLIPS

    row.services.replicate.clear_faults()
    row.hold_is_over("minimax")
    row.later()
    over = row.tick("process")

    assert over.code == 0
    assert over.tells("all clear: minimax.credit holds up no order any more")
    row.finish(begun=BEFORE_CLIPS)


def test_a_bought_clip_is_fetched_while_an_empty_account_holds_up_another(open_row: OpenRow) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(failed(ECHO), "slow move number 1")
    row.services.replicate.fail_next(download_cut(), lambda call: is_of_third(row, call), times=FOR_EVER)
    assert row.tick("process") == Tick(7, "", ())
    row.services.replicate.fail_next(Fault.status(402, message=ECHO), times=FOR_EVER)

    row.later()
    held = row.tick("process")

    assert held.code == 7
    assert held.tells("the Replicate account is out of credit (402)")
    assert (row.where(), row.waits_for(), row.phases("clips/03")) == ("pending", "minimax.credit", ["intent"])
    assert seconds_to_wait(row) <= 61

    row.later()
    assert row.tick("process") == Tick(7, "", ())
    assert seconds_to_wait(row) <= 61

    row.services.replicate.clear_faults()
    row.later()
    assert row.tick("process") == Tick(7, "", ())
    assert (row.waits_for(), row.phases("clips/03")) == ("minimax.credit", ["intent", "outcome"])
    assert seconds_to_wait(row) > 3000

    row.hold_is_over("minimax")
    row.finish(begun=BEFORE_CLIPS, extra=ONE_MORE)


def seconds_to_wait(row: Row) -> float:
    """How long it is until the order is looked at again."""
    return (datetime.fromisoformat(row.job()["not_before"]) - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize(
    ("status", "settings", "sentence"),
    [
        (0, {"REPLICATE_API_TOKEN": WRONG_KEY}, "Replicate does not accept REPLICATE_API_TOKEN (401)"),
        (403, {}, "Replicate does not accept REPLICATE_API_TOKEN (403)"),
        (404, {}, "Replicate has no model minimax/hailuo-2.3-fast: see prices.toml"),
    ],
    ids=["wrong token", "403", "model gone"],
)
def test_what_the_operator_must_set_right_stops_the_run_and_leaves_the_order_as_it_was(
    open_row: OpenRow, status: int, settings: dict[str, str], sentence: str
) -> None:
    row = open_row("before clips", **settings)
    if status:
        row.services.replicate.fail_next(Fault.status(status, message=ECHO), times=5)

    stopped = row.tick("process")

    assert stopped.code == 6
    assert stopped.tells(f"stopped: {sentence}")
    assert row.where() == "pending"
    assert row.job().keys().isdisjoint({"failure", "tries", "not_before", "held_by"})
    row.services.replicate.clear_faults()
    row.settings.pop("REPLICATE_API_TOKEN", None)
    row.finish(begun=BEFORE_CLIPS)


def test_a_request_that_is_not_taken_is_for_a_person_and_costs_nothing(open_row: OpenRow) -> None:
    row = open_row("before clips")
    row.services.replicate.fail_next(Fault.status(422, message=ECHO), THIRD)

    given_up = row.tick("process")

    assert given_up.code == 4
    assert row.failure() == ("person_decides", "Replicate does not accept the request (422)")
    assert given_up.tells(f"{ORDER} failed: Replicate does not accept the request (422)")
    assert (row.phases("clips/03"), row.cost("clips/03")) == (["intent", "failed"], [0])

    assert row.tick("retry", ORDER).code == 0
    row.finish(begun=BEFORE_CLIPS)


# --- a crash, and a clock that jumps -------------------------------------------------------------------------------


def jump(row: Row, hours: int) -> None:
    """The receipts were written by a clock that was ``hours`` ahead of the one that now goes."""
    path = row.home / "streams" / ORDER / "receipts.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["call"] == "clips/03" and line.get("facts", {}).get("creating"):
            moment = datetime.fromisoformat(line["facts"]["creating"]) + timedelta(hours=hours)
            line["facts"]["creating"] = moment.isoformat()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def cut_off_after_buying(open_row: OpenRow) -> Row:
    """An order whose third clip was bought a second time when the machine went down, its id not yet noted."""
    row = open_row("in review")
    by_hand = row.tick("review", "--regenerate", ORDER, "--segments", "3", "--note", "no sail")
    assert by_hand == Tick(0, "", ())
    assert row.tick("process", kill_at="before receipt note clips/03 #2").code == -9
    assert row.bill["replicate clip"] == 1
    return row


MADE_AGAIN = Counter({"gemini keyframe": 1, "gemini text": 1, "replicate clip": 1})


@pytest.mark.parametrize("hours", [0, 2, 200], ids=["right", "set back by hours", "set back by days"])
def test_a_clip_whose_id_was_lost_is_found_also_when_the_clock_was_set_back(open_row: OpenRow, hours: int) -> None:
    row = cut_off_after_buying(open_row)
    jump(row, hours)

    row.finish(begun=IN_REVIEW, extra=MADE_AGAIN)

    assert row.phases("clips/03")[-2:] == ["intent", "outcome"]


def test_a_clip_whose_id_was_lost_too_long_ago_is_written_down_as_unknown_and_bought_once_more(
    open_row: OpenRow,
) -> None:
    row = cut_off_after_buying(open_row)
    jump(row, -2)
    row.services.replicate.retention_seconds = 0

    assert row.tick("process") == Tick(7, "", ())
    assert row.waits_for() == "a clip was asked for and cannot be found any more; it counts as bought"
    assert row.phases("clips/03")[-2:] == ["intent", "unknown"]

    row.services.replicate.retention_seconds = 3600
    row.finish(begun=IN_REVIEW, extra=MADE_AGAIN + Counter(ONE_MORE))
