"""The production spec: what may stand in production.json."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from downstream.domain.production import (
    MotionType,
    Production,
    ProductionInput,
    Section,
    Segment,
    Stream,
    TextType,
    VisualDirection,
    motion_intensities,
    segment_count_range,
)


def segment(number: int, **fields: Any) -> Segment:
    given = {
        "id": f"{number:02}",
        "title": "Garden, dusk",
        "narrative": "A tree in the garden at dusk, in snow.",
        "image_prompt": "A tree in the garden at dusk, in snow.",
        "motion_prompt": "One calm push in.",
        "motion_type": MotionType.PUSH_IN,
        "intensity": 0.5,
    }
    return Segment(**{**given, **fields})


def production(text: str, sections: list[tuple[str, tuple[str, ...]]], segments: int = 2) -> Production:
    return Production(
        stream=Stream(id="a-story", title="A story"),
        input=ProductionInput(language="en", original_text=text),
        visual_direction=VisualDirection(aesthetic="painted", palette=("#101820", "#607080", "#f0f0e8")),
        segments=tuple(segment(number) for number in range(1, segments + 1)),
        sections=tuple(
            Section(id=f"{number:02}", title="x", segment_ids=played, text=part)
            for number, (part, played) in enumerate(sections, start=1)
        ),
    )


def test_sections_that_together_are_the_text_are_accepted() -> None:
    made = production(" One.\r\n\r\nTwo. ", [(" One.\r\n\r\n", ("01",)), ("Two. ", ("02",))])

    assert [section.text for section in made.sections] == [" One.\r\n\r\n", "Two. "]


@pytest.mark.parametrize("parts", [("One.", "Two."), ("One. ", "Two"), ("One. ", "two."), ("Two.", "One. ")])
def test_sections_that_are_not_the_text_are_refused(parts: tuple[str, str]) -> None:
    with pytest.raises(ValidationError, match="not the story's text"):
        production("One. Two.", [(parts[0], ("01",)), (parts[1], ("02",))])


def test_a_segment_may_carry_on_into_the_next_section_and_a_section_may_play_several() -> None:
    assert production("ab", [("a", ("01", "02")), ("b", ("02",))])
    assert production("a", [("a", ("01", "02"))])


@pytest.mark.parametrize(
    "played",
    [(("01",), ("01",)), (("02",), ("01",)), (("01", "02"), ("01",)), (("01",), ("03",)), (("01",), ("02", "03"))],
)
def test_segments_left_out_unknown_or_out_of_order_are_refused(played: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValidationError, match="in order"):
        production("ab", list(zip("ab", played, strict=True)))


def test_ids_must_count_upwards() -> None:
    with pytest.raises(ValidationError, match="count upwards"):
        Production.model_validate(
            {
                **production("ab", [("a", ("01",)), ("b", ("02",))]).model_dump(),
                "segments": [segment(2).model_dump(), segment(1).model_dump()],
            },
        )


@pytest.mark.parametrize(
    "fields",
    [{"id": "1"}, {"id": "001"}, {"id": "a1"}, {"intensity": 1.01}, {"intensity": -0.1}, {"motion_type": "spin"}],
)
def test_a_segment_with_an_impossible_value_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        segment(1, **fields)


@pytest.mark.parametrize(
    "palette", [("#101820", "#607080"), ("#101820", "#607080", "red"), ("#101820", "#607080", "#FFF")]
)
def test_a_palette_is_at_least_three_hex_colours(palette: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        VisualDirection(aesthetic="painted", palette=palette)


def test_a_production_survives_its_file_with_unknown_fields() -> None:
    made = production("ab", [("a", ("01",)), ("b", ("02",))])
    fields = made.model_dump(mode="json") | {"reviewed_by": "somebody"}

    again = Production.model_validate_json(Production.model_validate_json(made.to_json()).to_json())
    kept = Production.model_validate_json(Production.model_validate(fields, strict=False).to_json())

    assert again == made
    assert kept.model_dump()["reviewed_by"] == "somebody"
    assert again.sections[0].text_type is TextType.PROSE


@pytest.mark.parametrize(
    ("words", "bounds"),
    [(800, (5, 6)), (1200, (5, 6)), (1201, (6, 8)), (2000, (6, 8)), (2001, (8, 10)), (3000, (8, 10)), (3500, (10, 12))],
)
def test_longer_stories_get_more_segments(words: int, bounds: tuple[int, int]) -> None:
    assert segment_count_range(words) == bounds


@pytest.mark.parametrize("count", range(5, 13))
def test_motion_opens_strong_rests_near_a_third_returns_and_ends_nearly_still(count: int) -> None:
    intensities = motion_intensities(count)
    third, middle = round((count - 1) / 3), round((count - 1) / 2)

    assert len(intensities) == count
    assert all(0 <= intensity <= 1 for intensity in intensities)
    assert intensities[0] == max(intensities)
    assert intensities[-1] == min(intensities) < 0.2
    assert min(intensities[1 : middle + 1]) < 0.5 < max(intensities[third + 1 : -1])


def test_one_segment_alone_has_a_motion_too() -> None:
    assert len(motion_intensities(1)) == 1
