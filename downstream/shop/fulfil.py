"""A paid payment page becomes exactly one job, whoever tells of it, how often, and whatever was lost on the way."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import TYPE_CHECKING

from downstream.domain.errors import TryAgain
from downstream.domain.job import Failure, Job
from downstream.domain.money import minor_digits
from downstream.domain.order import Order, Paid
from downstream.domain.state import State
from downstream.domain.story import Brief, Story
from downstream.files import private_folder, replace, write_durably
from downstream.holds import backup_before, hold_restored
from downstream.queue import Busy
from downstream.shop import errands
from downstream.shop.promise import promised_by
from downstream.shop.proofs import is_forgotten, read_proof

if TYPE_CHECKING:
    from pathlib import Path

    from downstream.domain.order import Typed
    from downstream.domain.payment import CheckoutSession
    from downstream.shop.shop import Shop

PATIENCE_SECONDS = 5.0
"""How long to wait for somebody who holds the stream's lock."""
NOBODY = "unknown@customer.invalid"
_PAYMENT_INTENT = re.compile(r"pi_[A-Za-z0-9_]{1,100}\Z")


def fulfil(shop: Shop, session: CheckoutSession, found_by: str) -> bool:
    """The paid session is one job, on the disk; True when it was not one before.

    What is not as it should be - another amount, words that are gone, a second payment for one order - makes a job in
    ``failed``, where a person decides about the money.

    Raises:
        TryAgain: somebody else has the order in hand.
        OSError: it could not be written down; nothing half-written counts.
    """
    if _is_over(shop.home, session):
        return False  # looked at first, so that not even a folder for the lock comes back
    with shop.orders.changing(session.stream_id):
        if is_forgotten(shop.home, session.stream_id):
            is_over = _is_over(shop.home, session)
            return not is_over and _second_payment(shop, _lost(shop, session.stream_id), session, found_by)
        order = shop.orders.read(session.stream_id)
        if order is None:
            order = _lost(shop, session.stream_id)
        if order.ordered_at is not None and (order.paid is None or order.paid.session_id != session.session_id):
            return _second_payment(shop, order, session, found_by)
        if order.ordered_at is not None and shop.queue.find(order.stream_id) is not None:
            return False
        reason = _what_is_wrong(shop, order, session)
        return _place(shop, order, session, found_by, reason)


def place_demo(shop: Shop, order: Order, offered: Typed) -> None:
    """The order is a job that nobody paid for. Only who is ``changing`` the order may do this."""
    now = shop.clock()
    _write_story(shop.home, order, offered)
    # The job first: nobody calls again for a demo but its customer, who finds the form as long as this is a draft.
    _enqueue(shop, Job(stream_id=order.stream_id, customer_email=offered.email), State.PENDING)
    _ordered(shop, order.model_copy(update={"ordered_at": now, "promised_by": promised_by(shop, now), "typed": None}))
    errands.put(shop.home, order.stream_id, errands.CONFIRM, now)
    shop.log.info("order.placed", stream=order.stream_id, paid=False)


def stream_of_payment(home: Path, payment_intent: str) -> str:
    """The job that a payment made; empty when none is known."""
    if not _PAYMENT_INTENT.match(payment_intent):
        return ""
    try:
        return (home / "streams" / ".payments" / payment_intent).read_text("ascii")
    except FileNotFoundError:
        return ""


def _place(shop: Shop, order: Order, session: CheckoutSession, found_by: str, reason: str) -> bool:
    now = shop.clock()
    paid = Paid(
        session_id=session.session_id,
        payment_intent=session.payment_intent,
        amount_minor=session.amount.amount_minor if session.amount else 0,
        currency=session.amount.currency if session.amount else shop.settings.currency,
        at=now,
        found_by=found_by,
    )
    promise = order.promised_by or (None if reason else promised_by(shop, now))
    if order.offered is not None and order.ordered_at is None:
        _write_story(shop.home, order, order.offered)
    checkouts = tuple(
        one.model_copy(update={"ended": "paid"}) if one.session_id == session.session_id else one
        for one in order.checkouts
    )
    changes = {"paid": paid, "ordered_at": now, "promised_by": promise, "typed": None, "checkouts": checkouts}
    _remember_payment(shop.home, session.payment_intent, order.stream_id)
    _ordered(shop, order.model_copy(update=changes))
    backup_at = backup_before(shop.home, session.created_at)
    if not reason and backup_at:
        hold_restored(shop.home, order.stream_id, backup_at, now)
    if not reason:
        errands.put(shop.home, order.stream_id, errands.CONFIRM, now)
    email = (order.offered.email if order.offered else session.customer_email) or NOBODY
    job = Job(
        stream_id=order.stream_id,
        customer_email=email,
        paid_amount=_major(paid),
        currency=paid.currency,
        paid_at=session.created_at,
        promised_by=promise,
    )
    if reason:
        job = job.evolve(failure=Failure(kind="payment", reason=reason, step="payment", at=now))
    if reason:  # before the job is there: whoever calls again after a crash finds it, and tells nobody
        shop.tell(f"failed.{order.stream_id}", f"{order.stream_id}: {reason}. See: downstream show {order.stream_id}")
    placed = _enqueue(shop, job, State.FAILED if reason else State.PENDING)
    if placed:
        shop.log.info("order.placed", stream=order.stream_id, paid=True, found_by=found_by, wrong=reason)
    return placed


def _what_is_wrong(shop: Shop, order: Order, session: CheckoutSession) -> str:
    """Why a person has to decide; empty when all is as it should be."""
    if order.offered is None:
        return f"it was paid for, and its story is gone: ask the customer, or downstream refund {order.stream_id}"
    asked = next(
        ((one.amount_minor, one.currency) for one in order.checkouts if one.session_id == session.session_id),
        (shop.settings.price_cents, shop.settings.currency),
    )
    amount = session.amount
    if amount is None or not amount.amount_minor:
        return ""  # a voucher: nothing had to be paid
    if (amount.amount_minor, amount.currency) == asked:
        return ""
    return (
        f"{amount} was paid where another amount was asked: downstream retry {order.stream_id} makes the page, "
        f"downstream refund {order.stream_id} gives the money back"
    )


def _is_over(home: Path, session: CheckoutSession) -> bool:
    """The session paid for an order that was forgotten since."""
    proof = read_proof(home, session.stream_id)
    return proof is not None and session.session_id in {payment.session_id for payment in proof.kept}


def _second_payment(shop: Shop, order: Order, session: CheckoutSession, found_by: str) -> bool:
    """A second payment for one order is a job of its own that is never made by itself."""
    name = f"{order.stream_id}-{hashlib.sha256(session.session_id.encode()).hexdigest()[:8]}"
    if shop.queue.find(name) is not None or is_forgotten(shop.home, name):
        return False
    again = Order(
        stream_id=name,
        secret=secrets.token_urlsafe(24),
        created_at=order.created_at,
        changed_at=shop.clock(),
        offered=order.offered,
        consents=order.consents,
    )
    with shop.orders.changing(name):
        reason = f"{order.stream_id} was paid for twice; this is the second payment: downstream refund {name}"
        return _place(shop, again, session, found_by, reason)


def _lost(shop: Shop, stream_id: str) -> Order:
    now = shop.clock()
    return Order(stream_id=stream_id, secret=secrets.token_urlsafe(24), created_at=now, changed_at=now)


def _ordered(shop: Shop, order: Order) -> None:
    """Its words lie in the input.json now; who ordered it stays here, for a run that was killed before the job is."""
    offered = order.offered.model_copy(update={"text": ""}) if order.offered else None
    shop.orders.save(order.model_copy(update={"offered": offered}))


def _enqueue(shop: Shop, job: Job, state: State) -> bool:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return shop.queue.enqueue(job, state)
        except Busy:
            if shop.queue.find(job.stream_id) is not None:
                return False
            if time.monotonic() > give_up_at:
                raise TryAgain(f"{job.stream_id} is in somebody else's hands") from None
            time.sleep(0.05)


def _write_story(home: Path, order: Order, offered: Typed) -> None:
    path = home / "streams" / order.stream_id / "input.json"
    private_folder(path.parent)
    write_durably(path, story_of(order, offered).to_json())


def story_of(order: Order, typed: Typed) -> Story:
    """The customer's words as an input.json has them.

    Raises:
        ValidationError: what is typed was not checked.
    """
    brief = Brief(
        tone=_listed(typed.tone),
        style=_listed(typed.style),
        colors=_listed(typed.colors),
        references=_listed(typed.references),
        notes=typed.notes,
    )
    return Story(
        id=order.stream_id,
        title=typed.title,
        language=typed.language,
        text=typed.text,
        brief=brief,
        created_at=order.created_at,
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(stripped for part in text.split(",") if (stripped := part.strip()))


def _major(paid: Paid) -> int | float:
    """In major units, as a job has it; whole amounts as whole numbers."""
    unit: int = 10 ** minor_digits(paid.currency)
    whole, rest = divmod(paid.amount_minor, unit)
    return paid.amount_minor / unit if rest else whole


def _remember_payment(home: Path, payment_intent: str, stream_id: str) -> None:
    """Not durable: what is lost is looked up at the payment service."""
    if _PAYMENT_INTENT.match(payment_intent):
        path = private_folder(home / "streams" / ".payments") / payment_intent
        replace(path, stream_id.encode(), durable=False)
