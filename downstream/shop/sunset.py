"""The end of the business: what is still owed to customers, and how each of them gets a page or the money back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from downstream.domain.errors import DownstreamError, PersonDecides, StopRun
from downstream.domain.state import UNDELIVERED, State
from downstream.holds import DISPUTED, PART_REFUNDED, REFUNDED, find_hold, is_restored
from downstream.job_file import StillWritten, Unreadable
from downstream.queue import Busy, NoSuchJob
from downstream.retry import retry
from downstream.shop import errands
from downstream.shop.cancel import release
from downstream.shop.events import page_closed
from downstream.shop.fulfil import fulfil
from downstream.shop.refund import refund

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from downstream.domain.job import Job
    from downstream.domain.money import Money
    from downstream.holds import Hold
    from downstream.queue import Queue
    from downstream.shop.shop import Shop


class Way(StrEnum):
    """How an order that is owed comes to its end."""

    FINISH = "finish"
    REFUND = "refund"
    DECIDE = "decide"
    """Only a person (or the customer's bank) can tell."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A paid order that is neither delivered nor refunded."""

    stream_id: str
    state: State
    paid: Money | None
    way: Way
    why: str


@dataclass
class Ended:
    """What was done on the way to the end."""

    pages_closed: int = 0
    paid_meanwhile: list[str] = field(default_factory=list)
    """Orders whose customers paid before their payment page could be closed: they are owed now."""
    refunded: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    """Sentences: what could not be done, and why."""


def owed(shop: Shop) -> list[Owed]:
    """Every paid order whose customer has neither the page nor the money, with the way that suggests itself."""
    found: dict[str, tuple[State, Job | str]] = {}
    for state in UNDELIVERED:  # as jobs move: one that does so meanwhile is found where it is last
        found |= {Path(name).stem: (state, job) for name, job in _read(shop.queue, state)}
    listed = []
    for name, (state, job) in sorted(found.items(), key=lambda one: -UNDELIVERED.index(one[1][0])):
        if isinstance(job, str):
            listed.append(Owed(name, state, None, Way.DECIDE, job))
        elif job.is_paid and not job.is_settled:
            listed.append(_owed(shop, job, state))
    return listed


def _read(queue: Queue, state: State) -> Iterator[tuple[str, Job | str]]:
    """Every file in the folder: its job, or why nobody can tell what is owed for it."""
    for name in queue.names(state):
        with suppress(FileNotFoundError):
            try:
                yield name, queue.read(state, name)
            except Unreadable as why:
                yield name, f"its file is no job: {why}"
            except StillWritten as why:
                yield name, str(why)


def chosen(found: Sequence[Owed], *, finish: Sequence[str], refunds: Sequence[str]) -> list[Owed]:
    """The same, each with the way the operator chose for it; ``all`` means every one that a person need not decide.

    Raises:
        PersonDecides: an id is not among them, or is given both ways.
    """
    known = {one.stream_id for one in found}
    asked = [*finish, *refunds]
    wrong = sorted(set(asked) - known - {"all"}) + sorted(set(finish) & set(refunds))
    if wrong:
        raise PersonDecides(f"{', '.join(wrong)}: no such paid order is open, or it is given twice")
    return [_turned(one, finish, refunds) for one in found]


def open_pages(shop: Shop) -> list[tuple[str, str]]:
    """Order and payment page of every draft that somebody could still pay for."""
    pages = []
    for stream_id in sorted(shop.orders.drafts()):
        order = shop.orders.read(stream_id)
        pages += [(stream_id, one.session_id) for one in (order.checkouts if order else ()) if not one.ended]
    return pages


def close_pages(shop: Shop, ended: Ended) -> None:
    """Nobody can pay any more; who has paid meanwhile has a job."""
    for stream_id, session_id in open_pages(shop):
        with _told(ended, f"the payment page of {stream_id}"):
            if shop.payments is None:
                raise PersonDecides("STRIPE_API_KEY is not set")
            session = shop.payments.close_checkout(session_id)
            if session.is_paid:
                fulfil(shop, session, "sunset")
                ended.paid_meanwhile.append(stream_id)
            elif session.status == "expired":
                page_closed(shop, session)
                ended.pages_closed += 1
            else:
                raise PersonDecides("its payment is under way: wait for Stripe, then run sunset again")


def carry_out(shop: Shop, plan: Sequence[Owed], ended: Ended) -> None:
    """Each order is on the way chosen for it; run again after a fault, money goes back once."""
    for one in plan:
        with _told(ended, one.stream_id):
            if one.way is Way.REFUND:
                refund(shop, one.stream_id)
                ended.refunded.append(one.stream_id)
            elif one.way is Way.FINISH:
                _let_on(shop, one)


def _let_on(shop: Shop, one: Owed) -> None:
    """Nothing keeps the order from being made."""
    if find_hold(shop.home, one.stream_id) is not None:
        release(shop.queue, one.stream_id)
    if one.state is State.FAILED:
        retry(shop.queue, one.stream_id, step=None, segment_id=None, now=shop.clock())


class _told:  # noqa: N801 - reads as a word of the with statement
    """Trouble with one order is kept as a sentence, and the others go on."""

    def __init__(self, ended: Ended, what: str) -> None:
        self._ended, self._what = ended, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, DownstreamError | Busy | NoSuchJob) or isinstance(error, StopRun):
            return False
        self._ended.not_done.append(f"{self._what}: {error}")
        return True


def _owed(shop: Shop, job: Job, state: State) -> Owed:
    way, why = _way(shop, job, state, find_hold(shop.home, job.stream_id))
    return Owed(job.stream_id, state, job.paid, way, why)


def _way(shop: Shop, job: Job, state: State, held: Hold | None) -> tuple[Way, str]:
    if held is not None and held.kind == REFUNDED:
        return Way.REFUND, "its refund was begun and did not come to its end"
    if held is not None:
        if {DISPUTED, PART_REFUNDED} & held.kinds:
            return Way.DECIDE, f"held: {held.reason}; settle it at Stripe, then release or refund it"
        return Way.DECIDE, f"held: {held.reason}; downstream release {job.stream_id}, or choose --refund"
    if state is not State.FAILED:
        return Way.FINISH, {State.REVIEW: "its page is made"}.get(state, "it is being made")
    if job.is_delivered:
        return Way.DECIDE, "its page is delivered, only a revision failed: retry it, or choose --refund"
    order = shop.orders.read(job.stream_id)
    reason = job.failure.reason if job.failure else "nobody knows why"
    if job.is_given_back:
        return Way.DECIDE, f"failed: {reason}; nothing had to be paid: retry it, or downstream forget {job.stream_id}"
    if shop.payments is None or order is None or order.paid is None or not order.paid.payment_intent:
        return Way.DECIDE, f"failed: {reason}; its payment is not known here: give it back by hand, or retry it"
    return Way.REFUND, f"failed: {reason}"


def _turned(one: Owed, finish: Sequence[str], refunds: Sequence[str]) -> Owed:
    def turn(way: Way) -> Owed:
        return Owed(one.stream_id, one.state, one.paid, way, one.why)

    if one.stream_id in finish:
        return turn(Way.FINISH)
    if one.stream_id in refunds:
        return turn(Way.REFUND)
    if one.way is Way.DECIDE:
        return one
    if "all" in refunds:
        return turn(Way.REFUND)
    return turn(Way.FINISH) if "all" in finish else one


def waiting(shop: Shop) -> Iterator[str]:
    """The letters and refunds that customers still wait for, and what each of them waits for."""
    for errand in errands.all_waiting(shop.home):
        if is_restored(shop.home, errand.stream_id):
            why = f"held since a backup was restored: downstream release {errand.stream_id}"
        else:
            why = "downstream process tries again; logs/shop.log says why it waits"
        yield f"waits   {errand.stream_id}  {errand.kind}: {why}"


def left_to_do(shop: Shop) -> Iterator[str]:
    """What no program can do, once nothing is owed."""
    yield "keep a last backup where tax law will find it: downstream backup DIR"
    if shop.payments is not None:
        yield "at Stripe, remove the webhook endpoint and the key"
    yield "at Google, Replicate, Vercel and the mail service, cancel the keys; delivered pages stay as long as Vercel"
    yield "then stop the server's work: sudo ./setup_hetzner.sh --uninstall"
