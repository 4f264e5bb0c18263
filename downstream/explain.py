"""``downstream explain``: why an order is where it is, in sentences, each with the file that shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from downstream.domain.errors import DownstreamError
from downstream.domain.job import What
from downstream.domain.money import Money
from downstream.domain.prices import show_dollars
from downstream.domain.state import State
from downstream.events_of import last
from downstream.evidence import Case, Sentence, UnknownOrder, read_case, resolve
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.holds import REFUNDED
from downstream.obstacles import obstacles, orders_before, worked_on_by
from downstream.overview import progress
from downstream.prices import most_micros
from downstream.promises import promise_of
from downstream.queue import Queue
from downstream.receipts import Phase
from downstream.shop.shop import Shop
from downstream.shop.standing import standing
from downstream.web.status import status_of
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = ["Explanation", "UnknownOrder", "explain"]

_TITLES = {
    "where": "Where it is",
    "made": "What was done",
    "next": "What comes next",
    "held up": "What holds it up",
    "money": "Money",
    "promise": "The promise",
    "customer": "What the customer knows",
    "you": "What you can do",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one order is where it is."""

    stream_id: str
    state: str
    """Its folder, ``draft``, ``forgotten``, or ``none`` for a story that is no order."""
    sentences: tuple[Sentence, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "sentences": [asdict(sentence) for sentence in self.sentences]}

    def lines(self) -> Iterator[str]:
        """As a person reads it."""
        yield f"{self.stream_id}: {self.state}"
        for about, title in _TITLES.items():
            said = [sentence for sentence in self.sentences if sentence.about == about]
            if said:
                yield f"\n{title}"
                yield from (f"  {sentence}" for sentence in said)


def explain(home: Path, name: str, now: datetime, environment: Mapping[str, str]) -> Explanation:
    """Everything that can be said of the order of that name (or that payment) at this moment.

    Raises:
        UnknownOrder: there is none; the text names similar ones.
    """
    case = read_case(home, resolve(home, name), now, environment)
    said = [sentence for look in (_as_job if case.state else _as_none) for sentence in look(case)]
    return Explanation(case.stream_id, _state(case), tuple(said))


def _state(case: Case) -> str:
    if case.state:
        return case.state.value
    if case.is_draft:
        return "draft"
    return "forgotten" if (case.home / _proof(case)).exists() else "none"


# --- what is no job ----------------------------------------------------------------------------------------------


def _without_a_job(case: Case) -> Iterator[Sentence]:
    """Where something lies that is no job."""
    order = case.order
    if case.is_draft and order is not None:
        says = f"It is no job: a draft that nobody has paid for, last changed {_at(order.changed_at)}"
        yield Sentence("where", says, case.order_file)
    elif case.is_draft:
        yield Sentence("where", "It is a draft whose file was changed into something that is none", case.order_file)
    elif (case.home / _proof(case)).exists():
        says = "It was forgotten: only what tax law asks for is kept, beside the proof of what was erased"
        yield Sentence("where", says, _proof(case))
    elif order is not None and order.ordered_at is not None:
        says = f"It was ordered {_at(order.ordered_at)}, and its job is in none of the five folders"
        yield Sentence("where", says, case.order_file)
    else:
        yield Sentence("where", "A story lies there that nobody has ordered", f"{case.folder}/input.json")


def _payment_pages(case: Case) -> Iterator[Sentence]:
    for one in case.order.checkouts if case.order else ():
        asked = Money(one.currency, one.amount_minor)
        if one.ended:
            how = f"{_ENDED[one.ended]}"
        else:
            how = f"it can be paid at until {_at(one.expires_at)}" if one.expires_at > case.now else "it is closed"
        says = f"A payment page for {asked} was opened {_at(one.opened_at)} ({one.session_id}): {how}"
        yield Sentence("money", says, case.order_file)


_ENDED = {
    "expired": "it expired without a payment",
    "failed": "the bank did not pay",
    "pending": "the customer has finished, and the bank has not: some ways to pay take days",
    "paid": "it was paid",
}


def _with_a_draft(case: Case) -> Iterator[Sentence]:
    if case.is_draft:
        says = "downstream reconcile - asks the payment service whether it was paid for, and makes it a job if so"
        yield Sentence("you", says, case.order_file)


# --- where a job is, and how far ---------------------------------------------------------------------------------


def _where(case: Case) -> Iterator[Sentence]:
    move, place = case.last_move, f"It lies in jobs/{case.state}"
    claimed = last(case.events, "job.claimed")
    if case.state is State.PROCESSING and claimed is not None:
        says = f"{place}: process {claimed.fields.get('process')} took it up {_ago(case, claimed.at)}"
        yield Sentence("where", says, str(claimed.path.relative_to(case.home)))
    elif move is not None:
        why = f": {move.reason}" if move.reason else ""
        says = f"{place}, where {move.who} put it {_ago(case, move.at)}, from {move.source}{why}"
        yield Sentence("where", says, case.job_file)
    else:
        yield Sentence("where", f"{place}, where {_came(case)}", case.job_file)


def _came(case: Case) -> str:
    order, job = case.order, case.job
    if order is not None and order.paid is not None:
        return f"the shop put it {_ago(case, order.paid.at)}, told by the {order.paid.found_by}"
    if order is not None and order.ordered_at is not None:
        return f"the shop put it {_ago(case, order.ordered_at)}"
    since = f", first seen {_ago(case, job.arrived_at)}" if job and job.arrived_at else ""
    return f"somebody put it{since}; it did not come through the shop"


def _made(case: Case) -> Iterator[Sentence]:
    made = progress(Workspace(case.home, case.stream_id))
    is_begun = (case.home / case.folder).exists()
    yield Sentence("made", f"What is made of it: {made}", case.folder if is_begun else case.job_file)
    if case.attempts:
        one = case.attempts[-1]
        how = _PHASES[one.phase] + (f": {one.reason}" if one.reason else "")
        says = f"The last call was {one.call}, through {one.provider}, begun {_ago(case, one.began_at)}: {how}"
        yield Sentence("made", says, f"{case.folder}/receipts.jsonl")
    for entry in case.job.history if case.job else ():
        if entry.what in _TOLD:
            why = f": {entry.reason}" if entry.reason else ""
            yield Sentence("made", f"{_TOLD[entry.what]} {_at(entry.at)} by {entry.who}{why}", case.job_file)


_PHASES = {
    Phase.INTENT: "its end is not written down, so it is being made, or was cut off",
    Phase.OUTCOME: "it is done",
    Phase.REFUSED: "a content filter said no",
    Phase.FAILED: "it failed",
    Phase.UNKNOWN: "nobody can tell whether it was made",
}
_TOLD = {
    What.REGENERATE: "Segments were sent back to be made again",
    What.RETRIED: "It was sent round again",
    What.APPROVED: "It was approved",
    What.PUBLISHED: "Its page was published",
    What.UNDONE: "The version before was shown again",
    What.REFUNDED: "Its money went back",
    What.WITHDRAWN: "The customer withdrew",
}


def _next(case: Case) -> Iterator[Sentence]:
    if case.job is None:
        return
    if case.hold is not None and case.is_open:
        yield Sentence("next", "Nothing, until it is let go", f"jobs/.holds/{case.stream_id}.json")
    elif case.state is State.PENDING:
        before = orders_before(case)
        turn = f"{before} order(s) come before it" if before else "it is the first"
        says = f"The next downstream process that may takes it up (cron starts one every 5 minutes); {turn}"
        yield Sentence("next", says, "jobs/pending")
    elif case.state is State.PROCESSING:
        by_itself = "It goes on" if worked_on_by(case) is not None else "The next downstream process goes on with it"
        yield Sentence("next", f"{by_itself}; when the page is made it goes to jobs/review", case.job_file)
    elif case.state is State.REVIEW:
        yield Sentence("next", _next_in_review(case), case.job_file)
    elif case.state is State.FAILED:
        yield Sentence("next", "Nothing, until you decide", case.job_file)
    else:
        yield Sentence("next", "Nothing is left to do", case.job_file)


def _next_in_review(case: Case) -> str:
    if case.job is not None and case.job.approved:
        return "It is approved: downstream review (every 15 minutes) publishes it, looks at it live, and mails it"
    if case.settings.review_policy == "operator":
        return "When you approve it, it is published, looked at live, and mailed"
    return "downstream review (every 15 minutes) measures and judges it, and decides"


# --- money, promise, customer ------------------------------------------------------------------------------------


def _money(case: Case) -> Iterator[Sentence]:
    job = case.job
    if job is None:
        return
    on = f" {_at(job.paid_at)}" if job.paid_at else ""
    yield Sentence("money", f"It was paid: {job.paid}{on}" if job.is_paid else "Nobody paid for it", case.job_file)
    if job.refunded_minor:
        yield Sentence("money", f"{Money(job.currency, job.refunded_minor)} of it went back", case.job_file)
    spent = sum(one.spent_micros for one in case.attempts)
    try:
        cap = f"it may cost {show_dollars(most_micros(case.home, case.settings, job))}"
    except DownstreamError as error:
        cap = f"what it may cost is not known: {error}"
    says = f"It has cost {show_dollars(spent)} so far; {cap}"
    yield Sentence("money", says, f"{case.folder}/receipts.jsonl" if case.attempts else case.job_file)


def _promise(case: Case) -> Iterator[Sentence]:
    job, order, move = case.job, case.order, case.last_move
    if job is None or case.state is None:
        return
    evidence = case.order_file if order is not None and order.promised_by else case.job_file
    rounds = orders_before(case) // case.settings.jobs_at_once if case.state is State.PENDING else 0
    if promise := promise_of(case.home, job, case.state, rounds):
        found = promise.danger(case.now)
        yield Sentence("promise", f"{promise.sentence(case.now)}{f' ({found.value})' if found else ''}", evidence)
    elif case.state is State.COMPLETED and order is not None and order.promised_by and move is not None:
        early = order.promised_by - move.at
        how = f"{_span(abs(early))} {'before' if early >= timedelta() else 'after'} the promised time"
        yield Sentence("promise", f"It was delivered {how}, {_at(order.promised_by)}", evidence)


def _customer(case: Case) -> Iterator[Sentence]:
    for one in case.letters:
        says = f"{one.call} through {one.provider}, {_at(one.began_at)}: {_PHASES[one.phase]}"
        yield Sentence("customer", says, f"{case.folder}/shop.jsonl")
    for entry in case.job.history if case.job else ():
        if entry.what is What.MAILED:
            yield Sentence("customer", f"The letter with the page was sent {_at(entry.at)}", case.job_file)
    for path in sorted((case.home / "jobs" / ".errands").glob(f"{case.stream_id}.*")):
        waits = "was given up" if path.suffix == ".refused" else "still waits to be done"
        yield Sentence("customer", f"{path.stem.partition('.')[2]} {waits}", str(path.relative_to(case.home)))
    if _state(case) != "forgotten":
        yield _status_page(case)


def _status_page(case: Case) -> Sentence:
    """What the customer sees who opens the link of the order."""
    if case.order is None:
        says = "There is no status page: it did not come through the shop"
        return Sentence("customer", says, case.job_file if case.state else f"{case.folder}/input.json")
    shop = Shop(
        case.home,
        case.settings,
        Queue(case.home),
        payments=None,
        mail_for=lambda _: None,
        log=structlog.get_logger(),
        tell=lambda _, __: None,
        clock=lambda: case.now,
    )
    shown = status_of(standing(shop, case.order), case.now, case.settings.timezone)
    by = f", promised {shown.promised.words}" if shown.promised else ""
    return Sentence("customer", f"The status page says: {shown.headline}{by}", case.order_file)


# --- what can be done --------------------------------------------------------------------------------------------


def _commands(case: Case) -> Iterator[Sentence]:
    for command, what in _offers(case):
        yield Sentence("you", f"downstream {command} - {what}", case.job_file)


def _offers(case: Case) -> Iterator[tuple[str, str]]:
    """The commands that make sense now, each with what it does."""
    name, job = case.stream_id, case.job
    if job is None:
        yield "doctor --offline", f"then mend the file and move it to jobs/pending/{name}.json"
        return
    if read_heartbeat(case.home, case.now).pulse is Pulse.PAUSED and case.is_open:
        yield "heartbeat resume", "lets everything go on"
    if case.settings.missing_keys and job.needs_live and case.is_open:
        yield "doctor", "says whether the keys you set in .env are taken"
    if case.hold is not None and case.hold.kind != REFUNDED:
        yield f"release {name}", "lets it go on"
    yield from _OFFERS[case.state or State.PENDING](name, job.approved)
    if not job.is_given_back:
        yield f"refund {name}", "gives the money back and closes the order"
    yield f"show {name}", "its whole life, with what each call cost"
    yield f"logs {name}", "what the logs tell of it"


_OFFERS: dict[State, Callable[[str, bool], tuple[tuple[str, str], ...]]] = {
    State.PENDING: lambda name, _: (
        ("process", "takes up what waits, now"),
        (f"hold {name}", "keeps it back until you let it go"),
        (f"cancel {name}", "gives it up"),
    ),
    State.PROCESSING: lambda name, _: (
        (f"hold {name}", "stops it before its next paid call"),
        (f"cancel {name}", "gives it up before its next paid call"),
    ),
    State.REVIEW: lambda name, is_approved: (
        *(() if is_approved else ((f"review --approve {name}", "approves and delivers it"),)),
        (f'review --regenerate {name} --segments N --note "..."', "has segments made again"),
        (f'review --fail {name} --reason "..."', "gives it up"),
    ),
    State.FAILED: lambda name, _: (
        (f"retry {name}", "makes what is missing and goes on (--from STEP, --segment N make parts again)"),
        (f"retry {name} --cleared", "goes on although a filter or the judge said no: you have looked"),
    ),
    State.COMPLETED: lambda name, _: (
        (f'review --regenerate {name} --segments N --note "..."', "has segments made again, at the same address"),
        (f"undo {name}", "shows the version before"),
        (f"forget {name}", "erases it and its customer"),
    ),
}

_Look = tuple["Callable[[Case], Iterator[Sentence]]", ...]
_as_job: _Look = (_where, _made, _next, obstacles, _money, _promise, _customer, _commands)
_as_none: _Look = (_without_a_job, _payment_pages, _customer, _with_a_draft)


def _proof(case: Case) -> str:
    return f"logs/forgotten/{case.stream_id}.json"


def _at(moment: datetime) -> str:
    return f"on {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _ago(case: Case, moment: datetime) -> str:
    return f"{_at(moment)} ({_span(case.now - moment)} ago)"


def _span(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"
