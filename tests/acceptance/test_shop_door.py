"""A customer comes in, pays, watches and reads: the real shop, Chromium, Stripe's page, cron's two commands."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests
from browser import answering
from fakes.services import Services
from fakes.stripe import FakeStripe
from live import CUSTOMER, STORY, Shop
from served import Served

from downstream.site.read import read_marker, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def shop(home: Path) -> Iterator[Shop]:
    with Services(stripe=FakeStripe()) as services:
        yield Shop(home, services)
        assert services.violations == []


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def door(shop: Shop) -> Iterator[Served]:
    """The shop's door, open, and known to the payment service."""
    port = free_port()
    shop.settings["PUBLIC_URL"] = f"http://127.0.0.1:{port}"
    stripe = shop.services.stripe
    assert stripe is not None
    stripe.webhook_url = f"http://127.0.0.1:{port}/stripe/webhook"
    served = Served(shop.home, shop.environment(), port).start()
    yield served
    assert served.stop() == 0
    assert served.said.count("\n") == 1, served.said


@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("script", ["with script", "without script"])
def test_from_the_form_to_the_finished_page(
    shop: Shop, door: Served, browsers: Callable[[], Browser], device: dict[str, Any], script: str
) -> None:
    browser = browsers()
    with answering(browser), browser.new_context(**device, java_script_enabled=script == "with script") as context:
        page = context.new_page()
        page.goto(shop.settings["PUBLIC_URL"])
        fill(page)
        page.get_by_label("Title").fill("")
        page.get_by_role("button", name="Go to payment").click()
        assert "title" in page.locator("#title-problem, [id^=title][class*=problem]").first.inner_text().lower()
        page.get_by_label("Title").fill("The harbour")
        page.get_by_role("button", name="Go to payment").click()

        page.wait_for_url(re.compile("/c/pay/cs_"))
        page.get_by_role("link", name="Back").click()
        assert page.get_by_label("Your text").input_value() == STORY
        page.get_by_role("button", name="Go to payment").click()
        page.wait_for_url(re.compile("/c/pay/cs_"))
        page.get_by_role("button", name="Pay", exact=True).click()

        page.wait_for_url(re.compile("/orders/"))
        status = page.url
        assert CUSTOMER not in page.content()
        said = [page.locator("main").inner_text()]
        for stage in ("process", "review"):
            ended = shop.run(stage)
            assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
            page.goto(status)
            said.append(page.locator("main").inner_text())
        assert len(set(said)) == 3
        with page.expect_navigation():
            page.get_by_role("link", name=re.compile("page|story", re.IGNORECASE)).first.click()
        address = page.url
    finished = requests.get(address, timeout=60).content
    (order,) = (path.stem for path in shop.home.glob("jobs/completed/*.json"))
    assert read_text(finished) == STORY
    assert read_marker(finished) == order
    subjects = [str(letter.message["Subject"]) for letter in shop.services.smtp.letters]
    assert subjects == ["We have your order: The harbour", "Your story is ready: The harbour"]


def fill(page: Page) -> None:
    """Everything a customer has to give."""
    page.get_by_label("Title").fill("The harbour")
    page.get_by_label("Your text").fill(STORY)
    page.get_by_label(re.compile("mail", re.IGNORECASE)).first.fill(CUSTOMER)
    for box in page.get_by_role("checkbox").all():
        box.check()
