"""Holds a scene while it grows from far to near: every sheet is painted as far away as it lies."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import numpy as np

from downstream.providers.embedded.brush import Pen, Sheet, blur, noise, profile, smooth
from downstream.providers.embedded.colour import light_of, mix
from downstream.providers.embedded.film import Layer, Life, Scene, reach, without_hidden
from downstream.providers.embedded.pixels import pack
from downstream.providers.embedded.silhouettes import SUBJECTS
from downstream.providers.embedded.vocabulary import Subject, TimeOfDay, Weather

if TYPE_CHECKING:
    from collections.abc import Callable

    from downstream.providers.embedded.brush import Array, Point, Random
    from downstream.providers.embedded.film import Paintable
    from downstream.providers.embedded.recipe import Recipe
    from downstream.providers.embedded.silhouettes import Draw

    Line = Callable[[Array], Array]
    """The height of the land over ``x``."""
    Fringe = Callable[[Pen, Random, Line], None]
    """Draws what stands on a line."""


_STILL = Life()


class Painter:
    """One scene in the making. Distance 1 is where the nearest things stand, the sky is at 40."""

    def __init__(self, recipe: Recipe, width: int, height: int) -> None:
        self.recipe, self.height = recipe, height
        self.half = width / height / 2
        self.things: list[Paintable] = []
        self._sheets = 0
        random = self.random()
        self.side: int = random.choice((-1, 1)).item()
        """The side of the middle where the subject stands."""
        self.subject_x = self.side * self.half * random.uniform(0.08, 0.3)
        light_x = self.subject_x - self.side * self.half * random.uniform(-0.1, 0.35)
        low = recipe.time_of_day in (TimeOfDay.DAWN, TimeOfDay.DUSK)
        self.light = light_of(recipe, light_x, random.uniform(0.4, 0.52) if low else random.uniform(0.16, 0.3))
        self.snowy = recipe.weather is Weather.SNOW

    def random(self) -> Random:
        """Fresh dice for the next sheet, so that one sheet's needs never change another."""
        self._sheets += 1
        return np.random.default_rng([self.recipe.seed, self._sheets])

    def scene(self) -> Scene:
        """What was painted, with slightly darker corners."""
        sheet = self.frame()
        far = (sheet.x / self.half) ** 2 * 0.6 + ((sheet.y - 0.5) * 2) ** 2 * 0.4
        vignette = pack(self.light.shade * 0.6 + 0 * far, smooth(0.35, 1.25, far) * 0.55, 0)
        return Scene(without_hidden(self.things), ((self.light.x + self.subject_x) / 2, 0.6), vignette)

    def frame(self) -> Sheet:
        """Paper that is exactly the picture."""
        return Sheet(-self.half, 0, self.half, 1, self.height)

    def sheet(self, distance: float, top: float = -1, bottom: float = 2, *, coarse: int = 1) -> Sheet:
        """Paper for something at ``distance``, as large as any camera may see, ``coarse`` pixels to one."""
        aside, above = reach(distance, self.half)
        top, bottom = max(top, -above), min(bottom, 1 + above)
        return Sheet(-self.half - aside, top, self.half + aside, bottom, self.height / coarse)

    def add(
        self, sheet: Sheet, colour: Array, alpha: Array, distance: float, *, grain: float = 0, life: Life = _STILL
    ) -> None:
        """Lays a sheet over what is there."""
        speckle = self.random().standard_normal(alpha.shape, np.float32) * grain if grain else 0
        pixels = pack(colour + 0 * alpha, alpha, speckle)
        rows, columns = np.flatnonzero(alpha.max(axis=1) > 0.002), np.flatnonzero(alpha.max(axis=0) > 0.002)
        if rows.size:
            # Empty edges are cut off, but for one row and column that let the shape end softly.
            top, left = max(0, rows[0] - 1), max(0, columns[0] - 1)
            pixels = np.ascontiguousarray(pixels[top : rows[-1] + 2, left : columns[-1] + 2])
            corner = sheet.left + left / sheet.scale, sheet.top + top / sheet.scale
            self.things.append(Layer(pixels, corner, sheet.scale, distance, life))

    def haze(self, distance: float) -> Array:
        """The colour of the air in front of something at ``distance``."""
        return mix(self.light.haze, self.light.horizon, min(0.6, distance / 24))

    def paint(
        self,
        sheet: Sheet,
        shapes: tuple[Array, Array, Array],
        distance: float,
        *,
        mist: tuple[float, float, float] = (0, 1, 0),
        soft: float = 0,
        life: Life = _STILL,
    ) -> None:
        """Paints what a pen cut as far away as it is.

        ``mist`` begins at a height, is full at another and hides that much; ``soft`` is how far out of focus.
        """
        light = self.light
        shape, catch, shine = shapes
        fade: float | Array = 1 - exp(-light.density * (distance - 1))
        fade = fade + (1 - fade) * mist[2] * smooth(mist[0], mist[1], sheet.y)
        halo = light.halo_over(sheet)
        strokes = 1 + noise(self.random(), sheet, 0.05, 3, stretch=3.5) * 0.05
        colour = mix(light.shade * strokes, mix(self.haze(distance), light.glow, halo), fade)
        # The edge that looks up at the light catches some of it.
        step = max(1, round(0.0035 * self.height))
        above = np.roll(shape, step, axis=0)
        above[:step] = 0
        rim = np.clip(shape - above, 0, 1) * (halo * 1.1 + 0.12)
        touched = mix(light.haze, light.white if self.snowy else light.glow, 0.7)
        colour = mix(colour, touched, np.clip(np.maximum(rim, catch * (1 - fade * 0.6)), 0, 1))
        if shine.any():
            glow = np.minimum(blur(shine, 0.018 * self.height) + blur(shine, 0.05 * self.height), 1) * 0.75
            colour = mix(colour, light.lamp, np.maximum(shine, glow * (1 - shine)))
            shape = np.maximum(shape, glow)
        self.add(sheet, colour, blur(shape, soft * self.height) if soft else shape, distance, grain=1.6, life=life)

    def cut(
        self,
        distance: float,
        draw: Callable[[Pen, Random], None],
        top: float = -1,
        bottom: float = 2,
        *,
        soft: float = 0,
        life: Life = _STILL,
    ) -> None:
        """Lays whatever ``draw`` cuts."""
        sheet = self.sheet(distance, top, bottom)
        pen = Pen(sheet)
        draw(pen, self.random())
        self.paint(sheet, pen.shapes(), distance, soft=soft, life=life)

    def hills(self, base: float, rise: float, cell: float) -> Line:
        """A new line of hills around ``base``, each about ``cell`` wide."""
        seed: int = self.random().integers(1 << 30).item()
        return lambda x: base - profile(np.random.default_rng(seed), x, cell, rough=0.45) * rise

    def ridge(
        self,
        distance: float,
        line: Line,
        draw: Fringe | None = None,
        *,
        tall: float = 0.75,
        mist: tuple[float, float, float] = (0.0, 0.22, 0.6),
        bottom: float = 0.5,
    ) -> None:
        """Lays land below ``line``, with whatever ``draw`` puts on it up to ``tall`` above.

        ``mist`` begins and is full that far below the line; the paper ends ``bottom`` below.
        """
        everywhere = line(np.linspace(-self.half - 0.4, self.half + 0.4, 200))
        high, middle = float(everywhere.min()), float(everywhere.mean())
        sheet = self.sheet(distance, high - (tall if draw else 0.01), middle + bottom)
        below = sheet.y - line(sheet.x)
        land = np.clip(below * self.height + 0.5, 0, 1)
        tufts = np.clip(0.6 + noise(self.random(), sheet, 0.012, 3, stretch=6) * 0.5, 0, 1)
        if self.snowy:
            catch = land * (0.75 * smooth(0.05, 0, below) + 0.3 * smooth(0.4, 0, below) * tufts)
        else:
            catch = land * self.light.halo_over(sheet) * smooth(0.16, 0, below) * tufts * 0.55
        pen = Pen(sheet)
        if draw:
            draw(pen, self.random(), line)
        shape, caught, shine = pen.shapes()
        shapes = np.maximum(land, shape), np.maximum(caught, catch * (1 - shape)), shine
        self.paint(sheet, shapes, distance, mist=(middle + mist[0], middle + mist[1], mist[2]))

    def mountains(self, distance: float, base: float, rise: float, cell: float, snow: float) -> None:
        """Lays a range of peaks with lit and dark faces and ``snow`` on its upper part."""
        sheet, random = self.sheet(distance, base - rise * 1.5, base + 0.16), self.random()
        peaks = 1 - np.abs(profile(random, sheet.x, cell, 2, rough=0.4)) * 1.5
        edge = base - rise * (0.62 * peaks + 0.2 * profile(random, sheet.x, cell / 3, rough=0.52))
        below = sheet.y - edge
        # Creases of folded noise run down the slopes; the side of a crease that looks at the light is bright.
        creases = -np.abs(noise(random, sheet, rise * 0.55, 5, stretch=0.7, rough=0.48))
        step = max(1, round(0.006 * self.height))
        sunny = smooth(-0.12, 0.16, (creases - np.roll(creases, step, 1)) * np.sign(sheet.x - self.light.x))
        cap = smooth(0.75, 0.2, below / rise - creases * 0.22) * snow
        catch = np.clip(sunny * (0.2 + cap * 0.7) + cap * 0.15, 0, 1)
        land = np.clip(below * self.height + 0.5, 0, 1)
        self.paint(sheet, (land, catch, np.zeros_like(land)), distance, mist=(base - rise * 0.45, base + 0.1, 0.9))

    def subject(self, pen: Pen, random: Random, y: float, size: float = 1) -> None:
        """Draws the subject, ``size`` times as high as usual, with its foot at ``y``."""
        if self.recipe.subject is not Subject.NONE:
            draw, high = SUBJECTS[self.recipe.subject]
            draw(pen.standing(self.subject_x, y, high * size), random)

    def plants(
        self,
        distance: float,
        draw: Draw,
        count: int,
        size: Point,
        *,
        y: float = 1.05,
        clear: float = 0,
        bend: float = 0.012,
    ) -> None:
        """Lays plants that grow from ``y``, lower around the middle, none within ``clear`` of the subject, and sway."""
        dip = 0 if clear else 0.68

        def fringe(pen: Pen, random: Random) -> None:
            if distance < 1.3:
                # A camera that goes down or back must not look under the grass.
                pen.box(pen.sheet.left, y, pen.sheet.right - pen.sheet.left, 1)
            places = random.uniform(pen.sheet.left, pen.sheet.right, count)
            for x in places[np.abs(places - self.subject_x) >= clear].tolist():
                grown = random.uniform(*size) * (1 - dip + dip * min(1, abs(x) / self.half) ** 1.5)
                draw(pen.standing(x, y + random.uniform(0, 0.03), grown), random)

        life = Life(bend=bend, period=5.3, phase=distance)
        self.cut(distance, fringe, y - size[1] * 1.6, soft=0.002 if distance < 1.3 else 0, life=life)
