"""plan: from a story to its production spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.errors import PersonDecides
from downstream.domain.ports import PlanRequest
from downstream.domain.production import Production
from downstream.domain.record import explain
from downstream.files import write_durably
from downstream.steps.work import Made

if TYPE_CHECKING:
    from downstream.domain.story import Story
    from downstream.steps.work import Work
    from downstream.workspace import Workspace


def plan(work: Work, story: Story) -> Production:
    """``production.json`` holds the plan of this story.

    A plan that was changed by hand since it was made is used as it is: only a changed story, another director or a
    new take makes a new one.

    Raises:
        PersonDecides: the file was changed by hand into something that is not a plan of this story.
    """
    request = PlanRequest(story, take=work.job.take("plan"))
    provider = work.providers.director.name

    def make() -> Made:
        production = work.providers.director.plan(request)
        _check_belongs(production, story)
        write_durably(work.workspace.production, production.to_json())
        return Made()

    work.progress.advanced(story.id, "plan", 0, 1)
    work.once("plan", request, provider, make)
    work.progress.advanced(story.id, "plan", 1, 1)
    production = read_production(work.workspace)
    _check_belongs(production, story)
    return production


def read_production(workspace: Workspace) -> Production:
    """The plan as it lies in the stream's folder.

    Raises:
        PersonDecides: it is missing or not a plan.
    """
    name = workspace.production.relative_to(workspace.home)
    try:
        return Production.model_validate_json(workspace.production.read_bytes())
    except FileNotFoundError:
        raise PersonDecides(f"{name} is missing: downstream retry {workspace.stream_id} --from plan") from None
    except ValidationError as error:
        raise PersonDecides(f"{name}: {explain(error)}") from None


def _check_belongs(production: Production, story: Story) -> None:
    if production.input.original_text != story.text:
        raise PersonDecides(f"streams/{story.id}/production.json is not a plan of this story's text")
