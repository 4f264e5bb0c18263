"""What a review of the business says: figures of a period beside the period before, and what needs a decision."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from downstream.domain.job import Job, State, What

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Window:
    """After ``start``, up to and including ``end``."""

    start: datetime
    end: datetime

    def holds(self, moment: datetime | None) -> bool:
        """``moment`` lies in the window."""
        return moment is not None and self.start < moment <= self.end


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of one period."""

    received: int = 0
    paid: int = 0
    completed: int = 0
    failed: int = 0
    regenerated: int = 0
    recovered: int = 0
    revenue_minor: dict[str, int] = field(default_factory=dict)
    """Currency to what was paid in it, in minor units."""
    median_hours: float | None = None
    """From order to completion; None when nothing was completed."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to an order."""

    at: datetime
    stream_id: str
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a review says; rendering adds only words."""

    label: str
    window: Window
    made_at: datetime
    complete: bool
    """The period was over when the report was made."""
    figures: Figures
    before: Figures
    counts: dict[State, int]
    failed: tuple[Job, ...]
    unreadable: tuple[str, ...]
    """Files in ``failed`` that are not jobs, each with the reason."""
    held: tuple[Job, ...]
    """Orders in ``pending`` that need outside services nobody set up."""
    for_review: tuple[Job, ...]
    """Pages that wait for a person."""
    oldest: Job | None
    """The order that has waited longest for its page."""
    events: tuple[Event, ...]
    heartbeat: str
    heartbeat_overdue: bool


def figures(jobs: Iterable[Job], window: Window) -> Figures:
    """The counts of ``window`` over all jobs that changed since it began."""
    counts: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    hours: list[float] = []
    for job in jobs:
        counts["received"] += window.holds(job.order_time)
        if job.is_paid and window.holds(job.order_time):
            counts["paid"] += 1
            if job.paid is not None:
                revenue[job.paid.currency] += job.paid.amount_minor
        for event in _events(job, window):
            counts[event.what] += 1
            if event.what == "completed":
                hours.append((event.at - job.order_time) / timedelta(hours=1))
    return Figures(
        received=counts["received"],
        paid=counts["paid"],
        completed=counts["completed"],
        failed=counts["failed"],
        regenerated=counts["regenerate"],
        recovered=counts["recovered"],
        revenue_minor=dict(revenue),
        median_hours=round(median(hours), 2) if hours else None,
    )


def events(jobs: Iterable[Job], window: Window) -> tuple[Event, ...]:
    """What happened in ``window``, in order of time."""
    found = [event for job in jobs for event in _events(job, window)]
    found += [Event(job.order_time, job.stream_id, "received") for job in jobs if window.holds(job.order_time)]
    return tuple(sorted(found, key=lambda event: (event.at, event.stream_id)))


def _events(job: Job, window: Window) -> list[Event]:
    return [
        Event(entry.at, job.stream_id, entry.target.value if entry.target else entry.what.value)
        for entry in job.history
        if window.holds(entry.at) and (entry.what is not What.MOVED or entry.target is not State.PENDING)
    ]


def oldest(jobs: Sequence[Job]) -> Job | None:
    """The order that came first."""
    return min(jobs, key=lambda job: (job.order_time, job.stream_id), default=None)
