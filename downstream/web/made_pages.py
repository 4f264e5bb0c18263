"""The finished pages of the embedded hosting: the files in ``streams/{id}/public/``."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from flask import Response, abort, redirect, send_file, url_for

from downstream.domain.names import is_stream_id
from downstream.web.assets import FOR_EVER

if TYPE_CHECKING:
    from pathlib import Path

    from werkzeug.wrappers import Response as AnyResponse

# What a made page asks for in its own head, and that nobody frames it.
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".mp4": "video/mp4",
    ".zip": "application/zip",
}
"""Of every kind of file that a page may have; what a machine's own list says differs from machine to machine. The
charset of text is added where it is sent."""
_HASHED = "assets"
"""The folder of a page in which a name never changes its content."""


class MadePages:
    """All finished pages below ``home``."""

    def __init__(self, home: Path) -> None:
        self._streams = home / "streams"

    def enter(self, stream_id: str) -> AnyResponse:
        """The page's links lead on from the address with the slash."""
        return redirect(url_for("made_page", stream_id=stream_id), 308)

    def serve(self, stream_id: str, path: str = "index.html") -> Response:
        """One file of a page, or the part of it that is asked for."""
        file = self._file(stream_id, path)
        if file is None:
            abort(404)
        kind = _TYPES.get(file.suffix.lower(), "application/octet-stream")
        response = send_file(file, mimetype=kind, conditional=True)
        response.headers["Cache-Control"] = FOR_EVER if path.startswith(f"{_HASHED}/") else "no-cache"
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    def _file(self, stream_id: str, path: str) -> Path | None:
        """The file, None unless it lies in the public folder of that stream when all links are followed."""
        parts = PurePosixPath(path).parts
        if not is_stream_id(stream_id) or "\0" in path or any(part.startswith((".", "/")) for part in parts):
            return None
        stream = (self._streams / stream_id).resolve()
        public = (self._streams / stream_id / "public").resolve()
        file = public.joinpath(*parts).resolve()
        inside = public.is_relative_to(stream) and public != stream and file.is_relative_to(public)
        return file if inside and _is_there(file) else None


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name longer than any can be
        return False
