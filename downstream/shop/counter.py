"""Working off the errands: the letters and refunds that orders still wait for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from downstream.domain.errors import DownstreamError, PersonDecides, StopRun, TryAgain
from downstream.domain.job import Failure, What
from downstream.domain.money import Money
from downstream.domain.state import UNDER_WAY, State
from downstream.heartbeat import read_heartbeat
from downstream.holds import REFUNDED, find_hold, is_restored
from downstream.job_file import StillWritten, Unreadable
from downstream.queue import Busy, NoSuchJob
from downstream.shop import errands, letters
from downstream.shop.checkout import status_path
from downstream.shop.proofs import is_forgotten
from downstream.shop.receipted import once, shop_receipts
from downstream.shop.refund import refund

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage

    from pydantic import JsonValue

    from downstream.domain.job import Job
    from downstream.domain.order import Order
    from downstream.queue import Claim
    from downstream.shop.errands import Errand
    from downstream.shop.shop import Shop

MOST_WAITS_FOR_A_JOB = 100
"""About four days: Stripe tells of a payment again for three, and ``reconcile`` finds it until then."""


def work_off(shop: Shop) -> int:
    """Every errand whose time has come was tried; returns how many were done. One that fails does not stop the others.

    Raises:
        StopRun: the heartbeat forbids work, or a setting is wrong.
    """
    worked = 0
    for errand in errands.due(shop.home, shop.clock()):
        if is_restored(shop.home, errand.stream_id):
            continue  # it may have been done since the backup: it waits with its order
        read_heartbeat(shop.home, shop.clock()).require_running()
        worked += _work_off(shop, errand)
    return worked


def _work_off(shop: Shop, errand: Errand) -> bool:
    try:
        if errand.kind in _UNLOCKED:
            _UNLOCKED[errand.kind](shop, errand)
        else:
            with shop.orders.changing(errand.stream_id):
                # As it waits now: a letter may have been promised since it was listed.
                waiting = errands.find(shop.home, errand.stream_id, errand.kind)
                if waiting is None:
                    return False
                _LOCKED[errand.kind](shop, waiting)
                errands.done(shop.home, errand)
    except (TryAgain, Busy, StillWritten) as error:
        shop.log.warning("errand.put_off", stream=errand.stream_id, errand=errand.kind, reason=str(error))
        _put_off(shop, errand)
        return False
    except StopRun:
        raise
    except (DownstreamError, Unreadable, KeyError) as error:
        reason = str(error) if not isinstance(error, KeyError) else "nobody knows what that is"
        errands.give_up(shop.home, errand)
        shop.tell(
            f"errand.{errand.stream_id}.{errand.kind}", f"{errand.stream_id}: {errand.kind} is not done: {reason}"
        )
        return False
    shop.log.info("errand.done", stream=errand.stream_id, errand=errand.kind)
    return True


def _put_off(shop: Shop, errand: Errand) -> None:
    with shop.orders.changing(errand.stream_id):
        waiting = errands.find(shop.home, errand.stream_id, errand.kind)
        if waiting is not None:
            errands.put_off(shop.home, waiting, shop.clock())


def _confirm(shop: Shop, errand: Errand) -> None:
    job, order = _job(shop, errand.stream_id), _order(shop, errand.stream_id)
    if job is None:
        raise TryAgain("its job is not there yet")
    if _is_refunded(shop, errand.stream_id):
        errands.wake(shop.home, errand.stream_id, errands.REFUNDED)  # it may have waited for the job
        return
    status = shop.settings.public_url + status_path(order)
    title = order.offered.title if order.offered else errand.stream_id
    written = letters.confirmation(shop.settings, order, title, job.customer_email, status, shop.clock())
    _send(shop, errand.stream_id, "confirm", written, is_paid=order.paid is not None)


def _payment_failed(shop: Shop, errand: Errand) -> None:
    order, session = _order(shop, errand.stream_id), str(errand.facts.get("session", ""))
    if order.ordered_at is not None or order.offered is None:
        return  # paid in another way since
    draft = f"{shop.settings.public_url}/drafts/{order.secret}"
    written = letters.payment_failed(shop.settings, order, order.offered.email, draft, session, shop.clock())
    _send(shop, errand.stream_id, f"payment_failed.{session}", written, is_paid=True)


def _refund(shop: Shop, errand: Errand) -> None:
    """Takes the order in hand itself."""
    if errands.is_waiting(shop.home, errand):
        refund(shop, errand.stream_id)
        errands.done(shop.home, errand)


def _refunded(shop: Shop, errand: Errand) -> None:
    amount = Money(str(errand.facts["currency"]), int(errand.facts["amount_minor"]))
    job = _note_refund(shop, errand.stream_id, amount)
    if job is None and not is_forgotten(shop.home, errand.stream_id) and errand.tries < MOST_WAITS_FOR_A_JOB:
        raise TryAgain("its payment is not told of yet")
    errands.done(shop.home, replace(errand, kind=errands.CONFIRM))  # there is no order to confirm any more
    if job is not None and errand.facts.get("letter"):
        written = letters.refunded(shop.settings, errand.stream_id, job.customer_email, amount, shop.clock())
        _send(shop, errand.stream_id, "refunded", written, is_paid=True)


_LOCKED: dict[str, Callable[[Shop, Errand], None]] = {
    errands.CONFIRM: _confirm,
    errands.PAYMENT_FAILED: _payment_failed,
    errands.REFUNDED: _refunded,
}
_UNLOCKED: dict[str, Callable[[Shop, Errand], None]] = {errands.REFUND: _refund}


def _note_refund(shop: Shop, stream_id: str, amount: Money) -> Job | None:
    """The job, which says that its money went back, and lies in ``failed`` unless it is delivered already.

    None when it was refunded before it is a job: its hold keeps it from ever being begun.
    """
    try:
        claim = shop.queue.claim(stream_id, *State)
    except NoSuchJob:
        return None
    with claim:
        job, now = claim.job, shop.clock()
        if job.refunded_minor < amount.amount_minor:
            evidence: dict[str, JsonValue] = {"amount_minor": amount.amount_minor, "currency": amount.currency}
            job = job.noting(What.REFUNDED, at=now, who="shop", reason=f"{amount} went back", evidence=evidence)
            claim.save(job)
        if claim.state in UNDER_WAY:
            _to_failed(claim, job, shop)
        return job


def _is_refunded(shop: Shop, stream_id: str) -> bool:
    held = find_hold(shop.home, stream_id)
    return held is not None and REFUNDED in held.kinds


def _to_failed(claim: Claim, job: Job, shop: Shop) -> None:
    now, reason = shop.clock(), "its payment was refunded"
    failure = Failure(kind="refunded", reason=reason, step="shop", at=now)
    claim.advance(job.evolve(failure=failure), State.FAILED, at=now, who="shop", reason=reason)


def _send(shop: Shop, stream_id: str, name: str, written: EmailMessage, *, is_paid: bool) -> None:
    mail = shop.mail_for(is_paid)
    if mail is None:
        raise TryAgain("nobody carries letters: SMTP_URL is not set")
    receipts = shop_receipts(shop, stream_id)

    def send() -> dict[str, str]:
        return {"accepted": mail.send(stream_id, written), "message_id": str(written["Message-ID"])}

    once(receipts, f"letter.{name}", (stream_id, name), mail.name, send)


def _order(shop: Shop, stream_id: str) -> Order:
    order = shop.orders.read(stream_id)
    if order is None:
        raise PersonDecides("the shop does not know this order")
    return order


def _job(shop: Shop, stream_id: str) -> Job | None:
    state = shop.queue.find(stream_id)
    try:
        return shop.queue.read(state, f"{stream_id}.json") if state else None
    except FileNotFoundError:
        return None  # it moved a moment ago
