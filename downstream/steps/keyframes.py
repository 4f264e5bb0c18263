"""keyframes: one still a segment."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from downstream.domain.errors import TryAgain
from downstream.domain.ports import KeyframeRequest, Picture
from downstream.files import private_folder, write_durably
from downstream.steps.work import Made

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.production import Production, Segment
    from downstream.steps.work import Work

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}


def make_keyframes(work: Work, production: Production) -> dict[str, Path]:
    """Every segment has its keyframe: segment id to file."""
    private_folder(work.workspace.keyframes)
    paths = work.each("keyframes", production.segments, lambda segment: _make(work, production, segment))
    return {segment.id: path for segment, path in zip(production.segments, paths, strict=True)}


def keyframe_request(work: Work, production: Production, segment: Segment) -> KeyframeRequest:
    """What the keyframes' provider is asked for."""
    return KeyframeRequest(
        stream_id=work.job.stream_id,
        segment_id=segment.id,
        prompt=segment.image_prompt,
        negative_prompt=segment.negative_prompt,
        palette=production.visual_direction.palette,
        width=work.settings.clip_width,
        height=work.settings.clip_height,
        take=work.job.take("keyframes", segment.id),
        notes=work.job.notes.get(segment.id, ()),
    )


def _make(work: Work, production: Production, segment: Segment) -> Path:
    request = keyframe_request(work, production, segment)

    def make() -> Made:
        picture = work.providers.keyframes.make(request)
        path = work.workspace.keyframes / f"{segment.id}{_check(picture, request)}"
        write_durably(path, picture.data)
        return Made([path])

    receipt = work.once(f"keyframes/{segment.id}", request, work.providers.keyframes.name, make)
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
