"""What can go wrong at Gemini, and what the order, the operator and the books have of it."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fakes.gemini import (
    cut_off,
    daily_quota,
    draft_only,
    empty_answer,
    finished,
    not_json,
    prompt_blocked,
    text_only,
)
from fakes.service import FOR_EVER, Fault
from matrix import (
    ECHO,
    IN_REVIEW,
    JUDGE,
    ORDER,
    PLAN,
    SCREEN,
    TALE,
    TITLE,
    WRONG_KEY,
    Tick,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix import Row

    OpenRow = Callable[..., Row]

SECOND = "Harbour view number 2"
"""In the prompt of the second keyframe."""
REWORDED = "The same harbour seen from far away"


# --- less haste, no more today, no more money ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "least_seconds"), [({"retry_delay": "0.6s"}, 0.6), ({}, 1.4)], ids=["hint", "no hint"]
)
def test_less_haste_is_waited_out_in_place(open_row: OpenRow, details: dict[str, str], least_seconds: float) -> None:
    row = open_row()
    row.services.gemini.fail_next(Fault.status(429, message=ECHO, **details), SECOND)

    assert row.tick("process") == Tick(0, "", ())

    first, second = [call.at for call in row.services.gemini.calls if call.mentions(SECOND)]
    assert (second - first).total_seconds() >= least_seconds
    assert row.phases("keyframes/02") == ["intent", "outcome"]
    assert row.bill == IN_REVIEW


@pytest.mark.parametrize(
    ("fault", "cause", "sentence"),
    [
        (daily_quota(), "gemini.quota", "Gemini's quota of this day is used up; it begins anew at 20"),
        (Fault.status(402, message=ECHO), "gemini.credit", "Gemini's account is out of credit"),
    ],
    ids=["daily quota", "402"],
)
def test_what_is_used_up_holds_everybody_is_told_once_and_goes_on_by_itself(
    open_row: OpenRow, fault: Fault, cause: str, sentence: str
) -> None:
    row = open_row()
    row.services.gemini.fail_next(fault, SECOND, times=FOR_EVER)

    first = row.tick("process")
    asked = len(row.services.gemini.calls)
    row.order("order-2", TALE, title=TITLE)
    second = row.tick("process")
    row.later()
    third = row.tick("process")

    assert first.code == 7
    assert first.tells(sentence, "It is looked at again at 20")
    assert (second, third) == (Tick(7, "", ()), Tick(7, "", ()))
    assert len(row.services.gemini.calls) == asked
    for order in (ORDER, "order-2"):
        assert (row.where(order), row.waits_for(order), row.job(order).get("tries", 0)) == ("pending", cause, 0)
    assert row.phases("keyframes/02") == ["intent", "failed", "intent", "failed"]
    assert row.cost("keyframes/02") == [0, 0]

    row.services.gemini.clear_faults()
    row.hold_is_over("gemini")
    row.later()
    over = row.tick("process")

    assert over.code == 0
    assert over.tells(f"all clear: {cause} holds up no order any more")
    assert row.bill == IN_REVIEW + IN_REVIEW


# --- the service is in trouble, or we are --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"), [(500, "INTERNAL"), (503, "UNAVAILABLE"), (504, "DEADLINE_EXCEEDED")], ids=str
)
def test_trouble_of_the_service_passes_and_may_have_been_billed(open_row: OpenRow, status: int, name: str) -> None:
    row = open_row()
    row.services.gemini.fail_next(Fault.status(status, message=ECHO), SECOND)

    assert row.tick("process") == Tick(7, "", ())

    assert row.where() == "pending"
    assert row.waits_for() == f"keyframe 02: Gemini is in trouble ({status} {name})"
    assert row.phases("keyframes/02") == ["intent", "failed"]
    assert row.cost("keyframes/02") == row.reserved("keyframes/02")
    row.reach_clips()


def test_a_long_outage_fails_no_order_and_all_of_them_finish_when_it_is_over(open_row: OpenRow) -> None:
    row = open_row()
    for more in ("order-2", "order-3"):
        row.order(more, TALE, title=TITLE)
    row.services.gemini.fail_next(Fault.status(503, message=ECHO), SECOND, times=FOR_EVER)

    for round_number in range(1, 6):
        row.later()
        assert row.tick("process") == Tick(7, "", ())
        for order in row.orders:
            assert (row.where(order), row.job(order)["tries"]) == ("pending", round_number)
            assert row.waits_for(order) == "keyframe 02: Gemini is in trouble (503 UNAVAILABLE)"
            assert row.phases("keyframes/02", order) == ["intent", "failed"] * round_number
        with row.limits("gemini") as state:
            assert state["still_until"] > time.time() - 60
            assert state["throttled"] > 0
            state["throttled"] = 0  # or the test would take as long as an outage does
    assert all(cost > 0 for order in row.orders for cost in row.cost("keyframes/02", order))

    row.services.gemini.clear_faults()
    row.finish()


@pytest.mark.parametrize(
    ("status", "settings", "sentence"),
    [
        (0, {"GOOGLE_AI_API_KEY": WRONG_KEY}, "Gemini does not accept GOOGLE_AI_API_KEY (400 INVALID_ARGUMENT)"),
        (403, {}, "Gemini does not accept GOOGLE_AI_API_KEY (403 PERMISSION_DENIED)"),
        (404, {}, "Gemini has no model gemini-3.5-flash-lite: change [models] in prices.toml"),
    ],
    ids=["bad key", "403", "model shut down"],
)
def test_what_the_operator_must_set_right_stops_the_run_and_leaves_the_order_as_it_was(
    open_row: OpenRow, status: int, settings: dict[str, str], sentence: str
) -> None:
    row = open_row(**settings)
    if status:
        row.services.gemini.fail_next(Fault.status(status, message=ECHO))
    before = row.job()

    stopped = row.tick("process")

    assert stopped.code == 6
    assert stopped.tells(f"stopped: {sentence}")
    assert row.job() == before
    assert row.where() == "pending"
    assert (row.phases("screen"), row.cost("screen")) == (["intent", "failed"], [0])
    assert not row.bill
    row.settings.pop("GOOGLE_AI_API_KEY", None)
    row.reach_clips()


def test_a_request_that_is_not_taken_is_for_a_person(open_row: OpenRow) -> None:
    row = open_row()
    row.services.gemini.fail_next(Fault.status(400, message=ECHO), SECOND)

    failed = row.tick("process")

    assert failed.code == 4
    assert row.failure() == (
        "person_decides",
        "keyframe 02: Gemini does not take this request (400 INVALID_ARGUMENT); mend what was asked, then retry",
    )
    assert failed.tells(f"{ORDER} failed: keyframe 02: Gemini does not take this request")
    assert row.cost("keyframes/02") == [0]
    assert row.tick("retry", ORDER).code == 0
    row.reach_clips()


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (prompt_blocked("PROHIBITED_CONTENT"), "PROHIBITED_CONTENT"),
        (prompt_blocked("IMAGE_SAFETY"), "IMAGE_SAFETY"),
        (finished("IMAGE_SAFETY"), "IMAGE_SAFETY"),
        (finished("IMAGE_RECITATION"), "IMAGE_RECITATION"),
    ],
    ids=["prompt", "prompt as picture", "picture", "recitation"],
)
def test_what_is_refused_is_reworded_once(open_row: OpenRow, fault: Fault, code: str) -> None:
    row = open_row()
    row.services.gemini.fail_next(fault, SECOND)

    assert row.tick("process") == Tick(0, "", ())

    assert row.phases("keyframes/02") == ["intent", "refused", "intent", "outcome"]
    assert code in next(line["reason"] for line in row.receipts() if line["phase"] == "refused")
    assert row.phases("reword/02") == ["intent", "outcome"]
    assert sum(call.mentions(REWORDED) for call in row.services.gemini.calls) == 1
    assert row.bill == IN_REVIEW + Counter({"gemini keyframe": 1, "gemini text": 1})


@pytest.mark.parametrize("second", [prompt_blocked("BLOCKLIST"), finished("BLOCKLIST")], ids=["prompt", "picture"])
def test_what_is_refused_twice_is_for_a_person_and_not_bought_again_by_a_mere_retry(
    open_row: OpenRow, second: Fault
) -> None:
    row = open_row()
    row.services.gemini.fail_next(prompt_blocked("PROHIBITED_CONTENT"), SECOND)
    row.services.gemini.fail_next(second, REWORDED)

    failed = row.tick("process")

    assert failed.code == 4
    kind, reason = row.failure()
    assert kind == "refused"
    assert re.fullmatch(r"keyframe 02: Gemini's content filter refused .*\(BLOCKLIST\).*", reason)
    assert reason.endswith(f". downstream retry {ORDER} --from keyframes --segment 2 asks again")
    assert failed.tells(f"{ORDER} failed: {reason}")
    bill = {"gemini text": 3, "gemini keyframe": 4}
    assert row.bill == bill

    assert row.tick("retry", ORDER).code == 0
    assert row.tick("process").code == 4
    assert row.failure() == (kind, reason)
    assert row.bill == bill

    assert row.tick("retry", ORDER, "--from", "keyframes", "--segment", "2").code == 0
    row.reach_clips(keyframe=2, text=1)


def test_a_story_that_may_not_even_be_read_is_for_a_person(open_row: OpenRow) -> None:
    row = open_row()
    row.services.gemini.fail_next(prompt_blocked(), SCREEN)

    failed = row.tick("process")

    assert failed.code == 4
    kind, reason = row.failure()
    assert kind == "person_decides"
    assert reason.startswith("the pre-screen found refused_content. Read streams/order-1/input.json")
    assert failed.tells(f"{ORDER} failed: {reason}")
    assert row.bill == {"gemini text": 1}


# --- no picture this time ------------------------------------------------------------------------------------------


NO_PICTURE = [
    (finished("NO_IMAGE"), "Gemini did not finish (NO_IMAGE)"),
    (finished("IMAGE_OTHER"), "Gemini did not finish (IMAGE_OTHER)"),
    (text_only(), "Gemini sent no picture this time"),
    (draft_only(), "Gemini sent no picture this time"),
    (cut_off(), "Gemini did not finish (MAX_TOKENS)"),
    (empty_answer(), "Gemini's answer is empty"),
]
NAMES = ["NO_IMAGE", "IMAGE_OTHER", "text only", "draft only", "MAX_TOKENS", "{}"]


@pytest.mark.parametrize(("fault", "_reason"), NO_PICTURE, ids=NAMES)
def test_no_picture_is_paid_for_and_asked_for_once_more_at_once(open_row: OpenRow, fault: Fault, _reason: str) -> None:
    row = open_row()
    row.services.gemini.fail_next(fault, SECOND)

    assert row.tick("process") == Tick(0, "", ())

    assert row.phases("keyframes/02") == ["intent", "failed", "intent", "outcome"]
    assert row.bill == IN_REVIEW + Counter({"gemini keyframe": 1})


@pytest.mark.parametrize(("fault", "reason"), NO_PICTURE, ids=NAMES)
def test_no_picture_twice_is_asked_for_at_a_later_run(open_row: OpenRow, fault: Fault, reason: str) -> None:
    row = open_row()
    row.services.gemini.fail_next(fault, SECOND, times=2)

    assert row.tick("process") == Tick(7, "", ())

    assert (row.where(), row.waits_for()) == ("pending", f"keyframe 02: {reason}")
    assert row.phases("keyframes/02") == ["intent", "failed"] * 2
    row.reach_clips(keyframe=2)


def test_no_picture_three_times_is_for_a_person(open_row: OpenRow) -> None:
    row = open_row()
    row.services.gemini.fail_next(finished("NO_IMAGE"), SECOND, times=3)

    assert row.tick("process") == Tick(7, "", ())
    row.later()
    failed = row.tick("process")

    assert failed.code == 4
    assert row.failure()[1].startswith("keyframes/02 was paid for 3 times in vain, the last time: keyframe 02: ")
    assert row.phases("keyframes/02") == ["intent", "failed"] * 3
    assert row.tick("retry", ORDER).code == 0
    row.reach_clips(keyframe=3)


def test_an_answer_that_cannot_be_read_counts_as_lost_and_waits_for_a_later_run(open_row: OpenRow) -> None:
    row = open_row()
    row.services.gemini.fail_next(not_json(), SECOND)

    assert row.tick("process") == Tick(7, "", ())

    reason = "keyframe 02: Gemini's answer cannot be read (JSONDecodeError)"
    assert (row.where(), row.waits_for()) == ("pending", reason)
    assert row.phases("keyframes/02") == ["intent", "unknown"]
    row.reach_clips(keyframe=1)


# --- lost ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "call", "kind"),
    [
        (SCREEN, "screen", "text"),
        (PLAN, "plan", "text"),
        ("reference sheet of the characters described", "keyframes/cast", "keyframe"),
        (SECOND, "keyframes/02", "keyframe"),
        (JUDGE, "judge/keyframes", "text"),
    ],
    ids=["screen", "plan", "cast", "keyframe", "judge"],
)
def test_a_lost_answer_is_written_down_as_unknown_and_asked_for_once_more(
    open_row: OpenRow, words: str, call: str, kind: str
) -> None:
    row = open_row()
    row.services.gemini.fail_next(Fault.lose_reply(), words)

    assert row.tick("process") == Tick(7, "", ())

    assert row.where() == "pending"
    assert row.waits_for().endswith("Gemini was asked and no answer came (RemoteProtocolError)")
    assert row.phases(call) == ["intent", "unknown"]
    row.reach_clips(**{kind: 1})
    assert row.phases(call) == ["intent", "unknown", "intent", "outcome"]


@pytest.mark.parametrize(
    ("fault", "extra"), [(Fault.lose_reply(), 2), (Fault.drop(), 0), (Fault.cut(0.5), 2)], ids=["lost", "drop", "cut"]
)
def test_after_a_second_loss_a_person_decides_whether_to_ask_again(open_row: OpenRow, fault: Fault, extra: int) -> None:
    row = open_row()
    row.services.gemini.fail_next(fault, SECOND, times=2)

    for _ in range(2):
        assert row.tick("process") == Tick(7, "", ())
        row.later()
    asked = len(row.services.gemini.calls)
    failed = row.tick("process")

    assert failed.code == 4
    assert len(row.services.gemini.calls) == asked
    kind, reason = row.failure()
    assert kind == "person_decides"
    assert re.fullmatch(
        r"gemini was asked for keyframes/02 2 times, each answer was lost; up to \$0\.1\d+ may have been spent\. "
        r"downstream retry order-1 asks again",
        reason,
    )
    assert failed.tells(f"{ORDER} failed: {reason}")
    assert row.phases("keyframes/02") == ["intent", "unknown"] * 2

    assert row.tick("retry", ORDER).code == 0
    row.reach_clips(keyframe=extra)
