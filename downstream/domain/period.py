"""Days, weeks and months of the business: their names, when they end, what they cover."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from downstream.domain.report import Window

if TYPE_CHECKING:
    from datetime import tzinfo

_DAY_ENDS = time(23, 0)
_WEEK_ENDS = time(20, 0)


class Period(StrEnum):
    """Each is reviewed by the stage of its name. Their ends are when ``crontab.txt`` runs those stages.

    A day ends at 23:00, a week on Sunday at 20:00, and a month with its last day (its review comes on the first of
    the next at 10:00), all in the operator's time zone.
    """

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    def label(self, now: datetime) -> str:
        """The name of the period that a review made ``now`` speaks of: ``2026-01-06``, ``2026-W02`` or ``2026-01``.

        On the first of a month that is still the month before, because its review is made then.
        """
        today = now.date()
        if self is Period.DAILY:
            return today.isoformat()
        if self is Period.WEEKLY:
            year, week, _ = today.isocalendar()
            return f"{year}-W{week:02d}"
        return f"{today - timedelta(days=1):%Y-%m}"

    def window(self, label: str, timezone: tzinfo) -> Window:
        """From the end of the period before to the end of this one.

        Raises:
            ValueError: no period is called that.
        """
        if not _LABELS[self].fullmatch(label):
            raise ValueError(label)
        if self is Period.DAILY:
            day = date.fromisoformat(label)
            return _between(day - timedelta(days=1), day, _DAY_ENDS, timezone)
        if self is Period.WEEKLY:
            sunday = date.fromisocalendar(int(label[:4]), int(label[-2:]), 7)
            return _between(sunday - timedelta(days=7), sunday, _WEEK_ENDS, timezone)
        first = date.fromisoformat(f"{label}-01")
        return _between(first, _next_month(first), time(0, 0), timezone)

    def is_label(self, label: str) -> bool:
        """A period is called that, and so is the one before it."""
        try:
            self.before(self.window(label, UTC))
        except (ValueError, OverflowError):
            return False
        return True

    def next_label(self, label: str) -> str:
        """The name of the period after."""
        if self is Period.DAILY:
            return (date.fromisoformat(label) + timedelta(days=1)).isoformat()
        if self is Period.WEEKLY:
            monday = date.fromisocalendar(int(label[:4]), int(label[-2:]), 1)
            return self.label(datetime.combine(monday + timedelta(days=7), time()))
        return f"{_next_month(date.fromisoformat(f'{label}-01')):%Y-%m}"

    def before(self, window: Window) -> Window:
        """The period before, for comparison."""
        if self is Period.MONTHLY:
            last_day = window.start - timedelta(days=1)
            return Window(last_day.replace(day=1), window.start)
        days = 1 if self is Period.DAILY else 7
        # Aware times of one zone subtract by the clock on the wall, so a day of 23 or 25 hours comes out right.
        return Window(window.start - timedelta(days=days), window.start)


_LABELS = {
    Period.DAILY: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    Period.WEEKLY: re.compile(r"[0-9]{4}-W[0-9]{2}"),
    Period.MONTHLY: re.compile(r"[0-9]{4}-[0-9]{2}"),
}


def _between(first: date, last: date, at: time, timezone: tzinfo) -> Window:
    return Window(datetime.combine(first, at, timezone), datetime.combine(last, at, timezone))


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
