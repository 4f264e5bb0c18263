"""What came back from Gemini with HTTP 200: a picture, words, a refusal, or nothing this time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.errors import NothingCame, Refused, TryAgain
from downstream.domain.ports import Picture
from downstream.providers.gemini.troubles import code_of

if TYPE_CHECKING:
    from google.genai import types

REFUSALS = frozenset(
    {
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "RECITATION",
    }
)
"""Finish reasons that mean: not with these words. Every other one but STOP is a hiccup."""

_PICTURES = {"image/png", "image/jpeg", "image/webp"}


class PromptBlocked(Refused):
    """What was asked is refused, before anything was made."""


REWORD = "it needs other words"
"""What is to be done about most refusals."""


def text_of(response: types.GenerateContentResponse, what: str, *, if_refused: str = REWORD) -> str:
    """The words of an answer; ``if_refused`` is what a person does next where there are none to be had.

    Raises:
        Refused: a content filter said no; the text has its code.
        TryAgain: the answer is not whole.
    """
    text = "".join(part.text for part in _parts(response, what, if_refused) if part.text)
    if not text:
        raise TryAgain(f"{what}: Gemini's answer is empty")
    return text


def picture_of(response: types.GenerateContentResponse, what: str) -> Picture:
    """The picture of an answer: the last one, for thinking models send drafts first.

    Raises:
        Refused: a content filter said no; the text has its code.
        NothingCame: there is no picture this time.
    """
    for part in reversed(_parts(response, what, REWORD)):
        blob = part.inline_data
        if blob and blob.data and blob.mime_type in _PICTURES:
            return Picture(blob.data, blob.mime_type)
    raise NothingCame(f"{what}: Gemini sent no picture this time")


def _parts(response: types.GenerateContentResponse, what: str, if_refused: str) -> list[types.Part]:
    """The parts of a finished answer, without what was only thought."""
    feedback = response.prompt_feedback
    if feedback and feedback.block_reason:
        code = code_of(feedback.block_reason.value)
        raise PromptBlocked(f"{what}: Gemini's content filter refused the prompt ({code}); {if_refused}")
    if not response.candidates:
        raise NothingCame(f"{what}: Gemini's answer is empty")
    candidate = response.candidates[0]
    reason = code_of(candidate.finish_reason.value if candidate.finish_reason else "")
    if reason in REFUSALS:
        raise Refused(f"{what}: Gemini's content filter refused what came of the prompt ({reason}); {if_refused}")
    if reason != "STOP":
        raise NothingCame(f"{what}: Gemini did not finish ({reason})")
    parts = candidate.content.parts if candidate.content else None
    return [part for part in parts or [] if not part.thought]
