"""What the payment service has against what we have; a gap is healed by the function that the webhook calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides
from downstream.shop.events import carry_out, is_carried_out, keep, session_found
from downstream.shop.watch import days_to_look_back, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from downstream.domain.order import Checkout
    from downstream.domain.payment import CheckoutSession
    from downstream.domain.ports import Payments
    from downstream.shop.shop import Shop


@dataclass
class Reconciled:
    """What was looked at, and what was healed."""

    days: int = 0
    """How far back it was looked."""
    sessions: int = 0
    """Paid ones of ours."""
    healed: list[str] = field(default_factory=list)
    """Orders whose job was missing."""
    events: int = 0
    """Refunds and disputes that nobody had told us of, or that were not carried out to the end."""


def reconcile(shop: Shop, *, days: int | None = None) -> Reconciled:
    """Every paid session of the last ``days`` is a job, and every refund and dispute holds its order up.

    Without ``days`` it looks back to before the last look that came to its end. However old, so is every session that a
    draft waits for: a bank may take two weeks to pay.

    Raises:
        TryAgain: the payment service does not answer, or somebody else has an order in hand.
        Misconfigured: its key is wrong.
    """
    now, found = shop.clock(), Reconciled()
    if shop.payments is None:
        shop.orders.expire(now)
        return found
    found.days = days_to_look_back(shop.home, now.timestamp()) if days is None else days
    since = now - timedelta(days=found.days)
    # Money taken back first: an order that is found only now must not be begun.
    for event in shop.payments.money_events(since):
        if not is_carried_out(shop, event):
            keep(shop, event)
            carry_out(shop, event, "reconcile")
            found.events += 1
    for session in shop.payments.completed_sessions(since):
        if session.stream_id:
            _heal(shop, session, found)
    for session in _sessions_waited_for(shop, shop.payments, now):
        _heal(shop, session, found)
    # Only after the service has answered: to a machine whose clock is far ahead, every draft is old, and no certificate
    # of a service is valid.
    shop.orders.expire(now)
    succeeded(shop.home, now.timestamp())
    shop.log.info("shop.reconciled", sessions=found.sessions, healed=len(found.healed), events=found.events)
    return found


def _heal(shop: Shop, session: CheckoutSession, found: Reconciled) -> None:
    found.sessions += session.is_paid
    if session_found(shop, session, "reconcile"):
        found.healed.append(session.stream_id)
        shop.tell(
            f"reconciled.{session.session_id}",
            f"{session.stream_id} was paid for and nobody told us; it is a job now. Is the webhook set up, and "
            "does it reach this server? See: downstream doctor",
        )


def _sessions_waited_for(shop: Shop, payments: Payments, now: datetime) -> Iterator[CheckoutSession]:
    """The payment pages of drafts that a bank still has to pay, or of whose end nobody told us: few, until they end."""
    for stream_id in list(shop.orders.drafts()):
        try:
            order = shop.orders.read(stream_id)
            for checkout in order.checkouts if order is not None and order.ordered_at is None else ():
                if _is_waited_for(checkout, now):
                    yield payments.session(checkout.session_id)
        except PersonDecides as error:  # a spoilt file, or a page of another account: the other drafts go on
            shop.log.warning("shop.draft_not_reconciled", stream=stream_id, reason=str(error))


def _is_waited_for(checkout: Checkout, now: datetime) -> bool:
    return checkout.ended == "pending" or (not checkout.ended and checkout.expires_at <= now)
