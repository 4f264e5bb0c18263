"""A review as Markdown, leading with what needs a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.money import Money

if TYPE_CHECKING:
    from datetime import timedelta, tzinfo

    from downstream.domain.job import Job
    from downstream.domain.period import Period
    from downstream.domain.report import Figures, Report

MOST_EVENTS = 200


def render(report: Report, period: Period) -> str:
    """The whole report."""
    parts = [
        _head(report, period),
        "## Needs a decision\n\n" + _decisions(report),
        "## Waiting\n\n" + _waiting(report),
        "## Figures\n\n" + _figures(report, period),
        "## What happened\n\n" + _events(report),
        f"## Heartbeat\n\n{_sentence(report.heartbeat)}",
    ]
    return "\n\n".join(parts) + "\n"


def _head(report: Report, period: Period) -> str:
    window = report.window
    sofar = "" if report.complete else " The period is not over: this is what there is so far."
    covers = f"From {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"
    return (
        f"# {period.value.capitalize()} review {report.label}\n\n"
        f"{covers}, made {report.made_at:%Y-%m-%d %H:%M %Z}.{sofar}"
    )


def _decisions(report: Report) -> str:
    failed = sorted(report.failed, key=lambda job: (job.order_time, job.stream_id))
    blocks = [_failed(job, report.made_at.tzinfo) for job in failed]
    blocks += [f"**{finding}**\n\n- mend the file and move it to `jobs/pending`" for finding in report.unreadable]
    if report.for_review:
        names = ", ".join(job.stream_id for job in report.for_review)
        blocks.append(f"**{len(report.for_review)} page(s) wait for your review**: {names}\n\n- `downstream review`")
    if report.held:
        names = ", ".join(job.stream_id for job in report.held)
        blocks.append(f"**{len(report.held)} order(s) wait for outside services whose keys are not set**: {names}")
    if report.heartbeat_overdue:
        blocks.append(f"**The heartbeat**: {report.heartbeat}\n\n- `downstream heartbeat renew`")
    return "\n\n".join(blocks) or "Nothing."


def _failed(job: Job, timezone: tzinfo | None) -> str:
    failure = job.failure
    reason = failure.reason if failure else "no reason is noted"
    since = f" on {failure.at.astimezone(timezone):%Y-%m-%d %H:%M}" if failure else ""
    paid = f", paid {job.paid}" if job.is_paid and job.paid else ", unpaid"
    lines = [
        f"**{job.stream_id}** failed{since}{paid}: {reason}",
        "",
        f"- look: `downstream show {job.stream_id}`",
        f"- retry: `downstream retry {job.stream_id}` (`--from STEP`, `--segment N` to make parts again)",
    ]
    if job.is_paid:
        lines.append("- refund: in the Stripe dashboard, the payment of this order")
    lines.append(f"- by hand: mend what is in `streams/{job.stream_id}`, then retry")
    return "\n".join(lines)


def _waiting(report: Report) -> str:
    counts = ", ".join(f"{count} {state.value}" for state, count in report.counts.items())
    if report.oldest is None:
        return f"No order waits. ({counts})"
    age = _age(report.made_at - report.oldest.order_time)
    return f"The oldest order, {report.oldest.stream_id}, has waited {age}. ({counts})"


def _figures(report: Report, period: Period) -> str:
    now, before = report.figures, report.before
    unit = {"daily": "day", "weekly": "week", "monthly": "month"}[period.value]
    rows = [
        ("orders received", str(now.received), str(before.received)),
        ("of them paid", str(now.paid), str(before.paid)),
        *((f"revenue, {one.upper()}", _money(now, one), _money(before, one)) for one in _currencies(now, before)),
        ("completed", str(now.completed), str(before.completed)),
        ("failed", str(now.failed), str(before.failed)),
        ("regenerations", str(now.regenerated), str(before.regenerated)),
        ("recoveries after a crash", str(now.recovered), str(before.recovered)),
        ("median hours from order to page", _hours(now), _hours(before)),
    ]
    head = f"| | this {unit} | the {unit} before |\n|---|--:|--:|\n"
    return head + "\n".join(f"| {name} | {this} | {that} |" for name, this, that in rows)


def _currencies(*figures: Figures) -> list[str]:
    return sorted({currency for one in figures for currency in one.revenue_minor})


def _money(figures: Figures, currency: str) -> str:
    return str(Money(currency, figures.revenue_minor.get(currency, 0)))


def _hours(figures: Figures) -> str:
    return "-" if figures.median_hours is None else f"{figures.median_hours:.2f}"


def _events(report: Report) -> str:
    if not report.events:
        return "Nothing."
    shown = report.events[-MOST_EVENTS:]
    lines = [
        f"- {event.at.astimezone(report.made_at.tzinfo):%m-%d %H:%M} {event.stream_id}: {event.what}" for event in shown
    ]
    if len(shown) < len(report.events):
        lines.insert(0, f"- … {len(report.events) - len(shown)} earlier ones are left out")
    return "\n".join(lines)


def _age(waited: timedelta) -> str:
    hours = waited.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
