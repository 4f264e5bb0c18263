"""What a look at the copied files finds wrong with the business itself: a person should know, the backup is whole."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from downstream.domain.state import State
from downstream.receipts import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from downstream.backup.manifest import Entry

_BEGUN = (State.PROCESSING, State.REVIEW, State.COMPLETED)
"""A job lies in one of them at most; what is dropped into ``pending`` once more is set aside when it is taken up."""


def findings(folder: Path, files: Mapping[str, Entry]) -> Iterator[str]:
    """What is wrong, in sentences: records that are none, jobs in two places, pages that are not as they were made."""
    begun = Counter(PurePosixPath(name).stem for state in _BEGUN for name in files if _is_job(name, state))
    yield from (f"the job {name} lies in {count} folders" for name, count in sorted(begun.items()) if count > 1)
    for name in files:
        if name.endswith(".jsonl") and not _all_records((folder / name).read_bytes().split(b"\n")):
            yield f"{name} has a line that is no record"
        elif _is_record(name, files) and not _all_records([(folder / name).read_bytes()]):
            yield f"{name} is not JSON"
    made = (State.REVIEW, State.COMPLETED)
    finished = {PurePosixPath(name).stem for state in made for name in files if _is_job(name, state)}
    for stream in (f"streams/{stream_id}" for stream_id in sorted(finished)):
        if wrong := [one for one, digest in _page(folder, stream, files).items() if files[one].sha256 != digest]:
            yield f"{stream}: {len(wrong)} file(s) of its page are not as they were made, as {wrong[0]}"


def _is_job(name: str, state: State) -> bool:
    path = PurePosixPath(name)
    return path.parent == PurePosixPath("jobs", state) and path.suffix == ".json"


def _is_record(name: str, files: Mapping[str, Entry]) -> bool:
    """A file of ours that is always written as a whole; in ``pending`` and set aside lies what others wrote."""
    path = PurePosixPath(name)
    if path.suffix != ".json" or files[name].link:
        return False
    if path.parts[0] == "jobs":
        return path.parent.name != State.PENDING and f"{name}.reason.txt" not in files
    return path.parts[0] == "streams" and path.parts[1] != ".payments" and len(path.parts) == 3


def _all_records(lines: list[bytes]) -> bool:
    try:
        return all(isinstance(json.loads(line), dict) for line in lines if line)
    except ValueError:
        return False


def _page(folder: Path, stream: str, files: Mapping[str, Entry]) -> dict[str, str]:
    """The files of the page as the last receipt has them, each with its hash, as far as they are still there."""
    path = folder / stream / "receipts.jsonl"
    made: dict[str, str] = {}
    try:
        for line in map(json.loads, path.read_bytes().splitlines() if path.exists() else ()):
            if (line["call"], line["phase"]) == ("page", Phase.OUTCOME):
                made = line["outputs"]
    except (ValueError, LookupError, TypeError):
        return {}  # a finding of its own
    return {f"{stream}/{name}": digest for name, digest in made.items() if f"{stream}/{name}" in files}
