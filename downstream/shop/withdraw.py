"""A customer takes the order back while nothing has been started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.errors import PersonDecides
from downstream.domain.job import Failure, What
from downstream.domain.state import State
from downstream.holds import is_restored
from downstream.job_file import StillWritten, Unreadable
from downstream.queue import Busy, NoSuchJob
from downstream.shop import errands
from downstream.shop.standing import is_begun
from downstream.workspace import Workspace

if TYPE_CHECKING:
    from downstream.domain.order import Order
    from downstream.shop.shop import Shop

REASON = "the customer withdrew before work was started"


class TooLate(PersonDecides):
    """Work has begun, or is over."""


def withdraw(shop: Shop, order: Order) -> None:
    """The order is given up, and its money is on the way back; pressed twice, it is done once.

    Raises:
        TooLate: work has begun, or is over.
    """
    stream_id = order.stream_id
    with shop.orders.changing(stream_id):
        try:
            claim = shop.queue.claim(stream_id, State.PENDING)
        except (NoSuchJob, Busy, StillWritten, Unreadable):
            raise TooLate(f"{stream_id} is being made, or is over") from None
        with claim:
            # What came out of a backup may have been begun, or delivered, since.
            if is_begun(Workspace(shop.home, stream_id)) or is_restored(shop.home, stream_id):
                raise TooLate(f"{stream_id} is begun")
            now = shop.clock()
            if order.paid is not None and order.paid.payment_intent and order.paid.amount_minor:
                # Before the move: the money must not be forgotten.
                errands.put(shop.home, stream_id, errands.REFUND, now)
            failure = Failure(kind="withdrawn", reason=REASON, step="shop", at=now)
            job = claim.job.evolve(failure=failure).noting(What.WITHDRAWN, at=now, who="customer")
            claim.advance(job, State.FAILED, at=now, who="customer", reason=REASON)
    shop.log.info("order.withdrawn", stream=stream_id)
