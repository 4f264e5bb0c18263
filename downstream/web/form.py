"""The order form: what was typed into it, and what has to be put right before it can be ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.job import Job
from downstream.domain.language import count_words
from downstream.domain.order import Agreement, Typed
from downstream.domain.record import explain
from downstream.domain.story import MAX_WORDS, MIN_WORDS, Story
from downstream.web.language import detect
from downstream.web.upload import MAX_CHARACTERS

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

MOST_CHARACTERS = {
    "title": 200,
    "text": MAX_CHARACTERS,
    "language": 35,
    "tone": 300,
    "style": 300,
    "colors": 300,
    "references": 500,
    "notes": 2000,
    "email": 254,
}
"""How long each field may be, in the order in which they stand on the page."""
BRIEF = ("tone", "style", "colors", "references", "notes")
_KEPT_CHARACTERS = 4000
"""How much of a small field is kept, so that the customer sees what was too long."""

_CALLED = {
    "title": "The title",
    "text": "The story",
    "tone": "The tone",
    "style": "The style",
    "colors": "The list of colours",
    "references": "The list of references",
    "notes": "The note",
}
_NOT_AGREED = {
    Agreement.START_NOW: "We can begin only when you agree that work starts at once.",
    Agreement.AI_IMAGES: "We can begin only when you know how the pictures are made.",
    Agreement.RIGHTS: "We can begin only when the text is yours to hand in.",
}


def read_form(form: MultiDict[str, str]) -> Typed:
    """What was typed, with line ends as ``\\n`` and nothing beyond what could ever be ordered."""
    fields = {name: _tidy(form.get(name, ""), name) for name in MOST_CHARACTERS}
    ticked = form.getlist("agreed")
    return Typed(**fields, agreed=tuple(one.value for one in Agreement if one.value in ticked))


def problems(typed: Typed) -> dict[str, str]:
    """Field (or agreement) to a sentence that says what is wrong with it, in the page's order; empty when it can be
    ordered: every record that will carry the order has been tried on it."""
    found = _refused(typed) | _too_long(typed) | _about_title(typed) | _about_text(typed)
    if not typed.email:
        found["email"] = "We need an e-mail address to send the link to."
    found |= {one.value: _NOT_AGREED[one] for one in Agreement if one.value not in typed.agreed}
    order = [*MOST_CHARACTERS, *Agreement]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def language_of(typed: Typed) -> str:
    """The language that was chosen, or else the one the text is likely to be in."""
    return typed.language or detect(typed.text)


def words_of(typed: Typed) -> int:
    """How long the story is, counted as its language counts."""
    return count_words(typed.text, language_of(typed))


def _tidy(value: str, name: str) -> str:
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    if name == "text":
        return value[: MAX_CHARACTERS + 1]
    return value.strip()[:_KEPT_CHARACTERS]


def _refused(typed: Typed) -> dict[str, str]:
    """What the records that carry an order would not take."""
    found = {}
    for name, refusal in _refusals(typed):
        found[name] = f"{_CALLED[name]} {refusal}." if name in _CALLED else _UNREADABLE[name]
    return found


_UNREADABLE = {
    "email": "This is not an e-mail address, such as name@example.com.",
    "language": "Please choose a language from the list.",
}


def _refusals(typed: Typed) -> list[tuple[str, str]]:
    brief = {name: getattr(typed, name) for name in BRIEF}
    found = []
    try:
        Story.model_validate(
            {
                "id": "draft",
                "title": typed.title,
                "text": typed.text,
                "language": language_of(typed),
                "brief": brief,
            }
        )
    except ValidationError as error:
        found += [(_field(one["loc"]), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
    try:
        Job(stream_id="draft", customer_email=typed.email)
    except ValidationError as error:
        found.append(("email", explain(error)))
    return found


def _field(place: tuple[int | str, ...]) -> str:
    return next(str(part) for part in place if part in MOST_CHARACTERS)


def _too_long(typed: Typed) -> dict[str, str]:
    return {
        name: f"{_CALLED[name]} is too long: at most {MOST_CHARACTERS[name]:,} characters fit."
        for name in _CALLED
        if len(getattr(typed, name)) > MOST_CHARACTERS[name]
    }


def _about_title(typed: Typed) -> dict[str, str]:
    if not typed.title:
        return {"title": "Your story needs a title."}
    if len(typed.title.splitlines()) > 1:
        return {"title": "The title has to stand on one line."}
    return {}


def _about_text(typed: Typed) -> dict[str, str]:
    if not typed.text.strip():
        return {"text": "Your story is missing: paste it here, or choose a file."}
    if len(typed.text) > MAX_CHARACTERS:
        return {}  # that is said already
    words = words_of(typed)
    if words < MIN_WORDS:
        return {"text": f"The story has {counted(words)}; we need at least {MIN_WORDS}."}
    if words > MAX_WORDS:
        return {"text": f"The story has {counted(words)}; we take at most {MAX_WORDS:,}."}
    return {}


def counted(words: int) -> str:
    """``1 word``, ``1,024 words``."""
    return "1 word" if words == 1 else f"{words:,} words"
