"""keyframes: one still a segment, and before them a sheet that shows the cast."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from downstream.domain.errors import NothingCame, TryAgain
from downstream.domain.ports import KeyframeRequest, Picture
from downstream.files import private_folder, write_durably
from downstream.steps.calls import make_call
from downstream.steps.reword import in_other_words
from downstream.steps.work import Made

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.ports import Call
    from downstream.domain.production import Production, Segment, VisualDirection
    from downstream.steps.work import Work

CAST = "cast"
"""The segment id of the sheet that shows the cast."""

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}


def make_keyframes(work: Work, production: Production) -> dict[str, Path]:
    """Every segment has its keyframe: segment id to file.

    Where the provider works from pictures, each keyframe is made after the one before it and is shown it, and all of
    them are shown the cast.
    """
    private_folder(work.workspace.keyframes)
    if not work.providers.keyframes.by_reference:
        paths = work.each("keyframes", production.segments, lambda one: _make(work, _request(work, production, one)))
        return {segment.id: path for segment, path in zip(production.segments, paths, strict=True)}
    cast_sheet = _make(work, _cast_request(work, production)) if production.visual_direction.cast else None
    made: dict[str, Path] = {}

    def make_next(segment: Segment) -> None:
        previous = made[max(made)] if made else None
        request = replace(_request(work, production, segment), cast_sheet=cast_sheet, previous=previous)
        made[segment.id] = _make(work, request)

    work.each_in_turn("keyframes", production.segments, make_next)
    return made


def keyframe_requests(work: Work, production: Production) -> list[KeyframeRequest]:
    """What the keyframes' provider will be asked for, without the pictures that are not made yet."""
    requests = [_request(work, production, segment) for segment in production.segments]
    with_cast = work.providers.keyframes.by_reference and production.visual_direction.cast
    return [_cast_request(work, production), *requests] if with_cast else requests


def _request(work: Work, production: Production, segment: Segment) -> KeyframeRequest:
    look = production.visual_direction
    return KeyframeRequest(
        stream_id=work.job.stream_id,
        segment_id=segment.id,
        prompt=f"{segment.image_prompt}{_style(look)}"
        if work.providers.keyframes.by_reference
        else segment.image_prompt,
        negative_prompt=segment.negative_prompt,
        palette=look.palette,
        width=work.settings.clip_width,
        height=work.settings.clip_height,
        take=work.job.take("keyframes", segment.id),
        notes=work.job.notes.get(segment.id, ()),
    )


def _cast_request(work: Work, production: Production) -> KeyframeRequest:
    look = production.visual_direction
    members = "\n".join(f"{member.name}: {member.look}" for member in look.cast)
    return KeyframeRequest(
        stream_id=work.job.stream_id,
        segment_id=CAST,
        prompt=f"{members}{_style(look)}",
        negative_prompt=", ".join(look.avoid),
        palette=look.palette,
        width=work.settings.clip_width,
        height=work.settings.clip_height,
        take=work.job.take("keyframes", CAST),
    )


def _style(look: VisualDirection) -> str:
    """The look of the whole series, as the end of a prompt."""
    parts = {
        "Look": look.aesthetic,
        "Texture": look.texture,
        "In the manner of": ", ".join(look.references),
        "Throughout": ", ".join(look.unifying_elements),
        "Never": ", ".join(look.avoid),
    }
    return "".join(f"\n{name}: {words}" for name, words in parts.items() if words)


def _make(work: Work, request: KeyframeRequest) -> Path:
    """The still, in other words where a content filter refused the first ones."""
    return in_other_words(work, request, partial(_ask_twice, work))


def _ask_twice(work: Work, request: KeyframeRequest) -> Path:
    """The still; when nothing came the first time, that of a second attempt."""
    try:
        return _ask(work, request)
    except NothingCame:
        return _ask(work, request)


def _ask(work: Work, request: KeyframeRequest) -> Path:
    provider = work.providers.keyframes

    def make(call: Call) -> Made:
        picture = provider.make(request, call)
        path = work.workspace.keyframes / f"{request.segment_id}{_check(picture, request)}"
        write_durably(path, picture.data)
        for other in _SUFFIXES.values():
            if path.suffix != other:  # an earlier take may have been of another kind
                path.with_suffix(other).unlink(missing_ok=True)
        return Made([path])

    inputs, price = provider.inputs(request), provider.price_micros(request)
    receipt = make_call(work, f"keyframes/{request.segment_id}", inputs, provider.name, make, price_micros=price)
    return work.workspace.root / next(iter(receipt.outputs))


def _check(picture: Picture, request: KeyframeRequest) -> str:
    """The file name's ending for a picture that decodes and has the size and shape that were asked for."""
    try:
        with Image.open(io.BytesIO(picture.data)) as image:
            image.load()
            suffix = _SUFFIXES.get(image.format or "")
            width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise TryAgain(f"keyframe {request.segment_id} does not decode ({type(error).__name__})") from None
    if suffix is None:
        raise TryAgain(f"keyframe {request.segment_id} is neither PNG, JPEG nor WebP")
    wanted = request.width / request.height
    if abs(width / height - wanted) > 0.02 * wanted or width < request.width * 0.9:
        raise TryAgain(
            f"keyframe {request.segment_id} has {width}x{height} pixels instead of {request.width}x{request.height}"
        )
    return suffix
