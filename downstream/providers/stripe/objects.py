"""Stripe's objects, as far as the shop wants to know them; their members and values are Stripe's own.

What these records do not name (cards, names, addresses) is dropped as it is read.
Members: https://docs.stripe.com/api/checkout/sessions/object and its neighbours, API version 2026-10-28.endive.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from downstream.domain.money import Money
from downstream.domain.names import is_stream_id
from downstream.domain.payment import CheckoutSession, Payment, Refund

SOURCE = "downstream"
"""Our mark in the metadata: other products may be sold by the same account."""


def time_of(seconds: int) -> datetime:
    """The moment, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def marked(stream_id: str) -> dict[str, str]:
    """The metadata of everything that is made for this order."""
    return {"stream_id": stream_id, "source": SOURCE}


def _ours(metadata: Any) -> Any:
    """Our own names only."""
    given = metadata if isinstance(metadata, Mapping) else {}
    return {name: given[name] for name in ("stream_id", "source") if name in given}


def _id(thing: Any) -> Any:
    """The id, also of an object that was given whole."""
    if thing is None:
        return ""
    return thing.get("id") if isinstance(thing, Mapping) else thing


OwnId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,255}\z")]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{0,255}\z"), BeforeValidator(_id)]
"""Of another object; empty where there is none."""
Amount = Annotated[int, Field(ge=0)]
"""In the currency's smallest unit."""
Currency = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}\z")]
Moment = Annotated[int, Field(ge=0, le=253_402_300_799)]
"""Seconds since 1970, up to the last year that has four digits."""
Metadata = Annotated[dict[str, str], BeforeValidator(_ours)]


class Thing(BaseModel):
    """An object of any kind."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    object: str = ""
    id: str = ""
    metadata: Metadata = Field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """This program made it."""
        return self.metadata.get("source") == SOURCE

    @property
    def stream_id(self) -> str:
        """The order it was made for, empty when it is none of ours. Metadata can be edited there: it names no path."""
        named = self.metadata.get("stream_id", "") if self.is_ours else ""
        return named if is_stream_id(named) else ""


class SessionObject(Thing):
    """A checkout session."""

    object: Literal["checkout.session"]
    id: OwnId
    mode: Literal["payment", "setup", "subscription"]
    status: Literal["open", "complete", "expired"] | None = None
    payment_status: Literal["paid", "unpaid", "no_payment_required"]
    payment_intent: Id = ""
    amount_total: Amount | None = None
    currency: Currency | None = None
    client_reference_id: str | None = None
    created: Moment
    expires_at: Moment

    def session(self, address: str = "", customer_email: str = "") -> CheckoutSession:
        """As the shop sees it."""
        has_amount = self.amount_total is not None and self.currency is not None
        return CheckoutSession(
            session_id=self.id,
            stream_id=self.stream_id,
            status=self.status or "expired",
            is_paid=self.status == "complete" and self.payment_status != "unpaid",
            amount=Money(self.currency or "", self.amount_total or 0) if has_amount else None,
            payment_intent=self.payment_intent,
            created_at=time_of(self.created),
            expires_at=time_of(self.expires_at),
            address=address,
            customer_email=customer_email,
        )


class ChargeObject(Thing):
    """A charge: what a payment took."""

    object: Literal["charge"]
    id: OwnId
    amount: Amount
    amount_refunded: Amount
    refunded: bool
    disputed: bool = False
    currency: Currency
    payment_intent: Id = ""
    created: Moment


class IntentObject(Thing):
    """A payment intent with its charge."""

    object: Literal["payment_intent"]
    id: OwnId
    status: str
    amount_received: Amount = 0
    currency: Currency
    latest_charge: ChargeObject | None = None

    def payment(self) -> Payment:
        """As the shop sees it."""
        charge = self.latest_charge
        return Payment(
            payment_intent=self.id,
            stream_id=self.stream_id,
            succeeded=self.status == "succeeded",
            received=Money(self.currency, self.amount_received),
            refunded_minor=charge.amount_refunded if charge else 0,
            is_disputed=charge is not None and charge.disputed,
        )


class RefundObject(Thing):
    """Money given back."""

    object: Literal["refund"]
    id: OwnId
    amount: Amount
    currency: Currency
    charge: Id = ""
    payment_intent: Id = ""
    status: Literal["pending", "requires_action", "succeeded", "failed", "canceled"] | None = None
    reason: str | None = None
    created: Moment

    def refund(self) -> Refund:
        """As the shop sees it."""
        return Refund(
            refund_id=self.id,
            amount=Money(self.currency, self.amount),
            status=self.status or "pending",
            created_at=time_of(self.created),
            ours=self.is_ours,
        )


class DisputeObject(Thing):
    """A payment that the customer's bank takes back."""

    object: Literal["dispute"]
    id: OwnId
    amount: Amount
    currency: Currency
    charge: Id = ""
    payment_intent: Id = ""
    reason: str | None = None
    status: str
    created: Moment


class ListObject(Thing):
    """A page of a list, newest first."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    has_more: bool
