"""Films keyframes with no network: redraws their layers and moves a camera through them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from downstream.providers.embedded.film import View
from downstream.providers.embedded.keyframes import read_recipe
from downstream.providers.embedded.scenery import compose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from downstream.domain.ports import Call, ClipRequest
    from downstream.providers.embedded.pixels import Pixels


class EmbeddedClips:
    """Makes clips that begin as their keyframe."""

    name = "embedded clips"
    exact = True

    def price_micros(self, _: ClipRequest) -> int:
        """Nothing."""
        return 0

    def inputs(self, request: ClipRequest) -> object:
        """All of it."""
        return request

    def make(self, request: ClipRequest, destination: Path, _: Call) -> None:
        """Leaves a whole H.264 MP4 at ``destination``.

        Raises:
            PersonDecides: the keyframe was not drawn by the embedded keyframes.
        """
        frames = film(request)
        temporary = destination.with_name(f".{destination.name}.part")
        try:
            _encode(frames, request, temporary)
            temporary.replace(destination)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(destination.parent)


def film(request: ClipRequest) -> Iterator[Pixels]:
    """The clip's pictures, ``round(seconds * frames_per_second)`` of them, the first of them the keyframe."""
    scene = compose(read_recipe(request.keyframe), request.width, request.height)
    count = max(1, round(request.seconds * request.frames_per_second))
    last, rate = max(1, count - 1), request.frames_per_second
    return scene.film(
        View.along(request.motion_type, request.intensity, number / last, number / rate) for number in range(count)
    )


def _encode(frames: Iterator[Pixels], request: ClipRequest, path: Path) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=request.frames_per_second, options={"preset": "superfast", "crf": "18", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = request.width, request.height, "yuv420p"
        # Browsers assume this colour space for video of this size; the file says so all the same.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        stream.codec_context.color_range = ColorRange.MPEG
        reformatter = VideoReformatter()
        for number, pixels in enumerate(frames):
            channels = pixels.view(np.uint8).reshape(request.height, request.width, 4)
            picture = reformatter.reformat(
                av.VideoFrame.from_ndarray(channels, format="rgba"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
