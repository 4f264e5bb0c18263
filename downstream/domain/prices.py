"""What outside services charge, and which of their models are used: the operator's price table.

Services charge fractions of a cent, so costs are whole numbers of millionths of a US dollar (micros).
"""

from __future__ import annotations

from datetime import date  # noqa: TC003 - pydantic needs it at run time
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from pydantic import Field, StringConstraints

from downstream.domain.errors import Misconfigured, OnHold
from downstream.domain.money import Money, minor_digits
from downstream.domain.record import Record

MICROS_PER_DOLLAR = 1_000_000
MICROS_PER_CENT = MICROS_PER_DOLLAR // 100

Dollars = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?\z")]
"""An amount written as text, so that no digit is lost."""


class Models(Record):
    """Which model does what."""

    planner: str
    screener: str
    judge: str
    keyframes: str
    clips: str
    claude: str


class TokenPrices(Record):
    """Dollars for a million tokens. Thoughts are charged as output."""

    input: Dollars
    output: Dollars
    image_output: Dollars = "0"
    image_tokens: int = 0
    """Tokens of one picture of the size that is asked for."""


class Prices(Record):
    """The price table: dated, in dollars."""

    as_of: date = Field(strict=False)
    models: Models
    tokens: dict[str, TokenPrices]
    """Model to its prices."""
    clips: dict[str, dict[str, Dollars]]
    """Model to ``768p 6`` (resolution and seconds) to the price of one clip."""
    claude_per_call: Dollars
    """The most one run of the ``claude`` command may spend."""
    dollars_per: dict[str, Dollars]
    """Currency (ISO 4217, lower case) to what one major unit of it is worth."""

    def tokens_of(self, model: str) -> TokenPrices:
        """The prices of a model that is charged by tokens.

        Raises:
            Misconfigured: the table does not have it.
        """
        if model not in self.tokens:
            raise Misconfigured(f'prices.toml has no price for the model {model}: add [tokens."{model}"]')
        return self.tokens[model]

    def clip_micros(self, model: str, resolution: str, seconds: int) -> int:
        """What one clip costs.

        Raises:
            Misconfigured: the table does not have it.
        """
        price = self.clips.get(model, {}).get(f"{resolution} {seconds}")
        if price is None:
            raise Misconfigured(f'prices.toml has no price "{resolution} {seconds}" below [clips."{model}"]')
        return micros(price)

    def in_micros(self, paid: Money) -> int:
        """What a customer's payment is worth.

        Raises:
            OnHold: the table has no rate for its currency.
        """
        rate = self.dollars_per.get(paid.currency)
        if rate is None:
            raise OnHold(
                f"prices.toml has no rate for {paid.currency}: add it to [dollars_per]",
                fingerprint=f"prices.{paid.currency}",
                wait_seconds=3600.0,
            )
        major = Decimal(paid.amount_minor).scaleb(-minor_digits(paid.currency))
        return int(major * Decimal(rate) * MICROS_PER_DOLLAR)


def micros(dollars: str) -> int:
    """``0.0336`` dollars as 33,600."""
    return _whole(Decimal(dollars) * MICROS_PER_DOLLAR)


def tokens_micros(tokens: int, dollars_per_million: str) -> int:
    """What that many tokens cost, rounded up: a dollar for a million tokens is a micro for each."""
    return _whole(tokens * Decimal(dollars_per_million))


def show_dollars(cost_micros: int) -> str:
    """``$0.0336``: cents at least, and no digit of what is less is dropped."""
    amount = (Decimal(cost_micros) / MICROS_PER_DOLLAR).normalize()
    digits = max(2, -int(amount.as_tuple().exponent))
    return f"${amount:.{digits}f}"


def _whole(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_CEILING))
