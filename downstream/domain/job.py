"""The job: the file that carries one order through the five folders."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic needs it at run time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, StringConstraints, model_validator

from downstream.domain.errors import LONGEST_PUT_OFF_SECONDS
from downstream.domain.money import Money
from downstream.domain.record import Record
from downstream.domain.state import State  # noqa: TC001 - pydantic needs it at run time

StreamId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,79}\z")]
"""A name that is one harmless path component and one DNS label's worth of characters."""

_EMAIL = re.compile(r"[^\s@<>,;:\"\\\x00-\x1f\x7f]+@[^\s@<>,;:\"\\\x00-\x1f\x7f]+\Z")


class What(StrEnum):
    """What a line of a job's history says happened."""

    MOVED = "moved"
    RECOVERED = "recovered"
    APPROVED = "approved"
    REGENERATE = "regenerate"
    REJECTED = "rejected"
    RETRIED = "retried"
    PUBLISHED = "published"
    VERIFIED = "verified"
    MAILED = "mailed"
    UNDONE = "undone"
    REFUNDED = "refunded"
    WITHDRAWN = "withdrawn"


class Entry(Record):
    """One line of a job's history: who did what, when, why, on what evidence."""

    at: AwareDatetime
    who: str
    what: What
    reason: str = ""
    source: State | None = None
    target: State | None = None
    evidence: dict[str, JsonValue] = Field(default_factory=dict)


GIVEN_UP = frozenset({"cancelled", "refunded", "withdrawn"})
"""Kinds of failure that somebody wanted: nobody waits for the page any more."""


class Failure(Record):
    """Why a job waits for a person."""

    kind: str
    """``person_decides``, ``refused``, ``recoveries``, ``rejected``, ``unexpected``, ``payment`` or in ``GIVEN_UP``."""
    reason: str
    step: str = ""
    at: AwareDatetime


def _check_email(address: str) -> str:
    if len(address) > 254 or not _EMAIL.match(address):
        raise ValueError("is not an e-mail address")
    return address


FORMAT = 1
"""Job files will say ``"format": N`` from the first change on that this version cannot carry; now they say nothing."""


class Job(Record):
    """One order. New facts make a new job (``evolve``); the folder it lies in is its state."""

    stream_id: StreamId
    customer_email: Annotated[str, AfterValidator(_check_email)]
    paid_amount: int | float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """In major units, as the order has it."""
    currency: Annotated[str, StringConstraints(pattern=r"^[a-z]{3}\z")] = "eur"
    paid_at: AwareDatetime | None = None
    input_path: str | None = None
    """Relative to the installation's root even with its leading slash; never outside ``streams/``."""
    live: bool = False
    """Asks for the outside services although nobody paid."""

    promised_by: AwareDatetime | None = None
    """When its customer was told to have the page; kept here for the order of service."""
    arrived_at: AwareDatetime | None = None
    """When the file was first seen, kept because later saves change the file's time."""
    not_before: AwareDatetime | None = None
    """The next try waits until then."""
    held_by: str = ""
    """The cap, quota or empty account that holds it up (``OnHold.fingerprint``)."""
    tries: int = Field(default=0, ge=0)
    """Passing faults in a row, nothing having been made between them; decides how long the next wait is."""
    outcomes: int = Field(default=0, ge=0)
    """How many outcomes its receipts had when it was put off last: with more of them, it has come on since."""
    recoveries: int = Field(default=0, ge=0)
    """How often a crash left this job in ``processing``."""
    redo: dict[str, int] = Field(default_factory=dict)
    """Step (``clips``) or one segment of it (``clips/03``) to how many times it was asked for again."""
    notes: dict[str, tuple[str, ...]] = Field(default_factory=dict, strict=False)
    """Segment id (``clips/03`` for its clip alone) to what was wrong with it; reaches the next prompt."""
    cleared: bool = False
    """A person has read the story and wants it produced, whatever the pre-screen found in it."""
    overruled: tuple[str, ...] = Field(default=(), strict=False)
    """What a judge was shown that a person wants as it is: the hashes of those calls' inputs, as in the receipts."""
    failure: Failure | None = None
    history: tuple[Entry, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _check_amount(self) -> Self:
        if self.paid_amount is not None:
            Money.from_major(self.paid_amount, self.currency)
        return self

    @property
    def paid(self) -> Money | None:
        """What the customer paid; None when no amount is known."""
        return None if self.paid_amount is None else Money.from_major(self.paid_amount, self.currency)

    @property
    def is_paid(self) -> bool:
        """Somebody paid for this: a zero amount with a payment date (a voucher) counts, a bare zero does not."""
        return self.paid_at is not None or bool(self.paid_amount)

    @property
    def needs_live(self) -> bool:
        """Only outside services may serve this job."""
        return self.is_paid or self.live

    @property
    def order_time(self) -> datetime:
        """First paid, first served; arrival where there is no payment date."""
        return self.paid_at or self.arrived_at or datetime.max.replace(tzinfo=UTC)

    def waits(self, now: datetime) -> bool:
        """Its next try is put off until later than ``now``, and not farther than anything is ever put off."""
        return self.not_before is not None and 0 < (self.not_before - now).total_seconds() <= LONGEST_PUT_OFF_SECONDS

    @property
    def approved(self) -> bool:
        """The stream, as it lies in ``review`` now, was approved: only delivering it is left."""
        for entry in reversed(self.history):
            if entry.what is What.APPROVED:
                return True
            if entry.what is What.MOVED:
                return False
        return False

    def take(self, step: str, segment_id: str = "") -> int:
        """Which take of a step (or of one segment of it) is wanted: 1, and one more for each time it was asked for."""
        keys = {step, f"{step}/{segment_id}"} if segment_id else {step}
        return 1 + sum(self.redo.get(key, 0) for key in keys)

    def regenerations(self, segment_id: str | None = None) -> int:
        """How many regenerations this order (or one of its segments) has had, without those a person asked for."""
        asked = [entry for entry in self.history if entry.what is What.REGENERATE and entry.who != "operator"]
        if segment_id is None:
            return len(asked)
        return sum(1 for entry in asked if segment_id in _segments(entry.evidence))

    @property
    def refunded_minor(self) -> int:
        """How much of the payment went back, in minor units: each entry tells the total so far."""
        noted = [entry.evidence.get("amount_minor", 0) for entry in self.history if entry.what is What.REFUNDED]
        return max((amount for amount in noted if isinstance(amount, int)), default=0)

    @property
    def is_given_back(self) -> bool:
        """The customer has all of the payment back, or never paid more than nothing."""
        return not self.is_paid or (self.paid is not None and self.refunded_minor >= self.paid.amount_minor)

    @property
    def is_settled(self) -> bool:
        """No money is owed for it: it was not paid for or all went back; or a voucher's order was given up."""
        is_voucher = self.is_paid and self.paid is not None and not self.paid.amount_minor
        return self.is_given_back and (not is_voucher or (self.failure is not None and self.failure.kind in GIVEN_UP))

    @property
    def is_delivered(self) -> bool:
        """Its customer was sent a page; what lies elsewhere than in ``completed`` is a revision of it."""
        return any(entry.what is What.MAILED for entry in self.history)

    def evolve(self, **changes: Any) -> Self:
        """This job with some fields changed."""
        return self.model_copy(update=changes)

    def noting(
        self,
        what: What,
        *,
        at: datetime,
        who: str,
        reason: str = "",
        evidence: Mapping[str, JsonValue] | None = None,
    ) -> Self:
        """This job with one more line of history."""
        entry = Entry(at=at, who=who, what=what, reason=reason, evidence=dict(evidence or {}))
        return self.evolve(history=(*self.history, entry))


def _segments(evidence: Mapping[str, JsonValue]) -> list[JsonValue]:
    segments = evidence.get("segments")
    return segments if isinstance(segments, list) else []
