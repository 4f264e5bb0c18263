"""``downstream export``: everything held of one order in one ZIP file, for the customer who asks for it."""

from __future__ import annotations

import os
import stat
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides
from downstream.domain.forgotten import KEPT_YEARS
from downstream.files import PRIVATE_FILE
from downstream.job_file import StillWritten, Unreadable
from downstream.queue import NoSuchJob, Queue
from downstream.shop.orders import DRAFT_DAYS
from downstream.shop.places import OF_THE_STREAM, Place, check_name, places, services_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from downstream.domain.job import Job

_PACKED = frozenset({".webp", ".mp4", ".png", ".jpg", ".jpeg", ".zip", ".avif"})
"""What does not get smaller by packing it again."""
_SAID = {
    "job": "your order in our queue: your address, what was paid, and everything that happened to it, with times",
    "hold": "why your order stands still",
    "errands": "letters and refunds of your order that are still to be done",
    "draft": "what you typed into the order form",
    "payment index": "which payment belongs to your order",
    **OF_THE_STREAM,
}
_RECEIVERS = {
    "gemini": "Google (Gemini) got your story to plan the scenes, drew the pictures and looked at them",
    "claude": "Anthropic (Claude) got your story to plan the scenes",
    "minimax": "Replicate and MiniMax got the pictures and descriptions of movement, and made films of them",
    "vercel": "Vercel shows your page to everybody who has its address",
    "smtp": "our mail service got your address and our letters to you",
    "stripe": "Stripe took the payment; what you typed there it did not show us, but for your address",
}
_README = """\
What we hold of your order {stream_id}
{line}

Packed on {at:%Y-%m-%d %H:%M %Z}. These are copies; nothing was changed or deleted.

What is what
{files}

What it was used for
  To make the page you ordered, to show it, to write to you about it, and to keep our books. Nothing else.

Who received something of it
{receivers}

How long it is kept
  Until you ask us to forget it. A draft that is not paid for goes by itself after {draft_days} days.
  The amount, date and ids of a payment stay for {years} years after its year, as tax law asks.

Keep this file to yourself: order.json holds the secret of your link, and whoever has it sees how your order is doing.
"""


def export(home: Path, stream_id: str, target: Path, now: datetime) -> Path:
    """``target`` is a ZIP file that only its owner can read, with everything held of the order; returns it.

    The files are copied as they are at this moment. Links are not followed, and locks and copies made for rehearsals
    are left out.

    Raises:
        NoSuchJob: there is nothing of that name.
        PersonDecides: ``target`` exists already.
    """
    check_name(stream_id)
    found = [one for one in places(home, stream_id, _job(home, stream_id)) if one.kind != "rehearsals"]
    if not found:
        raise NoSuchJob(stream_id)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    except FileExistsError:
        raise PersonDecides(f"{target} exists already; --to names another file") from None
    try:
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", strict_timestamps=False) as packed:
            packed.writestr("README.txt", _readme(home, stream_id, found, now), zipfile.ZIP_DEFLATED)
            for place in found:
                _pack(packed, home, place)
    except BaseException:
        target.unlink()  # half of it would look like all of it
        raise
    return target


def _job(home: Path, stream_id: str) -> Job | None:
    """The job, None where its file is none; it is packed as it is all the same."""
    queue = Queue(home)
    with suppress(Unreadable, StillWritten, FileNotFoundError):
        state = queue.find(stream_id)
        return queue.read(state, f"{stream_id}.json") if state else None
    return None


def _pack(packed: zipfile.ZipFile, home: Path, place: Place) -> None:
    for path in place.files():
        is_half_written = any(part.startswith(".") for part in path.relative_to(place.path.parent).parts)
        with suppress(FileNotFoundError):  # it was replaced, or moved on a moment ago
            if not is_half_written and stat.S_ISREG(path.lstat().st_mode):
                kind = zipfile.ZIP_STORED if path.suffix.lower() in _PACKED else zipfile.ZIP_DEFLATED
                packed.write(path, path.relative_to(home), kind)


def _readme(home: Path, stream_id: str, found: Iterable[Place], now: datetime) -> str:
    title = f"What we hold of your order {stream_id}"
    return _README.format(
        stream_id=stream_id,
        line="=" * len(title),
        at=now,
        files="\n".join(_files(home, found)),
        receivers="\n".join(_receivers(home, stream_id)),
        draft_days=DRAFT_DAYS,
        years=KEPT_YEARS,
    )


def _files(home: Path, found: Iterable[Place]) -> Iterator[str]:
    for place in found:
        if not place.path.is_symlink():
            yield f"  {place.path.relative_to(home)}\n      {_SAID.get(place.kind, 'another file of your order')}"


def _receivers(home: Path, stream_id: str) -> Iterator[str]:
    services = services_of(home, stream_id)
    told = [sentence for service, sentence in _RECEIVERS.items() if service in services]
    yield from (f"  {sentence}." for sentence in told)
    if not told:
        yield "  Nobody: everything was made on our own machine."
