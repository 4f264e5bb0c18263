"""Hosting without a host: pages stand in ``streams/{stream_id}/public/``, to be opened from the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from downstream.domain.errors import PersonDecides, TryAgain
from downstream.domain.ports import Published
from downstream.files import private_folder, sync_folder, sync_tree, tree_sha256

if TYPE_CHECKING:
    from downstream.domain.ports import Call


class EmbeddedHosting:
    """``public`` is a link to one of the versions in ``published/``, so that a page changes all at once."""

    name = "embedded hosting"

    def __init__(self, home: Path) -> None:
        self._streams = home.resolve() / "streams"

    def publish(self, stream_id: str, folder: Path, _: Call) -> Published:
        """``public/`` shows the files of ``folder``; the version before stays beside it."""
        stream = self._streams / stream_id
        version = tree_sha256(folder)[:16]
        kept = private_folder(stream / "published") / version
        if not kept.is_dir():
            unfinished = kept.with_name(f".{version}")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(folder, unfinished)
            sync_tree(unfinished)
            unfinished.rename(kept)
            sync_folder(kept.parent)
        return _show(stream, version)

    def restore(self, stream_id: str, version: str, _: Call) -> Published:
        """``public/`` shows an earlier version again.

        Raises:
            PersonDecides: that version is not kept.
        """
        stream = self._streams / stream_id
        if not (stream / "published" / version).is_dir():
            raise PersonDecides(f"streams/{stream_id}/published has no version {version}")
        return _show(stream, version)

    def fetch(self, published: Published, path: str) -> bytes:
        """What lies in ``public/`` under that name."""
        page = _page(published)
        return _read(published, page.parent / path if path else page)

    def fetch_version(self, published: Published) -> bytes:
        """The page in the version's folder."""
        page = _page(published)
        return _read(published, page.parents[1] / "published" / published.version / page.name)

    def forget(self, _: str) -> str:
        """Pages never left the stream's folder."""
        return "nothing was published outside this machine"


def _page(published: Published) -> Path:
    return Path(unquote(urlsplit(published.address).path))


def _read(published: Published, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TryAgain(f"{published.address}: {path.name} cannot be read ({error.strerror})") from None


def _show(stream: Path, version: str) -> Published:
    link = stream / ".public"
    link.unlink(missing_ok=True)
    link.symlink_to(f"published/{version}")
    link.replace(stream / "public")
    sync_folder(stream)
    return Published((stream / "public" / "index.html").as_uri(), version)
