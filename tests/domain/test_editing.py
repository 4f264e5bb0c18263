"""How a story is read before anything is bought for it, and how refused prompts are reworded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from model_tools import GIANT, numbers_in, story

from downstream.domain.editing import concerns_from, prompt_from, reword_task, screen_task
from downstream.domain.errors import TryAgain
from downstream.domain.ports import Concern, ConcernKind, RewordRequest, Subject

PARAGRAPHS = numbers_in(screen_task(story()).material)[-1]
REFUSED = RewordRequest("a-story", "03", "A soldier bleeds in the snow.")


def concerns(*findings: dict[str, Any], end: int = PARAGRAPHS) -> tuple[Concern, ...]:
    return concerns_from(story(), json.dumps({"findings": findings, "read_to_the_end_paragraph": end}))


def test_every_paragraph_and_the_brief_are_shown_with_their_numbers() -> None:
    material = screen_task(story(notes="My neighbour", title="Snow")).material

    assert numbers_in(material) == list(range(PARAGRAPHS + 1))
    assert "[0] Title: Snow / Language: en / Notes: My neighbour" in material
    shown = material.partition("\n[1] ")[2].partition("\nEND-")[0]
    assert [word for word in shown.split() if not word.startswith("[")] == GIANT.split()


def test_the_brief_is_read_as_far_as_the_director_gets_to_see_it() -> None:
    assert "THE END" in screen_task(story(notes=f"{'word ' * 390}THE END")).material


def test_a_story_without_findings_may_be_produced() -> None:
    assert concerns() == ()


def test_findings_of_one_kind_are_one_concern() -> None:
    found = concerns(
        {"kind": "real_person", "paragraphs": [7, 2]},
        {"kind": "minor", "paragraphs": [0]},
        {"kind": "real_person", "paragraphs": [2, 3]},
    )

    assert found == (Concern(ConcernKind.REAL_PERSON, (2, 3, 7)), Concern(ConcernKind.MINOR, ()))


@pytest.mark.parametrize("end", [0, PARAGRAPHS - 1, PARAGRAPHS + 1])
def test_a_story_that_was_not_read_to_its_end_has_no_verdict(end: int) -> None:
    with pytest.raises(TryAgain, match="no verdict"):
        concerns(end=end)


@pytest.mark.parametrize("paragraph", [-1, PARAGRAPHS + 1])
def test_a_finding_in_a_paragraph_that_is_not_there_is_no_verdict(paragraph: int) -> None:
    with pytest.raises(TryAgain, match="no verdict"):
        concerns({"kind": "minor", "paragraphs": [paragraph]})


@pytest.mark.parametrize(
    "answer", ["", "{}", '{"findings": []}', '{"findings": [{"kind": "taste", "paragraphs": [1]}]}']
)
def test_an_answer_that_does_not_fit_is_no_verdict(answer: str) -> None:
    with pytest.raises(TryAgain, match="screen: "):
        concerns_from(story(), answer)


def test_a_refused_prompt_is_shown_as_material() -> None:
    task = reword_task(REFUSED)

    assert "A soldier bleeds" in task.material
    assert "A soldier bleeds" not in task.instructions


def test_the_new_prompt_is_plain_text_of_bounded_length() -> None:
    answer = json.dumps({"image_prompt": "Boots\nby a fence in the snow. " * 500})

    prompt = prompt_from(REFUSED, answer)

    assert prompt.startswith("Boots by a fence")
    assert len(prompt) <= 2400


def test_a_motion_is_reworded_as_a_motion() -> None:
    refused = RewordRequest("a-story", "03", "The blade falls", Subject.CLIPS)

    assert list(reword_task(refused).schema["properties"]) == ["motion_prompt"]
    assert "The blade falls" in reword_task(refused).material
    prompt = prompt_from(refused, json.dumps({"motion_prompt": "The shadow\nsinks slowly. " * 50}))
    assert prompt.startswith("The shadow sinks slowly.")
    assert len(prompt) <= 500
    with pytest.raises(TryAgain, match="reword clips/03"):
        prompt_from(refused, json.dumps({"motion_prompt": "The blade falls"}))
    with pytest.raises(TryAgain, match="reword"):
        prompt_from(refused, json.dumps({"image_prompt": "A picture"}))


@pytest.mark.parametrize("words", ["", "  ", REFUSED.prompt, f"\n{REFUSED.prompt} "])
def test_the_same_prompt_again_is_no_rewording(words: str) -> None:
    with pytest.raises(TryAgain, match="reword 03"):
        prompt_from(REFUSED, json.dumps({"image_prompt": words}))
