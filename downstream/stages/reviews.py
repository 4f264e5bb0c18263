"""What ``daily``, ``weekly`` and ``monthly`` share: which reviews are due, what they look at, where they are written.

A review is asked for by a trigger file, ``triggers/{stage}-{label}.trigger``. The stage makes its own and works it
off in the same run; it also works off whatever a power cut or the operator left. When the report exists the trigger
becomes ``.done``, and says inside whether the period was over by then.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from downstream.domain.job import Job, State
from downstream.domain.report import Report, events, figures, oldest
from downstream.files import private_folder, sync_folder, write_durably
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.locks import Lock
from downstream.stages.markdown import render

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.period import Period
    from downstream.stages.context import Context

MOST_MADE_UP = 60
"""Missed periods that are made up for at most; older ones are a page of zeros nobody reads."""


def make_reviews(context: Context, period: Period) -> list[Path]:
    """Every review that was due, missed or asked for by a trigger file exists; returns the reports just written."""
    triggers = private_folder(context.home / "triggers")
    with_lock = Lock.take(triggers / f".{period.value}.lock")
    if with_lock is None:
        return []  # the same stage runs already
    with with_lock:
        for label in _due(triggers, period, context.clock(), _timezone(context)):
            trigger = triggers / f"{period.value}-{label}.trigger"
            if not trigger.exists():
                write_durably(trigger, b"")
        return [_work_off(context, period, trigger) for trigger in _readable_triggers(context, triggers, period)]


def _due(triggers: Path, period: Period, now: datetime, timezone: tzinfo) -> list[str]:
    """The labels of this period and of those missed since the last review, oldest first."""
    current = period.label(now.astimezone(timezone))
    # Labels sort by time. One of a time to come, asked for by hand, is no reason to make up for nothing until then.
    done = sorted(label for label in _labels(triggers, period, "done") if label <= current)
    labels = [current]
    if done and done[-1] < current:
        labels, label = [], done[-1]
        while label < current:
            label = period.next_label(label)
            labels.append(label)
        labels = labels[-MOST_MADE_UP:]
        labels.insert(0, done[-1])  # it may have been made before its period was over
    return [label for label in labels if not _is_final(triggers / f"{period.value}-{label}.done")]


def _labels(triggers: Path, period: Period, suffix: str) -> list[str]:
    labels = (_label(path, period) for path in triggers.glob(f"{period.value}-*.{suffix}"))
    return [label for label in labels if period.is_label(label)]


def _is_final(done: Path) -> bool:
    """The review was made after its period was over."""
    try:
        return bool(json.loads(done.read_bytes())["complete"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _readable_triggers(context: Context, triggers: Path, period: Period) -> list[Path]:
    found = sorted(triggers.glob(f"{period.value}-*.trigger"))
    readable = [path for path in found if period.is_label(_label(path, period))]
    for path in set(found).difference(readable):
        context.tell_once(f"trigger:{path.name}", f"triggers/{path.name} names no {period.value} period")
    return readable


def _label(trigger: Path, period: Period) -> str:
    return trigger.stem.removeprefix(f"{period.value}-")


def _work_off(context: Context, period: Period, trigger: Path) -> Path:
    """The report is written and the trigger is done."""
    report = look_at(context, period, _label(trigger, period))
    path = private_folder(context.home / "logs" / "reviews") / f"{period.value}-{report.label}.md"
    write_durably(path, render(report, period).encode())
    done = {"made_at": report.made_at.isoformat(), "complete": report.complete}
    write_durably(trigger.with_suffix(".done"), json.dumps(done).encode() + b"\n")
    trigger.unlink()
    sync_folder(trigger.parent)
    context.log.info("review.written", review=path.name, complete=report.complete, failed=len(report.failed))
    context.outcome.done.append(path.stem)
    return path


def look_at(context: Context, period: Period, label: str) -> Report:
    """The state of the business and the figures of one period, from the files alone."""
    now, timezone = context.clock(), _timezone(context)
    window = period.window(label, timezone)
    before = period.before(window)
    orders, unreadable = _orders(context, changed_since=before.start)
    jobs = [job for lying in orders.values() for job in lying]
    waiting = orders[State.PENDING] + orders[State.PROCESSING]
    heartbeat = read_heartbeat(context.home, now)
    by_hand = context.settings.review_policy == "operator"
    return Report(
        label=label,
        window=window,
        made_at=now.astimezone(timezone),
        complete=now >= window.end,
        figures=figures(jobs, window),
        before=figures(jobs, before),
        counts={state: len(context.queue.names(state)) for state in State},
        failed=tuple(orders[State.FAILED]),
        unreadable=unreadable,
        held=tuple(job for job in waiting if not context.suppliers.can_serve(job)),
        for_review=tuple(orders[State.REVIEW]) if by_hand else (),
        oldest=oldest([*waiting, *orders[State.REVIEW]]),
        events=events(jobs, window),
        heartbeat=heartbeat.why + (f", to be renewed by {heartbeat.due}" if heartbeat.due else ""),
        heartbeat_overdue=heartbeat.pulse is not Pulse.ACTIVE,
    )


def _orders(context: Context, *, changed_since: datetime) -> tuple[dict[State, list[Job]], tuple[str, ...]]:
    """The jobs by where they lie, of the completed only those that changed since then; and what in ``failed`` is none.

    A job that moves on while the folders are read, from left to right as jobs move, is counted once: where it is last.
    """
    found: dict[str, tuple[State, Job]] = {}
    unreadable = []
    for state in State:
        # A file's time is that of its last change, so nothing that happened since then is passed over.
        since = changed_since - timedelta(hours=1) if state is State.COMPLETED else None
        for job in context.queue.jobs(state, changed_since=since):
            if isinstance(job, Job):
                found[job.stream_id] = (state, job)
            elif state is State.FAILED:
                unreadable.append(str(job))
    orders = {state: [job for lies_in, job in found.values() if lies_in is state] for state in State}
    return orders, tuple(unreadable)


def _timezone(context: Context) -> tzinfo:
    name = context.settings.timezone
    return UTC if name == "UTC" else ZoneInfo(name)  # UTC needs no table of zones on the machine
