"""The price table: whole micros, nothing rounded away, and an operator's own figures above the package's."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from downstream.domain.errors import Misconfigured, OnHold
from downstream.domain.money import Money
from downstream.domain.prices import micros, show_dollars, tokens_micros
from downstream.prices import read_prices
from downstream.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def own(home: Path, text: str) -> None:
    """The installation has a table of its own."""
    (home / "prices.toml").write_text(text, "utf-8")


# --- amounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dollars", "expected"), [("0", 0), ("0.19", 190_000), ("0.0336", 33_600), ("1", 1_000_000), ("0.000001", 1)]
)
def test_dollars_are_whole_micros(dollars: str, expected: int) -> None:
    assert micros(dollars) == expected


@pytest.mark.parametrize(
    ("tokens", "per_million", "expected"), [(0, "30", 0), (1120, "30", 33_600), (1, "0.3", 1), (10, "0.25", 3)]
)
def test_what_tokens_cost_is_rounded_up_to_a_micro(tokens: int, per_million: str, expected: int) -> None:
    assert tokens_micros(tokens, per_million) == expected


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (33_600, "$0.0336"),
        (190_000, "$0.19"),
        (200_000, "$0.20"),
        (10_000_000, "$10.00"),
        (1_234_567_890, "$1234.56789"),
    ],
)
def test_dollars_are_shown_with_cents_at_least_and_every_digit_there_is(amount: int, shown: str) -> None:
    assert show_dollars(amount) == shown


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_packages_table_has_a_price_for_every_model_it_names(home: Path) -> None:
    prices = read_prices(home)

    for model in (prices.models.planner, prices.models.screener, prices.models.judge, prices.models.keyframes):
        assert micros(prices.tokens_of(model).input) > 0
        assert micros(prices.tokens_of(model).output) > 0
    assert prices.tokens_of(prices.models.keyframes).image_tokens > 0
    assert prices.clip_micros(prices.models.clips, Settings().clip_resolution, 6) == 190_000
    assert prices.clip_micros(prices.models.clips, "1080p", 6) == 330_000
    assert prices.models.judge != prices.models.planner


def test_a_picture_costs_what_the_service_says(home: Path) -> None:
    prices = read_prices(home)
    tokens = prices.tokens_of("gemini-nano-banana-2.1")

    assert tokens_micros(tokens.image_tokens, tokens.image_output) == micros("0.0336")


def test_what_the_operator_wrote_stands_above_the_package_and_the_rest_stays(home: Path) -> None:
    own(
        home,
        """
as_of = "2027-01-01"
[models]
clips = "minimax/hailuo-2.3"
[tokens."gemini-3.8-flash"]
input = "0.80"
[clips."minimax/hailuo-2.3"]
"768p 6" = "0.30"
[dollars_per]
sek = "0.09"
""",
    )

    prices = read_prices(home)

    assert str(prices.as_of) == "2027-01-01"
    assert prices.models.clips == "minimax/hailuo-2.3"
    assert prices.models.planner == "gemini-3.8-flash"
    assert (prices.tokens_of("gemini-3.8-flash").input, prices.tokens_of("gemini-3.8-flash").output) == ("0.80", "3.75")
    assert prices.clip_micros("minimax/hailuo-2.3", "768p", 6) == 300_000
    assert prices.clip_micros("minimax/hailuo-2.3", "768p", 10) == 560_000
    assert prices.in_micros(Money("sek", 10_000)) == 9_000_000
    assert prices.in_micros(Money("usd", 100)) == 1_000_000


def test_a_copy_of_the_packages_table_changes_nothing(home: Path) -> None:
    before = read_prices(home)

    own(home, files("downstream").joinpath("prices.toml").read_text("utf-8"))

    assert read_prices(home) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("as_of = ", "prices.toml: "),
        ("[models]\nplanner = 3\n", "prices.toml: models.planner"),
        ("claude_per_call = 0.5\n", "prices.toml: claude_per_call"),
        ('claude_per_call = "-1"\n', "prices.toml: claude_per_call"),
        ('claude_per_call = "1e3"\n', "prices.toml: claude_per_call"),
        ('claude_per_call = "0.0000001"\n', "prices.toml: claude_per_call"),
        ('[tokens.new]\ninput = "1"\n', "prices.toml: tokens.new.output"),
        ('models = "all"\n', "prices.toml: models"),
        ('as_of = "soon"\n', "prices.toml: as_of"),
    ],
)
def test_a_table_that_is_none_is_refused_by_the_place_that_is_wrong(home: Path, text: str, told: str) -> None:
    own(home, text)

    with pytest.raises(Misconfigured) as caught:
        read_prices(home)

    assert str(caught.value).startswith(told)


def test_a_table_that_is_not_text_is_refused(home: Path) -> None:
    (home / "prices.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(Misconfigured, match=r"^prices\.toml: "):
        read_prices(home)


def test_what_the_table_lacks_is_asked_for_by_its_place(home: Path) -> None:
    prices = read_prices(home)

    with pytest.raises(Misconfigured, match=r'no price for the model gemini-9: add \[tokens."gemini-9"\]'):
        prices.tokens_of("gemini-9")
    with pytest.raises(Misconfigured, match=r'no price "768p 7" below \[clips."minimax/hailuo-2.3-fast"\]'):
        prices.clip_micros("minimax/hailuo-2.3-fast", "768p", 7)
    with pytest.raises(Misconfigured, match="no price"):
        prices.clip_micros("minimax/hailuo-9", "768p", 6)
    with pytest.raises(OnHold, match=r"no rate for sek: add it to \[dollars_per\]"):
        prices.in_micros(Money("sek", 1))


@pytest.mark.parametrize(
    ("currency", "minor", "expected"),
    [("usd", 4900, 49_000_000), ("eur", 4900, 51_450_000), ("huf", 1_999_000, 51_974_000), ("eur", 0, 0)],
)
def test_a_payment_is_worth_its_rate(home: Path, currency: str, minor: int, expected: int) -> None:
    assert read_prices(home).in_micros(Money(currency, minor)) == expected


def test_a_currency_without_cents_is_counted_in_its_own_units(home: Path) -> None:
    own(home, '[dollars_per]\njpy = "0.0066"\n')

    assert read_prices(home).in_micros(Money("jpy", 5000)) == 33_000_000


def test_the_table_is_toml_that_anybody_can_read() -> None:
    table = tomllib.loads(files("downstream").joinpath("prices.toml").read_text("utf-8"))

    assert {"as_of", "models", "tokens", "clips", "dollars_per", "claude_per_call"} == set(table)
