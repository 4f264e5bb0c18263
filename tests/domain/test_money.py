"""Money: whole minor units of one currency, never rounded in silence."""

from __future__ import annotations

from decimal import Decimal

import pytest

from downstream.domain.money import Money, minor_digits


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (49, "eur", 4900),
        (49.5, "eur", 4950),
        (49.99, "eur", 4999),
        (19.99, "usd", 1999),
        (0.07, "eur", 7),
        (1.1, "eur", 110),
        (4.35, "eur", 435),
        (1005.55, "eur", 100555),
        (0, "eur", 0),
        (-0.0, "eur", 0),
        (-12.34, "eur", -1234),
        ("49.90", "eur", 4990),
        ("49.900", "eur", 4990),
        (Decimal("1e3"), "eur", 100_000),
        (4900, "jpy", 4900),
        (18_990, "huf", 1_899_000),
        (1.234, "kwd", 1234),
        (10**40, "eur", 10**42),
    ],
)
def test_a_major_amount_is_its_exact_minor_units(amount: float | str | Decimal, currency: str, minor: int) -> None:
    assert Money.from_major(amount, currency) == Money(currency, minor)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (49.999, "eur"),
        (0.1 + 0.2, "eur"),
        (0.5, "jpy"),
        (1.2345, "kwd"),
        (float("nan"), "eur"),
        (float("inf"), "eur"),
        (float("-inf"), "eur"),
        ("sNaN", "eur"),
        ("forty-nine", "eur"),
        ("", "eur"),
        ("1/2", "eur"),
        ("1e999999", "eur"),
        ("1e-999999", "eur"),
        ("1." + "0" * 70 + "1", "eur"),
    ],
)
def test_what_is_no_amount_of_the_currency_is_refused(amount: float | str, currency: str) -> None:
    with pytest.raises(ValueError, match="is not an amount in"):
        Money.from_major(amount, currency)


def test_every_cent_up_to_two_hundred_comes_out_as_it_went_in() -> None:
    for cents in range(20_001):
        assert Money.from_major(cents / 100, "eur").amount_minor == cents


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money("eur", 4900), "49.00 EUR"),
        (Money("eur", 7), "0.07 EUR"),
        (Money("eur", -1234), "-12.34 EUR"),
        (Money("jpy", 4900), "4900 JPY"),
        (Money("kwd", 1234), "1.234 KWD"),
        (Money("eur", 10**42 + 1), f"1{'0' * 40}.01 EUR"),
    ],
)
def test_money_reads_as_people_write_it(money: Money, text: str) -> None:
    assert str(money) == text


def test_currencies_have_their_own_number_of_digits() -> None:
    assert [minor_digits(currency) for currency in ("eur", "huf", "jpy", "krw", "bhd")] == [2, 2, 0, 0, 3]
