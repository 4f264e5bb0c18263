"""Making segments again: when the findings allow it, and what that changes in the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.checks import decide
from downstream.domain.job import What
from downstream.steps.plan import read_production

if TYPE_CHECKING:
    from datetime import datetime

    from downstream.domain.checks import Inspection, Verdict
    from downstream.domain.job import Job
    from downstream.steps.work import Work


def decide_on(work: Work, inspection: Inspection) -> Verdict:
    """The verdict that the findings and the caps on regenerations allow."""
    job, settings = work.job, work.settings
    segments = [segment.id for segment in read_production(work.workspace).segments]
    return decide(
        inspection,
        regenerations=job.regenerations(),
        segment_regenerations={one: job.regenerations(one) for one in segments},
        most_per_order=settings.regenerations_per_order,
        most_per_segment=settings.regenerations_per_segment,
    )


def remade(job: Job, verdict: Verdict, *, at: datetime, who: str) -> Job:
    """The job that asks for the verdict's segments once more, with the reason for their next prompts."""
    redo, notes = dict(job.redo), dict(job.notes)
    for segment_id in verdict.segment_ids:
        clip_only = segment_id in verdict.clips_only
        key = f"{'clips' if clip_only else 'keyframes'}/{segment_id}"
        redo[key] = redo.get(key, 0) + 1
        about = key if clip_only else segment_id  # a note about the clip alone would make its keyframe anew, too
        notes[about] = (*notes.get(about, ()), verdict.reasons.get(segment_id, verdict.reason))
    return job.evolve(redo=redo, notes=notes).noting(
        What.REGENERATE, at=at, who=who, reason=verdict.reason, evidence={"segments": list(verdict.segment_ids)}
    )
