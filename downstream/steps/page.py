"""page: text, frames and player put together as static files."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from zipfile import ZipFile, ZipInfo

from downstream.files import sync_tree, tree_files
from downstream.site.build import build_page
from downstream.steps.work import Made

KEEPSAKE = "story.zip"
"""The page as one file, to be kept; it stands beside the page."""

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from downstream.domain.production import Production
    from downstream.domain.story import Story
    from downstream.steps.work import Work


def make_page(work: Work, story: Story, production: Production, frames: dict[str, Path]) -> None:
    """``page/`` holds the whole page."""
    work.progress.advanced(story.id, "page", 0, 1)
    drawn = not work.job.needs_live
    media = [sorted(path for path in folder.iterdir() if not path.name.startswith(".")) for folder in frames.values()]

    def make() -> Made:
        build_page(story, production, frames, work.workspace.page, drawn_by_program=drawn)
        _pack(work.workspace.page)
        sync_tree(work.workspace.page)
        return Made(tree_files(work.workspace.page))

    inputs = (story, production, media, drawn, work.job.take("page"))
    work.once("page", inputs, f"site {_site_digest()}", make)
    work.progress.advanced(story.id, "page", 1, 1)


def _pack(page: Path) -> None:
    """The page as one file for the customer to keep; the same page is the same file."""
    paths = tree_files(page)
    with ZipFile(page / KEEPSAKE, "w") as archive:
        for path in paths:
            # Stored as they are: films and pictures do not get smaller. ZIP knows no time before 1980.
            archive.writestr(ZipInfo(str(path.relative_to(page)), (1980, 1, 1, 0, 0, 0)), path.read_bytes())


@cache
def _site_digest() -> str:
    """Which edition of templates, style sheet and player: an upgrade rebuilds pages that are still in the house."""
    total = hashlib.sha256()
    for name, resource in sorted(_walk(files("downstream.site"), "")):
        total.update(name.encode() + b"\0" + resource.read_bytes())
    return total.hexdigest()[:16]


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.is_file():
            found.append((prefix + entry.name, entry))
    return found
