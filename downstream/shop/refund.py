"""Money back: all that is left of an order's payment, once, however many ask and whatever is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides
from downstream.domain.money import Money
from downstream.holds import REFUNDED, Hold, hold
from downstream.shop import errands
from downstream.shop.receipted import once, shop_receipts

if TYPE_CHECKING:
    from downstream.domain.order import Paid
    from downstream.domain.payment import Payment, Refund
    from downstream.domain.ports import Payments
    from downstream.domain.state import State
    from downstream.shop.shop import Shop

_LOST = {"failed", "canceled"}


@dataclass(frozen=True, slots=True)
class Account:
    """An order's money as the payment service has it now."""

    stream_id: str
    state: State | None
    """Where its job lies."""
    paid: Paid
    payment: Payment
    refunds: tuple[Refund, ...]

    @property
    def given_back(self) -> tuple[Refund, ...]:
        """The refunds that went through or are on their way."""
        return tuple(one for one in self.refunds if one.status not in _LOST)

    @property
    def left(self) -> Money:
        """What can still be given back."""
        back = max(self.payment.refunded_minor, sum(one.amount.amount_minor for one in self.given_back))
        return Money(self.payment.received.currency, self.payment.received.amount_minor - back)


def account(shop: Shop, stream_id: str) -> Account:
    """What was paid for an order, and what went back of it, looked up now.

    Raises:
        PersonDecides: nothing was paid for it through the shop; the text says so.
        TryAgain: the payment service does not answer.
        Misconfigured: there is no key for it.
    """
    payments = _payments(shop)
    order = shop.orders.read(stream_id)
    if order is None or order.paid is None:
        raise PersonDecides(f"{stream_id} was not paid for in this shop: there is no payment to give back")
    if not order.paid.payment_intent:
        raise PersonDecides(f"nothing had to be paid for {stream_id}: there is nothing to give back")
    payment = payments.payment(order.paid.payment_intent)
    return Account(stream_id, shop.queue.find(stream_id), order.paid, payment, payments.refunds(payment.payment_intent))


def refund(shop: Shop, stream_id: str) -> Refund | None:
    """All that is left of the payment is on its way back, nothing more is bought for the order, and it is on the disk
    that the customer is to be told; None when it had gone back before.

    Raises:
        PersonDecides: there is no payment, or it is disputed; the text says which.
        Unknown, TryAgain: nobody can tell, or not now: call again, and it happens once.
    """
    with shop.orders.changing(stream_id):
        found = account(shop, stream_id)
        if found.payment.is_disputed:
            raise PersonDecides(f"the payment of {stream_id} is disputed: the bank decides about the money, not we")
        at = shop.clock().isoformat(timespec="seconds")
        hold(shop.home, Hold(stream_id, REFUNDED, "its payment is refunded", at))
        made = _give_back(shop, found) if found.left.amount_minor > 0 else None
        _announce(shop, found, made)
    shop.log.info("order.refunded", stream=stream_id, refund=made.refund_id if made else "", before=made is None)
    return made


def _give_back(shop: Shop, found: Account) -> Refund:
    payments, stream_id = _payments(shop), found.stream_id
    # A refund that the bank turned down is none: the next one needs another key, or its failure would be repeated.
    number = 1 + sum(1 for one in found.refunds if one.status in _LOST)
    key = f"refund-{stream_id}-{number}"
    made: list[Refund] = []

    def ask() -> dict[str, str | int]:
        made.append(payments.refund(found.payment.payment_intent, stream_id, key))
        return {"refund": made[-1].refund_id, "amount_minor": made[-1].amount.amount_minor}

    inputs = (found.payment.payment_intent, number, len(found.given_back))
    receipts = shop_receipts(shop, stream_id)
    once(receipts, "refund", inputs, payments.name, ask, repeatable=True)
    if made:
        return made[-1]
    # Its receipt is there, and the service does not list it (yet).
    return payments.refund(found.payment.payment_intent, stream_id, key)


def _announce(shop: Shop, found: Account, made: Refund | None) -> None:
    """The job will say so, and the customer will read it; a refund made by hand elsewhere is told there."""
    ours = made is not None or any(one.ours for one in found.given_back)
    total = sum(one.amount.amount_minor for one in found.given_back) + (made.amount.amount_minor if made else 0)
    errands.put(
        shop.home,
        found.stream_id,
        errands.REFUNDED,
        shop.clock(),
        amount_minor=total,
        currency=found.payment.received.currency,
        letter=ours,
    )


def _payments(shop: Shop) -> Payments:
    from downstream.domain.errors import Misconfigured

    if shop.payments is None:
        raise Misconfigured("STRIPE_API_KEY is not set: without it no payment can be looked up or given back")
    return shop.payments
