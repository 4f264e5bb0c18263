"""Colours that can be read, whatever the palette."""

from __future__ import annotations

import pytest

from downstream.site.theme import READABLE, contrast, theme_of

PALETTES = [
    ("#000000", "#000000", "#000000"),
    ("#ffffff", "#ffffff", "#ffffff"),
    ("#808080", "#7f7f7f", "#818181"),
    ("#ff0000", "#00ff00", "#0000ff"),
    ("#ffff00", "#ffff66", "#ffffcc"),
    ("#101820", "#1f4e5f", "#79a8a9", "#f4f7f7"),
]
PALETTES += [
    tuple(f"#{(seed * 7919 + place * 104729) * 2654435761 % (1 << 24):06x}" for place in range(3 + seed % 4))
    for seed in range(60)
]


@pytest.mark.parametrize("palette", PALETTES, ids="-".join)
def test_every_text_colour_is_readable_on_the_page(palette: tuple[str, ...]) -> None:
    theme = theme_of(palette)

    assert contrast(theme.ink, theme.paper) >= 9
    assert contrast(theme.quiet, theme.paper) >= READABLE
    assert contrast(theme.accent, theme.paper) >= READABLE


def test_a_dark_palette_makes_a_dark_page_and_a_light_one_a_light_page() -> None:
    night = theme_of(("#05070d", "#10182b", "#2d3f63", "#8fa0c4"))
    noon = theme_of(("#8a6b4f", "#d8b98c", "#f0dfc0", "#fffaf0"))

    assert night.is_dark
    assert not noon.is_dark
    assert contrast(night.paper, "#000000") < 1.3
    assert contrast(noon.paper, "#ffffff") < 1.2


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1
