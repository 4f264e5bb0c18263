"""What models may answer that is no plan, no reading and no verdict, and what the order has of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import live
import pytest
from live import judgement, plan
from matrix import (
    BEFORE_CLIPS,
    CUSTOMER,
    IN_REVIEW,
    JUDGE,
    JUDGE_CLIPS,
    ORDER,
    PLAN,
    SCREEN,
    SENTENCE,
    Tick,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix import Row

    OpenRow = Callable[..., Row]
    Answer = dict[str, Any]
    Answering = Callable[[Answer], Answer | str]

SECOND = "Harbour view number 2"
"""In the prompt of the second keyframe."""


# --- answers in words ----------------------------------------------------------------------------------------------


def first_of_all(bad: Answering) -> Answering:
    """The first request gets this answer, every later one a good one."""
    left = [live.answer, bad]

    def make(request: Answer) -> Answer | str:
        return (left.pop() if len(left) > 1 else left[0])(request)

    return make


def words_of(request: Answer) -> str:
    return "\n".join(part.get("text", "") for content in request["contents"] for part in content["parts"])


def section(number: int, **changes: Any) -> Answering:
    """A plan with one section changed."""

    def make(request: Answer) -> Answer:
        made = plan(words_of(request))
        made["sections"][number] |= changes
        return made

    return make


def one_way_only(request: Answer) -> Answer:
    made = plan(words_of(request))
    for each in made["sections"]:
        each["segments"][0]["motion_type"] = "drift"
    return made


def with_changes(**changes: Any) -> Answering:
    return lambda request: plan(words_of(request)) | changes


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda request: plan(words_of(request), segments=1), "it has 1 segments"),
        (section(0, first_piece=2), "the first section does not begin"),
        (section(4, first_piece=900), "a section begins with piece 900 of"),
        (section(2, first_piece=1, title=SENTENCE), "the sections do not follow each other"),
        (one_way_only, "the camera moves the same way three times in a row"),
        (with_changes(palette=[SENTENCE]), "the palette has 0 colours"),
        (section(1, text_type=SENTENCE, segments=CUSTOMER), "the model's answer does not fit: sections"),
        (lambda _: f"{SENTENCE} {{", "the model's answer does not fit: "),
    ],
    ids=["too few", "not from the start", "too far", "out of order", "one move", "colours", "no schema", "no JSON"],
)
def test_a_plan_that_breaks_the_rules_is_asked_for_anew(open_row: OpenRow, bad: Answering, reason: str) -> None:
    row = open_row()
    row.services.gemini.answer_when(PLAN, first_of_all(bad))

    assert row.tick("process") == Tick(7, "", ())

    assert row.where() == "pending"
    assert row.waits_for().startswith(f"plan: {reason}")
    assert row.phases("plan") == ["intent", "failed"]
    assert row.bill == {"gemini text": 2}
    row.later()
    assert row.tick("process", kill_at="after ledger settled plan #1").is_quiet
    assert row.phases("plan") == ["intent", "failed", "intent", "outcome"]
    assert row.bill == {"gemini text": 3}


def screening(**changes: Any) -> Answering:
    return lambda request: live.answer(request) | changes


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (screening(read_to_the_end_paragraph=6), "the story was not read to its last paragraph"),
        (screening(findings=[{"kind": "minor", "paragraphs": [99]}]), "the answer names a paragraph that is not there"),
        (screening(findings=[{"kind": SENTENCE, "paragraphs": [1]}]), "the model's answer does not fit: findings"),
        (lambda _: "", "Gemini's answer is empty"),
        (lambda _: SENTENCE, "the model's answer does not fit: "),
    ],
    ids=["not to the end", "another story", "no schema", "empty", "no JSON"],
)
def test_a_story_that_was_not_read_properly_was_not_screened(open_row: OpenRow, bad: Answering, reason: str) -> None:
    row = open_row()
    row.services.gemini.answer_when(SCREEN, first_of_all(bad))

    assert row.tick("process") == Tick(7, "", ())

    assert row.waits_for().startswith(f"screen: {reason}")
    assert row.bill == {"gemini text": 1}
    row.later()
    assert row.tick("process", kill_at="after ledger settled screen #1").is_quiet
    assert row.phases("screen") == ["intent", "failed", "intent", "outcome"]


def test_a_real_person_in_the_story_is_for_a_person_who_may_clear_it(open_row: OpenRow) -> None:
    row = open_row()
    person = {"kind": "real_person", "paragraphs": [2, 5]}
    row.services.gemini.answer_when(SCREEN, screening(findings=[person]))

    failed = row.tick("process")

    assert failed.code == 4
    kind, reason = row.failure()
    assert kind == "person_decides"
    assert reason.startswith("the pre-screen found real_person (paragraph 2, 5). Read streams/order-1/input.json")
    assert failed.tells(f"{ORDER} failed: {reason}")
    assert row.bill == {"gemini text": 1}

    assert row.tick("retry", ORDER).code == 0
    assert row.tick("process").code == 4
    assert row.bill == {"gemini text": 1}

    assert row.tick("retry", ORDER, "--cleared").code == 0
    assert row.tick("process") == Tick(0, "", ())
    assert row.tick("review") == Tick(0, "", ())
    assert row.where() == "completed"
    assert row.phases("screen") == ["intent", "outcome"]
    assert (row.bill["gemini keyframe"], row.bill["replicate clip"]) == (6, 5)


# --- the judge -----------------------------------------------------------------------------------------------------


def shown(request: Answer) -> list[str]:
    return sorted(set(re.findall(r"^Segment (\d\d):", words_of(request), re.MULTILINE)))


def schema(request: Answer) -> Answer:
    found: Answer = request["generationConfig"]["responseJsonSchema"]
    return found


def rejecting(failing: dict[str, str]) -> Answering:
    """A judge who rejects segments: id to reason."""
    return lambda request: judgement(shown(request), schema(request), failing)


def without_first(request: Answer) -> Answer:
    return judgement(shown(request)[1:], schema(request))


def contradictory(request: Answer) -> Answer:
    made = judgement(shown(request), schema(request), {"02": SENTENCE})
    made["segments"][1]["verdict"] = "pass"
    return made


def of_another(request: Answer) -> Answer:
    return judgement([*shown(request)[1:], "77"], schema(request))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (without_first, "the answer does not speak of every segment once"),
        (contradictory, "scores and verdict of segment 02 contradict each other"),
        (of_another, "the answer does not speak of every segment once"),
    ],
    ids=["incomplete", "contradictory", "of another"],
)
def test_a_judgement_that_is_not_whole_is_no_verdict_and_no_clip_is_bought_on_it(
    open_row: OpenRow, bad: Answering, reason: str
) -> None:
    row = open_row()
    row.services.gemini.answer_when(JUDGE, first_of_all(bad))

    assert row.tick("process") == Tick(7, "", ())

    assert row.waits_for() == f"judge keyframes: {reason}, so there is no verdict"
    assert row.bill == BEFORE_CLIPS
    row.reach_clips(text=1)


def test_a_rejected_keyframe_is_made_again_with_the_reason_before_any_clip_is_bought(open_row: OpenRow) -> None:
    row = open_row()
    reason = f"the boat has no sail: {SENTENCE}"
    row.services.gemini.answer_when(JUDGE, first_of_all(rejecting({"02": reason})))
    bought: list[bool] = []
    row.services.gemini.on_request(
        lambda moment, call: (
            bought.append(bool(row.services.replicate.bill)) if moment == "accepted" and call.mentions(SECOND) else None
        )
    )

    assert row.tick("process") == Tick(0, "", ())

    first, second = [call for call in row.services.gemini.calls if call.mentions(SECOND)]
    assert bought == [False, False]
    assert not first.mentions("the boat has no sail")
    assert second.mentions("the boat has no sail")
    assert [entry["segments"] for entry in row.events("job.keyframes_rejected")] == [["02"]]
    row.finish(extra={"gemini keyframe": 1, "gemini text": 1})


@pytest.mark.parametrize(
    ("settings", "again", "why"),
    [
        ({"REGENERATIONS_PER_SEGMENT": "2"}, 2, "segment 02 was made again 2 times already: judge.picture 02"),
        ({"REGENERATIONS_PER_ORDER": "1"}, 1, "the order had 1 regenerations already: judge.picture 02"),
        ({"REGENERATIONS_PER_SEGMENT": "0"}, 0, "segment 02 was made again 0 times already: judge.picture 02"),
    ],
    ids=["segment", "order", "none"],
)
def test_what_is_rejected_again_and_again_is_for_a_person(
    open_row: OpenRow, settings: dict[str, str], again: int, why: str
) -> None:
    row = open_row(**settings)
    row.services.gemini.answer_when(JUDGE, rejecting({"02": f"no sail. {SENTENCE}"}))

    failed = row.tick("process")

    assert failed.code == 4
    assert row.failure() == ("rejected", why)
    assert failed.tells(f"{ORDER} failed: {why}")
    assert row.bill == {"gemini text": 3 + again, "gemini keyframe": 6 + again}


def test_a_rejected_clip_alone_is_made_again_with_the_reason(open_row: OpenRow) -> None:
    row = open_row("in review")
    row.services.gemini.answer_when(JUDGE_CLIPS, first_of_all(rejecting({"03": f"the sail melts {SENTENCE}"})))

    assert row.tick("review") == Tick(0, "", ())
    assert row.where() == "pending"
    assert row.tick("process") == Tick(0, "", ())

    [create] = row.services.replicate.calls_of("models.predictions.create")
    assert create.mentions("slow move number 3")
    assert create.mentions("Correct this: the sail melts")
    assert row.bill == {"gemini text": 1, "replicate clip": 1}
    row.finish(begun=IN_REVIEW, extra={"gemini text": 1, "replicate clip": 1})
