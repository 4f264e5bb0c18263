"""What a customer agrees to, word for word; what was agreed is kept as a hash of these words."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from downstream.domain.order import Agreement, Consent

if TYPE_CHECKING:
    from datetime import datetime

WORDINGS = {
    Agreement.START_NOW: (
        "Please start on my order at once. I know that I can withdraw from it until work has started, and that my "
        "right of withdrawal ends when the page is delivered in full."
    ),
    Agreement.AI_IMAGES: (
        "I know that the pictures and moving scenes are made by artificial intelligence, that they are marked so, and "
        "that my text is sent to the services that make them."
    ),
    Agreement.RIGHTS: (
        "The text is mine, or I have the right to have it made into a page, and it does not hurt anybody else's rights."
    ),
}
"""A change of wording changes the hash that later orders keep; the words of every edition are in the history of this
file."""


def wording_sha256(agreement: Agreement) -> str:
    """Which edition of the wording this is, in hex."""
    return hashlib.sha256(WORDINGS[agreement].encode()).hexdigest()


def consents(at: datetime) -> tuple[Consent, ...]:
    """All agreements, given now."""
    return tuple(Consent(agreement=one, wording_sha256=wording_sha256(one), at=at) for one in Agreement)
