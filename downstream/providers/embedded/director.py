"""Plans a production with no network and no model: cuts the text by its own structure, reads scenes from its words."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, takewhile
from random import Random
from typing import TYPE_CHECKING

from downstream.domain.language import text_direction
from downstream.domain.production import (
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
from downstream.domain.text import Block, BlockKind, blocks, is_clean_cut
from downstream.providers.embedded.cuts import stretches
from downstream.providers.embedded.palettes import palette_of
from downstream.providers.embedded.reading import Scene, scenes
from downstream.providers.embedded.rhythm import motion_prompt, motion_types
from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay, Weather

if TYPE_CHECKING:
    from collections.abc import Sequence

    from downstream.domain.ports import Call, PlanRequest
    from downstream.domain.story import Story

_TEXTURE = "fine grain, soft edges, haze between the layers"
_REFERENCES = ("paper-cut dioramas", "aquatint landscapes", "hand-tinted lantern slides")
_AVOID = ("lettering", "logos", "borders", "close-up faces", "hard outlines")
_TITLE_WORDS, _TITLE_CHARACTERS = 6, 48
_SPEECH_QUOTES = '"“„«「『'

_WHO = {
    Subject.NONE: "Nobody",
    Subject.FIGURE: "A lone figure",
    Subject.TWO_FIGURES: "Two figures",
    Subject.CHILD: "A child",
    Subject.CHILDREN: "Children",
    Subject.CROWD: "A crowd",
    Subject.HOUSE: "A house",
    Subject.TREE: "A tree",
    Subject.BOAT: "A boat",
    Subject.BIRDS: "Birds",
    Subject.TOWER: "A tower",
    Subject.BRIDGE: "A bridge",
    Subject.ANIMAL: "A deer",
    Subject.GATE: "A gate",
    Subject.LANTERN: "A lantern",
}
_WHERE = {
    Setting.FOREST: "in the forest",
    Setting.SEA: "by the sea",
    Setting.LAKE: "at the lake",
    Setting.MOUNTAINS: "in the mountains",
    Setting.RIVER: "by the river",
    Setting.ROAD: "on the road",
    Setting.PLAIN: "on the plain",
    Setting.GARDEN: "in the garden",
    Setting.CITY: "in the city",
    Setting.VILLAGE: "in the village",
    Setting.INTERIOR: "in a room with a window",
}
_WHEN = {
    TimeOfDay.DAWN: "at dawn",
    TimeOfDay.DAY: "in daylight",
    TimeOfDay.DUSK: "at dusk",
    TimeOfDay.NIGHT: "at night",
}
_AIR = {
    Weather.CLEAR: ("under", "a clear sky"),
    Weather.CLOUDS: ("under", "clouds"),
    Weather.FOG: ("in", "fog"),
    Weather.RAIN: ("in", "rain"),
    Weather.SNOW: ("in", "snow"),
    Weather.PETALS: ("among", "drifting petals"),
}


class EmbeddedDirector:
    """Plans by rules alone: the same request is the same plan."""

    name = "embedded director"

    def price_micros(self, _: PlanRequest) -> int:
        """Nothing."""
        return 0

    def plan(self, request: PlanRequest, _: Call) -> Production:
        """Returns the plan of a story; its sections are exact spans of the text."""
        story = request.story
        fewest, most = segment_count_range(story.words)
        texts = stretches(story.text, story.language, fewest, most, request.take)
        shares = _shares([len(text) for text in texts], max(fewest, len(texts)))
        random = Random(f"{request.take} {story.title} {story.text}")  # noqa: S311 - a plan, not a secret
        shown = [part for text, share in zip(texts, shares, strict=True) for part in _parts(text, share)]
        seen = scenes(shown, story.language, random, loosely=request.take > 1)
        look = _visual_direction(story, seen, palette_of(story, random.getrandbits(32)))
        return Production(
            stream=Stream(id=story.id, title=story.title),
            input=ProductionInput(language=story.language, original_text=story.text),
            visual_direction=look,
            segments=_segments(story, seen, look, random),
            sections=_sections(story, texts, shares),
        )


def _shares(lengths: Sequence[int], count: int) -> list[int]:
    """How many of ``count`` segments play over each stretch: one, and more over the longest when segments are left."""
    shares = [1] * len(lengths)
    for _ in range(count - len(lengths)):
        longest = max(range(len(lengths)), key=lambda index: lengths[index] / shares[index])
        shares[longest] += 1
    return shares


def _parts(text: str, share: int) -> list[str]:
    """The stretch as its segments see it; read, never shown, so a torn word does no harm."""
    bounds = [len(text) * index // share for index in range(share + 1)]
    return [text[start:end] for start, end in pairwise(bounds)]


def _visual_direction(story: Story, seen: Sequence[Scene], palette: tuple[str, ...]) -> VisualDirection:
    style = ", ".join(story.brief.style) or "layered landscapes with small figures"
    tone = f"; {', '.join(story.brief.tone)}" if story.brief.tone else ""
    motifs = Counter(scene.subject for scene in seen if scene.subject is not Subject.NONE).most_common(1)
    return VisualDirection(
        aesthetic=f"{style}{tone}",
        palette=palette,
        texture=_TEXTURE,
        references=story.brief.references or _REFERENCES,
        unifying_elements=(
            "one palette from the first picture to the last",
            "a low horizon and wide, quiet skies",
            f"the light moves from {seen[0].time_of_day} to {seen[-1].time_of_day}",
            *(f"{subject}, coming back" for subject, _ in motifs),
        ),
        avoid=_AVOID,
    )


def _segments(story: Story, seen: Sequence[Scene], look: VisualDirection, random: Random) -> tuple[Segment, ...]:
    intensities = motion_intensities(len(seen))
    motions = motion_types(seen, intensities, text_direction(story.language, story.text), random)
    return tuple(
        Segment(
            id=f"{number:02}",
            title=f"{scene.setting}, {scene.time_of_day}".capitalize(),
            narrative=_narrative(scene),
            image_prompt=_image_prompt(scene, look, story.brief.notes),
            negative_prompt=", ".join(look.avoid),
            motion_prompt=motion_prompt(motion, intensity, scene),
            motion_type=motion,
            intensity=intensity,
        )
        for number, (scene, motion, intensity) in enumerate(zip(seen, motions, intensities, strict=True), start=1)
    )


def _narrative(scene: Scene) -> str:
    where, air = _AIR[scene.weather]
    around = f"with {air} outside" if scene.setting is Setting.INTERIOR else f"{where} {air}"
    return f"{_WHO[scene.subject]} {_WHERE[scene.setting]} {_WHEN[scene.time_of_day]}, {around}."


def _image_prompt(scene: Scene, look: VisualDirection, notes: str) -> str:
    # The scene comes first: the painter draws the first setting, time, weather and subject it finds.
    sentences = [
        _narrative(scene),
        "A wide 16:9 picture that keeps its subject in the middle 60 % of the frame.",
        f"Style: {look.aesthetic}.",
        f"Texture: {look.texture}.",
        f"Colours: {', '.join(look.palette)}.",
        f"In the manner of {', '.join(look.references)}.",
        notes,
    ]
    return " ".join(filter(None, sentences))


def _sections(story: Story, texts: Sequence[str], shares: Sequence[int]) -> tuple[Section, ...]:
    found = blocks(story.text)
    sections = []
    start, played = 0, 0
    for number, (text, share) in enumerate(zip(texts, shares, strict=True), start=1):
        inside = [block for block in found if start < block.end and block.start < start + len(text)]
        sections.append(
            Section(
                id=f"{number:02}",
                title=_section_title(story.text, inside, start),
                segment_ids=tuple(f"{played + index:02}" for index in range(1, share + 1)),
                text=text,
                text_type=_text_type(text, inside),
            )
        )
        start += len(text)
        played += share
    return tuple(sections)


def _section_title(text: str, inside: Sequence[Block], start: int) -> str:
    """The story's own heading where the section opens with one, else its first few words."""
    headings = list(takewhile(lambda block: block.kind is BlockKind.HEADING, inside))
    if headings:
        return " · ".join(text[block.start : block.end] for block in headings)
    speaking = next((block for block in inside if block.kind is not BlockKind.BREAK), None)
    return _opening_words(text[max(start, speaking.start) : speaking.end]) if speaking else ""


def _opening_words(passage: str) -> str:
    words = " ".join(passage.split(maxsplit=_TITLE_WORDS)[:_TITLE_WORDS])
    end = min(len(words), _TITLE_CHARACTERS)
    while not is_clean_cut(words, end):
        end -= 1
    return words[:end].rstrip(" ,;:—–") + ("…" if end < len(passage) else "")  # noqa: RUF001


def _text_type(text: str, inside: Sequence[Block]) -> TextType:
    kinds = Counter[BlockKind]()
    for block in inside:
        kinds[block.kind] += block.end - block.start
    if 2 * kinds[BlockKind.VERSE] > kinds.total():
        return TextType.POETRY
    speaks = kinds[BlockKind.DIALOGUE] or any(quote in text for quote in _SPEECH_QUOTES)
    return TextType.PROSE_WITH_DIALOGUE if speaks else TextType.PROSE
