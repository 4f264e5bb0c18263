"""The editor: a cheap text model that reads the story first, and rewords what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.editing import concerns_from, prompt_from, reword_task, screen_task
from downstream.domain.ports import Concern, ConcernKind, RewordRequest, ScreenRequest
from downstream.providers.gemini.answers import PromptBlocked, text_of
from downstream.providers.gemini.request import Ask, ask_of

if TYPE_CHECKING:
    from downstream.domain.ports import Call
    from downstream.providers.gemini.service import GeminiService

_MOST_TOKENS = 8_000  # the answers are short; the rest is for thinking


class GeminiEditor:
    """Reads and rewords with ``models.screener``."""

    name = "gemini"

    def __init__(self, service: GeminiService) -> None:
        self._service = service

    def price_micros(self, request: ScreenRequest | RewordRequest) -> int:
        """The most it should cost by the price table, in millionths of a dollar."""
        return self._service.price_micros(self._ask(request))

    def screen(self, request: ScreenRequest, call: Call) -> tuple[Concern, ...]:
        """Returns what a person should look at first; a story that cannot even be read is such a thing.

        Raises:
            Refused: a content filter said no to what was found; a person reads the story.
            TryAgain: the story was not read to its end, so there is no verdict.
        """
        response = self._service.ask(self._ask(request), call)
        order = request.story.id
        next_step = f"read streams/{order}/input.json; to produce it all the same: downstream retry {order} --cleared"
        try:
            answer = text_of(response, "screen", if_refused=next_step)
        except PromptBlocked:
            return (Concern(ConcernKind.REFUSED_CONTENT),)
        return concerns_from(request.story, answer)

    def reword(self, request: RewordRequest, call: Call) -> str:
        """Returns the prompt in words that a content filter should let pass.

        Raises:
            Refused: not even these words may be read.
            TryAgain: the answer says nothing new.
        """
        response = self._service.ask(self._ask(request), call)
        return prompt_from(request, text_of(response, _what(request)))

    def _ask(self, request: ScreenRequest | RewordRequest) -> Ask:
        task = screen_task(request.story) if isinstance(request, ScreenRequest) else reword_task(request)
        return ask_of(task, _what(request), self._service.prices.models.screener, _MOST_TOKENS)


def _what(request: ScreenRequest | RewordRequest) -> str:
    return "screen" if isinstance(request, ScreenRequest) else f"reword {request.piece}"
