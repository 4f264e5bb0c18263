"""What is typed into the order form, kept until it is paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides
from downstream.shop.orders import MOST_DRAFTS, TooManyDrafts

if TYPE_CHECKING:
    from downstream.domain.order import Order, Typed
    from downstream.shop.shop import Shop


class Closed(PersonDecides):
    """The order is a job already, or its payment is under way: its words stand."""


def begin(shop: Shop, typed: Typed) -> Order:
    """A new draft is on the disk; when there is no room for it the operator was told.

    Raises:
        TooManyDrafts: there are too many already.
    """
    try:
        return shop.orders.begin(typed, shop.clock())
    except TooManyDrafts:
        shop.tell(
            "drafts_full",
            f"the shop is closed to new customers: it holds {MOST_DRAFTS:,} drafts, and takes no more. Is somebody "
            "filling the form by program? See: downstream doctor",
        )
        raise


def keep(shop: Shop, order: Order, typed: Typed) -> Order:
    """What was typed is on the disk.

    Raises:
        Closed: the order is a job already, or its payment is under way.
    """
    with shop.orders.changing(order.stream_id):
        now = shop.clock()
        kept = still_open(shop, order).model_copy(update={"typed": typed, "changed_at": now})
        shop.orders.save(kept)
        return kept


def still_open(shop: Shop, order: Order) -> Order:
    """The order as it is on the disk now, to be changed by who is ``changing`` it.

    Raises:
        Closed: it is a job already, its payment is under way, or it was given up.
    """
    current = shop.orders.read(order.stream_id)
    if current is None or current.ordered_at is not None:
        raise Closed(f"{order.stream_id} is ordered already")
    if any(checkout.ended == "pending" for checkout in current.checkouts):
        raise Closed(f"the payment of {order.stream_id} is under way")
    return current
