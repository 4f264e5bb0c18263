"""Whenever an order is held, no further paid call is made for it; let go, nothing is bought twice."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from fakes.services import Services
from live import Shop

from downstream.holds import DISPUTED, REFUNDED, Hold, hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.service import Call

MADE = Counter({"text": 4, "keyframe": 6, "clip": 5})


@pytest.fixture
def shop(home: Path) -> Iterator[Shop]:
    with Services() as services:
        yield Shop(home, services)
        assert services.violations == []


def hold_at(shop: Shop, number: int, kind: str) -> None:
    """The order is held while the service works on paid call ``number``."""
    seen = 0

    def listen(moment: str, _: Call) -> None:
        nonlocal seen
        if moment == "accepted" and len(shop.services.bill) >= number and not seen:
            seen = len(shop.services.bill)
            hold(shop.home, Hold("order-1", kind, "the bank wants it back", datetime.now(UTC).isoformat()))

    shop.services.gemini.on_request(listen)
    shop.services.replicate.on_request(listen)


@pytest.mark.parametrize("number", [1, 3, 8, 10])
def test_held_at_any_call_nothing_more_is_bought_and_nothing_twice(shop: Shop, number: int) -> None:
    shop.order()
    hold_at(shop, number, DISPUTED)

    ended = shop.run("process", CALLS_AT_ONCE="1")

    bought = len(shop.services.bill)
    assert number <= bought <= number + 1  # the one that was under way when the hold came
    assert shop.where() == "pending"
    assert ended.returncode in {3, 7}
    assert shop.run("process").returncode == 3
    assert len(shop.services.bill) == bought

    assert "order-1 goes on" in shop.run("release", "order-1").stdout
    assert [shop.run(stage).returncode for stage in ("process", "review")] == [0, 0]
    assert shop.where() == "completed"
    assert Counter(charge.what for charge in shop.services.bill) == MADE
    assert len(shop.services.smtp.letters) == 1


def test_held_in_review_nothing_is_published(shop: Shop) -> None:
    shop.order()
    assert shop.run("process").returncode == 0
    assert shop.run("hold", "order-1").returncode == 0

    assert shop.run("review").returncode in {0, 3, 7}

    assert shop.where() == "review"
    assert shop.services.vercel.deployments == {}
    assert shop.services.smtp.letters == []
    by_hand = shop.run("review", "--approve", "order-1")
    assert by_hand.returncode == 7
    assert "order-1 is held" in by_hand.stderr
    assert shop.services.smtp.letters == []


def test_refunded_while_it_is_made_it_is_given_up_and_never_made_again(shop: Shop) -> None:
    shop.order()
    hold_at(shop, 3, REFUNDED)
    shop.run("process", CALLS_AT_ONCE="1")
    bought = len(shop.services.bill)

    ended = shop.run("process")

    assert "order-1 failed: the bank wants it back" in ended.stderr
    assert shop.where() == "failed"
    assert shop.run("retry", "order-1").returncode == 7
    assert len(shop.services.bill) == bought <= 4
