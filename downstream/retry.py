"""``downstream retry``: a failed order goes round again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.job import State, What

if TYPE_CHECKING:
    from datetime import datetime

    from downstream.queue import Queue


def retry(queue: Queue, stream_id: str, *, step: str | None, segment_id: str | None, now: datetime) -> None:
    """The job waits in ``pending`` with a clean count of recoveries and tries.

    With ``step`` (and ``segment_id``) that step is made again although it was finished, and with it whatever is made
    from it; without, only what is missing is made.

    Raises:
        NoSuchJob, Busy, Unreadable: as ``Queue.claim``.
    """
    claim = queue.claim(stream_id, State.FAILED)
    try:
        job = claim.job
        redo = dict(job.redo)
        if step is not None:
            key = f"{step}/{segment_id}" if segment_id else step
            redo[key] = redo.get(key, 0) + 1
        again = job.evolve(recoveries=0, tries=0, not_before=None, failure=None, redo=redo)
        asked = {"from": step, "segment": segment_id} if step else {}
        again = again.noting(What.RETRIED, at=now, who="operator", evidence=asked)
        claim.advance(again, State.PENDING, at=now, who="operator")
    finally:
        claim.release()
