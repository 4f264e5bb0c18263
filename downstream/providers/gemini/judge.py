"""The judge: a text model that sees, other than the planner, with a rubric other than the maker's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides, Refused
from downstream.providers.gemini.answers import text_of
from downstream.providers.gemini.request import Ask, Shown
from downstream.providers.gemini.rubric import EDITION, checks_from, judge_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from downstream.domain.checks import Check
    from downstream.domain.ports import Call, JudgeRequest
    from downstream.providers.gemini.service import GeminiService

_MOST_TOKENS = 16_000  # twelve segments are some 3,000; the rest is for thinking
_PICTURE_WIDTH = 640
_SHEET_WIDTH = 1600


class GeminiJudge:
    """Judges with ``models.judge``."""

    name = "gemini"
    rubric = EDITION

    def __init__(self, service: GeminiService) -> None:
        self._service = service

    def price_micros(self, request: JudgeRequest) -> int:
        """The most a judgement should cost by the price table, in millionths of a dollar."""
        return self._service.price_micros(self._ask(request))

    def judge(self, request: JudgeRequest, call: Call) -> tuple[Check, ...]:
        """Returns a check for every segment, and for the whole; what did not pass says why.

        Raises:
            PersonDecides: a content filter said no to the pictures, so a person looks at them. Not ``Refused``, which
                is remembered of these pictures and would never be asked again.
            TryAgain: the answer is not complete and consistent, so there is no verdict.
        """
        ask = self._ask(request)
        response = self._service.ask(ask, call)
        if_refused = f"look at the pictures yourself, then downstream retry {request.production.stream.id} --cleared"
        try:
            answer = text_of(response, ask.what, if_refused=if_refused)
        except Refused as error:
            raise PersonDecides(str(error)) from None
        return checks_from(request, answer, ask.model)

    def _ask(self, request: JudgeRequest) -> Ask:
        task = judge_task(request)
        return Ask(
            what=f"judge {request.subject}",
            model=self._service.prices.models.judge,
            parts=(task.material, "Contact sheet:", Shown(request.sheet, _SHEET_WIDTH), *_pictures(request)),
            most_tokens=_MOST_TOKENS,
            instructions=task.instructions,
            schema=task.schema,
        )


def _pictures(request: JudgeRequest) -> Iterator[str | Shown]:
    for exhibit in request.exhibits:
        for number, picture in enumerate(exhibit.pictures, 1):
            yield f"Segment {exhibit.segment_id}, picture {number} of {len(exhibit.pictures)}:"
            yield Shown(picture, _PICTURE_WIDTH)
