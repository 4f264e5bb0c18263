"""How a text model plans a production: what it is told, what it may answer, and the plan that comes of it.

The model never writes a word of the story. It sees the text in numbered pieces and chooses the numbers where sections
begin; the program copies what lies between.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from downstream.domain.errors import TryAgain
from downstream.domain.material import brief_lines, numbered_pieces, piece_starts
from downstream.domain.production import (
    CastMember,
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
from downstream.domain.tasks import Answer, Fence, Task, one_line, read_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from downstream.domain.ports import PlanRequest
    from downstream.domain.story import Story

MOST_PROMPT_CHARACTERS = 1200
_MOST_CAST, _MOST_COLOURS, _FEWEST_COLOURS = 6, 8, 3
_HEX_COLOUR = re.compile(r"#?([0-9a-fA-F]{6})\s*\Z")


class PlannedMember(Answer):
    """Somebody, or something, that is seen in more than one segment."""

    name: str
    """As the story calls them."""
    look: str
    """Age, build, face, hair, clothes and colours, so that every picture shows the same; at most 240 characters."""


class PlannedSegment(Answer):
    """One visual scene: one still picture and the clip of about six seconds that begins with it."""

    title: str
    """A few words."""
    narrative: str
    """One or two sentences: what this scene shows of the story."""
    image_prompt: str
    """The still, in English, for an image model that does not know the story: place, light, who does what, distance of
    the camera. The subject stays in the middle 60 % of a 16:9 frame; no lettering anywhere. At most 900 characters."""
    negative_prompt: str
    """What must not be seen in it, in English, at most 200 characters."""
    motion_prompt: str
    """How camera and things move, in one shot without a cut, in English, at most 400 characters."""
    motion_type: MotionType
    """How the camera moves. Neighbouring segments differ; never three alike in a row."""


class PlannedSection(Answer):
    """One stretch of the story, played over its segments."""

    title: str
    """Its heading, in the story's language: the story's own where the stretch has one, else a few words."""
    first_piece: int
    """The number of the piece it begins with; it ends before the next section's first."""
    text_type: TextType
    """How it is set: poetry only where the lines are verse."""
    segments: list[PlannedSegment] = Field(min_length=1)
    """The scenes shown beside it: as a rule one, two or three where the stretch is long."""


class Plan(Answer):
    """The whole plan."""

    aesthetic: str
    """The look of all pictures in English: medium, light, lens, composition; at most 400 characters."""
    palette: list[str]
    """Three to eight colours as #rrggbb, from dark to light."""
    texture: str
    """The surface of the pictures, in English, at most 200 characters."""
    references: list[str]
    """Up to six kinds of art, film or photography the look may be compared with; no living artists."""
    unifying_elements: list[str]
    """Up to six things that come back and hold the pictures together."""
    avoid: list[str]
    """Up to ten things that never appear in any picture."""
    cast: list[PlannedMember]
    """Up to six; nobody when no one is seen twice."""
    sections: list[PlannedSection] = Field(min_length=1)
    """In the order of the story; the first begins with piece 1."""


def plan_task(request: PlanRequest) -> Task:
    """The question that is answered with a ``Plan``."""
    story = request.story
    fence = Fence("\n".join((*brief_lines(story), "", "The story, in numbered pieces:", *numbered_pieces(story.text))))
    fewest, most = segment_count_range(story.words)
    again = ""
    if request.take > 1:
        again = (
            f"\n\nThis is take {request.take}: the customer was shown another plan and wants a different one. Choose "
            "other scenes, another look and another rhythm of places than first come to mind."
        )
    return Task(
        instructions=f"{_INSTRUCTIONS}\n\n{fence.rule}",
        material=f"{fence.fenced}\n\nPlan {fewest} to {most} segments in all, over all sections together.{again}",
        answer=Plan,
    )


def production_from(request: PlanRequest, answer: str) -> Production:
    """The production that a model's answer (JSON) to ``plan_task`` plans.

    Raises:
        TryAgain: the answer is no valid plan; the text says which rule it breaks.
    """
    story, plan = request.story, read_answer(answer, Plan, "plan")
    starts = piece_starts(story.text)
    bounds = _bounds(plan, starts, len(story.text))
    planned = [segment for section in plan.sections for segment in section.segments]
    _check_count(story, len(planned))
    _check_motion([segment.motion_type for segment in planned])
    look = _look(plan)
    return Production(
        stream=Stream(id=story.id, title=story.title),
        input=ProductionInput(language=story.language, original_text=story.text),
        visual_direction=look,
        segments=_segments(planned, look),
        sections=_sections(story.text, plan.sections, bounds),
    )


def _bounds(plan: Plan, starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    """The spans of the text that the sections are."""
    chosen = [section.first_piece for section in plan.sections]
    if chosen[0] != 1:
        raise TryAgain("plan: the first section does not begin with the first piece of the text")
    if any(later <= earlier for earlier, later in pairwise(chosen)):
        raise TryAgain("plan: the sections do not follow each other")
    if chosen[-1] > len(starts):
        raise TryAgain(f"plan: a section begins with piece {chosen[-1]} of {len(starts)}")
    return list(pairwise([*(starts[number - 1] for number in chosen), length]))


def _check_count(story: Story, count: int) -> None:
    fewest, most = segment_count_range(story.words)
    if not fewest <= count <= most:
        raise TryAgain(f"plan: it has {count} segments; a story of this length gets {fewest} to {most}")


def _check_motion(motions: Sequence[MotionType]) -> None:
    if any(first is second is third for first, second, third in zip(motions, motions[1:], motions[2:], strict=False)):
        raise TryAgain("plan: the camera moves the same way three times in a row")


def _look(plan: Plan) -> VisualDirection:
    return VisualDirection(
        aesthetic=_words("aesthetic", plan.aesthetic, 600),
        palette=_palette(plan.palette),
        texture=one_line(plan.texture, 300),
        references=_list(plan.references, 6),
        unifying_elements=_list(plan.unifying_elements, 6),
        avoid=_list(plan.avoid, 10),
        cast=tuple(
            CastMember(name=_words("name", member.name, 60), look=_words("look", member.look, 300))
            for member in plan.cast[:_MOST_CAST]
        ),
    )


def _palette(colours: Sequence[str]) -> tuple[str, ...]:
    """The colours in our spelling, dark to light."""
    found = (_HEX_COLOUR.match(colour.strip()) for colour in colours)
    known = list(dict.fromkeys(f"#{match[1].lower()}" for match in found if match))[:_MOST_COLOURS]
    if len(known) < _FEWEST_COLOURS:
        raise TryAgain(f"plan: the palette has {len(known)} colours; at least {_FEWEST_COLOURS} are needed")
    return tuple(sorted(known, key=_luminance))


def _luminance(colour: str) -> float:
    """How bright it looks (weights of ITU-R BT.709)."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _segments(planned: Sequence[PlannedSegment], look: VisualDirection) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            id=f"{number:02}",
            title=_words("title", segment.title, 80),
            narrative=_words("narrative", segment.narrative, 500),
            image_prompt=_image_prompt(_words("image_prompt", segment.image_prompt, MOST_PROMPT_CHARACTERS), look),
            negative_prompt=one_line(segment.negative_prompt, 300),
            motion_prompt=_words("motion_prompt", segment.motion_prompt, 500),
            motion_type=segment.motion_type,
            intensity=intensity,
        )
        for number, (segment, intensity) in enumerate(zip(planned, motion_intensities(len(planned)), strict=True), 1)
    )


def _image_prompt(prompt: str, look: VisualDirection) -> str:
    """The prompt, followed by how those look whom it names, in the same words each time, while there is room."""
    for member in look.cast:
        described = f"{prompt} {member.name}: {member.look}"
        if member.name in prompt and member.look not in prompt and len(described) <= MOST_PROMPT_CHARACTERS:
            prompt = described
    return prompt


def _sections(text: str, planned: Sequence[PlannedSection], bounds: Sequence[tuple[int, int]]) -> tuple[Section, ...]:
    sections = []
    played = 0
    for number, (section, (start, end)) in enumerate(zip(planned, bounds, strict=True), 1):
        count = len(section.segments)
        sections.append(
            Section(
                id=f"{number:02}",
                title=_words("title", section.title, 120),
                segment_ids=tuple(f"{played + index:02}" for index in range(1, count + 1)),
                text=text[start:end],
                text_type=section.text_type,
            )
        )
        played += count
    return tuple(sections)


def _words(name: str, words: str, most: int) -> str:
    line = one_line(words, most)
    if not line:
        raise TryAgain(f"plan: a {name} is empty")
    return line


def _list(lines: Sequence[str], most: int) -> tuple[str, ...]:
    """The lines that say something, up to ``most`` of them."""
    return tuple(line for line in (one_line(words, 120) for words in lines) if line)[:most]


_INSTRUCTIONS = """\
You are the director of illustrated stories. A reader scrolls through a story on a web page; beside the text, short
clips made from still pictures move with the scrolling. You decide where the story is divided, what is seen and how
it looks. You answer with JSON that fits the schema, and with nothing else.

Dividing the text
- The story comes in numbered pieces. A section is a run of pieces; you name the number of its first one. The first
  section begins with piece 1, each later one with a higher number, and together they are the whole story in its
  order.
- Divide where the story turns: a new place, a new time, a change of mood, a chapter. Prefer the first piece of a
  paragraph or stanza, and do not part a question from its answer. Keep sections comparable in length.
- Each section has one segment, or two or three where the stretch is long and shows several scenes.

What is seen
- A segment shows one moment that can be seen: place, light, people, one action. Choose what carries the story, not
  what is easiest to draw. No collages, no split pictures, no captions, no lettering, no signs to be read.
- The subject stays in the middle 60 % of a 16:9 frame, because narrow screens cut off the sides.
- Each picture is drawn by somebody who has not read the story and sees no other prompt: say in each one who is
  there (with the name from the cast), where, when, in which light. Nothing like "as before".
- Keep to what image services accept: no gore, no nudity, no likeness of a real person, no brands; show violence and
  grief by what is around them.

What stays the same
- One look from the first picture to the last: aesthetic, palette, texture. Follow the customer's wishes for tone,
  style and colours where they are given and can be drawn.
- The cast: whoever is seen more than once, described once so exactly that any two pictures show the same.

Movement
- Open with movement, settle, rest near a third of the way, let movement return in the middle, end nearly still. The
  strength is set for you; you choose how the camera moves and what else moves in the picture.
- One slow, continuous movement to a clip, without a cut, that also looks right when it is played backwards."""
