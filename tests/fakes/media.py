"""Pictures and clips that really decode: different for different words, the same for the same words."""

from __future__ import annotations

import io
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

import av
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZOOM = 0.12
"""How far the camera of a clip goes in, more or less, as a part of the picture."""


@lru_cache(maxsize=64)
def draw_picture(words: str, width: int, height: int, mime_type: str = "image/png") -> bytes:
    """A gradient with a dozen shapes on it, chosen by ``words``."""
    random = Random(words)
    first, second = _colour(random), _colour(random)
    slope = Image.linear_gradient("L").rotate(random.choice((0, 90, 180, 270))).resize((width, height))
    picture = Image.composite(
        Image.new("RGB", (width, height), first), Image.new("RGB", (width, height), second), slope
    )
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        left, top = random.uniform(-0.1, 0.9) * width, random.uniform(-0.1, 0.9) * height
        right, bottom = left + random.uniform(0.05, 0.4) * width, top + random.uniform(0.05, 0.4) * height
        shape = random.choice((pen.ellipse, pen.rectangle))
        shape((left, top, right, bottom), fill=_colour(random), outline=_colour(random), width=max(1, height // 90))
    return encode(picture, mime_type)


def encode(picture: Image.Image, mime_type: str) -> bytes:
    """``picture`` as a file of that type."""
    file = io.BytesIO()
    if mime_type == "image/png":
        picture.save(file, "PNG", compress_level=1)
    else:
        picture.save(file, "JPEG", quality=88)
    return file.getvalue()


@lru_cache(maxsize=64)
def make_clip(
    first_frame: bytes, width: int, height: int, seconds: float, frames_per_second: int, words: str = ""
) -> bytes:
    """An H.264 MP4 that begins as ``first_frame`` and slowly moves in on it, how far is chosen by ``words``.

    Sides are made even, as H.264 wants.
    """
    size = (width + width % 2, height + height % 2)
    picture = Image.open(io.BytesIO(first_frame)).convert("RGB")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as film:
        stream = film.add_stream(
            "libx264", rate=frames_per_second, options={"preset": "ultrafast", "crf": "20", "threads": "1"}
        )
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        zoom = _ZOOM * Random(words).uniform(0.8, 1.2)
        for view in _views(picture, size, round(seconds * frames_per_second), zoom):
            film.mux(stream.encode(av.VideoFrame.from_image(view)))
        film.mux(stream.encode(None))
    return file.getvalue()


def _views(picture: Image.Image, size: tuple[int, int], count: int, zoom: float) -> Iterator[Image.Image]:
    width, height = picture.size
    for index in range(count):
        margin = zoom * index / max(1, count - 1) / 2
        box = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
        yield picture.resize(size, Image.Resampling.BILINEAR, box=box)


def _colour(random: Random) -> tuple[int, int, int]:
    return random.randrange(256), random.randrange(256), random.randrange(256)
