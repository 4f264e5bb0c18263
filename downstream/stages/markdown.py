"""A review as Markdown, leading with what needs a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.money import Money
from downstream.domain.prices import show_dollars

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta, tzinfo

    from downstream.domain.job import Job
    from downstream.domain.period import Period
    from downstream.domain.report import Figures, Report, Spending, Stopped

MOST_EVENTS = 200
MOST_DEAREST = 5


def render(report: Report, period: Period) -> str:
    """The whole report."""
    parts = [
        _head(report, period),
        "## Needs a decision\n\n" + _decisions(report),
        "## Waiting\n\n" + _waiting(report),
        "## Figures\n\n" + _figures(report, period),
        "## Money\n\n" + _spending(report, period),
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
    if report.late:
        lines = [f"- {sentence} - `downstream explain {stream_id}`" for stream_id, sentence in report.late]
        blocks.append("\n".join([f"**{len(lines)} promise(s) to customers are broken, or nearly so**", "", *lines]))
    if report.stopped:
        blocks.append(_stopped(report.stopped))
    if report.for_review:
        names = ", ".join(job.stream_id for job in report.for_review)
        blocks.append(f"**{len(report.for_review)} page(s) wait for your review**: {names}\n\n- `downstream review`")
    if report.held:
        names = ", ".join(job.stream_id for job in report.held)
        blocks.append(f"**{len(report.held)} order(s) wait for outside services whose keys are not set**: {names}")
    if report.heartbeat_overdue:
        blocks.append(f"**The heartbeat**: {report.heartbeat}\n\n- `downstream heartbeat renew`")
    return "\n\n".join(blocks) or "Nothing."


def _stopped(orders: Sequence[Stopped]) -> str:
    lines = [f"**{len(orders)} order(s) stand still**", ""]
    for one in orders:
        answer = "answer the dispute at the payment service; " if one.is_disputed else ""
        lines.append(
            f"- {one.stream_id}: {one.reason} - {answer}`downstream release {one.stream_id}` lets it go on, "
            f"`downstream cancel {one.stream_id}` gives it up"
        )
    return "\n".join(lines)


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
    if not job.is_given_back:
        lines.append(f"- refund: `downstream refund {job.stream_id}`")
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
    rows = [
        ("orders received", str(now.received), str(before.received)),
        ("of them paid", str(now.paid), str(before.paid)),
        *((f"revenue, {one.upper()}", _money(now, one), _money(before, one)) for one in _currencies(now, before)),
        *_refunds(now, before),
        ("completed", str(now.completed), str(before.completed)),
        ("failed", str(now.failed), str(before.failed)),
        ("regenerations", str(now.regenerated), str(before.regenerated)),
        ("recoveries after a crash", str(now.recovered), str(before.recovered)),
        ("median hours from order to page", _hours(now), _hours(before)),
    ]
    return _table(period, rows)


def _table(period: Period, rows: list[tuple[str, str, str]]) -> str:
    """Figures of this period beside those of the one before."""
    unit = {"daily": "day", "weekly": "week", "monthly": "month"}[period.value]
    head = f"| | this {unit} | the {unit} before |\n|---|--:|--:|\n"
    return head + "\n".join(f"| {name} | {this} | {that} |" for name, this, that in rows)


def _spending(report: Report, period: Period) -> str:
    now, before = report.figures, report.before
    these, those = report.spending, report.spending_before
    rows = [
        *((f"received, {one.upper()}", _money(now, one), _money(before, one)) for one in _currencies(now, before)),
        *_refunds(now, before),
        ("spent on services", show_dollars(these.micros), show_dollars(those.micros)),
        ("of it assumed or lost", show_dollars(these.inexact_micros), show_dollars(those.inexact_micros)),
        ("of it still open", show_dollars(these.open_micros), show_dollars(those.open_micros)),
        ("average of an order", _average(these), _average(those)),
    ]
    dearest = [f"- {stream_id}: {show_dollars(micros)}" for stream_id, micros in these.by_order[:MOST_DEAREST]]
    return _table(period, rows) + ("\n\nThe dearest orders:\n\n" + "\n".join(dearest) if dearest else "")


def _average(spending: Spending) -> str:
    return "-" if spending.average_micros is None else show_dollars(spending.average_micros)


def _refunds(now: Figures, before: Figures) -> list[tuple[str, str, str]]:
    """What the revenue is less by, how often and how much; no row where nothing went back."""
    currencies = sorted({refund.currency for one in (now, before) for refund in one.refunds})
    return [(f"refunds, {one.upper()}", _refunded(now, one), _refunded(before, one)) for one in currencies]


def _refunded(figures: Figures, currency: str) -> str:
    amounts = [refund.amount_minor for refund in figures.refunds if refund.currency == currency]
    return f"{len(amounts)}: {Money(currency, sum(amounts))}"


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
