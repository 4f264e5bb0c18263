"""``downstream retry``: a failed order goes round again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from downstream.domain.job import What
from downstream.domain.production import Production
from downstream.domain.state import State
from downstream.holds import check_not_held
from downstream.receipts import Receipts
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import JsonValue

    from downstream.queue import Queue


def retry(
    queue: Queue, stream_id: str, *, step: str | None, segment_id: str | None, now: datetime, cleared: bool = False
) -> None:
    """The job waits in ``pending`` with a clean count of recoveries and tries.

    With ``step`` (and ``segment_id``) that step is made again although it was finished, and with it whatever is made
    from it; without, only what is missing is made. ``cleared`` says that a person has read the story, or looked at what
    the judge was shown last, and wants it as it is; what is made anew is judged anew.

    Raises:
        ValueError: there is no such segment; the text names those there are.
        Held: somebody keeps the order from going on, or its money went back.
        NoSuchJob, Busy, Unreadable: as ``Queue.claim``.
    """
    check_not_held(queue.home, stream_id)
    claim = queue.claim(stream_id, State.FAILED)
    try:
        if segment_id is not None:
            _check_has(Workspace(queue.home, stream_id), segment_id)
        job = claim.job
        redo = dict(job.redo)
        if step is not None:
            key = f"{step}/{segment_id}" if segment_id else step
            redo[key] = redo.get(key, 0) + 1
        again = job.evolve(
            recoveries=0, tries=0, not_before=None, failure=None, redo=redo, cleared=job.cleared or cleared
        )
        if cleared and (shown := _shown_last(Workspace(queue.home, stream_id))) is not None:
            again = again.evolve(overruled=tuple(dict.fromkeys((*job.overruled, shown))))
        asked: dict[str, JsonValue] = {"from": step, "segment": segment_id} if step else {}
        again = again.noting(
            What.RETRIED, at=now, who="operator", evidence={**asked, **({"cleared": True} if cleared else {})}
        )
        claim.advance(again, State.PENDING, at=now, who="operator")
    finally:
        claim.release()


def _shown_last(workspace: Workspace) -> str | None:
    """What the judge was asked about last: the hash of that call's inputs."""
    asked = [one for one in Receipts(workspace.receipts).attempts if one.call.startswith("judge/")]
    return asked[-1].inputs if asked else None


def _check_has(workspace: Workspace, segment_id: str) -> None:
    try:
        production = Production.model_validate_json(workspace.production.read_bytes())
    except (FileNotFoundError, ValidationError):
        raise ValueError(f"{workspace.stream_id} has no plan that can be read, so no segment is known") from None
    known = [segment.id for segment in production.segments]
    if segment_id not in known:
        raise ValueError(f"{workspace.stream_id} has no segment {segment_id}; it has {', '.join(known)}")
