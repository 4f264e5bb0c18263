"""What the shop knows of payments: plain records across the seam to the payment service."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - dataclasses name it
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue  # noqa: TC002

from downstream.domain.money import Money  # noqa: TC001


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """A payment page to open for one order."""

    stream_id: str
    attempt: int
    """1 for the first page of this order; part of the idempotency key, so the same attempt opens one page only."""
    price: Money
    customer_email: str
    expires_at: datetime
    """30 minutes to 24 hours from now."""
    success_url: str
    cancel_url: str


@dataclass(frozen=True, slots=True)
class CheckoutSession:
    """One payment page as the payment service has it."""

    session_id: str
    stream_id: str
    """The order it was opened for; empty when it is none of ours."""
    status: Literal["open", "complete", "expired"]
    is_paid: bool
    """The money is there, or none was asked (a voucher); a delayed method is complete long before it is paid."""
    amount: Money | None
    payment_intent: str
    """Empty while there is none, and when nothing had to be paid."""
    created_at: datetime
    expires_at: datetime
    address: str = ""
    """Where the customer pays; empty unless it is open."""
    customer_email: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment (Stripe's payment intent) as it stands now."""

    payment_intent: str
    stream_id: str
    succeeded: bool
    received: Money
    refunded_minor: int
    is_disputed: bool
    """The customer's bank has taken the money back, or is about to."""


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back."""

    refund_id: str
    amount: Money
    status: Literal["pending", "requires_action", "succeeded", "failed", "canceled"]
    created_at: datetime
    ours: bool = False
    """This program asked for it."""


class EventKind(StrEnum):
    """What the payment service tells us about; the values are Stripe's own names."""

    COMPLETED = "checkout.session.completed"
    ASYNC_SUCCEEDED = "checkout.session.async_payment_succeeded"
    ASYNC_FAILED = "checkout.session.async_payment_failed"
    EXPIRED = "checkout.session.expired"
    CHARGE_REFUNDED = "charge.refunded"
    REFUND_CREATED = "refund.created"
    REFUND_UPDATED = "refund.updated"
    REFUND_FAILED = "refund.failed"
    DISPUTE_CREATED = "charge.dispute.created"
    DISPUTE_CLOSED = "charge.dispute.closed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """One thing the payment service told us, signed by it."""

    event_id: str
    kind: EventKind
    at: datetime
    session: CheckoutSession | None = None
    """With events of a checkout session."""
    payment_intent: str = ""
    """With events of charges, refunds and disputes."""
    stream_id: str = ""
    """The order by the object's metadata, where it has any."""
    amount: Money | None = None
    """What was refunded or is disputed."""
    is_full: bool = False
    """The whole charge was refunded."""
    outcome: str = ""
    """The refund's or the dispute's status."""
    refund_id: str = ""
    by_us: bool = False
    """The refund was asked for by this program."""
    kept: Mapping[str, JsonValue] = field(default_factory=dict)
    """The event without card data, names and addresses: what is kept to be read again later."""


class Forged(Exception):  # noqa: N818 - a finding about a message, not an error of the program
    """A message that the payment service did not sign, signed too long ago, or that is none of its events."""
