"""Payments by Stripe Checkout (``Payments``): https://docs.stripe.com/payments/checkout"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from downstream.domain.errors import PersonDecides, Unknown
from downstream.domain.payment import EventKind, Forged
from downstream.domain.record import explain
from downstream.providers.stripe import events
from downstream.providers.stripe.objects import IntentObject, ListObject, RefundObject, SessionObject, Thing, marked
from downstream.providers.stripe.wire import NoAnswer, NotTaken, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    import stripe
    from pydantic import JsonValue

    from downstream.domain.payment import CheckoutRequest, CheckoutSession, Payment, PaymentEvent, Refund
    from downstream.domain.ports import Gate

PRODUCT_NAME = "A moving page of your story"
PAGE_OF_A_LIST = 100
MONEY_KINDS = [
    EventKind.CHARGE_REFUNDED.value,
    EventKind.REFUND_CREATED.value,
    EventKind.REFUND_UPDATED.value,
    EventKind.REFUND_FAILED.value,
    EventKind.DISPUTE_CREATED.value,
    EventKind.DISPUTE_CLOSED.value,
]
_WHY_NOT = {
    "charge_already_refunded": "all of this payment was given back before",
    "charge_disputed": "this payment is disputed: the customer's bank decides, and nothing can be given back",
    "refund_disputed_payment": "this payment is disputed: the customer's bank decides, and nothing can be given back",
}
"""Stripe's codes for a refund that cannot be: https://docs.stripe.com/error-codes"""

Object = TypeVar("Object", bound=Thing)


class StripePayments:
    """Takes money by hosted payment pages and gives it back; threads may share it."""

    name = "stripe"

    def __init__(self, api_key: str, base_url: str, webhook_secret: str, gate: Gate) -> None:
        self._wire = Wire(api_key, base_url, gate)
        self._mode = "live mode" if "_live_" in api_key else "test mode"
        self._webhook_secret = webhook_secret

    def open_checkout(self, request: CheckoutRequest) -> CheckoutSession:
        """As ``Payments.open_checkout``; the same request opens one page only, a changed one another."""
        parameters = checkout_parameters(request)
        return _session(
            self._wire.change(
                lambda api, key: api.checkout.sessions.create(parameters, {"idempotency_key": key}),
                _checkout_key(request, parameters),
            )
        )

    def close_checkout(self, session_id: str) -> CheckoutSession:
        """As ``Payments.close_checkout``."""
        try:
            return _session(
                self._wire.change(
                    lambda api, key: api.checkout.sessions.expire(_named(session_id), None, {"idempotency_key": key}),
                    f"close-{session_id}",
                )
            )
        except NotTaken:
            found = self.session(session_id)
            if found.status == "open":
                raise
            return found  # it was complete or expired before

    def session(self, session_id: str) -> CheckoutSession:
        """As ``Payments.session``."""
        return _session(self._wire.look(lambda api: api.checkout.sessions.retrieve(_named(session_id))))

    def completed_sessions(self, since: datetime) -> Iterator[CheckoutSession]:
        """As ``Payments.completed_sessions``."""
        query: dict[str, Any] = {"status": "complete", "created": {"gte": int(since.timestamp())}}
        return (_session(each) for each in self._all(lambda api: api.checkout.sessions, query))

    def money_events(self, since: datetime) -> Iterator[PaymentEvent]:
        """As ``Payments.money_events``; Stripe keeps events for 30 days."""
        query = {"types": MONEY_KINDS, "created": {"gte": int(since.timestamp())}}
        newest_first = list(self._all(lambda api: api.events, query))
        return (_event(each) for each in reversed(newest_first))

    def payment(self, payment_intent: str) -> Payment:
        """As ``Payments.payment``."""
        found = self._wire.look(
            lambda api: api.payment_intents.retrieve(_named(payment_intent), {"expand": ["latest_charge"]})
        )
        return _read(IntentObject, found).payment()

    def refunds(self, payment_intent: str) -> tuple[Refund, ...]:
        """As ``Payments.refunds``."""
        found = self._all(lambda api: api.refunds, {"payment_intent": _named(payment_intent)})
        newest_first = [_read(RefundObject, each).refund() for each in found]
        return tuple(reversed(newest_first))

    def refund(self, payment_intent: str, stream_id: str, key: str) -> Refund:
        """As ``Payments.refund``."""
        try:
            parameters: Any = {"payment_intent": _named(payment_intent), "metadata": marked(stream_id)}
            made = self._wire.change(lambda api, key: api.refunds.create(parameters, {"idempotency_key": key}), key)
            return _read(RefundObject, made).refund()
        except NoAnswer as error:
            raise Unknown(f"{error}: whether the money was given back is not known") from None
        except NotTaken as error:
            raise PersonDecides(_WHY_NOT.get(error.code, str(error))) from None

    def read_event(self, body: bytes, signature: str) -> PaymentEvent:
        """As ``Payments.read_event``."""
        return events.read(body, signature, self._webhook_secret)

    def recall_event(self, kept: Mapping[str, JsonValue]) -> PaymentEvent:
        """As ``Payments.recall_event``."""
        return events.recall(kept)

    def check(self) -> str:
        """As ``Payments.check``."""
        _read(ListObject, self._wire.look(lambda api: api.checkout.sessions.list({"limit": 1})))
        return self._mode

    def _all(self, lists: Callable[[stripe.V1Services], Any], query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Everything in a list, newest first; a page of it is fetched when it is wanted."""
        page = _page(self._wire, lists, query)
        while page.data:
            yield from page.data
            if not page.has_more:
                return
            page = _page(self._wire, lists, {**query, "starting_after": page.data[-1].get("id", "")})


def _page(wire: Wire, lists: Callable[[stripe.V1Services], Any], query: Mapping[str, Any]) -> ListObject:
    return _read(ListObject, wire.look(lambda api: lists(api).list({**query, "limit": PAGE_OF_A_LIST})))


def checkout_parameters(request: CheckoutRequest) -> Any:
    """The payment page as Stripe is asked for it."""
    ours = marked(request.stream_id)
    return {
        "mode": "payment",
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": request.price.currency,
                    "unit_amount": request.price.amount_minor,
                    "product_data": {"name": PRODUCT_NAME},
                },
            }
        ],
        "client_reference_id": request.stream_id,
        "customer_email": request.customer_email,
        "metadata": ours,
        "payment_intent_data": {"metadata": ours},  # a session's own is not copied to its payment
        "expires_at": int(request.expires_at.timestamp()),
        "success_url": request.success_url,
        "cancel_url": request.cancel_url,
    }


def _checkout_key(request: CheckoutRequest, parameters: object) -> str:
    """Says what is asked for too, because Stripe refuses a key that comes with other parameters than before."""
    told = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
    return f"checkout-{request.stream_id}-{request.attempt}-{told[:16]}"


def _named(thing_id: str) -> str:
    """The id, which may come from a customer's address bar; an empty one would name all things there are."""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,255}", thing_id):
        raise NotTaken("that is no id of Stripe's", "resource_missing")
    return thing_id


def _session(found: Mapping[str, Any]) -> CheckoutSession:
    return _read(SessionObject, found).session(found.get("url") or "", events.customer_email(found))


def _read(kind: type[Object], found: Mapping[str, Any]) -> Object:
    """Stripe's object as ours. Raises ``NoAnswer`` where it is none."""
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise NoAnswer(f"Stripe's answer is not as documented ({explain(error)})") from None


def _event(found: Mapping[str, Any]) -> PaymentEvent:
    try:
        return events.recall(found)
    except Forged as error:
        raise NoAnswer(f"Stripe's answer is not as documented: {error}") from None
