"""order.json: what the shop keeps of one order, from the first words typed until it is forgotten."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from downstream.domain.job import StreamId  # noqa: TC001 - pydantic needs it at run time
from downstream.domain.money import Money
from downstream.domain.record import Record


class Agreement(StrEnum):
    """What a customer agrees to before an order is taken."""

    START_NOW = "start_now"
    """Work begins at once, and with it the right of withdrawal ends."""
    AI_IMAGES = "ai_images"
    """The pictures are made by AI."""
    RIGHTS = "rights"
    """The text is the customer's to hand in."""


class Typed(Record):
    """What stands in the order form, as it was typed: nothing here has been checked."""

    title: str = ""
    text: str = ""
    language: str = ""
    """BCP 47; empty: to be detected."""
    tone: str = ""
    style: str = ""
    colors: str = ""
    references: str = ""
    notes: str = ""
    email: str = ""
    agreed: tuple[str, ...] = Field(default=(), strict=False)
    """The ``Agreement`` values that are ticked."""


class Consent(Record):
    """One agreement: to which words, and when."""

    agreement: Agreement = Field(strict=False)
    wording_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}\z")]
    at: AwareDatetime


class Checkout(Record):
    """One payment page that was opened for the order."""

    session_id: str
    address: str
    amount_minor: int
    currency: str
    opened_at: AwareDatetime
    expires_at: AwareDatetime
    ended: Literal["", "expired", "failed", "pending", "paid"] = ""
    """``pending``: the customer has finished, and the bank has not (delayed payment methods)."""


class Paid(Record):
    """The payment that made a job of the order."""

    session_id: str
    payment_intent: str = ""
    amount_minor: int = 0
    currency: str = "eur"
    at: AwareDatetime
    found_by: str = "webhook"
    """``webhook``, ``reconcile`` or ``replay``."""

    @property
    def amount(self) -> Money:
        """What was paid."""
        return Money(self.currency, self.amount_minor)


class Order(Record):
    """One order as the shop sees it. New facts make a new record (``model_copy``)."""

    stream_id: StreamId
    secret: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{20,64}\z")]
    """Opens the customer's pages; the stream's id is a hash of it, so it cannot be had from the id."""
    created_at: AwareDatetime
    changed_at: AwareDatetime
    typed: Typed | None = None
    """What the form shows; None once the order is a job."""
    offered: Typed | None = None
    """What stood there when the customer last went to pay, checked: this is what a payment buys.

    Without its text once that lies in the input.json.
    """
    consents: tuple[Consent, ...] = Field(default=(), strict=False)
    checkouts: tuple[Checkout, ...] = Field(default=(), strict=False)
    paid: Paid | None = None
    ordered_at: AwareDatetime | None = None
    """When it became a job."""
    promised_by: AwareDatetime | None = None
    """When the customer was told to expect the page."""
