"""What the tests of text and image models share: an honest call, a gate that is always open, a story, a plan."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from downstream.domain.errors import StopRun, Throttled
from downstream.domain.production import MotionType
from downstream.domain.story import Brief, Story
from downstream.prices import read_prices

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue

Answer = TypeVar("Answer")

KEY = "planted-google-key"
PRICES = read_prices(Path("/nonexistent"))
GIANT = (Path(__file__).parent / "stories" / "the-selfish-giant.txt").read_text("utf-8")


@dataclass
class Books:
    """A call (``Call``) that remembers what it was told."""

    lock_descriptors: tuple[int, ...] = ()
    attempt: int = 1
    key: str = "a-story-plan-1"
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    facts: dict[str, JsonValue] = field(default_factory=dict)
    cost_micros: int | None = None
    exact: bool = True
    stops: bool = False
    """The run has to end at the next wait."""

    def note(self, **facts: JsonValue) -> None:
        self.facts |= facts

    def spent(self, cost_micros: int, *, exact: bool = True) -> None:
        self.cost_micros, self.exact = cost_micros, exact

    def now(self) -> datetime:
        return datetime.now(UTC)

    def check(self) -> None:
        """The order may spend money."""

    def wait(self, seconds: float) -> None:
        assert seconds >= 0
        if self.stops:
            raise StopRun("asked to end")


@dataclass
class OpenGate:
    """A gate (``Gate``) with room for everybody; when throttled it sends again at once, ``patience`` times."""

    patience: int = 0

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:
        assert creates
        for _ in range(self.patience):
            try:
                return send()
            except Throttled:
                pass
        return send()


def story(text: str = GIANT, language: str = "en", title: str = "The Selfish Giant", **brief: Any) -> Story:
    return Story(id="a-story", title=title, language=language, text=text, brief=Brief(**brief))


def segment(number: int, motion: str) -> dict[str, Any]:
    return {
        "title": f"Scene {number}",
        "narrative": f"What happens in scene {number}.",
        "image_prompt": f"Scene {number}: Ana stands in a garden in morning light.",
        "negative_prompt": "crowds",
        "motion_prompt": "A slow push in; leaves stir.",
        "motion_type": motion,
    }


def plan_answer(first_pieces: list[int], **changed: Any) -> dict[str, Any]:
    """A good plan of sections that begin with these pieces, one segment each."""
    motions = cycle(MotionType)
    sections = [
        {
            "title": f"Part {number}",
            "first_piece": first,
            "text_type": "prose",
            "segments": [segment(number, next(motions).value)],
        }
        for number, first in enumerate(first_pieces, 1)
    ]
    return {
        "aesthetic": "ink and gouache",
        "palette": ["#F4E8C1", "#1a1a2e", "#E94560"],
        "texture": "rough paper",
        "references": ["woodcuts"],
        "unifying_elements": ["a wall"],
        "avoid": ["lettering"],
        "cast": [{"name": "Ana", "look": "seven years old, red coat, short black hair"}],
        "sections": sections,
    } | changed


def numbers_in(material: str) -> list[int]:
    """The numbers of the pieces or paragraphs a model is shown, in order."""
    return [int(number) for number in re.findall(r"^\[([0-9]+)\] ", material, re.MULTILINE)]
