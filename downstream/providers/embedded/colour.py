"""Colours: a palette as one scale of tones, and the light of a scene.

Colours lie in planes, 3 x height x width: numpy is several times faster over long rows than over triples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from downstream.providers.embedded.vocabulary import TimeOfDay, Weather

if TYPE_CHECKING:
    from downstream.providers.embedded.brush import Array, Sheet
    from downstream.providers.embedded.recipe import Recipe

# Oklab, https://bottosson.github.io/posts/oklab/: equal steps look equal, and mixing two colours does not turn grey.
_RGB_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_CONES_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_lab(rgb: Array) -> Array:
    """Oklab of sRGB colours in 0-1."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    lab: Array = np.cbrt(linear @ _RGB_TO_CONES.T) @ _CONES_TO_LAB.T
    return lab


def to_rgb(lab: Array) -> Array:
    """sRGB in 0-1 of Oklab colours; what sRGB cannot show is clipped."""
    linear = np.clip((lab @ np.linalg.inv(_CONES_TO_LAB).T) ** 3 @ np.linalg.inv(_RGB_TO_CONES).T, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, linear * 12.92)


class Palette:
    """A palette as one scale: ``tone(0)`` is its deepest shade, ``tone(1)`` its brightest light."""

    def __init__(self, colours: tuple[str, ...]) -> None:
        lab = to_lab(np.array([list(bytes.fromhex(colour.removeprefix("#"))) for colour in colours]) / 255)
        lab = lab[np.argsort(lab[:, 0])]
        # A picture needs depth and light even when the brief names pastels only or darks only.
        deepest, brightest = lab[0] * (0, 0.6, 0.6) + (min(lab[0, 0], 0.2), 0, 0), lab[-1].copy()
        brightest[0] = max(brightest[0], 0.93)
        self._lab = np.vstack([deepest, lab[(lab[:, 0] > 0.22) & (lab[:, 0] < 0.92)], brightest])
        vivid = np.hypot(lab[:, 1], lab[:, 2]) * np.clip(lab[:, 0] * 2 - 0.5, 0.05, 1)
        self.accent = _plane(lab[np.argmax(vivid)])

    def tone(self, level: float) -> Array:
        """The palette's colour of that lightness, 0 to 1."""
        lightness = np.interp(level, (0, 1), self._lab[(0, -1), 0])
        return _plane(np.array([np.interp(lightness, self._lab[:, 0], channel) for channel in self._lab.T]))


def _plane(lab: Array) -> Array:
    return to_rgb(lab).astype(np.float32).reshape(3, 1, 1)


def mix(first: Array, second: Array, amount: float | Array) -> Array:
    """``first`` at 0, ``second`` at 1."""
    mixed: Array = first + (second - first) * amount
    return mixed


@dataclass(frozen=True, slots=True)
class Light:
    """Where a scene's light comes from and what it does to the colours."""

    x: float
    y: float
    zenith: Array
    horizon: Array
    haze: Array
    shade: Array
    glow: Array
    """The light itself: sun, moon and what they touch."""
    lamp: Array
    """Windows, lanterns and blossom."""
    white: Array
    """Snow and rain."""
    halo: float
    """How strongly the air glows around the light."""
    density: float
    """How fast distance fades into haze."""
    night: bool
    disc: bool
    """Sun or moon can be seen."""

    def halo_over(self, sheet: Sheet) -> Array:
        """How much the air glows, 0 to 1, at every point of ``sheet``."""
        squared = (sheet.x - self.x) ** 2 + (1.5 * (sheet.y - self.y)) ** 2
        halo: Array = self.halo / (1 + squared / 0.07) + self.halo * 0.4 * np.exp(squared * -2)
        return halo


_TONES = {  # zenith, horizon, haze, shade; halo, warmth
    TimeOfDay.DAWN: (0.48, 0.88, 0.74, 0.06, 0.60, 0.55),
    TimeOfDay.DAY: (0.60, 0.95, 0.84, 0.08, 0.45, 0.35),
    TimeOfDay.DUSK: (0.16, 0.74, 0.50, 0.03, 0.75, 0.55),
    TimeOfDay.NIGHT: (0.04, 0.38, 0.30, 0.01, 0.34, 0.0),
}
_DENSITY = {Weather.FOG: 0.34, Weather.RAIN: 0.22, Weather.SNOW: 0.20}


def light_of(recipe: Recipe, x: float, y: float) -> Light:
    """The light of a scene whose sun or moon stands at ``x``, ``y``."""
    palette = Palette(recipe.palette)
    zenith, horizon, haze, shade, halo, warmth = _TONES[recipe.time_of_day]
    night, veiled = recipe.time_of_day is TimeOfDay.NIGHT, recipe.weather in _DENSITY
    return Light(
        x=x,
        y=y,
        zenith=palette.tone(zenith + 0.3 * (horizon - zenith) * veiled),
        horizon=mix(palette.tone(horizon), palette.accent, 0.35 * warmth),
        haze=palette.tone(haze),
        shade=palette.tone(shade),
        glow=mix(palette.tone(0.97), palette.accent, 0.25 * warmth),
        lamp=mix(palette.tone(0.93), palette.accent, 0.4),
        white=palette.tone(0.62 if night else 0.95),
        halo=halo * (0.75 if veiled else 1),
        density=_DENSITY.get(recipe.weather, 0.13),
        night=night,
        disc=recipe.weather not in (Weather.RAIN, Weather.SNOW),
    )
