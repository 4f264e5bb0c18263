"""production.json: the production spec, what will be made of a story."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from downstream.domain.job import StreamId  # noqa: TC001 - pydantic needs it at run time
from downstream.domain.record import Record

Id = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}\z")]
"""``01``, ``02``, ... in the order of the page."""
HexColour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}\z")]


class MotionType(StrEnum):
    """How the camera moves through a clip."""

    PUSH_IN = "push_in"
    PULL_BACK = "pull_back"
    PAN_LEFT = "pan_left"
    PAN_RIGHT = "pan_right"
    RISE = "rise"
    DESCEND = "descend"
    DRIFT = "drift"


class TextType(StrEnum):
    """How a section's text is set."""

    PROSE = "prose"
    PROSE_WITH_DIALOGUE = "prose_with_dialogue"
    POETRY = "poetry"


class Stream(Record):
    """Whose production it is."""

    id: StreamId
    title: str


class ProductionInput(Record):
    """What the production was planned from."""

    language: str
    original_text: str


class CastMember(Record):
    """Somebody (or something) that must look the same wherever it appears."""

    name: str
    look: str


class VisualDirection(Record):
    """The look that holds all segments together."""

    aesthetic: str
    palette: tuple[HexColour, ...] = Field(min_length=3, strict=False)
    """Dark to light."""
    texture: str = ""
    references: tuple[str, ...] = Field(default=(), strict=False)
    unifying_elements: tuple[str, ...] = Field(default=(), strict=False)
    avoid: tuple[str, ...] = Field(default=(), strict=False)
    cast: tuple[CastMember, ...] = Field(default=(), strict=False)


class Segment(Record):
    """One visual scene: one keyframe, one clip."""

    id: Id
    title: str
    narrative: str
    image_prompt: str
    negative_prompt: str = ""
    motion_prompt: str
    motion_type: MotionType
    intensity: float = Field(ge=0, le=1)
    """0 is still, 1 the strongest movement."""


class Section(Record):
    """One stretch of the customer's text, played over one or more segments."""

    id: Id
    title: str
    segment_ids: tuple[Id, ...] = Field(min_length=1, strict=False)
    text: str
    """An exact span of the story, white space included."""
    text_type: TextType = TextType.PROSE


class Production(Record):
    """The whole plan; valid only when sections together are the text and use every segment in order."""

    stream: Stream
    input: ProductionInput
    visual_direction: VisualDirection
    segments: tuple[Segment, ...] = Field(min_length=1, strict=False)
    sections: tuple[Section, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if "".join(section.text for section in self.sections) != self.input.original_text:
            raise ValueError("the sections together are not the story's text")
        segment_ids = [segment.id for segment in self.segments]
        if segment_ids != sorted(set(segment_ids)):
            raise ValueError("the segments' ids do not count upwards")
        played = [segment_id for section in self.sections for segment_id in section.segment_ids]
        # A segment may carry on from one section into the next, but never come back later.
        in_order = [played[0]] + [later for earlier, later in pairwise(played) if later != earlier]
        if in_order != segment_ids:
            raise ValueError("the sections do not play every segment once and in order")
        return self


def segment_count_range(words: int) -> tuple[int, int]:
    """The fewest and the most segments a story of that length gets."""
    if words <= 1200:
        return 5, 6
    if words <= 2000:
        return 6, 8
    if words <= 3000:
        return 8, 10
    return 10, 12


def motion_intensities(count: int) -> tuple[float, ...]:
    """The rhythm of ``count`` segments.

    Open with movement, settle, rest near a third, return in the middle, end nearly still.
    """
    beats = ((0.0, 0.85), (0.18, 0.5), (0.33, 0.2), (0.52, 0.8), (0.75, 0.5), (1.0, 0.12))
    positions = [index / max(1, count - 1) for index in range(count)]
    return tuple(round(_interpolate(beats, position), 2) for position in positions)


def _interpolate(beats: tuple[tuple[float, float], ...], position: float) -> float:
    for (left, low), (right, high) in pairwise(beats):
        if position <= right:
            return low + (high - low) * (position - left) / (right - left)
    return beats[-1][1]
