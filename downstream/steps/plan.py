"""plan: a story is read first, and then becomes its production spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.errors import PersonDecides
from downstream.domain.ports import PlanRequest, ScreenRequest
from downstream.domain.production import Production
from downstream.domain.record import explain
from downstream.files import write_durably
from downstream.steps.calls import make_call
from downstream.steps.work import Made

if TYPE_CHECKING:
    from downstream.domain.ports import Call
    from downstream.domain.story import Story
    from downstream.steps.work import Work
    from downstream.workspace import Workspace


def screen(work: Work, story: Story) -> None:
    """The story was read before anything is bought for it, and nothing in it needs a person's eye.

    Raises:
        PersonDecides: a person should read it first; ``retry --cleared`` says that one has.
    """
    editor = work.providers.editor
    if editor is None or work.job.cleared:
        return
    request = ScreenRequest(story)

    def make(call: Call) -> Made:
        concerns = editor.screen(request, call)
        return Made(result={"concerns": [_concern(one.kind.value, one.paragraphs) for one in concerns]})

    receipt = make_call(work, "screen", story.essence, editor.name, make, price_micros=editor.price_micros(request))
    concerns = receipt.result["concerns"]
    if isinstance(concerns, list) and concerns:
        raise PersonDecides(
            f"the pre-screen found {'; '.join(map(str, concerns))}. Read streams/{story.id}/input.json; to produce it "
            f"all the same: downstream retry {story.id} --cleared"
        )


def _concern(kind: str, paragraphs: tuple[int, ...]) -> str:
    """``real_person (paragraph 3, 5)``: where, but not what it says."""
    return f"{kind} (paragraph {', '.join(map(str, paragraphs))})" if paragraphs else kind


def plan(work: Work, story: Story) -> Production:
    """``production.json`` holds the plan of this story.

    A plan that was changed by hand since it was made is used as it is: only a changed story, another director or a
    new take makes a new one.

    Raises:
        PersonDecides: the file was changed by hand into something that is not a plan of this story.
    """
    request, director = PlanRequest(story, take=work.job.take("plan")), work.providers.director

    def make(call: Call) -> Made:
        production = director.plan(request, call)
        _check_belongs(production, story)
        write_durably(work.workspace.production, production.to_json())
        return Made()

    work.progress.advanced(story.id, "plan", 0, 1)
    inputs, price = (story.essence, request.take), director.price_micros(request)
    make_call(work, "plan", inputs, director.name, make, price_micros=price)
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
