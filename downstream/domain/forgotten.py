"""The proof that an order was forgotten: what was erased, and the little that is kept because tax law asks for it.

Nothing in it is personal: ids, amounts, moments and counts.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints

from downstream.domain.job import StreamId, What
from downstream.domain.record import Record

if TYPE_CHECKING:
    from downstream.domain.job import Job
    from downstream.domain.order import Paid

KEPT_YEARS = 10
"""Full calendar years after the payment's: the longest that records of sales are usually asked for in the EU."""


class Erased(Record):
    """How much of one kind there was."""

    files: int
    size_bytes: int


class KeptPayment(Record):
    """One payment, as the books need it."""

    amount_minor: int
    currency: Annotated[str, StringConstraints(pattern=r"^[a-z]{3}\z")]
    paid_at: AwareDatetime | None = None
    session_id: str = ""
    payment_intent: str = ""
    refunded_minor: int = 0
    refunded_at: AwareDatetime | None = None

    @classmethod
    def of(cls, job: Job | None, paid: Paid | None) -> Self | None:
        """What was paid by the shop's record, else by the job's; None when nothing was."""
        amount = paid.amount if paid else job.paid if job and job.is_paid else None
        if amount is None:
            return None
        refunds = [entry.at for entry in job.history if entry.what is What.REFUNDED] if job else []
        return cls(
            amount_minor=amount.amount_minor,
            currency=amount.currency,
            paid_at=(job.paid_at if job else None) or (paid.at if paid else None),
            session_id=paid.session_id if paid else "",
            payment_intent=paid.payment_intent if paid else "",
            refunded_minor=job.refunded_minor if job else 0,
            refunded_at=max(refunds, default=None),
        )

    def kept_until(self, forgotten_at: date) -> date:
        """The last day of the year in which it must still be there."""
        return date((self.paid_at or forgotten_at).year + KEPT_YEARS, 12, 31)


class Proof(Record):
    """``logs/forgotten/{stream_id}.json``. New facts make a new record (``model_copy``)."""

    stream_id: StreamId
    status: Literal["begun", "done"]
    command: str
    begun_at: AwareDatetime
    done_at: AwareDatetime | None = None
    erased: dict[str, Erased] = Field(default_factory=dict)
    """Kind of file to how much there was of it."""
    outside: dict[str, str] = Field(default_factory=dict)
    """Service to what became of what it had."""
    kept: tuple[KeptPayment, ...] = Field(default=(), strict=False)
    kept_until: date | None = Field(default=None, strict=False)
    kept_because: str = ""
    mentioned_in: tuple[str, ...] = Field(default=(), strict=False)
    """Files below ``logs/`` in which the address or the title was found all the same: there should be none."""
    files_searched: int = 0
    """How many files below ``logs/`` were read for that."""
