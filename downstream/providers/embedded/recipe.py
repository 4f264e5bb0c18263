"""The recipe of one drawing: everything the painter needs, and none of the customer's words."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from downstream.providers.embedded.vocabulary import Setting, Subject, TimeOfDay, Weather, Word, first_named

if TYPE_CHECKING:
    from downstream.domain.ports import KeyframeRequest


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to draw. The same recipe is the same picture at any size."""

    setting: Setting
    time_of_day: TimeOfDay
    weather: Weather
    subject: Subject
    palette: tuple[str, ...]
    """Hex colours in any order."""
    seed: int

    @classmethod
    def of(cls, request: KeyframeRequest) -> Self:
        """The recipe a request asks for; what the prompt leaves open is chosen by its hash."""
        asked = (request.stream_id, request.segment_id, request.prompt, request.palette, request.take, request.notes)
        seed = int.from_bytes(hashlib.sha256(json.dumps(asked).encode()).digest()[:6], "big")

        def named(kind: type[Word], digit: int) -> Word:
            return first_named(kind, request.prompt) or list(kind)[(seed >> digit * 8) % len(kind)]

        return cls(
            named(Setting, 1),
            named(TimeOfDay, 2),
            first_named(Weather, request.prompt) or Weather.CLEAR,
            first_named(Subject, request.prompt) or Subject.NONE,
            request.palette,
            seed,
        )

    def to_text(self) -> str:
        """The recipe as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The recipe ``to_text`` wrote.

        Raises:
            ValueError: it is not one.
        """
        try:
            fields = json.loads(text)
            return cls(
                Setting(fields["setting"]),
                TimeOfDay(fields["time_of_day"]),
                Weather(fields["weather"]),
                Subject(fields["subject"]),
                tuple(str(colour) for colour in fields["palette"]),
                int(fields["seed"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("is not a recipe") from error
