"""The contact sheet: every segment side by side, for whoever judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


THUMBNAIL = (320, 180)
"""Pixels of one picture of it."""


def write_contact_sheet(path: Path, rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> None:
    """One row a segment: its pictures, 320x180 pixels each."""
    columns = max((len(thumbnails) for _, thumbnails in rows), default=1) or 1
    sheet = Image.new("RGB", (columns * 328 + 48, len(rows) * 188 + 8), "#181818")
    draw = ImageDraw.Draw(sheet)
    for row, (segment_id, thumbnails) in enumerate(rows):
        draw.text((12, row * 188 + 88), segment_id, fill="#dddddd", font_size=20)
        for column, thumbnail in enumerate(thumbnails):
            sheet.paste(thumbnail, (48 + column * 328, row * 188 + 8))
    temporary = path.with_name(f".{path.name}")
    sheet.save(temporary, "JPEG", quality=85)
    temporary.replace(path)
