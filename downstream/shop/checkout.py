"""The way from a draft to the payment page, and for a demo straight to the job."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from downstream.domain.errors import Misconfigured
from downstream.domain.order import Checkout, Typed
from downstream.domain.payment import CheckoutRequest
from downstream.shop.agreements import consents
from downstream.shop.drafts import Closed, still_open
from downstream.shop.fulfil import place_demo
from downstream.shop.watch import watch

if TYPE_CHECKING:
    from datetime import datetime

    from downstream.domain.order import Order
    from downstream.domain.payment import CheckoutSession
    from downstream.domain.ports import Payments
    from downstream.shop.shop import Shop

OPEN_FOR = timedelta(hours=23)
"""How long a payment page can be paid at; Stripe allows 30 minutes to 24 hours."""
WORTH_REUSING = timedelta(minutes=10)
"""A page that closes sooner is replaced: typing a card number takes a while."""


def go_to_pay(shop: Shop, order: Order) -> str:
    """What the draft says now is what a payment will buy; returns where to send the customer.

    An open payment page of this order is used again, so that there is only one to pay at. Where the customer has
    finished at one, the words of then stand. In a demo the order is a job at once, and its status page is returned. The
    caller has checked what is typed.

    Raises:
        Closed: the order is a job already, or its payment is under way.
        TryAgain: the payment service does not answer; nothing was charged.
    """
    with shop.orders.changing(order.stream_id):
        now = shop.clock()
        current = still_open(shop, order)
        typed = current.typed or Typed()
        offered = current.model_copy(update={"offered": typed, "consents": consents(now)})
        if shop.payments is None:
            place_demo(shop, offered, typed)
            return status_path(offered)
        looked_at = _look_at_open_pages(shop, shop.payments, current, now)
        if any(session.status == "complete" for session in looked_at):
            raise Closed(f"the payment of {order.stream_id} is under way")  # the webhook is on its way
        shop.orders.save(offered)
        still_payable = (session.address for session in looked_at if session.status == "open")
        return next(still_payable, "") or _open(shop, shop.payments, offered, now)


def status_path(order: Order) -> str:
    """Where the customer sees how the order is doing, below the shop's address."""
    return f"/orders/{order.secret}"


def _look_at_open_pages(shop: Shop, payments: Payments, order: Order, now: datetime) -> list[CheckoutSession]:
    """The order's payment pages that we were not told the end of, as they are now; those that do not fit are closed."""
    return [
        payments.session(checkout.session_id)
        if _still_fits(shop, checkout, now)
        else payments.close_checkout(checkout.session_id)
        for checkout in order.checkouts
        if not checkout.ended
    ]


def _still_fits(shop: Shop, checkout: Checkout, now: datetime) -> bool:
    price = shop.settings.price
    at_that_price = (checkout.amount_minor, checkout.currency) == (price.amount_minor, price.currency)
    return at_that_price and checkout.expires_at - now > WORTH_REUSING


def _open(shop: Shop, payments: Payments, order: Order, now: datetime) -> str:
    watch(shop.home, now.timestamp())  # from now on somebody may have paid without our hearing of it
    price, public_url = shop.settings.price, shop.settings.public_url
    session = payments.open_checkout(
        CheckoutRequest(
            stream_id=order.stream_id,
            attempt=len(order.checkouts) + 1,
            price=price,
            customer_email=order.offered.email if order.offered else "",
            expires_at=now + OPEN_FOR,
            success_url=public_url + status_path(order),
            cancel_url=f"{public_url}/drafts/{order.secret}?cancelled=1",
        )
    )
    if not session.address:
        raise Misconfigured("the payment service opened a page without an address")
    opened = Checkout(
        session_id=session.session_id,
        address=session.address,
        amount_minor=price.amount_minor,
        currency=price.currency,
        opened_at=now,
        expires_at=session.expires_at,
    )
    shop.orders.save(order.model_copy(update={"checkouts": (*order.checkouts, opened), "changed_at": now}))
    shop.log.info("order.checkout_opened", stream=order.stream_id, session=session.session_id)
    return session.address
