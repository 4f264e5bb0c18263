"""Where everything lies that is held of one order: what ``forget`` erases and ``export`` hands out."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from downstream.domain.job import Job, StreamId
from downstream.domain.state import State
from downstream.queue import NoSuchJob

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCKS = frozenset({"lock", "shop.lock"})
"""Of a stream's folder; they are empty."""

OF_THE_STREAM = {
    "input.json": "your story and brief, as you handed them in",
    "order.json": "your order: what stood in the form, what you agreed to and when, how it was paid, and the secret of "
    "your link",
    "production.json": "the plan of your page: how the story was divided into scenes, and what each should show",
    "receipts.jsonl": "every call to a service that made, published or mailed your page: when, to whom, what it cost",
    "shop.jsonl": "the letters and refunds of your order: when, through whom, and whether they were accepted",
    "keyframes": "one picture for each scene",
    "clips": "one film for each scene",
    "frames": "the films as single pictures, as the page shows them",
    "thinned.json": "when the films and pictures that your page was made from were removed here; the page has its own",
    "page": "your page, as it was last made",
    "published": "your page, in every version that was shown from our own machine",
    "mail": "letters to you that a demo wrote into files instead of sending them",
    "review": "what was looked at before the page was shown: measurements, and all scenes side by side",
}
"""What lies in a stream's folder, and what it is, in words for the customer."""
_OTHER = "other files"
_PROVIDER = re.compile(rb'"provider": "(\w+)"')
_STREAM_ID: TypeAdapter[str] = TypeAdapter(StreamId)


@dataclass(frozen=True, slots=True)
class Place:
    """One file or folder that is the order's alone; ``kind`` names no person."""

    kind: str
    path: Path

    def files(self) -> Iterator[Path]:
        """Every file there at this moment; links to folders are not followed."""
        if not self.path.is_dir() or self.path.is_symlink():
            yield self.path
            return
        for folder, _, names in os.walk(self.path):
            yield from (Path(folder, name) for name in sorted(names))

    def sizes(self) -> Iterator[int]:
        """The bytes of each of them; what somebody has just removed is passed over."""
        for path in self.files():
            with suppress(FileNotFoundError):
                yield path.lstat().st_size


def check_name(stream_id: str) -> None:
    """Returns when it may be the name of an order: nothing else may become part of a path.

    Raises:
        NoSuchJob: it may not.
    """
    try:
        _STREAM_ID.validate_python(stream_id)
    except ValidationError:
        raise NoSuchJob(stream_id) from None


def places(home: Path, stream_id: str, job: Job | None) -> list[Place]:
    """Everything of that order below ``home``, without its locks and what holds for all orders together."""
    check_name(stream_id)
    streams = home / "streams"
    found: list[Place] = []
    for state in State:
        found += _named("job", home / "jobs" / state, stream_id)
    found += _named("hold", home / "jobs" / ".holds", stream_id)
    found += _named("errands", home / "jobs" / ".errands", stream_id)
    found += _named("draft", streams / ".drafts", stream_id)
    found += [Place("payment index", path) for path in _paying_for(streams / ".payments", stream_id)]
    found += _of_the_stream(streams / stream_id)
    found += _handed_in_elsewhere(home, stream_id, job)
    for rehearsal in sorted((streams / ".rehearsals").glob("*/")):
        found += _named("rehearsals", rehearsal / "jobs", stream_id, deep=True)
        if (rehearsal / "streams" / stream_id).is_dir():
            found.append(Place("rehearsals", rehearsal / "streams" / stream_id))
    return found


def _named(kind: str, folder: Path, stream_id: str, *, deep: bool = False) -> list[Place]:
    """The files of that order among those of many: ``{id}.json``, what lies beside it, and half-written ones.

    An order's id has no dot, so no other order's file begins like that.
    """
    pattern = "*/*" if deep else "*"
    paths = sorted(path for path in folder.glob(pattern) if path.name.lstrip(".").startswith(f"{stream_id}."))
    return [Place(kind, path) for path in paths]


def _paying_for(folder: Path, stream_id: str) -> Iterator[Path]:
    """The entries of the index that lead from a payment to that order."""
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.is_file() and path.read_bytes() == stream_id.encode():
            yield path


def _of_the_stream(root: Path) -> Iterator[Place]:
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.name not in LOCKS:
            yield Place(path.name if path.name in OF_THE_STREAM else _OTHER, path)


def _handed_in_elsewhere(home: Path, stream_id: str, job: Job | None) -> list[Place]:
    """A story that the job names in a folder which is no other order's."""
    if job is None or job.input_path is None or "\0" in job.input_path:
        return []
    streams = (home / "streams").resolve()
    path = (home.resolve() / job.input_path.lstrip("/")).resolve()
    if not path.is_relative_to(streams) or not path.is_file():
        return []
    owner = path.relative_to(streams).parts[0]
    is_anothers = owner != stream_id and any((home / "jobs" / state / f"{owner}.json").exists() for state in State)
    return [] if is_anothers or owner == stream_id else [Place("input.json", path)]


def services_of(home: Path, stream_id: str) -> set[str]:
    """The outside services that were given something of the order, by its receipts, however damaged these are."""
    root = home / "streams" / stream_id
    services: set[str] = set()
    for name in ("receipts.jsonl", "shop.jsonl"):
        with suppress(FileNotFoundError):
            services |= {match.decode() for match in _PROVIDER.findall((root / name).read_bytes())}
    for order in (root / "order.json", home / "streams" / ".drafts" / f"{stream_id}.json"):
        if order.exists() and b'"session_id"' in order.read_bytes():
            services.add("stripe")
    return services
