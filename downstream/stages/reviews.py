"""What ``daily``, ``weekly`` and ``monthly`` share: which reviews are due, what they look at, where they are written.

A review is asked for by a trigger file, ``triggers/{stage}-{label}.trigger``. The stage makes its own and works it
off in the same run; it also works off whatever a power cut or the operator left. When the report exists the trigger
becomes ``.done``, and says inside whether the period was over by then.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from downstream.domain.forgotten import Proof
from downstream.domain.job import GIVEN_UP, Job
from downstream.domain.promise import turn
from downstream.domain.report import Cost, Report, Stopped, Window, events, figures, oldest, spending
from downstream.domain.state import State
from downstream.files import private_folder, sync_folder, write_durably
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.holds import CANCELLED, DISPUTED, REFUNDED, find_hold, held_orders
from downstream.locks import Lock
from downstream.promises import endangered_among
from downstream.stages.markdown import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from downstream.domain.forgotten import KeptPayment
    from downstream.domain.period import Period
    from downstream.stages.context import Context

MOST_MADE_UP = 60
"""Missed periods that are made up for at most; older ones are a page of zeros nobody reads."""


def make_reviews(context: Context, period: Period) -> list[Path]:
    """Every review that was due, missed or asked for by a trigger file exists; returns the reports just written."""
    return _make(context, period, lambda _: True, lambda triggers: _readable_triggers(context, triggers, period))


def make_missed(context: Context, period: Period) -> list[Path]:
    """Every review that was due in a period that is over by now exists; returns the reports just written.

    A new installation, which never had one, missed none.
    """
    now, timezone = context.clock(), _timezone(context)
    if not _labels(context.home / "triggers", period, "done"):
        return []
    return _make(context, period, lambda label: period.window(label, timezone).end <= now, lambda _: [])


def _make(
    context: Context, period: Period, is_wanted: Callable[[str], bool], asked_for: Callable[[Path], list[Path]]
) -> list[Path]:
    """Those that are due and wanted have a trigger file; they, and those ``asked_for``, are worked off."""
    triggers = private_folder(context.home / "triggers")
    with_lock = Lock.take(triggers / f".{period.value}.lock")
    if with_lock is None:
        return []  # the same stage runs already
    with with_lock:
        due = filter(is_wanted, _due(triggers, period, context.clock(), _timezone(context)))
        wanted = [triggers / f"{period.value}-{label}.trigger" for label in due]
        for trigger in wanted:
            if not trigger.exists():
                write_durably(trigger, b"")
        return [_work_off(context, period, trigger) for trigger in sorted({*wanted, *asked_for(triggers)})]


def _due(triggers: Path, period: Period, now: datetime, timezone: tzinfo) -> list[str]:
    """The labels of this period and of those missed since the last review, oldest first."""
    current = period.label(now.astimezone(timezone))
    # Labels sort by time. One of a time to come, asked for by hand, is no reason to make up for nothing until then.
    known = _labels(triggers, period, "done")
    _doubt(triggers / f"{period.value}-{label}.done" for label in known if label > current)
    done = sorted(label for label in known if label <= current)
    labels = [current]
    if done and done[-1] < current:
        labels, label = [], done[-1]
        while label < current:
            label = period.next_label(label)
            labels.append(label)
        labels = labels[-MOST_MADE_UP:]
        labels.insert(0, done[-1])  # it may have been made before its period was over
    return [label for label in labels if not _is_final(triggers / f"{period.value}-{label}.done")]


def _doubt(to_come: Iterable[Path]) -> None:
    """No period that is still to come has its final review: a clock that was ahead made it, and it is made again."""
    for done in to_come:
        if _is_final(done):
            write_durably(done, json.dumps({"complete": False}).encode() + b"\n")


def _labels(triggers: Path, period: Period, suffix: str) -> list[str]:
    labels = (_label(path, period) for path in triggers.glob(f"{period.value}-*.{suffix}"))
    return [label for label in labels if period.is_label(label)]


def _is_final(done: Path) -> bool:
    """The review was made after its period was over."""
    return bool(_told(done).get("complete"))


def _told(done: Path) -> dict[str, Any]:
    """What a ``.done`` file says; nothing where it is missing or damaged."""
    try:
        found = json.loads(done.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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
    until = report.window.end.isoformat()
    done = {"made_at": report.made_at.isoformat(), "complete": report.complete, "until": until}
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
    window = _from_where_the_last_ended(context.home / "triggers", period, window)
    orders, unreadable = _orders(context, changed_since=before.start)
    jobs = [job for lying in orders.values() for job in lying]
    waiting = orders[State.PENDING] + orders[State.PROCESSING]
    costs = _costs(context, before.start, window.end)
    forgotten = _forgotten(context.home)
    heartbeat = read_heartbeat(context.home, now)
    by_hand = context.settings.review_policy == "operator"
    return Report(
        label=label,
        window=window,
        made_at=now.astimezone(timezone),
        complete=now >= window.end,
        figures=figures(jobs, window, forgotten),
        before=figures(jobs, before, forgotten),
        spending=spending(costs, window),
        spending_before=spending(costs, before),
        counts={state: len(context.queue.names(state)) for state in State},
        failed=tuple(job for job in orders[State.FAILED] if not _is_closed(job)),
        unreadable=unreadable,
        held=tuple(job for job in waiting if not context.suppliers.can_serve(job)),
        stopped=tuple(_stopped(context.home)),
        for_review=tuple(orders[State.REVIEW]) if by_hand else (),
        oldest=oldest([*waiting, *orders[State.REVIEW]]),
        late=tuple(_late(context, orders, now)),
        events=events(jobs, window),
        heartbeat=heartbeat.why + (f", to be renewed by {heartbeat.due}" if heartbeat.due else ""),
        heartbeat_overdue=heartbeat.pulse is not Pulse.ACTIVE,
    )


def _from_where_the_last_ended(triggers: Path, period: Period, window: Window) -> Window:
    """The window begins where the review before it ended, which was elsewhere if TIMEZONE was another then."""
    last = _told(triggers / f"{period.value}-{period.label(window.start)}.done")
    with suppress(KeyError, TypeError, ValueError):
        until = datetime.fromisoformat(last["until"]).astimezone(window.end.tzinfo)
        if last["complete"] and abs(until - window.start) < timedelta(hours=26) and until < window.end:
            return Window(until, window.end)
    return window


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


def _is_closed(job: Job) -> bool:
    """It was given up, and nobody is owed anything: there is nothing left to decide."""
    return job.failure is not None and job.failure.kind in GIVEN_UP and job.is_given_back


def _late(context: Context, orders: dict[State, list[Job]], now: datetime) -> Iterator[tuple[str, str]]:
    """The orders whose customers wait too long, or soon will, each with how it stands."""
    in_turn = {**orders, State.PENDING: sorted(orders[State.PENDING], key=turn)}
    for promise in endangered_among(in_turn, context.home, context.settings, now):
        yield promise.stream_id, promise.sentence(now)


def _stopped(home: Path) -> Iterator[Stopped]:
    """The orders that a person should let go on or give up."""
    for stream_id in held_orders(home):
        held = find_hold(home, stream_id)
        if held is not None and held.kind not in {CANCELLED, REFUNDED}:
            yield Stopped(stream_id, held.reason, is_disputed=DISPUTED in held.kinds)


def _forgotten(home: Path) -> list[KeptPayment]:
    """What was paid for orders that are gone. A proof that somebody has spoilt counts nothing."""
    found: list[KeptPayment] = []
    for path in sorted((home / "logs" / "forgotten").glob("[!.]*.json")):
        with suppress(ValidationError):
            proof = Proof.model_validate_json(path.read_bytes())
            found += proof.kept if proof.status == "done" else ()
    return found


def _costs(context: Context, start: datetime, end: datetime) -> list[Cost]:
    """What the ledger has of the months from ``start`` to ``end``."""
    months = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    entries = [entry for month in months for entry in context.ledger.entries(date(month // 12, month % 12 + 1, 1))]
    return [Cost(one.at, one.stream_id, one.micros, is_open=one.is_open, exact=one.exact) for one in entries]


def _timezone(context: Context) -> tzinfo:
    name = context.settings.timezone
    return UTC if name == "UTC" else ZoneInfo(name)  # UTC needs no table of zones on the machine
