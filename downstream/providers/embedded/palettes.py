"""Five colours for a story: from its brief, else from its tone, else from its own words."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageColor

from downstream.providers.embedded.colour import to_lab, to_rgb
from downstream.providers.embedded.moods import COLOURS, DARKER, LIGHTER, MOODS
from downstream.providers.embedded.word_table import WordTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from downstream.domain.story import Story

    Lab = NDArray[np.float32]

_LIGHTNESS = (0.20, 0.38, 0.57, 0.76, 0.93)  # Oklab: where the five colours stand when nobody asks for others
_DARK_ENOUGH, _LIGHT_ENOUGH = 0.32, 0.84
_TEXT_WEIGHT = 6  # words of the story needed to set its mood; one of the brief is enough

_HEX = re.compile(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})(?![0-9a-fA-F])")
_SEPARATOR = re.compile(r"[,;/|&+\n]|\b(?:and|with|és|und|mit|et|avec|con|to)\b|\by\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")


def palette_of(story: Story, seed: int) -> tuple[str, ...]:
    """Five hex colours, dark to light, with depth and light enough for a picture."""
    asked = [colour for wish in story.brief.colors for colour in _colours(wish)]
    if asked:
        return _five(asked)
    return tuple(_mood(story, seed).split())


def _mood(story: Story, seed: int) -> str:
    words = WordTable(MOODS)
    brief = words.count(" ".join([*story.brief.tone, *story.brief.style, *story.brief.references, story.brief.notes]))
    own = Counter(
        {mood: count for mood, count in words.count(f"{story.title} {story.text}").items() if count > _TEXT_WEIGHT}
    )
    for counts in (brief, own):
        if counts:
            return max(counts, key=lambda mood: (counts[mood], own[mood]))
    return list(MOODS)[seed % len(MOODS)]


def _colours(wish: str) -> Iterator[Lab]:
    """The colours a customer's phrase names: hex codes as they are, words as we understand them."""
    codes = _HEX.findall(wish)
    if codes:
        yield from map(_lab, codes)
        return
    for phrase in _SEPARATOR.split(wish):
        colour = _named(phrase)
        if colour is not None:
            yield colour


def _named(phrase: str) -> Lab | None:
    words = [word.lower() for word in _WORD.findall(phrase)]
    shaded = [word for word in words if _of_word(word) is None and _shades().meanings(word)]
    joined = "".join(words)
    if len(words) > 1 and not shaded and joined in ImageColor.colormap:
        return _lab(joined)
    found = [colour for word in words if (colour := _of_word(word)) is not None]
    if not found:
        return None
    colour = _array(np.mean(found, axis=0))
    for word in shaded:
        colour = _shade(colour, word)
    return colour


def _shade(colour: Lab, word: str) -> Lab:
    """Half way to white, or a third of the way to black."""
    if "lighter" in _shades().meanings(word):
        return _array((colour + _array([1, 0, 0])) / 2)
    return _array(colour * 0.67)


def _of_word(word: str) -> Lab | None:
    for colour in _colour_table().meanings(word):
        return _lab(colour)
    if word in ImageColor.colormap:
        return _lab(word)
    return _compound(word)


def _compound(word: str) -> Lab | None:
    """Sötétkék, hellgrün: one word, the shade first."""
    for shade in f"{DARKER} {LIGHTER}".replace("*", "").split():
        colour = _of_word(word.removeprefix(shade)) if word.startswith(shade) and word != shade else None
        if colour is not None:
            return _shade(colour, shade)
    return None


@cache
def _colour_table() -> WordTable[str]:
    return WordTable(COLOURS)


@cache
def _shades() -> WordTable[str]:
    return WordTable({"darker": DARKER, "lighter": LIGHTER})


def _five(asked: Sequence[Lab]) -> tuple[str, ...]:
    """Five colours around those asked for: these stay as they are unless all of them are dark or all are light."""
    given = _spread(sorted(asked, key=lambda colour: float(colour[0])))
    places = min(combinations(range(5), len(given)), key=lambda places: _distance(given, places))
    lightness = np.array([colour[0] for colour in given])
    colours = dict(zip(places, given, strict=True))
    for place in set(range(5)) - set(places):
        wanted = _LIGHTNESS[place]
        tint = [np.interp(wanted, lightness, [colour[channel] for colour in given]) for channel in (1, 2)]
        # Far from the given colours in lightness a tint would glare; deep shadows and high lights are nearly grey.
        calm = max(0.35, 1 - 2 * float(np.abs(lightness - wanted).min()))
        colours[place] = _array([wanted, tint[0] * calm, tint[1] * calm])
    return _hex(_deepened(sorted(colours.values(), key=lambda colour: float(colour[0]))))


def _spread(colours: Sequence[Lab]) -> list[Lab]:
    """At most five of them, darkest and lightest among them, no two nearly alike."""
    distinct = [
        colour
        for index, colour in enumerate(colours)
        if all(np.linalg.norm(colour - earlier) > 0.04 for earlier in colours[:index])
    ]
    if len(distinct) <= 5:
        return distinct
    return [distinct[round(step * (len(distinct) - 1) / 4)] for step in range(5)]


def _distance(given: Sequence[Lab], places: Sequence[int]) -> float:
    return sum(abs(float(colour[0]) - _LIGHTNESS[place]) for colour, place in zip(given, places, strict=True))


def _deepened(colours: list[Lab]) -> list[Lab]:
    darkest, lightest = colours[0].copy(), colours[-1].copy()
    darkest[0], lightest[0] = min(darkest[0], _DARK_ENOUGH), max(lightest[0], _LIGHT_ENOUGH)
    return [darkest, *colours[1:-1], lightest]


def _lab(colour: str) -> Lab:
    return to_lab(_array(ImageColor.getrgb(colour)[:3]) / np.float32(255))


def _array(numbers: ArrayLike) -> Lab:
    return np.asarray(numbers, dtype=np.float32)


def _hex(colours: Sequence[Lab]) -> tuple[str, ...]:
    rgb = np.rint(to_rgb(_array(colours)) * 255).astype(int)
    return tuple("#" + "".join(f"{channel:02x}" for channel in colour) for colour in rgb)
