"""The shop door with a Stripe and a mail server behind it; nothing is served over HTTP here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from fakes.smtp import FakeSmtp
from fakes.stripe import FakeStripe
from fakes.stripe_webhooks import encoded
from live import STORY

from downstream.domain.order import Agreement, Order, Typed
from downstream.log import open_log
from downstream.settings import read_settings
from downstream.shop.checkout import go_to_pay
from downstream.shop.events import receive
from downstream.suppliers import open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from downstream.shop.shop import Shop

EMAIL = "reader.of.tales@customer.example"


def typed(**changes: Any) -> Typed:
    """A form filled in well."""
    words = {"title": "The harbour", "text": STORY, "language": "en", "email": EMAIL, "tone": "calm, dark"}
    return Typed(**{**words, "agreed": tuple(Agreement), **changes})


@dataclass
class Counter:
    """A shop, the services behind it, and what its operator was told."""

    home: Path
    shop: Shop
    stripe: FakeStripe
    smtp: FakeSmtp
    told: list[str] = field(default_factory=list)

    def draft(self, **changes: Any) -> Order:
        """A draft that somebody filled in."""
        return self.shop.orders.begin(typed(**changes), self.shop.clock())

    def at_checkout(self, **changes: Any) -> tuple[Order, str]:
        """An order whose customer was sent to pay, and the payment page's id."""
        order = self.draft(**changes)
        go_to_pay(self.shop, order)
        order = self.order(order)
        return order, order.checkouts[-1].session_id

    def order(self, order: Order) -> Order:
        """The order as it is on the disk now."""
        found = self.shop.orders.read(order.stream_id)
        assert found is not None
        return found

    def tell(self, event: dict[str, Any]) -> None:
        """The payment service tells the shop."""
        body = encoded(event)
        receive(self.shop, body, self.stripe.sign(body))

    def tell_all(self) -> None:
        """Everything that happened at the payment service is told, in order."""
        for event in list(self.stripe.events):
            self.tell(event)

    def jobs(self) -> dict[str, list[str]]:
        """The stream ids in each folder that is not empty."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.home.glob("jobs/[a-z]*/*.json")):
            found.setdefault(path.parent.name, []).append(path.stem)
        return found

    def job(self, stream_id: str) -> dict[str, Any]:
        """The job, wherever it lies."""
        (path,) = self.home.glob(f"jobs/[a-z]*/{stream_id}.json")
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document


@pytest.fixture
def counter(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    with FakeStripe() as stripe, FakeSmtp() as smtp:
        monkeypatch.setenv("SSL_CERT_FILE", str(smtp.authority))
        environment = {
            "STRIPE_API_KEY": stripe.key,
            "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
            "STRIPE_BASE_URL": stripe.base_url,
            "PUBLIC_URL": "https://stories.example",
            "SMTP_URL": smtp.url,
            "MAIL_FROM": "DownStream <stories@shop.example>",
            "TIMEZONE": "UTC",
        }
        told: list[str] = []
        shop = open_shop(home, read_settings(environment), open_log(home, "shop"), told.append)
        yield Counter(home, shop, stripe, smtp, told)
        assert stripe.violations == []


@pytest.fixture
def demo(home: Path) -> Shop:
    """A shop without a payment service."""
    return open_shop(home, read_settings({"TIMEZONE": "UTC"}), open_log(home, "shop"))


NOW = datetime.now(UTC)
