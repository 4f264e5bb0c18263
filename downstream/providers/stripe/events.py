"""Events: a signed message read, and read again from what was kept of it.

Signature: https://docs.stripe.com/webhooks/signature. Kinds: https://docs.stripe.com/api/events/types
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import stripe
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from downstream.domain.money import Money
from downstream.domain.payment import EventKind, Forged, PaymentEvent
from downstream.domain.record import explain
from downstream.providers.stripe.objects import (
    ChargeObject,
    DisputeObject,
    Moment,
    RefundObject,
    SessionObject,
    Thing,
    time_of,
)

if TYPE_CHECKING:
    from pydantic import JsonValue

TOLERANCE_SECONDS = 300
_KINDS = {kind.value: kind for kind in EventKind}
_OBJECTS: dict[EventKind, type[Thing]] = {
    EventKind.COMPLETED: SessionObject,
    EventKind.ASYNC_SUCCEEDED: SessionObject,
    EventKind.ASYNC_FAILED: SessionObject,
    EventKind.EXPIRED: SessionObject,
    EventKind.CHARGE_REFUNDED: ChargeObject,
    EventKind.REFUND_CREATED: RefundObject,
    EventKind.REFUND_UPDATED: RefundObject,
    EventKind.REFUND_FAILED: RefundObject,
    EventKind.DISPUTE_CREATED: DisputeObject,
    EventKind.DISPUTE_CLOSED: DisputeObject,
    EventKind.OTHER: Thing,
}


class _Data(BaseModel):
    model_config = ConfigDict(strict=True)

    object: dict[str, Any]


class _Event(BaseModel):
    """The envelope; the id is fit for a file name."""

    model_config = ConfigDict(strict=True)

    object: Literal["event"]
    id: Annotated[str, StringConstraints(pattern=r"^evt_[A-Za-z0-9_]{1,200}\z")]
    type: Annotated[str, StringConstraints(max_length=200)]
    created: Moment
    livemode: bool
    data: _Data

    @property
    def kind(self) -> EventKind:
        return _KINDS.get(self.type, EventKind.OTHER)


def read(body: bytes, signature: str, secret: str) -> PaymentEvent:
    """As ``Payments.read_event``."""
    _check_signature(body, signature, secret)
    try:
        event = _Event.model_validate_json(body)
        return _told(event, customer_email(event.data.object))
    except ValidationError as error:
        raise Forged(f"it is no event of Stripe's ({explain(error)})") from None


def recall(kept: Mapping[str, JsonValue]) -> PaymentEvent:
    """As ``Payments.recall_event``."""
    try:
        return _told(_Event.model_validate(kept), "")
    except ValidationError as error:
        raise Forged(f"what was kept is no event of Stripe's ({explain(error)})") from None


def _check_signature(body: bytes, signature: str, secret: str) -> None:
    """It was signed with our secret, within the tolerance. Stripe's own check lets the future pass."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, UnicodeError, TypeError):  # TypeError: a letter no signature has
        raise Forged("it is not signed by Stripe, or was signed too long ago") from None
    if _signed_at(signature) > time.time() + TOLERANCE_SECONDS:
        raise Forged("it was signed in the future")


def _signed_at(signature: str) -> int:
    """The time that was signed: the first one, as in Stripe's own check."""
    parts = (part.partition("=") for part in signature.split(","))
    return next(int(value) for name, _, value in parts if name == "t")


def _told(event: _Event, email: str) -> PaymentEvent:
    thing = _OBJECTS[event.kind].model_validate(event.data.object)
    facts: dict[str, Any] = {
        "event_id": event.id,
        "kind": event.kind,
        "at": time_of(event.created),
        "stream_id": thing.stream_id,
        "kept": _kept(event, thing),
    }
    match thing:
        case SessionObject():
            facts |= {"session": thing.session(customer_email=email)}
        case ChargeObject():
            amount = Money(thing.currency, thing.amount_refunded)
            facts |= {"payment_intent": thing.payment_intent, "amount": amount, "is_full": thing.refunded}
        case RefundObject():
            facts |= {"refund_id": thing.id, "by_us": thing.is_ours, **_moved(thing)}
        case DisputeObject():
            facts |= _moved(thing)
    return PaymentEvent(**facts)


def _moved(thing: RefundObject | DisputeObject) -> dict[str, Any]:
    amount = Money(thing.currency, thing.amount)
    return {"payment_intent": thing.payment_intent, "amount": amount, "outcome": thing.status or ""}


def _kept(event: _Event, thing: Thing) -> dict[str, JsonValue]:
    """The event without what its record does not name."""
    return {
        "object": event.object,
        "id": event.id,
        "type": event.type,
        "created": event.created,
        "livemode": event.livemode,
        "data": {"object": thing.model_dump()},
    }


def customer_email(thing: Mapping[str, Any]) -> str:
    """What the customer typed at Stripe, else what the page was opened with."""
    details = thing.get("customer_details")
    typed = details.get("email") if isinstance(details, Mapping) else None
    found = typed or thing.get("customer_email")
    return found if isinstance(found, str) else ""
