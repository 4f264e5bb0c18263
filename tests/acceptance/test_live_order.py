"""A paid order is made by the outside services, delivered and mailed, and the books agree with the services' bills."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
import requests
from fakes.replicate import failed
from fakes.services import Services
from fakes.vercel import FakeVercel
from live import CUSTOMER, STORY, Shop

from downstream.site.read import read_marker, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MADE = Counter({"text": 4, "keyframe": 6, "clip": 5})
"""Screening, plan and two judgements; the cast sheet and five keyframes; five clips."""


@pytest.fixture
def shop(home: Path) -> Iterator[Shop]:
    """A shop with every service up."""
    with Services() as services:
        yield Shop(home, services)
        assert services.violations == []
        assert services.replicate.delivery_authorizations == []
        assert services.vercel.visit_authorizations == []


def address_in(shop: Shop) -> str:
    """The page's address, as the customer's last letter has it."""
    body = shop.services.smtp.letters[-1].message.get_body(("plain",))
    assert body
    found = re.search(r"^http\S+$", body.get_content(), re.MULTILINE)
    assert found
    return found[0]


def visit(address: str) -> bytes:
    """What a stranger gets there."""
    answer = requests.get(address, timeout=60)
    assert answer.status_code == 200
    return answer.content


def completed(shop: Shop, *stream_ids: str) -> None:
    """Both stages run once, without a word, and the orders are completed."""
    for stage in ("process", "review"):
        ended = shop.run(stage)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [shop.where(stream_id) for stream_id in stream_ids] == ["completed"] * len(stream_ids)


def test_a_paid_order_is_made_delivered_and_mailed(shop: Shop) -> None:
    shop.order()

    completed(shop, "order-1")

    assert Counter(charge.what for charge in shop.services.bill) == MADE
    page = visit(address_in(shop))
    assert read_text(page) == STORY
    assert read_marker(page) == "order-1"
    (letter,) = shop.services.smtp.letters
    assert letter.recipients == (CUSTOMER,)


def test_the_books_agree_with_the_bill_to_the_micro_dollar(shop: Shop) -> None:
    shop.order()
    completed(shop, "order-1")

    billed = sum(charge.micro_dollars for charge in shop.services.bill)

    assert sum(line.get("cost_micros", 0) for line in shop.receipts()) == billed
    assert sum(line["micros"] for line in shop.ledger() if line["what"] == "settled") == billed
    reserved = {(line["call"], line["attempt"]) for line in shop.ledger() if line["what"] == "reserved"}
    assert reserved == {(line["call"], line["attempt"]) for line in shop.ledger() if line["what"] == "settled"}
    shown = shop.run("show", "order-1").stdout
    assert f"spent     ${billed / 1_000_000:.6f}".rstrip("0") in shown


def test_keyframes_are_shown_the_cast_and_the_one_before_and_judged_before_a_clip_is_bought(shop: Shop) -> None:
    shop.order()
    completed(shop, "order-1")

    pictures = [
        sum(1 for part in call.document["contents"][0]["parts"] if "inlineData" in part)
        for call in shop.services.gemini.calls
        if "IMAGE" in call.document["generationConfig"].get("responseModalities", [])
    ]
    assert pictures == [0, 1, 2, 2, 2, 2]
    judged = next(each.at for each in shop.services.gemini.calls if each.mentions("one still picture for each segment"))
    assert all(charge.at > judged for charge in shop.services.replicate.bill)


def test_running_again_buys_publishes_and_mails_nothing(shop: Shop) -> None:
    shop.order()
    completed(shop, "order-1")
    calls = len(shop.services.gemini.calls) + len(shop.services.replicate.calls) + len(shop.services.vercel.calls)

    assert [shop.run(stage).returncode for stage in ("process", "review")] == [3, 3]

    again = len(shop.services.gemini.calls) + len(shop.services.replicate.calls) + len(shop.services.vercel.calls)
    assert again == calls
    assert len(shop.services.smtp.letters) == 1


def test_orders_side_by_side_share_services_and_keep_their_books_apart(shop: Shop) -> None:
    for number in range(3):
        shop.order(f"order-{number}")

    completed(shop, "order-0", "order-1", "order-2")

    assert Counter(charge.what for charge in shop.services.bill) == Counter({key: 3 * n for key, n in MADE.items()})
    assert shop.services.replicate.most_at_once["models.predictions.create"] <= 16
    spent = {name: sum(line.get("cost_micros", 0) for line in shop.receipts(name)) for name in ("order-0", "order-2")}
    assert spent["order-0"] == spent["order-2"]


def test_a_story_is_kept_as_a_zip_of_its_page_beside_it(shop: Shop) -> None:
    shop.order()
    completed(shop, "order-1")
    address = address_in(shop)

    with ZipFile(io.BytesIO(visit(f"{address.rstrip('/')}/story.zip"))) as archive:
        assert archive.testzip() is None
        assert read_text(archive.read("index.html")) == STORY
        named = set(archive.namelist())
    assert "story.zip" in "".join(part.get_content() for part in shop.services.smtp.letters[0].message.iter_parts())
    assert {name.partition("/")[0] for name in named} >= {"index.html", "assets"}


def test_a_revision_keeps_its_address_and_undo_shows_the_version_before(shop: Shop) -> None:
    shop.order()
    completed(shop, "order-1")
    address = address_in(shop)
    first = visit(address)
    assert shop.run("review", "--regenerate", "order-1", "--segments", "2", "--note", "the lamp is out").returncode == 0

    completed(shop, "order-1")

    assert address_in(shop) == address
    assert visit(address) != first
    assert Counter(charge.what for charge in shop.services.bill) - MADE == Counter(
        {"keyframe": 1, "clip": 1, "text": 2}
    )
    assert any(call.mentions("the lamp is out") for call in shop.services.gemini.calls)
    assert len({letter.message["Message-ID"] for letter in shop.services.smtp.letters}) == 2

    undone = shop.run("undo", "order-1")

    assert (undone.returncode, undone.stderr) == (0, "")
    assert visit(address) == first
    assert len(shop.services.smtp.letters) == 2


def test_a_team_pays_for_the_hosting(home: Path) -> None:
    with Services(vercel=FakeVercel(team_id="team_planted")) as services:
        shop = Shop(home, services)
        shop.order()
        completed(shop, "order-1")
        assert services.violations == []


def test_changing_models_or_prices_in_the_middle_buys_nothing_again(shop: Shop) -> None:
    shop.order()
    shop.services.replicate.fail_next(failed("E9999 try later"))
    assert shop.run("process").returncode == 7
    (shop.home / "prices.toml").write_text(
        '[models]\nkeyframes = "gemini-3.1-flash-lite-image"\nplanner = "gemini-3.5-flash-lite"\n'
    )
    shop.put_off()

    completed(shop, "order-1")

    assert Counter(charge.what for charge in shop.services.bill) == MADE + Counter({"clip": 1})


def test_an_unpaid_order_spends_nothing_with_all_keys_at_hand(shop: Shop) -> None:
    shop.order()
    path = shop.home / "jobs" / "pending" / "order-1.json"
    path.write_text('{"stream_id": "order-1", "customer_email": "test@test.com"}')

    completed(shop, "order-1")

    assert shop.services.bill == []
    assert shop.services.smtp.letters == []
