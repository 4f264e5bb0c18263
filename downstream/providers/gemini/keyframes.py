"""Keyframes: an image model that is shown the cast and the picture before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.providers.gemini.answers import picture_of
from downstream.providers.gemini.request import Ask, Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downstream.domain.ports import Call, KeyframeRequest, Picture
    from downstream.providers.gemini.service import GeminiService

_CAST = "cast"
_WORDS_TOKENS = 4_000  # beside the picture's own: what thinking models think

_SHEET = """\
Draw a reference sheet of the characters described here: each of them once, as a full figure from head to toe,
standing, front view, all at the same scale side by side on plain neutral ground in even light. No scenery, no props
that are not described, no captions, no names, no lettering."""
_STILL = """\
Draw one picture, full frame, no border. The subject and everything that matters stays in the middle 60 % of the
width, because narrow screens cut off the sides. No lettering, no captions, no signs that can be read, no watermark,
no split picture."""
_CAST_SHOWN = """\
The next picture is the reference sheet of the characters: whoever of them appears must have the same face, hair,
build and clothes. Take nothing else from it, neither its plain ground nor its arrangement, and show nobody the
scene does not name."""
_PREVIOUS_SHOWN = """\
The next picture is the one before in the series: carry on its medium, brushwork or lens, light and colours. Take
nothing else from it; place, people, moment and composition are those of the scene described above."""


class GeminiKeyframes:
    """Makes stills with ``models.keyframes``."""

    name = "gemini"
    by_reference = True

    def __init__(self, service: GeminiService) -> None:
        self._service = service

    def price_micros(self, request: KeyframeRequest) -> int:
        """The most a still should cost by the price table, in millionths of a dollar."""
        return self._service.price_micros(self._ask(request))

    def inputs(self, request: KeyframeRequest) -> dict[str, object]:
        """What the still depends on: the words that are sent, the cast that is shown, and which take it is.

        The picture before is left out: one that was made again does not make those after it wrong.
        """
        return {"prompt": _text(request), "cast_sheet": request.cast_sheet, "take": request.take}

    def make(self, request: KeyframeRequest, call: Call) -> Picture:
        """Returns one PNG, JPEG or WebP still.

        Raises:
            Refused: a content filter said no; the text has its code.
            NothingCame: there is no picture this time.
        """
        ask = self._ask(request)
        return picture_of(self._service.ask(ask, call), ask.what)

    def _ask(self, request: KeyframeRequest) -> Ask:
        prices = self._service.prices
        return Ask(
            what=f"keyframe {request.segment_id}",
            model=prices.models.keyframes,
            parts=(_text(request), *_references(request)),
            most_tokens=prices.tokens_of(prices.models.keyframes).image_tokens + _WORDS_TOKENS,
            makes_picture=True,
        )


def _text(request: KeyframeRequest) -> str:
    return "\n\n".join(_words(request))


def _words(request: KeyframeRequest) -> Iterator[str]:
    yield _SHEET if request.segment_id == _CAST else _STILL
    yield request.prompt
    yield f"Colours, from dark to light: {', '.join(request.palette)}."
    if request.negative_prompt:
        yield f"Not to be seen: {request.negative_prompt}."
    if request.notes:
        notes = "\n".join(f"- {note}" for note in request.notes)
        yield f"Earlier versions of this picture were rejected. Do not repeat what was wrong with them:\n{notes}"


def _references(request: KeyframeRequest) -> Iterator[str | Shown]:
    if request.cast_sheet:
        yield from (_CAST_SHOWN, Shown(request.cast_sheet))
    if request.previous:
        yield from (_PREVIOUS_SHOWN, Shown(request.previous))
