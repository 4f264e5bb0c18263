"""input.json: the customer's words and brief."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, StringConstraints, field_validator

from downstream.domain.errors import PersonDecides
from downstream.domain.job import StreamId  # noqa: TC001 - pydantic needs it at run time
from downstream.domain.language import count_words
from downstream.domain.record import Record

MIN_WORDS = 800
MAX_WORDS = 3500
MAX_INPUT_BYTES = 1_000_000
"""An input.json above this is refused unread; 3,500 words are some 50 kB in the widest script."""

# What no HTML document can hold: C0 and C1 controls except tab, line feed and carriage return, surrogates and
# the code points Unicode reserves as noncharacters (WHATWG HTML, "preprocessing the input stream").
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane + low) for plane in range(0, 0x110000, 0x10000) for low in (0xFFFE, 0xFFFF))
    + "]"
)


def _check_printable(text: str) -> str:
    found = _UNPRINTABLE.search(text)
    if found:
        code_point = f"U+{ord(found[0]):04X}"
        raise ValueError(f"has the control character {code_point} at position {found.start()}, which no page can show")
    return text


Printable = Annotated[str, AfterValidator(_check_printable)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Brief(Record):
    """How the customer wants it to look; every part may be missing."""

    tone: tuple[Printable, ...] = Field(default=(), strict=False)
    style: tuple[Printable, ...] = Field(default=(), strict=False)
    colors: tuple[Printable, ...] = Field(default=(), strict=False)
    references: tuple[Printable, ...] = Field(default=(), strict=False)
    notes: Printable = ""

    @field_validator("tone", "style", "colors", "references", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return _as_list(value)


class Story(Record):
    """What the customer handed in."""

    id: StreamId
    title: Annotated[Printable, StringConstraints(min_length=1, max_length=200)]
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*\z")]
    """BCP 47, as in ``en`` or ``pt-BR``."""
    text: Printable
    brief: Brief = Brief()
    client: JsonValue = None
    created_at: AwareDatetime | None = None

    @property
    def essence(self) -> tuple[str, str, str, Brief]:
        """What a film of it depends on; the rest is bookkeeping."""
        return (self.title, self.language, self.text, self.brief)

    @property
    def words(self) -> int:
        """The length, counted the way the language counts."""
        return count_words(self.text, self.language)


def check_length(story: Story) -> None:
    """Returns when the story's length is one we sell.

    Raises:
        PersonDecides: it is too short or too long.
    """
    words = story.words
    if words < MIN_WORDS:
        raise PersonDecides(f"the story has {words} words; at least {MIN_WORDS} are needed")
    if words > MAX_WORDS:
        raise PersonDecides(f"the story has {words} words; at most {MAX_WORDS} are taken")
