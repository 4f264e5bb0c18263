"""Fetching a clip, whole or not at all.

The service keeps it for an hour only. The SDK's own way of fetching (``FileOutput``) sends the token to whatever host
the address names; nothing here knows the token.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import av
import httpx

from downstream.domain.errors import TryAgain
from downstream.domain.troubles import is_no_fault_of_a_film
from downstream.files import PRIVATE_FILE, sync_folder, temporary_name

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=10.0, pool=10.0)
TOTAL_SECONDS = 300.0
LARGEST_CLIP_BYTES = 200_000_000


class Cut(TryAgain):
    """The clip did not arrive, and may the next time, if that is soon: it is paid for."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, wait_seconds=60.0, soon=True)


class Spoiled(Cut):
    """Something arrived that is not a clip. One answer proves nothing about what lies there."""


def download(address: str, destination: Path) -> None:
    """``destination`` is a clip that decodes to its last frame, on the disk.

    Raises:
        Cut: it did not arrive.
        Spoiled: it arrived, and is not a clip.
    """
    temporary = temporary_name(destination)
    try:
        _fetch(address, temporary)
        _check(temporary)
        temporary.replace(destination)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(destination.parent)


def _fetch(address: str, path: Path) -> None:
    try:
        # Without compression, so that the length that is announced is the clip's; httpx holds the body to it.
        headers = {"Accept-Encoding": "identity"}
        with httpx.stream("GET", address, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
            if response.status_code != 200:
                raise Cut(f"the clip could not be fetched ({response.status_code})")
            _save(response, path)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Cut(f"the clip could not be fetched ({type(error).__name__})") from None


def _save(response: httpx.Response, path: Path) -> None:
    ends = time.monotonic() + TOTAL_SECONDS
    size = 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE), "wb") as file:
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > LARGEST_CLIP_BYTES:
                raise Spoiled(f"the clip is larger than {LARGEST_CLIP_BYTES:,} bytes")
            if time.monotonic() > ends:
                raise Cut(f"the clip did not arrive within {TOTAL_SECONDS:.0f} seconds")
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _check(path: Path) -> None:
    """Raises ``Spoiled`` unless the file is an MP4 whose every picture can be decoded."""
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            raise Spoiled("what was delivered is not an MP4 file")
    try:
        with av.open(str(path)) as container:
            promised = container.streams.video[0].frames
            decoded = sum(1 for _ in container.decode(video=0))
    except (av.FFmpegError, IndexError) as error:
        if is_no_fault_of_a_film(error):
            raise
        raise Spoiled("the clip cannot be decoded to its end") from None
    if not decoded or decoded < promised:
        raise Spoiled(f"only {decoded} of the clip's {promised} pictures can be decoded")
