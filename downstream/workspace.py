"""One stream's folder, ``streams/{stream_id}/``: where each thing made from a story lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one stream below the installation's root ``home``."""

    home: Path
    stream_id: str

    @property
    def root(self) -> Path:
        """``streams/{stream_id}``."""
        return self.home / "streams" / self.stream_id

    @property
    def production(self) -> Path:
        """The production spec."""
        return self.root / "production.json"

    @property
    def receipts(self) -> Path:
        """What was called for this stream and what came of it."""
        return self.root / "receipts.jsonl"

    @property
    def keyframes(self) -> Path:
        """The stills, one a segment."""
        return self.root / "keyframes"

    def clip(self, segment_id: str) -> Path:
        """A segment's clip as the provider made it."""
        return self.root / "clips" / f"{segment_id}.mp4"

    def frames(self, segment_id: str) -> Path:
        """A segment's clip as the page plays it."""
        return self.root / "frames" / segment_id

    @property
    def thinned(self) -> Path:
        """Says when the clips and frames were removed; missing while they are there."""
        return self.root / "thinned.json"

    @property
    def page(self) -> Path:
        """The page, ready to publish."""
        return self.root / "page"

    @property
    def review(self) -> Path:
        """What review saw: the inspection and the contact sheet."""
        return self.root / "review"
