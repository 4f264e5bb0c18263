"""The status page, and taking an order back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from flask import jsonify, redirect, render_template, request, url_for

from downstream.shop.standing import Stage, standing
from downstream.shop.withdraw import TooLate, withdraw
from downstream.web.status import status_of

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from downstream.domain.order import Order
    from downstream.web.door import Door
    from downstream.web.status import Status


class StatusPages:
    """The pages of orders that were paid for, or are about to be."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._shop = door.shop

    def show(self, secret: str) -> AnyResponse | str:
        """``GET /orders/{secret}``: where the order stands; back to the form while it was never offered for payment."""
        order = self._door.order(secret)
        standing_now = standing(self._shop, order)
        if standing_now.stage is Stage.DRAFT and not order.checkouts:
            return redirect(url_for("draft", secret=secret), 303)
        return render_template(
            "status.html",
            status=self._status(order),
            secret=secret,
            is_late="late" in request.args,
            is_demo=standing_now.is_demo,
            is_free=standing_now.is_free,
        )

    def standing(self, secret: str) -> Response:
        """``GET /orders/{secret}/standing``: the same as JSON."""
        return jsonify(asdict(self._status(self._door.order(secret))))

    def withdraw(self, secret: str) -> AnyResponse:
        """``POST /orders/{secret}/withdraw``: the order is given up, or the page says that it is too late."""
        try:
            withdraw(self._shop, self._door.order(secret))
        except TooLate:
            return redirect(url_for("order", secret=secret, late=1), 303)
        self._door.after_change()
        return redirect(url_for("order", secret=secret), 303)

    def _status(self, order: Order) -> Status:
        return status_of(standing(self._shop, order), self._shop.clock(), self._shop.settings.timezone)
