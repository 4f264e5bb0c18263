"""A plan for tests that need one and do not care what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.production import (
    MotionType,
    Production,
    ProductionInput,
    Section,
    Segment,
    Stream,
    VisualDirection,
)

if TYPE_CHECKING:
    from pathlib import Path


def planned(home: Path, segments: int = 3) -> None:
    """A plan lies in the stream's folder."""
    ids = tuple(f"{number:02}" for number in range(1, segments + 1))
    words = {"title": "x", "narrative": "x", "image_prompt": "x", "motion_prompt": "x"}
    production = Production(
        stream=Stream(id="test", title="x"),
        input=ProductionInput(language="en", original_text="x"),
        visual_direction=VisualDirection(aesthetic="x", palette=("#000000", "#808080", "#ffffff")),
        segments=tuple(Segment(id=one, motion_type=MotionType.DRIFT, intensity=0.5, **words) for one in ids),
        sections=(Section(id="01", title="x", segment_ids=ids, text="x"),),
    )
    folder = home / "streams/test"
    folder.mkdir(exist_ok=True)
    (folder / "production.json").write_bytes(production.to_json())
