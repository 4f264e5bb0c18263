"""Moves a camera through painted layers: what lies nearer moves more. Lengths are in frame heights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, pi, sin
from typing import TYPE_CHECKING, Protocol

import numpy as np

from downstream.domain.production import MotionType
from downstream.providers.embedded.pixels import Between, fade, over, sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from downstream.providers.embedded.brush import Array, Point
    from downstream.providers.embedded.pixels import Pixels

_BAND = 72
"""Rows worked on at a time, few enough to stay in the processor's cache."""

_TRAVEL = {  # right, down and forward at full intensity
    MotionType.PUSH_IN: (0.0, 0.0, 0.30),
    MotionType.PULL_BACK: (0.0, 0.0, -0.30),
    MotionType.PAN_LEFT: (-0.32, 0.0, 0.0),
    MotionType.PAN_RIGHT: (0.32, 0.0, 0.0),
    MotionType.RISE: (0.0, -0.20, 0.04),
    MotionType.DESCEND: (0.0, 0.20, 0.04),
    MotionType.DRIFT: (0.16, -0.03, 0.12),
}
_TURN = 0.12
"""The part of a sideways travel that the camera also turns, which moves even the sky."""


def reach(distance: float, half: float) -> Point:
    """How far, sideways and up or down, any camera can look past the edge of a picture ``half`` wide to each side."""
    return max(0.34, 0.4 * half) / distance + 0.06, 0.24 / distance + 0.05


@dataclass(frozen=True, slots=True)
class View:
    """Where the camera is, and when. Distance 1 is where the nearest things stand."""

    travel: Point = (0.0, 0.0)
    """How far it went right and down."""
    forward: float = 0.0
    seconds: float = 0.0

    @classmethod
    def along(cls, motion_type: MotionType, intensity: float, progress: float, seconds: float) -> View:
        """The camera at ``progress`` (0-1) of its way; it sets off and arrives gently and never stops between."""
        eased = 0.6 * progress + 0.4 * progress * progress * (3 - 2 * progress)
        right, down, forward = (part * intensity * eased for part in _TRAVEL[motion_type])
        return cls((right, down), forward, seconds)

    def looks_at(self, place: Array, axis: int, distance: float, focus: Point) -> Array:
        """What the camera sees at a ``place`` (across: axis 0, down: axis 1) of the picture, at ``distance``."""
        zoom = distance / (distance - self.forward)
        seen: Array = focus[axis] + (place - focus[axis]) / zoom + self.travel[axis] * (1 / distance + _TURN)
        return seen


class Paintable(Protocol):
    """Something that lays itself over the picture of what is behind it."""

    @property
    def every(self) -> int:
        """It moves so slowly that it is painted anew at every so many pictures only."""

    def lay(self, frame: Pixels, view: View, focus: Point) -> None:
        """Paints over ``frame``; the camera moves towards ``focus``."""

    def hides_below(self, bottom: float) -> float:
        """The height below which it hides all that is behind it, ``bottom`` if it hides nothing above that."""


@dataclass(frozen=True, slots=True)
class Life:
    """How a sheet moves by itself."""

    sway: Point = (0.0, 0.0)
    """Right and down, to and fro."""
    bend: float = 0.0
    """How far its top leans sideways to and fro, its foot standing still."""
    pulse: float = 0.0
    """How much of its opacity comes and goes."""
    period: float = 20.0
    """Seconds of one coming and going."""
    phase: float = 0.0
    """Where in its period it begins, 0 to 1."""
    fall: Point | None = None
    """Right and down each second; the sheet then repeats itself without end."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A painted sheet at a distance."""

    pixels: Pixels
    corner: Point
    """Where its upper left corner is."""
    scale: float
    """Pixels to the frame height."""
    distance: float
    life: Life

    @property
    def every(self) -> int:
        """What is far away moves by fractions of a pixel."""
        return 4 if self.distance >= 9 else 2 if self.distance >= 4.5 else 1

    def hides_below(self, bottom: float) -> float:
        """The height below which no pixel lets anything through."""
        if self.life.pulse or self.life.fall or self.corner[1] + len(self.pixels) / self.scale < min(bottom, 1.0):
            return bottom
        holes = np.flatnonzero(((self.pixels >> np.uint32(24)) < 255).any(axis=1))
        return min(bottom, self.corner[1] + (holes[-1] + 1 if holes.size else 0) / self.scale)

    def above(self, y: float) -> Layer:
        """The layer without what lies below ``y``."""
        rows = max(2, ceil((y - self.corner[1]) * self.scale))
        return self if self.life.fall else replace(self, pixels=self.pixels[:rows])

    def lay(self, frame: Pixels, view: View, focus: Point) -> None:
        """Paints the sheet over ``frame`` where ``view`` sees it."""
        beat = sin(2 * pi * (view.seconds / self.life.period + self.life.phase))
        moved = beat - sin(2 * pi * self.life.phase)
        columns, rows = (self._looked_at(frame.shape, axis, view, focus, moved) for axis in (0, 1))
        if not self.life.fall:
            height, width = self.pixels.shape
            lean = abs(self.life.bend * moved * self.scale)
            left, right = np.searchsorted(columns, (lean, width - 1 - lean))
            top, bottom = np.searchsorted(rows, (0, height - 1))
            frame, columns, rows = frame[top:bottom, left:right], columns[left:right], rows[top:bottom]
        if frame.size:
            self._lay(frame, columns, rows, self.life.bend * moved * self.scale, 1 - self.life.pulse * (0.5 - beat / 2))

    def _looked_at(self, size: tuple[int, ...], axis: int, view: View, focus: Point, moved: float) -> Array:
        """Where in the sheet, in its pixels, the columns (axis 0) or rows (axis 1) of the frame look."""
        height, width = size
        start, count = (-width / 2, width) if axis == 0 else (0, height)
        place: Array = (np.arange(count) + 0.5 + start) / height
        place = view.looks_at(place, axis, self.distance, focus) - self.corner[axis] - self.life.sway[axis] * moved
        if not self.life.fall:
            return place * self.scale - 0.5
        # What falls is small and quick: whole pixels do for it, and are quickly had.
        fallen: Array = np.rint((place - self.life.fall[axis] * view.seconds) * self.scale - 0.5)
        return fallen

    def _lay(self, frame: Pixels, columns: Array, rows: Array, lean: float, opacity: float) -> None:
        height, width = self.pixels.shape
        across = Between.of(columns, width)
        step = _BAND // 4 if lean else _BAND
        for row in range(0, len(rows), step):
            band = rows[row : row + step]
            if lean:
                across = Between.of(columns - lean * (1 - band[0] / height) ** 2, width)
            seen = sample(self.pixels, across, Between.of(band, height))
            over(frame[row : row + step], seen if opacity >= 1 else fade(seen, opacity))


@dataclass(frozen=True, slots=True)
class Water:
    """A mirror below ``line``, which lies at ``distance``; its ripples wander and grow towards the viewer."""

    line: float
    distance: float
    phases: Array
    """Where each ripple is in its beat, over the frame's width and height."""
    tint: Layer
    """What the water itself adds to the picture in it."""
    every: int = 1

    def hides_below(self, bottom: float) -> float:
        """Nothing shows through a mirror."""
        return min(self.line, bottom)

    def lay(self, frame: Pixels, view: View, focus: Point) -> None:
        """Paints the mirrored picture of what stands above the line."""
        height, width = frame.shape
        rows = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
        depth = view.looks_at(rows, 1, self.distance, focus).astype(np.float32) - self.line
        first = int(np.clip((depth < 0).sum(), 1, height - 1))
        rows, depth = rows[first:], np.maximum(depth[first:], 0)
        waves = np.sin(self.phases[: height - first, :width] + np.log(depth + 0.02) * 26 + view.seconds * 1.7)
        mirrored = (rows[0] - depth[0] - depth - waves * (depth * 0.11 + 0.002)) * height
        frame[first:] = np.take_along_axis(frame, np.clip(mirrored.astype(np.int64), 0, first - 1), axis=0)
        self.tint.lay(frame, view, focus)


@dataclass(frozen=True, slots=True)
class Scene:
    """A painted world."""

    things: Sequence[Paintable]
    """From far to near."""
    focus: Point
    """The camera moves towards this point of the picture, or away from it."""
    vignette: Pixels
    """What lies over every picture and never moves; as large as the picture."""

    def film(self, views: Iterable[View]) -> Iterator[Pixels]:
        """The pictures a camera sees at ``views``, one after the other."""
        shots = self._shots()
        painted = [np.zeros_like(self.vignette)] * (len(shots) + 1)
        for number, view in enumerate(views):
            for index, (every, things) in enumerate(shots):
                if number % every == 0:
                    painted[index + 1] = painted[index].copy()
                    for thing in things:
                        thing.lay(painted[index + 1], view, self.focus)
            picture = painted[-1].copy()
            over(picture, self.vignette)
            yield picture

    def _shots(self) -> list[tuple[int, list[Paintable]]]:
        """The things from far to near, those together that are painted anew equally often."""
        shots: dict[int, list[Paintable]] = {}
        every = self.things[0].every
        for thing in self.things:
            every = min(every, thing.every)
            shots.setdefault(every, []).append(thing)
        return list(shots.items())


def without_hidden(things: Sequence[Paintable]) -> list[Paintable]:
    """``things`` (far to near) without what nearer ones hide wherever the camera goes."""
    kept: list[Paintable] = []
    hidden = 2.0
    for thing in reversed(things):
        shown = thing.above(hidden + 0.1) if isinstance(thing, Layer) else thing
        hidden = shown.hides_below(hidden)
        kept.append(shown)
    return kept[::-1]
