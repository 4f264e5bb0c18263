"""The page's colours, derived from the production's palette, readable by computation."""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - read by whoever asks for the annotations
from dataclasses import dataclass
from math import atan2, cos, hypot, sin
from statistics import fmean

READABLE = 4.5
"""The least contrast of any text (WCAG 2.2, success criterion 1.4.3)."""
_COMFORTABLE = 9.0
"""The least contrast of the story itself."""
_DARK_BELOW = 0.6
"""Mean lightness of a palette below which the page is dark."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Hex colours: the page, its text, smaller words, and the one colour that stands out; and whether it is dark."""

    paper: str
    ink: str
    quiet: str
    accent: str
    is_dark: bool


def theme_of(palette: Sequence[str]) -> Theme:
    """A page in the palette's mood; ``quiet`` and ``accent`` reach ``READABLE`` on ``paper``, ``ink`` much more."""
    colours = sorted((_Colour.of(one) for one in palette), key=lambda colour: colour.lightness)
    darkest, lightest = colours[0], colours[-1]
    is_dark = fmean(colour.lightness for colour in colours) < _DARK_BELOW
    if is_dark:
        paper, ink = darkest.at(0.17, most_chroma=0.022), lightest.at(0.9, most_chroma=0.02)
    else:
        paper, ink = lightest.at(0.972, most_chroma=0.014), darkest.at(0.24, most_chroma=0.03)
    return Theme(
        paper=paper.hex,
        ink=_readable(ink, paper, _COMFORTABLE),
        quiet=_readable(ink.at(0.66 if is_dark else 0.5, most_chroma=0.03), paper, READABLE),
        accent=_readable(max(colours, key=lambda colour: colour.chroma), paper, READABLE),
        is_dark=is_dark,
    )


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two hex colours, 1 to 21 (WCAG 2.2)."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@dataclass(frozen=True, slots=True)
class _Colour:
    """A colour in OKLCh (Björn Ottosson, "A perceptual color space for image processing", 2020)."""

    lightness: float
    chroma: float
    hue: float

    @classmethod
    def of(cls, hex_colour: str) -> _Colour:
        red, green, blue = _linear(hex_colour)
        long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
        medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
        short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
        lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
        a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
        b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
        return cls(lightness, hypot(a, b), atan2(b, a))

    @property
    def hex(self) -> str:
        """The nearest colour a screen can show."""
        a, b = self.chroma * cos(self.hue), self.chroma * sin(self.hue)
        long = (self.lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        medium = (self.lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (self.lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        return "#" + "".join(
            f"{round(255 * _gamma(min(1.0, max(0.0, channel)))):02x}"
            for channel in (
                4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
                -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
                -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
            )
        )

    def at(self, lightness: float, *, most_chroma: float = 1.0) -> _Colour:
        """The same hue, lighter or darker, and no more colourful than ``most_chroma``."""
        return _Colour(lightness, min(self.chroma, most_chroma), self.hue)


def _readable(colour: _Colour, paper: _Colour, least: float) -> str:
    """The colour, moved away from the paper only as far as ``least`` asks."""
    step = 0.01 if paper.lightness < 0.5 else -0.01
    while contrast(colour.hex, paper.hex) < least and 0 <= colour.lightness <= 1:
        colour = colour.at(colour.lightness + step)
    return colour.hex


def _luminance(hex_colour: str) -> float:
    red, green, blue = _linear(hex_colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(hex_colour: str) -> tuple[float, float, float]:
    red, green, blue = (_degamma(int(hex_colour[place : place + 2], 16) / 255) for place in (1, 3, 5))
    return red, green, blue


def _degamma(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
