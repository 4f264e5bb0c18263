"""The social card: the first picture with the title over it, 1200 by 630."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from downstream.site.marks import encode_marked

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

    from downstream.domain.language import Direction

CARD_SIZE = (1200, 630)
_MARGIN = 72
_MOST_LINES = 4
_FONT_SIZES = (84, 72, 60, 50, 42)
# Book faces that Debian packages (fonts-noto-core, fonts-noto-cjk, fonts-dejavu-core), widest use first; Pillow's own
# face is the last resort and knows little more than English.
_FONTS = (
    "NotoSerif-Regular.ttf",
    "DejaVuSerif.ttf",
    "NotoSerifCJK-Regular.ttc",
    "NotoNaskhArabic-Regular.ttf",
    "NotoSerifHebrew-Regular.ttf",
    "NotoSerifDevanagari-Regular.ttf",
    "NotoSerifThai-Regular.ttf",
    "NotoSerifBengali-Regular.ttf",
    "NotoSerifTamil-Regular.ttf",
    "NotoSerifArmenian-Regular.ttf",
    "NotoSerifGeorgian-Regular.ttf",
)


def draw_card(poster: Image.Image, title: str, direction: Direction) -> bytes:
    """A marked JPEG. The title is left off when no font on this machine has all of its letters."""
    card = ImageOps.fit(poster.convert("RGB"), CARD_SIZE, Image.Resampling.LANCZOS)
    title = " ".join(title.split())
    font = _font_for(title)
    if font:
        _write(card, title, font, direction)
    return encode_marked(card, "JPEG", {"quality": 86, "optimize": True, "progressive": True})


def _write(card: Image.Image, title: str, largest: FreeTypeFont, direction: Direction) -> None:
    font, lines = _fit(title, largest)
    leading = round(font.size * 1.2)
    top = CARD_SIZE[1] - _MARGIN - leading * len(lines)
    _darken_from(card, top - 160)
    draw = ImageDraw.Draw(card)
    left, anchor = (_MARGIN, "la") if direction == "ltr" else (CARD_SIZE[0] - _MARGIN, "ra")
    for row, line in enumerate(lines):
        draw.text((left, top + row * leading), line, font=font, fill="#ffffff", anchor=anchor)


def _fit(title: str, largest: FreeTypeFont) -> tuple[FreeTypeFont, list[str]]:
    """The largest type in which the title keeps to the card, and its lines; the rest of an endless one is cut."""
    for size in _FONT_SIZES:
        font = largest.font_variant(size=size)
        lines = _break_lines(title, font)
        if len(lines) <= _MOST_LINES and all(_fits(line, font) for line in lines):
            return font, lines
    kept = [*lines[: _MOST_LINES - 1], " ".join(lines[_MOST_LINES - 1 :])]
    return font, [_shorten(line, font) for line in kept]


def _break_lines(title: str, font: FreeTypeFont) -> list[str]:
    lines: list[str] = []
    for word in title.split():
        if lines and _fits(f"{lines[-1]} {word}", font):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _fits(line: str, font: FreeTypeFont) -> bool:
    return font.getlength(line) <= CARD_SIZE[0] - 2 * _MARGIN


def _shorten(line: str, font: FreeTypeFont) -> str:
    while not _fits(line, font):
        line = line[:-2] + "…"
    return line


def _darken_from(card: Image.Image, top: int) -> None:
    """White type keeps a contrast of 7:1 even on a white picture: where it stands the shade is two thirds black."""
    height = CARD_SIZE[1] - max(top, 0)
    shade = Image.new("L", (1, height))
    for row in range(height):
        shade.putpixel((0, row), round(255 * 0.66 * min(1.0, row / 150)))
    card.paste("#000000", (0, CARD_SIZE[1] - height), shade.resize((CARD_SIZE[0], height)))


def _font_for(title: str) -> FreeTypeFont | None:
    for name in _FONTS:
        with suppress(OSError):
            font = ImageFont.truetype(name, _FONT_SIZES[0])
            if _has_all_letters(font, title):
                return font
    last = ImageFont.load_default(_FONT_SIZES[0])
    return last if isinstance(last, ImageFont.FreeTypeFont) and _has_all_letters(last, title) else None


def _has_all_letters(font: FreeTypeFont, title: str) -> bool:
    missing = bytes(font.getmask("\U000f0000"))  # a private character, drawn as the box for what is missing
    return bool(title) and all(bytes(font.getmask(letter)) != missing for letter in set(title) - {" "})
