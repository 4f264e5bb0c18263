"""The director: a text model that chooses where the story is divided, what is seen and how it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.planning import plan_task, production_from
from downstream.providers.gemini.answers import text_of
from downstream.providers.gemini.request import Ask, ask_of

if TYPE_CHECKING:
    from downstream.domain.ports import Call, PlanRequest
    from downstream.domain.production import Production
    from downstream.providers.gemini.service import GeminiService

_MOST_TOKENS = 24_000  # twelve segments are some 8,000; the rest is for thinking


class GeminiDirector:
    """Plans with ``models.planner``."""

    name = "gemini"

    def __init__(self, service: GeminiService) -> None:
        self._service = service

    def price_micros(self, request: PlanRequest) -> int:
        """The most a plan should cost by the price table, in millionths of a dollar."""
        return self._service.price_micros(self._ask(request))

    def plan(self, request: PlanRequest, call: Call) -> Production:
        """Returns the plan of a story; its sections are exact spans of the text.

        Raises:
            Refused: a content filter said no to the story.
            TryAgain: the answer is no valid plan.
        """
        response = self._service.ask(self._ask(request), call)
        return production_from(request, text_of(response, "plan"))

    def _ask(self, request: PlanRequest) -> Ask:
        return ask_of(plan_task(request), "plan", self._service.prices.models.planner, _MOST_TOKENS)
