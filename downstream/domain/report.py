"""What a review of the business says: figures of a period beside the period before, and what needs a decision."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from downstream.domain.job import Job, What
from downstream.domain.money import Money
from downstream.domain.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from downstream.domain.forgotten import KeptPayment


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
    """Currency to what was paid in it, less what went back, in minor units."""
    refunds: tuple[Money, ...] = ()
    """What went back, each time by itself."""
    median_hours: float | None = None
    """From order to completion; None when nothing was completed."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to an order."""

    at: datetime
    stream_id: str
    what: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """An order that stands still until a person, or its bank, lets it go on."""

    stream_id: str
    reason: str
    is_disputed: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call to a service cost, in millionths of a dollar."""

    at: datetime
    stream_id: str
    micros: int
    is_open: bool
    """It is not over: what is reserved for it."""
    exact: bool
    """The service's own figure; otherwise it is assumed, or the answer was lost and it counts as spent."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What services cost in one period, in millionths of a dollar."""

    micros: int = 0
    inexact_micros: int = 0
    open_micros: int = 0
    by_order: tuple[tuple[str, int], ...] = ()
    """Stream id and what it cost, dearest first."""

    @property
    def average_micros(self) -> int | None:
        """What an order cost that cost anything; None when none did."""
        return self.micros // len(self.by_order) if self.by_order else None


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
    spending: Spending
    spending_before: Spending
    counts: dict[State, int]
    failed: tuple[Job, ...]
    unreadable: tuple[str, ...]
    """Files in ``failed`` that are not jobs, each with the reason."""
    held: tuple[Job, ...]
    """Orders in ``pending`` that need outside services nobody set up."""
    stopped: tuple[Stopped, ...]
    """Orders that somebody holds, or whose payment is disputed."""
    for_review: tuple[Job, ...]
    """Pages that wait for a person."""
    oldest: Job | None
    """The order that has waited longest for its page."""
    late: tuple[tuple[str, str], ...]
    """Orders whose promised time is close or past, each with how it stands."""
    events: tuple[Event, ...]
    heartbeat: str
    heartbeat_overdue: bool


def figures(jobs: Iterable[Job], window: Window, forgotten: Iterable[KeptPayment] = ()) -> Figures:
    """The counts of ``window`` over all jobs that changed since it began, with the money of forgotten orders."""
    counts: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    refunds: list[Money] = []
    hours: list[float] = []
    for payment in forgotten:
        if window.holds(payment.paid_at):
            counts.update(("received", "paid"))
            revenue[payment.currency] += payment.amount_minor
        if window.holds(payment.refunded_at):
            refunds.append(Money(payment.currency, payment.refunded_minor))
    for job in jobs:
        counts["received"] += window.holds(job.order_time)
        if job.is_paid and window.holds(job.order_time):
            counts["paid"] += 1
            if job.paid is not None:
                revenue[job.paid.currency] += job.paid.amount_minor
        refunds += _refunds(job, window)
        for event in _events(job, window):
            counts[event.what] += 1
            if event.what == "completed":
                hours.append((event.at - job.order_time) / timedelta(hours=1))
    for refund in refunds:
        revenue[refund.currency] -= refund.amount_minor
    return Figures(
        received=counts["received"],
        paid=counts["paid"],
        completed=counts["completed"],
        failed=counts["failed"],
        regenerated=counts["regenerate"],
        recovered=counts["recovered"],
        revenue_minor=dict(revenue),
        refunds=tuple(refunds),
        median_hours=round(median(hours), 2) if hours else None,
    )


def _refunds(job: Job, window: Window) -> list[Money]:
    """What went back in ``window``: each entry tells the total so far."""
    found, before = [], 0
    for entry in job.history:
        total = entry.evidence.get("amount_minor")
        if entry.what is What.REFUNDED and isinstance(total, int) and total > before:
            if window.holds(entry.at):
                found.append(Money(job.currency, total - before))
            before = total
    return found


def spending(costs: Iterable[Cost], window: Window) -> Spending:
    """What was spent in ``window``; a call counts when it was begun."""
    within = [cost for cost in costs if cost.micros and window.holds(cost.at)]
    by_order: Counter[str] = Counter()
    for cost in within:
        by_order[cost.stream_id] += cost.micros
    return Spending(
        micros=sum(cost.micros for cost in within),
        inexact_micros=sum(cost.micros for cost in within if not cost.exact and not cost.is_open),
        open_micros=sum(cost.micros for cost in within if cost.is_open),
        by_order=tuple(sorted(by_order.items(), key=lambda item: (-item[1], item[0]))),
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
