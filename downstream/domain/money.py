"""Amounts of money: integers in minor units, with their currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow

# Currencies whose minor unit is not a hundredth (ISO 4217; the same list Stripe treats as zero-decimal or
# three-decimal).
_NO_DECIMALS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])

# Decimals round in silence unless they are told not to.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])


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
        try:
            minor = _EXACT.scaleb(_EXACT.create_decimal(str(amount)), minor_digits(currency))
            return cls(currency, int(_EXACT.to_integral_exact(minor)))
        except (ArithmeticError, ValueError):
            raise ValueError(f"{amount} is not an amount in {currency}") from None

    def __str__(self) -> str:
        """``49.00 EUR``."""
        digits = minor_digits(self.currency)
        return f"{_EXACT.scaleb(Decimal(self.amount_minor), -digits):.{digits}f} {self.currency.upper()}"
