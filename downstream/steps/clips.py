"""clips: every keyframe set in motion."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from downstream.domain.errors import TryAgain
from downstream.domain.ports import ClipRequest
from downstream.files import private_folder
from downstream.steps.calls import make_call, receipt_of
from downstream.steps.reword import in_other_words, wordings
from downstream.steps.work import Made

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.ports import Call
    from downstream.domain.production import Production, Segment
    from downstream.steps.work import Work


def make_clips(work: Work, production: Production, keyframes: dict[str, Path]) -> None:
    """Every segment has its clip. All of them wait for their provider side by side."""
    work.each("clips", production.segments, lambda one: _make(work, one, keyframes[one.id]), calling=True)


def has_clip(work: Work, segment: Segment, keyframe: Path) -> bool:
    """The clip of just this keyframe is made already, in whichever words."""
    inputs = map(work.providers.clips.inputs, wordings(work, clip_request(work, segment, keyframe)))
    return any(receipt_of(work, f"clips/{segment.id}", each) is not None for each in inputs)


def clip_request(work: Work, segment: Segment, keyframe: Path) -> ClipRequest:
    """What the clips' provider is asked for."""
    return ClipRequest(
        stream_id=work.job.stream_id,
        segment_id=segment.id,
        keyframe=keyframe,
        prompt=segment.motion_prompt,
        motion_type=segment.motion_type,
        intensity=segment.intensity,
        seconds=work.settings.clip_seconds,
        frames_per_second=work.settings.clip_frames_per_second,
        width=work.settings.clip_width,
        height=work.settings.clip_height,
        take=work.job.take("clips", segment.id),
        notes=(*work.job.notes.get(segment.id, ()), *work.job.notes.get(f"clips/{segment.id}", ())),
    )


def _make(work: Work, segment: Segment, keyframe: Path) -> None:
    """The clip, in other words where a content filter refused the first ones."""
    in_other_words(work, clip_request(work, segment, keyframe), partial(_ask, work))


def _ask(work: Work, request: ClipRequest) -> None:
    path = work.workspace.clip(request.segment_id)
    provider = work.providers.clips

    def make(call: Call) -> Made:
        private_folder(path.parent)
        provider.make(request, path, call)
        if not path.is_file():
            raise TryAgain(f"clip {request.segment_id} was not delivered")
        return Made([path])

    inputs, price = provider.inputs(request), provider.price_micros(request)
    make_call(work, f"clips/{request.segment_id}", inputs, provider.name, make, price_micros=price, continues=True)
