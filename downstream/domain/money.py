"""Amounts of money: integers in minor units, with their currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

# Currencies whose minor unit is not a hundredth (ISO 4217; the same list Stripe treats as zero-decimal or
# three-decimal).
_NO_DECIMALS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def minor_digits(currency: str) -> int:
    """How many decimal digits ``currency`` (ISO 4217, lower case) has."""
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """``amount_minor`` cents (or the currency's own smallest unit) of ``currency``."""

    currency: str
    amount_minor: int

    @classmethod
    def from_major(cls, amount: float | str | Decimal, currency: str) -> Money:
        """``49`` or ``49.5`` euros as minor units.

        Raises:
            ValueError: the amount is not a finite number or has more digits than the currency.
        """
        minor = Decimal(str(amount)).scaleb(minor_digits(currency))
        if not minor.is_finite() or minor != minor.to_integral_value():
            raise ValueError(f"{amount} is not an amount in {currency}")
        return cls(currency, int(minor))

    def __str__(self) -> str:
        """``49.00 EUR``."""
        digits = minor_digits(self.currency)
        return f"{Decimal(self.amount_minor).scaleb(-digits):.{digits}f} {self.currency.upper()}"
