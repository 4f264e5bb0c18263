"""What keeps an order from going on at this moment: one small function for each reason there is."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from downstream.alerts import standing_alarms
from downstream.domain.errors import NoRoom
from downstream.domain.state import State
from downstream.events_of import last
from downstream.evidence import Case, Sentence
from downstream.guard import check_room
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.locks import holder, is_held
from downstream.overview import holds
from downstream.queue import MAX_RECOVERIES, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG_SILENCE = timedelta(minutes=30)
"""After which cron cannot be working: it starts ``process`` every five minutes."""
_HELD_UP = "held up"


def obstacles(case: Case) -> Iterator[Sentence]:
    """Everything that is in the order's way, the hardest first."""
    for look in _LOOKS:
        yield from look(case)


def worked_on_by(case: Case) -> int | None:
    """The process that has the order in hand, 0 where the machine does not tell which; None where nobody has."""
    lock = case.home / case.folder / "lock"
    if (process := holder(lock)) is not None:
        return process
    return 0 if is_held(lock) else None


def _unreadable(case: Case) -> Iterator[Sentence]:
    if case.trouble_with_job:
        yield Sentence(_HELD_UP, f"Its file is not a job: {case.trouble_with_job}", case.job_file)


def _failed(case: Case) -> Iterator[Sentence]:
    if case.state is not State.FAILED or case.job is None:
        return
    failure = case.job.failure
    if failure is None:
        yield Sentence(_HELD_UP, "It lies in failed, and no reason is noted", case.job_file)
        return
    step = f" in {failure.step}" if failure.step else ""
    kind = _KINDS.get(failure.kind, failure.kind)
    says = f"It was given up{step} on {_at(failure.at)} ({kind}): {failure.reason}"
    yield Sentence(_HELD_UP, says, case.job_file)


_KINDS = {
    "person_decides": "a person has to decide",
    "refused": "a content filter said no",
    "recoveries": "its runs died again and again",
    "rejected": "the review rejected it",
    "unexpected": "a fault in the program",
    "payment": "something is wrong with the payment",
}
"""What a failure's kind means; others speak for themselves."""


def _held(case: Case) -> Iterator[Sentence]:
    held = case.hold
    while held is not None:
        since = f" since {held.at}" if held.at else ""
        says = f"It is held{since} ({held.kind}): {held.reason}"
        yield Sentence(_HELD_UP, says, f"jobs/.holds/{case.stream_id}.json")
        held = held.before


def _paused(case: Case) -> Iterator[Sentence]:
    found = read_heartbeat(case.home, case.now)
    if case.is_open and found.pulse is Pulse.PAUSED:
        yield Sentence(_HELD_UP, f"Everything stands still: {found.why}", "HEARTBEAT.md")


def _misconfigured(case: Case) -> Iterator[Sentence]:
    if case.is_open and case.trouble_with_settings:
        says = f"No run gets beyond the settings: {case.trouble_with_settings}"
        yield Sentence(_HELD_UP, says, ".env")


def _without_keys(case: Case) -> Iterator[Sentence]:
    missing = case.settings.missing_keys
    if case.is_open and case.job and case.job.needs_live and missing and not case.trouble_with_settings:
        says = f"Only outside services may serve it, and these keys are not set: {', '.join(missing)}"
        yield Sentence(_HELD_UP, says, ".env")


def _no_room(case: Case) -> Iterator[Sentence]:
    if not case.is_open:
        return
    try:
        check_room(case.home, case.settings)
    except NoRoom as error:
        yield Sentence(_HELD_UP, f"Nothing is begun: {error}", "/proc/meminfo" if "memory" in str(error) else ".")


def _put_off(case: Case) -> Iterator[Sentence]:
    job = case.job
    if job is None or not case.is_open or job.not_before is None or not job.waits(case.now):
        return
    until = f"It waits until {_at(job.not_before)} ({_in(job.not_before - case.now)})"
    if job.held_by:
        yield Sentence(_HELD_UP, f"{until} for {job.held_by}, which is a limit and no fault of its own", case.job_file)
        return
    event = last(case.events, "job.put_off")
    why = f": {event.fields.get('reason')}" if event else ""
    evidence = str(event.path.relative_to(case.home)) if event else case.job_file
    yield Sentence(_HELD_UP, f"{until}, after {job.tries} tries in a row that did not work{why}", evidence)


def _services_on_hold(case: Case) -> Iterator[Sentence]:
    if not (case.is_open and case.job and case.job.needs_live):
        return
    for service, until in holds(case.home).items():
        path = f"jobs/.limits/{service}.json"
        why = _why_on_hold(case.home / path)
        yield Sentence(_HELD_UP, f"Nobody asks {service} for anything new until {_at(until)}{why}", path)


def _why_on_hold(path: Path) -> str:
    with suppress(OSError, ValueError, LookupError, TypeError):
        return f": {json.loads(path.read_bytes())['why']}"
    return ""


def _in_hand(case: Case) -> Iterator[Sentence]:
    process = worked_on_by(case) if case.is_open else None
    if process is None:
        return
    open_calls = [one for one in case.attempts if one.is_open]
    step = f", at {open_calls[-1].call} since {_at(open_calls[-1].began_at)}" if open_calls else ""
    who = f"process {process}" if process else "a process"
    yield Sentence(_HELD_UP, f"It is in the hands of {who} right now{step}", f"{case.folder}/lock")


def _left_by_a_crash(case: Case) -> Iterator[Sentence]:
    if case.state is not State.PROCESSING or case.job is None or worked_on_by(case) is not None:
        return
    times = case.job.recoveries
    says = (
        "Nobody works on it: the run that did ended without a word. The next tick goes on where it stopped"
        f" ({times} of {MAX_RECOVERIES} such recoveries are used)"
    )
    yield Sentence(_HELD_UP, says, case.job_file)


def _no_place(case: Case) -> Iterator[Sentence]:
    places = [case.home / "jobs" / ".places" / f"{number}.lock" for number in range(case.settings.jobs_at_once)]
    if case.state is State.PENDING and all(is_held(place) for place in places):
        says = f"All {len(places)} places for orders in work are taken (JOBS_AT_ONCE)"
        yield Sentence(_HELD_UP, says, "jobs/.places")


def _by_hand(case: Case) -> Iterator[Sentence]:
    by_hand = case.settings.review_policy == "operator"
    if case.state is State.REVIEW and by_hand and case.job and not case.job.approved:
        yield Sentence(_HELD_UP, "It waits for your decision: REVIEW_POLICY is operator", ".env")


def _runs_stopped(case: Case) -> Iterator[Sentence]:
    stage = "review" if case.state is State.REVIEW else "process"
    for name, at in standing_alarms(case.home).items():
        if case.is_open and name.startswith(f"stopped.{stage}."):
            says = f"Runs of {stage} end early: {name.removeprefix(f'stopped.{stage}.')} (told {_at(at)})"
            yield Sentence(_HELD_UP, says, "logs/alerts.json")


def _cron_is_silent(case: Case) -> Iterator[Sentence]:
    stamp = case.home / "logs" / ".healthcheck"
    with suppress(FileNotFoundError):
        at = datetime.fromtimestamp(stamp.stat().st_mtime, UTC)
        if case.is_open and worked_on_by(case) is None and case.now - at > LONG_SILENCE:
            says = f"No run of process has ended well since {_at(at)}: does cron work? See downstream doctor"
            yield Sentence(_HELD_UP, says, "logs/.healthcheck")


_LOOKS: tuple[Callable[[Case], Iterator[Sentence]], ...] = (
    _unreadable,
    _failed,
    _held,
    _paused,
    _misconfigured,
    _without_keys,
    _no_room,
    _put_off,
    _services_on_hold,
    _in_hand,
    _left_by_a_crash,
    _no_place,
    _by_hand,
    _runs_stopped,
    _cron_is_silent,
)


def orders_before(case: Case) -> int:
    """How many orders are served before this one in ``pending``."""
    names = [name for name, _ in Queue(case.home).waiting()]
    name = f"{case.stream_id}.json"
    return names.index(name) if name in names else 0


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _in(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"in {minutes} min" if minutes < 120 else f"in {minutes / 60:.1f} hours"
