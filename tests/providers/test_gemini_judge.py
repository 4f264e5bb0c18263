"""Gemini as judge: what it is shown, and that only a complete and consistent answer is a verdict."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.gemini import FakeGemini, cut_off, finished, prompt_blocked
from fakes.media import draw_picture
from model_tools import KEY, PRICES, Books, OpenGate, plan_answer, story
from PIL import Image

from downstream.domain.errors import PersonDecides, TryAgain
from downstream.domain.planning import production_from
from downstream.domain.ports import Exhibit, JudgeRequest, PlanRequest, Subject
from downstream.providers.gemini.judge import GeminiJudge
from downstream.providers.gemini.service import GeminiService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from downstream.domain.checks import Check

IDS = ["01", "02", "03", "04", "05", "06"]
PRODUCTION = production_from(PlanRequest(story()), json.dumps(plan_answer([1, 10, 25, 40, 60, 80])))
PICTURE_CRITERIA = ("narrative", "anatomy", "cast", "style", "lettering")
CRITERIA = {
    Subject.KEYFRAMES: PICTURE_CRITERIA,
    Subject.CLIPS: (*PICTURE_CRITERIA, "motion", "morphing", "framing"),
}


@pytest.fixture
def gemini() -> Iterator[FakeGemini]:
    with FakeGemini() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., JudgeRequest]:
    """A request to judge pictures that lie on the disk."""

    def make(subject: Subject = Subject.KEYFRAMES, size: tuple[int, int] = (1376, 768), count: int = 1) -> JudgeRequest:
        sheet = tmp_path / "sheet.jpg"
        sheet.write_bytes(draw_picture("sheet", 1920, 1080, "image/jpeg"))
        exhibits = []
        for one in IDS:
            pictures = [tmp_path / f"{one}-{number}.png" for number in range(count)]
            for picture in pictures:
                picture.write_bytes(draw_picture(picture.name, *size))
            exhibits.append(Exhibit(one, tuple(pictures)))
        return JudgeRequest(subject, PRODUCTION, tuple(exhibits), sheet)

    return make


def review(subject: Subject = Subject.KEYFRAMES) -> dict[str, Any]:
    """An answer with nothing to complain of."""
    return {
        "segments": [
            {"segment_id": one, "verdict": "pass", "reason": "fine", "scores": dict.fromkeys(CRITERIA[subject], 4)}
            for one in IDS
        ],
        "whole": {"verdict": "pass", "reason": "one work", "weakest": []},
    }


def failed(answer: dict[str, Any], index: int, criterion: str = "anatomy", score: int = 2) -> dict[str, Any]:
    """The answer with one segment that fails."""
    segment = answer["segments"][index]
    segment["scores"][criterion] = score
    segment |= {"verdict": "fail", "reason": "the left hand has six fingers"}
    return answer


def judged(gemini: FakeGemini, request: JudgeRequest, answer: Any) -> tuple[Check, ...]:
    gemini.text_answer = lambda _request: answer
    return GeminiJudge(GeminiService(KEY, gemini.base_url, "v1", OpenGate(), PRICES)).judge(request, Books())


# What is shown


def test_the_sheet_and_every_picture_are_shown_under_their_captions(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest]
) -> None:
    judged(gemini, request_of(Subject.CLIPS, count=2), review(Subject.CLIPS))

    sent = gemini.calls[0].document["contents"][0]["parts"]
    captions = [part["text"] for part in sent[1::2]]
    pictures = [Image.open(io.BytesIO(base64.urlsafe_b64decode(part["inlineData"]["data"]))) for part in sent[2::2]]
    assert captions[:3] == ["Contact sheet:", "Segment 01, picture 1 of 2:", "Segment 01, picture 2 of 2:"]
    assert len(captions) == len(pictures) == 1 + 2 * len(IDS)
    assert [picture.format for picture in pictures] == ["JPEG"] * len(pictures)
    assert pictures[0].size == (1600, 900)
    assert {picture.size[0] for picture in pictures[1:]} == {640}


def test_small_pictures_are_not_blown_up(gemini: FakeGemini, request_of: Callable[..., JudgeRequest]) -> None:
    judged(gemini, request_of(size=(64, 36)), review())

    data = gemini.calls[0].document["contents"][0]["parts"][4]["inlineData"]["data"]
    assert Image.open(io.BytesIO(base64.urlsafe_b64decode(data))).size == (64, 36)


def test_the_judge_gets_the_narrative_and_not_the_makers_prompt(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest]
) -> None:
    judged(gemini, request_of(), review())

    call = gemini.calls[0]
    assert call.mentions("What happens in scene 3.")
    assert not call.mentions(PRODUCTION.segments[2].image_prompt)
    assert call.parameters["model"] == PRICES.models.judge != PRICES.models.planner


def test_clips_are_judged_by_their_movement_too(gemini: FakeGemini, request_of: Callable[..., JudgeRequest]) -> None:
    judged(gemini, request_of(Subject.CLIPS), review(Subject.CLIPS))
    judged(gemini, request_of(Subject.KEYFRAMES), review(Subject.KEYFRAMES))

    clips, keyframes = (json.dumps(call.document["generationConfig"]["responseJsonSchema"]) for call in gemini.calls)
    assert '"morphing"' in clips
    assert '"morphing"' not in keyframes


def test_a_judgement_costs_what_is_billed(gemini: FakeGemini, request_of: Callable[..., JudgeRequest]) -> None:
    gemini.text_answer = lambda _request: review()
    judge, books = GeminiJudge(GeminiService(KEY, gemini.base_url, "v1", OpenGate(), PRICES)), Books()

    judge.judge(request_of(), books)

    assert books.cost_micros == gemini.spent_micro_dollars() < judge.price_micros(request_of())


# Verdicts


@pytest.mark.parametrize(("subject", "name"), [(Subject.KEYFRAMES, "judge.picture"), (Subject.CLIPS, "judge.motion")])
def test_every_segment_and_the_whole_have_a_check(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest], subject: Subject, name: str
) -> None:
    checks = judged(gemini, request_of(subject), review(subject))

    assert [(check.name, check.segment_id, check.passed) for check in checks] == [
        *((name, one, True) for one in IDS),
        ("judge.whole", "", True),
    ]
    evidence = {"rubric": "2026-11", "model": PRICES.models.judge}
    assert checks[0].figures == dict.fromkeys(CRITERIA[subject], 4) | evidence
    assert checks[-1].figures == evidence


@pytest.mark.parametrize("score", [1, 2])
def test_a_segment_that_fails_says_why(gemini: FakeGemini, request_of: Callable[..., JudgeRequest], score: int) -> None:
    checks = judged(gemini, request_of(), failed(review(), 2, score=score))

    (bad,) = [check for check in checks if not check.passed]
    assert (bad.name, bad.segment_id, bad.detail) == ("judge.picture", "03", "the left hand has six fingers")
    assert bad.figures["anatomy"] == score


@pytest.mark.parametrize(
    ("failing", "name"),
    [
        (("motion",), "judge.motion"),
        (("morphing", "framing"), "judge.motion"),
        (("anatomy",), "judge.picture"),
        (("motion", "lettering"), "judge.picture"),
    ],
)
def test_a_clip_that_fails_in_more_than_how_it_moves_has_a_bad_picture(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest], failing: tuple[str, ...], name: str
) -> None:
    answer = review(Subject.CLIPS)
    for criterion in failing:
        failed(answer, 2, criterion)

    (bad,) = [check for check in judged(gemini, request_of(Subject.CLIPS), answer) if not check.passed]

    assert (bad.name, bad.segment_id) == (name, "03")


def test_a_whole_that_fails_is_laid_to_its_weakest_segments(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest]
) -> None:
    answer = review()
    answer["whole"] = {"verdict": "fail", "reason": "two styles", "weakest": ["05", "02", "05"]}

    bad = [check for check in judged(gemini, request_of(), answer) if not check.passed]

    assert [(check.name, check.segment_id, check.detail) for check in bad] == [
        ("judge.whole", "02", "two styles"),
        ("judge.whole", "05", "two styles"),
    ]


def test_the_order_of_the_answer_does_not_matter(gemini: FakeGemini, request_of: Callable[..., JudgeRequest]) -> None:
    answer = review()
    answer["segments"].reverse()

    assert [check.segment_id for check in judged(gemini, request_of(), answer)] == [*IDS, ""]


def test_a_reason_is_one_line_of_bounded_length(gemini: FakeGemini, request_of: Callable[..., JudgeRequest]) -> None:
    answer = failed(review(), 0)
    answer["segments"][0]["reason"] = "too\ndark " * 100

    (bad,) = [check for check in judged(gemini, request_of(), answer) if not check.passed]

    assert bad.detail.startswith("too dark too")
    assert len(bad.detail) <= 200


def without_a_segment(answer: dict[str, Any]) -> None:
    del answer["segments"][3]


def with_a_segment_twice(answer: dict[str, Any]) -> None:
    answer["segments"][3] = answer["segments"][2]


def with_a_stranger(answer: dict[str, Any]) -> None:
    answer["segments"][3]["segment_id"] = "99"


def passing_in_spite_of_its_scores(answer: dict[str, Any]) -> None:
    failed(answer, 1)["segments"][1]["verdict"] = "pass"


def failing_in_spite_of_its_scores(answer: dict[str, Any]) -> None:
    answer["segments"][1]["verdict"] = "fail"


def failing_without_a_reason(answer: dict[str, Any]) -> None:
    failed(answer, 1)["segments"][1]["reason"] = " "


def without_a_score(answer: dict[str, Any]) -> None:
    del answer["segments"][1]["scores"]["cast"]


def with_a_score_beyond_the_scale(answer: dict[str, Any]) -> None:
    answer["segments"][1]["scores"]["cast"] = 6


def with_a_verdict_of_its_own(answer: dict[str, Any]) -> None:
    answer["segments"][1]["verdict"] = "unsure"


def without_the_whole(answer: dict[str, Any]) -> None:
    del answer["whole"]


def with_a_whole_that_fails_nowhere(answer: dict[str, Any]) -> None:
    answer["whole"] = {"verdict": "fail", "reason": "two styles", "weakest": []}


def with_a_whole_that_fails_for_nothing(answer: dict[str, Any]) -> None:
    answer["whole"] = {"verdict": "fail", "reason": "", "weakest": ["02"]}


def with_a_whole_that_names_a_stranger(answer: dict[str, Any]) -> None:
    answer["whole"] = {"verdict": "fail", "reason": "two styles", "weakest": ["02", "77"]}


@pytest.mark.parametrize(
    "spoil",
    [
        without_a_segment,
        with_a_segment_twice,
        with_a_stranger,
        passing_in_spite_of_its_scores,
        failing_in_spite_of_its_scores,
        failing_without_a_reason,
        without_a_score,
        with_a_score_beyond_the_scale,
        with_a_verdict_of_its_own,
        without_the_whole,
        with_a_whole_that_fails_nowhere,
        with_a_whole_that_fails_for_nothing,
        with_a_whole_that_names_a_stranger,
    ],
)
def test_an_answer_that_is_not_complete_and_consistent_is_no_verdict(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest], spoil: Callable[[dict[str, Any]], None]
) -> None:
    answer = review()
    spoil(answer)

    with pytest.raises(TryAgain, match="judge keyframes: "):
        judged(gemini, request_of(), answer)


@pytest.mark.parametrize("fault", [cut_off(), finished("OTHER")])
def test_an_answer_that_breaks_off_is_no_verdict(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest], fault: Any
) -> None:
    gemini.fail_next(fault)

    with pytest.raises(TryAgain):
        judged(gemini, request_of(), review())


@pytest.mark.parametrize(
    ("subject", "next_step"),
    [
        (Subject.KEYFRAMES, "downstream retry a-story --cleared"),
        (Subject.CLIPS, "downstream retry a-story --cleared"),
    ],
)
@pytest.mark.parametrize("fault", [finished("SAFETY"), prompt_blocked("SAFETY")], ids=["answer", "prompt"])
def test_pictures_that_are_refused_are_for_a_person_and_may_be_judged_another_time(
    gemini: FakeGemini, request_of: Callable[..., JudgeRequest], subject: Subject, next_step: str, fault: Any
) -> None:
    gemini.fail_next(fault)

    with pytest.raises(PersonDecides, match=f"SAFETY.*look at the pictures yourself, then {next_step}") as caught:
        judged(gemini, request_of(subject), review(subject))

    assert type(caught.value) is PersonDecides
    assert judged(gemini, request_of(subject), review(subject))[-1].passed
