"""Days, weeks and months: their names, their ends, and that they follow each other without gap or overlap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from downstream.domain.period import Period

BUDAPEST = ZoneInfo("Europe/Budapest")
ZONES = [UTC, BUDAPEST, ZoneInfo("America/St_Johns"), ZoneInfo("Pacific/Apia")]


@pytest.mark.parametrize(
    ("period", "now", "label"),
    [
        (Period.DAILY, "2026-01-06T23:00", "2026-01-06"),
        (Period.DAILY, "2026-01-07T00:00", "2026-01-07"),
        (Period.DAILY, "2025-12-31T23:59", "2025-12-31"),
        (Period.WEEKLY, "2026-01-04T20:00", "2026-W01"),
        (Period.WEEKLY, "2026-01-05T00:00", "2026-W02"),
        (Period.WEEKLY, "2025-12-29T12:00", "2026-W01"),
        (Period.WEEKLY, "2027-01-03T20:00", "2026-W53"),
        (Period.WEEKLY, "2027-01-04T00:00", "2027-W01"),
        (Period.MONTHLY, "2026-02-01T10:00", "2026-01"),
        (Period.MONTHLY, "2026-02-01T00:00", "2026-01"),
        (Period.MONTHLY, "2026-02-02T00:00", "2026-02"),
        (Period.MONTHLY, "2026-01-01T10:00", "2025-12"),
        (Period.MONTHLY, "2026-01-31T23:59", "2026-01"),
    ],
)
def test_a_review_speaks_of_the_period_of_its_moment(period: Period, now: str, label: str) -> None:
    assert period.label(datetime.fromisoformat(now)) == label


@pytest.mark.parametrize(
    ("period", "label", "start", "end"),
    [
        (Period.DAILY, "2026-01-06", "2026-01-05T23:00+01:00", "2026-01-06T23:00+01:00"),
        (Period.DAILY, "2026-01-01", "2025-12-31T23:00+01:00", "2026-01-01T23:00+01:00"),
        (Period.DAILY, "2026-03-29", "2026-03-28T23:00+01:00", "2026-03-29T23:00+02:00"),
        (Period.DAILY, "2026-10-25", "2026-10-24T23:00+02:00", "2026-10-25T23:00+01:00"),
        (Period.WEEKLY, "2026-W02", "2026-01-04T20:00+01:00", "2026-01-11T20:00+01:00"),
        (Period.WEEKLY, "2026-W13", "2026-03-22T20:00+01:00", "2026-03-29T20:00+02:00"),
        (Period.WEEKLY, "2026-W53", "2026-12-27T20:00+01:00", "2027-01-03T20:00+01:00"),
        (Period.MONTHLY, "2026-01", "2026-01-01T00:00+01:00", "2026-02-01T00:00+01:00"),
        (Period.MONTHLY, "2026-03", "2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00"),
        (Period.MONTHLY, "2028-02", "2028-02-01T00:00+01:00", "2028-03-01T00:00+01:00"),
        (Period.MONTHLY, "2026-12", "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
    ],
)
def test_a_period_runs_from_the_end_of_the_one_before_to_its_own(
    period: Period, label: str, start: str, end: str
) -> None:
    window = period.window(label, BUDAPEST)

    assert (window.start.astimezone(UTC), window.end.astimezone(UTC)) == (
        datetime.fromisoformat(start),
        datetime.fromisoformat(end),
    )


@pytest.mark.parametrize(("label", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-03-30", 24)])
def test_the_days_of_the_clock_changes_are_shorter_and_longer(label: str, hours: int) -> None:
    window = Period.DAILY.window(label, BUDAPEST)

    assert window.end.astimezone(UTC) - window.start.astimezone(UTC) == timedelta(hours=hours)


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize(("period", "first", "count"), [
    (Period.DAILY, "2025-12-01", 800), (Period.WEEKLY, "2025-W50", 120), (Period.MONTHLY, "2025-11", 40),
])  # fmt: skip
def test_periods_follow_each_other_without_gap_or_overlap(
    period: Period, first: str, count: int, zone: ZoneInfo
) -> None:
    label, before = first, period.window(first, zone)
    for _ in range(count):
        following = period.next_label(label)
        window = period.window(following, zone)
        assert following > label
        assert window.start.astimezone(UTC) == before.end.astimezone(UTC)
        back = period.before(window)
        assert (back.start.astimezone(UTC), back.end.astimezone(UTC)) == (
            before.start.astimezone(UTC),
            before.end.astimezone(UTC),
        )
        label, before = following, window


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_when_cron_runs_a_review_its_period_is_just_over(zone: ZoneInfo) -> None:
    now = datetime(2025, 12, 1, 23, 0, tzinfo=zone)
    for _ in range(800):
        assert Period.DAILY.window(Period.DAILY.label(now), zone).end == now
        if now.weekday() == 6:
            sunday = now.replace(hour=20)
            assert Period.WEEKLY.window(Period.WEEKLY.label(sunday), zone).end == sunday
        if now.day == 1:
            first = now.replace(hour=10)
            assert Period.MONTHLY.window(Period.MONTHLY.label(first), zone).end == first.replace(hour=0)
        now += timedelta(days=1)


def test_a_moment_belongs_to_exactly_one_period_and_an_end_to_the_one_it_ends() -> None:
    window = Period.DAILY.window("2026-03-29", BUDAPEST)
    following = Period.DAILY.window("2026-03-30", BUDAPEST)

    assert not window.holds(window.start)
    assert window.holds(window.start + timedelta(microseconds=1))
    assert window.holds(window.end.astimezone(UTC))
    assert not following.holds(window.end.astimezone(UTC))
    assert not window.holds(None)


@pytest.mark.parametrize(
    ("period", "label"),
    [
        (Period.DAILY, "2026-02-30"),
        (Period.DAILY, "20260106"),
        (Period.DAILY, "2026-W02-2"),
        (Period.DAILY, "2026-1-6"),
        (Period.DAILY, "2026-01"),
        (Period.DAILY, "2026-01-06\n"),
        (Period.DAILY, "\uff12026-01-06"),
        (Period.DAILY, "0001-01-01"),
        (Period.DAILY, ""),
        (Period.WEEKLY, "2026-W00"),
        (Period.WEEKLY, "2026-W54"),
        (Period.WEEKLY, "2025-W53"),
        (Period.WEEKLY, "2026-W2"),
        (Period.WEEKLY, "2026-01-06"),
        (Period.MONTHLY, "2026-13"),
        (Period.MONTHLY, "2026-00"),
        (Period.MONTHLY, "2026-1"),
        (Period.MONTHLY, "0001-01"),
        (Period.MONTHLY, "9999-12"),
        (Period.MONTHLY, "../2026-01"),
    ],
)
def test_what_names_no_period_is_no_label(period: Period, label: str) -> None:
    assert not period.is_label(label)


@pytest.mark.parametrize(
    ("period", "label"), [(Period.DAILY, "2028-02-29"), (Period.WEEKLY, "2026-W53"), (Period.MONTHLY, "2026-12")]
)
def test_what_names_a_period_is_a_label(period: Period, label: str) -> None:
    assert period.is_label(label)
