"""The shop: can customers come in and pay, and what waits behind the door."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from downstream.doctor.finding import Finding
from downstream.domain.errors import OnHold, PersonDecides
from downstream.domain.money import Money
from downstream.domain.prices import show_dollars
from downstream.heartbeat import read_heartbeat
from downstream.overview import door, held
from downstream.shop import errands, watch
from downstream.shop.orders import MOST_DRAFTS
from downstream.shop.proofs import unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from downstream.domain.prices import Prices
    from downstream.overview import Door
    from downstream.settings import Settings

LEAST_PRICES = {"eur": 50, "usd": 50}
"""Minor units below which Stripe takes no payment: https://docs.stripe.com/currencies"""
MANY_TRIES = 5
"""Of an errand: about a quarter of an hour."""
MANY_DRAFTS = MOST_DRAFTS * 4 // 5


def look(home: Path, settings: Settings, prices: Prices, now: datetime) -> Iterator[Finding]:
    """The door and what waits behind it; a shop without Stripe's secrets is a demo, and well so."""
    found = door(home, settings, read_heartbeat(home, now))
    if not settings.stripe_api_key and not settings.stripe_webhook_secret:
        yield Finding("ok", "shop", f"a demo: nobody pays (STRIPE_API_KEY is not set); {found.drafts} draft(s)")
    else:
        yield from _secrets(settings)
        yield from _seller(settings)
        yield _watcher(settings)
        yield from _price(settings, prices)
        yield _drafts(found)
        yield from _compared(home)
    yield from _waiting(home, found)


def _secrets(settings: Settings) -> Iterator[Finding]:
    for name, value in (
        ("STRIPE_API_KEY", settings.stripe_api_key),
        ("STRIPE_WEBHOOK_SECRET", settings.stripe_webhook_secret),
    ):
        if not value:
            yield Finding("FAIL", "stripe", f"{name} is not set, and the other secret is", "set both, or neither")
    secret = settings.stripe_webhook_secret
    if secret and not secret.reveal().startswith("whsec_"):
        step = "copy the signing secret of the webhook endpoint, at Stripe"
        yield Finding("FAIL", "stripe", "STRIPE_WEBHOOK_SECRET does not begin with whsec_", step)
    if _takes_real_money(settings) and not _is_public(settings.public_url):
        found = f"real money is taken, and PUBLIC_URL is {settings.public_url}"
        yield Finding("FAIL", "shop", found, "set PUBLIC_URL to the https:// address customers come to")


def _takes_real_money(settings: Settings) -> bool:
    """The key is none for tests, which its name says: https://docs.stripe.com/keys"""
    return "_live_" in settings.stripe_api_key.reveal()


def _seller(settings: Settings) -> Iterator[Finding]:
    """Who pays real money can read whom they pay, on what terms, and what becomes of their data.

    In the EU these come before the order (directive 2011/83/EU, article 6; regulation 2016/679, article 13).
    """
    pages = {"IMPRINT_URL": settings.imprint_url, "TERMS_URL": settings.terms_url, "PRIVACY_URL": settings.privacy_url}
    missing = ", ".join(name for name, address in pages.items() if not address)
    if missing and _takes_real_money(settings):
        found = f"real money is taken, and customers are not shown all they must be: {missing} not set"
        yield Finding("warn", "shop", found, "have pages of yours linked from the form; the EU asks for all three")


def _watcher(settings: Settings) -> Finding:
    """Somebody elsewhere notices when this machine falls silent."""
    if settings.healthcheck_url:
        return Finding("ok", "watcher", "HEALTHCHECK_URL is set")
    step = "set it to a check's address, as of healthchecks.io"
    return Finding("warn", "watcher", "HEALTHCHECK_URL is not set: nobody notices when this machine dies", step)


def _is_public(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}


def _price(settings: Settings, prices: Prices) -> Iterator[Finding]:
    price, least = settings.price, LEAST_PRICES.get(settings.currency, 1)
    if 0 < price.amount_minor < least:
        found = f"an order costs {price}, and Stripe takes nothing below {Money(price.currency, least)}"
        yield Finding("FAIL", "shop", found, "set PRICE_CENTS higher, or to 0")
    try:
        most_micros = prices.in_micros(price) * settings.cap_per_job_percent // 100
    except OnHold as error:
        yield Finding("FAIL", "shop", str(error), "mend prices.toml; until then orders wait")
    else:
        found = f"an order costs {price}; at most {show_dollars(most_micros)} may be spent on it"
        yield Finding("ok", "shop", found)


def _drafts(found: Door) -> Finding:
    much = f"{found.state}, {found.drafts} draft(s)"
    if found.drafts > MANY_DRAFTS:
        return Finding("warn", "shop", f"{much} of at most {MOST_DRAFTS}", "is somebody filling the form by program?")
    return Finding("ok", "shop", much)


def _compared(home: Path) -> Iterator[Finding]:
    """Payments are compared with the jobs here, once a payment page was opened."""
    if not watch.is_watched(home):
        return
    if watch.is_worrying(home):
        step = "downstream reconcile says why; downstream process does it by itself"
        yield Finding("warn", "shop", "payments were not compared with the jobs here for an hour", step)
    else:
        yield Finding("ok", "shop", "payments were compared with the jobs here within the hour")


def _waiting(home: Path, found: Door) -> Iterator[Finding]:
    """Letters and refunds, held orders, and orders that are half forgotten."""
    for errand in found.errands_given_up:
        yield Finding("warn", "errands", f"given up: {errand}", "see logs/shop.log for the reason")
    waiting = errands.all_waiting(home)
    often = max(waiting, key=lambda one: one.tries, default=None)
    if often is not None and often.tries >= MANY_TRIES:
        told = f"{often.stream_id} {often.kind} was tried {often.tries} times; {len(waiting)} wait"
        yield Finding("warn", "errands", told, "see logs/shop.log for the reason")
    for stream_id, reason in held(home).items():
        yield Finding("warn", "held", f"{stream_id}: {reason}", f"downstream release {stream_id}")
    try:
        for stream_id in unfinished(home):
            yield Finding("warn", "forget", f"{stream_id} is forgotten by half", f"downstream forget {stream_id}")
    except PersonDecides as error:
        yield Finding("warn", "forget", str(error), "mend it")
