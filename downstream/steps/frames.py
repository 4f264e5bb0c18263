"""frames: every clip encoded once more, so that a scroll position finds its frame at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.files import private_folder, sync_tree
from downstream.site.encode import encode_for_scrolling
from downstream.steps.work import Made

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.production import Production
    from downstream.steps.work import Work

PROVIDER = "scroll encoder 1"
"""Count up when the encoder's output changes, and clips are encoded again."""


def make_frames(work: Work, production: Production) -> dict[str, Path]:
    """Every clip has its scroll encodings: segment id to folder."""
    segment_ids = [segment.id for segment in production.segments]
    work.each("frames", segment_ids, lambda segment_id: _make(work, segment_id))
    return {segment_id: work.workspace.frames(segment_id) for segment_id in segment_ids}


def _make(work: Work, segment_id: str) -> None:
    clip, folder = work.workspace.clip(segment_id), work.workspace.frames(segment_id)

    def make() -> Made:
        private_folder(folder)
        encode_for_scrolling(clip, folder)
        sync_tree(folder)
        return Made(sorted(path for path in folder.iterdir() if not path.name.startswith(".")))

    work.once(f"frames/{segment_id}", (clip, work.job.take("frames", segment_id)), PROVIDER, make)
