"""What a content filter refuses is asked for once more, in other words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from downstream.domain.errors import Refused
from downstream.domain.ports import ClipRequest, KeyframeRequest, RewordRequest, Subject
from downstream.steps.calls import make_call, receipt_of
from downstream.steps.work import Made

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downstream.domain.ports import Call, Editor
    from downstream.steps.work import Work

Request = TypeVar("Request", KeyframeRequest, ClipRequest)
Result = TypeVar("Result")


def in_other_words(work: Work, request: Request, ask: Callable[[Request], Result]) -> Result:
    """What ``ask`` has for the request, or for one in other words where a content filter refused the first ones.

    Raises:
        Refused: the filter said no to those too; the text has the command that goes on.
    """
    try:
        return _asked_twice(work, request, ask)
    except Refused as refusal:
        raise Refused(f"{refusal}. {_command(request)} asks again") from None


def wordings(work: Work, request: Request) -> Iterator[Request]:
    """The request, and the one in other words when those were found already."""
    yield request
    rewording = _rewording(request)
    receipt = receipt_of(work, _name(rewording), rewording)
    if receipt is not None:
        yield replace(request, prompt=str(receipt.result["prompt"]))


def _asked_twice(work: Work, request: Request, ask: Callable[[Request], Result]) -> Result:
    try:
        return ask(request)
    except Refused:
        if work.providers.editor is None:
            raise
    return ask(replace(request, prompt=_reworded(work, work.providers.editor, _rewording(request))))


def _reworded(work: Work, editor: Editor, request: RewordRequest) -> str:
    def make(call: Call) -> Made:
        return Made(result={"prompt": editor.reword(request, call)})

    price = editor.price_micros(request)
    receipt = make_call(work, _name(request), request, editor.name, make, price_micros=price)
    return str(receipt.result["prompt"])


def _rewording(refused: KeyframeRequest | ClipRequest) -> RewordRequest:
    return RewordRequest(refused.stream_id, refused.segment_id, refused.prompt, _subject(refused))


def _name(request: RewordRequest) -> str:
    return f"reword/{request.piece}"


def _subject(request: KeyframeRequest | ClipRequest) -> Subject:
    return Subject.CLIPS if isinstance(request, ClipRequest) else Subject.KEYFRAMES


def _command(request: KeyframeRequest | ClipRequest) -> str:
    """What the operator types; the sheet of the cast is no segment, and nothing is drawn before it."""
    segment = f" --segment {int(request.segment_id)}" if request.segment_id.isdigit() else ""
    return f"downstream retry {request.stream_id} --from {_subject(request)}{segment}"
