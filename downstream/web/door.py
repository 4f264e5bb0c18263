"""What every page of the shop is handed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import abort

from downstream.web.guards import Doing, Visitors

if TYPE_CHECKING:
    from collections.abc import Callable

    from downstream.domain.order import Order
    from downstream.shop.shop import Shop


@dataclass(frozen=True)
class Door:
    """The shop as visitors meet it."""

    shop: Shop
    after_change: Callable[[], None]
    """Called when there may be letters to send."""
    visitors: Visitors = field(default_factory=Visitors)

    def find(self, secret: str) -> Order | None:
        """The order that ``secret`` opens. Asking for what there is not is counted.

        Raises:
            TooManyRequests: the visitor has guessed too often; whether it would be right this time is not told.
        """
        self.visitors.check(Doing.GUESS)
        order = self.shop.orders.find(secret)
        if order is None:
            self.visitors.count(Doing.GUESS)
        return order

    def order(self, secret: str) -> Order:
        """The order that ``secret`` opens.

        Raises:
            NotFound: there is none, whatever is wrong with the secret.
            TooManyRequests: as ``find``.
        """
        return self.find(secret) or abort(404)
