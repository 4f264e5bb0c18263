"""What the painter works with: sheets of paper, noise, and a pen that cuts shapes.

Places are in frame heights: ``x`` runs from the middle of the picture to the right, ``y`` from its top down.
"""

from __future__ import annotations

from copy import copy
from math import ceil, hypot
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
    Random = np.random.Generator
    Point = tuple[float, float]

_FINER = 2
"""The pen cuts on paper this much finer, so that edges come out smooth."""


class Sheet:
    """A piece of paper that covers some of the world, ``scale`` pixels to the frame height."""

    def __init__(self, left: float, top: float, right: float, bottom: float, scale: float) -> None:
        self.left, self.top, self.right, self.bottom, self.scale = left, top, right, bottom, scale
        self.width, self.height = (max(2, ceil(side * scale - 1e-6)) for side in (right - left, bottom - top))
        self.x: Array = (left + (np.arange(self.width, dtype=np.float32) + 0.5) / scale)[None, :]
        self.y: Array = (top + (np.arange(self.height, dtype=np.float32) + 0.5) / scale)[:, None]


def smooth(edge: float, full: float, value: Array) -> Array:
    """0 where ``value`` is below ``edge``, 1 above ``full`` (or the other way round), softly between."""
    ramp = np.clip((value - edge) / (full - edge), 0, 1)
    result: Array = ramp * ramp * (3 - 2 * ramp)
    return result


def noise(
    random: Random, sheet: Sheet, cell: float, octaves: int = 4, *, stretch: float = 1, rough: float = 0.5
) -> Array:
    """A cloudy field, mean 0 and deviation about 1; its largest shapes are ``cell`` high, ``stretch`` times as wide."""
    across, down = (sheet.right - sheet.left) / (cell * stretch), (sheet.bottom - sheet.top) / cell
    wide, high = ceil(across) + 1, ceil(down) + 1
    field: Array = np.zeros((2, 2), np.float32)
    for octave in range(octaves):
        field = _enlarge(field, wide << octave, high << octave)
        field = field + random.standard_normal(field.shape, np.float32) * (1.5 * rough**octave)
    field = field / sum(rough ** (2 * octave) for octave in range(octaves)) ** 0.5
    used = (0.0, 0.0, field.shape[1] * across / wide, field.shape[0] * down / high)
    return _enlarge(field, sheet.width, sheet.height, used)


def _enlarge(field: Array, width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Array:
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC, box=box))


def profile(random: Random, x: Array, cell: float, octaves: int = 6, *, rough: float = 0.5) -> Array:
    """A line of hills over ``x``, about -1 to 1; the same dice throw the same hills, whatever part is looked at."""
    line: Array = np.zeros(x.shape, np.float32)
    for octave in range(octaves):
        knots = random.uniform(-1, 1, ceil(8 / cell) * 2**octave + 2)
        position = np.clip((x + 4) / cell * 2**octave, 0, len(knots) - 1.001)
        before = position.astype(int)
        weight = smooth(0, 1, position - before)
        line = line + rough**octave * (knots[before] * (1 - weight) + knots[before + 1] * weight)
    return line.astype(np.float32)


def blur(field: Array, radius: float) -> Array:
    """``field`` (0-1) softened by ``radius`` pixels; wide blurs are made on smaller paper."""
    shrink = max(1, int(radius / 2))
    picture = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8)).reduce(shrink)
    picture = picture.filter(ImageFilter.GaussianBlur(radius / shrink))
    return np.asarray(picture.resize(field.shape[::-1], Image.Resampling.BILINEAR), np.float32) / 255


def rounded(points: Sequence[Point], steps: int = 6) -> list[Point]:
    """A closed soft outline through ``points`` (Catmull-Rom)."""
    here = np.array(points)
    before, after, beyond = (np.roll(here, turn, axis=0) for turn in (1, -1, -2))
    outline = [
        (t**3 * (3 * (here - after) + beyond - before) + t**2 * (2 * before - 5 * here + 4 * after - beyond)) / 2
        + t * (after - before) / 2
        + here
        for t in np.arange(steps) / steps
    ]
    return [(x, y) for x, y in np.stack(outline, axis=1).reshape(-1, 2).tolist()]


class Pen:
    """Cuts shapes out of a sheet and says which of them ``catch`` the scene's light and which ``shine`` themselves.

    Amounts are 0 to 1. A later shape covers what is under it; one that is not ``solid`` cuts a hole.
    """

    def __init__(self, sheet: Sheet) -> None:
        self.sheet, self.size = sheet, 1.0
        self._foot, self._right, self._down = (0.0, 0.0), 1.0, 1.0
        # Red is what is cut, green what catches light, blue what shines: one stroke draws all three.
        self._image = Image.new("RGB", (sheet.width * _FINER, sheet.height * _FINER))
        self._draw = ImageDraw.Draw(self._image)

    def standing(self, x: float, y: float, size: float, *, flip: bool = False) -> Pen:
        """This pen, for a shape that stands at ``x``, ``y``: its foot is (0, 0), up is 1, and 1 is ``size`` long."""
        pen = copy(self)
        pen._foot = self._foot[0] + x * self._right, self._foot[1] + y * self._down  # noqa: SLF001 - its own kind
        pen._right, pen._down = (-size if flip else size) * self.size, -size * self.size  # noqa: SLF001
        pen.size = size * self.size
        return pen

    def _place(self, x: float, y: float) -> Point:
        sheet, (foot_x, foot_y) = self.sheet, self._foot
        finer = sheet.scale * _FINER
        return (foot_x + x * self._right - sheet.left) * finer, (foot_y + y * self._down - sheet.top) * finer

    def polygon(self, points: Iterable[Point], *, catch: float = 0, shine: float = 0, solid: float = 1) -> None:
        """Cuts a shape."""
        places = [self._place(x, y) for x, y in points]
        self._draw.polygon(places, (int(255 * solid), int(255 * catch), int(255 * shine)))

    def disc(self, x: float, y: float, across: float, high: float, *, catch: float = 0, shine: float = 0) -> None:
        """Cuts an ellipse with these radii."""
        finer = self.sheet.scale * _FINER * self.size
        (x, y), across, high = self._place(x, y), across * finer, high * finer
        box = (x - across, y - high, x + across, y + high)
        self._draw.ellipse(box, (255, int(255 * catch), int(255 * shine)))

    def box(self, x: float, y: float, across: float, high: float, *, catch: float = 0, shine: float = 0) -> None:
        """Cuts an upright rectangle whose corner is at ``x``, ``y`` and which reaches down from there."""
        low = y + (high if self._down > 0 else -high)
        self.polygon(((x, y), (x + across, y), (x + across, low), (x, low)), catch=catch, shine=shine)

    def stroke(self, points: Sequence[Point], start: float, end: float, *, catch: float = 0, solid: float = 1) -> None:
        """Cuts a line that tapers from ``start`` to ``end`` in width."""
        one_side, other_side = [], []
        last = len(points) - 1
        for index, (x, y) in enumerate(points):
            before, after = points[max(0, index - 1)], points[min(last, index + 1)]
            along = hypot(after[0] - before[0], after[1] - before[1]) or 1.0
            half = (start + (end - start) * index / last) / 2 / along
            right, down = (before[1] - after[1]) * half, (after[0] - before[0]) * half
            one_side.append((x + right, y + down))
            other_side.append((x - right, y - down))
        self.polygon([*one_side, *reversed(other_side)], catch=catch, solid=solid)

    def shapes(self) -> tuple[Array, Array, Array]:
        """What was cut, what of it catches the light and what shines."""
        channels = np.asarray(self._image.reduce(_FINER), np.float32) / 255
        return channels[..., 0].copy(), channels[..., 1].copy(), channels[..., 2].copy()
