"""Money and keys: are the prices fresh, is everything set, what is spent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from downstream.doctor.finding import Finding
from downstream.domain.errors import Misconfigured
from downstream.domain.prices import show_dollars
from downstream.overview import holds, money
from downstream.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from downstream.domain.prices import Prices

OLD_PRICES = timedelta(days=90)
NEARLY_SPENT = 0.8


def price_table(settings: Settings, prices: Prices, now: datetime) -> Iterator[Finding]:
    """The table is of these months, and has every model that the settings name."""
    age = now.date() - prices.as_of
    found = f"the table is of {prices.as_of}, {age.days} days old"
    if age > OLD_PRICES:
        yield Finding("warn", "prices", found, "compare it with the services' price pages; see prices.toml")
    else:
        yield Finding("ok", "prices", found)
    try:
        for model in gemini_models(settings, prices):
            prices.tokens_of(model)
        prices.clip_micros(prices.models.clips, settings.clip_resolution, 6 if settings.clip_seconds <= 6 else 10)
    except Misconfigured as error:
        yield Finding("FAIL", "prices", str(error), "mend prices.toml")


def keys(settings: Settings) -> Iterator[Finding]:
    """What paid orders need is set, and who is told of trouble."""
    if settings.missing_keys:
        missing = ", ".join(settings.missing_keys)
        yield Finding("warn", "keys", f"not set: {missing}", "set them in .env; until then paid orders wait")
    else:
        yield Finding("ok", "keys", "all four are set")
    if settings.smtp_url and settings.mail_from == Settings().mail_from:
        yield Finding("warn", "mail", "MAIL_FROM is not set", "set an address on a domain of yours")
    if not settings.operator_email:
        yield Finding("warn", "mail", "OPERATOR_EMAIL is not set", "set it, or only cron's mail tells of trouble")


def spending(home: Path, settings: Settings, now: datetime) -> Iterator[Finding]:
    """No service is on hold, and the caps leave room."""
    for service, until in holds(home).items():
        yield Finding("warn", "on hold", f"{service} until {until:%Y-%m-%d %H:%M} UTC", "see logs for the reason")
    try:
        spent = money(home, settings, now)
    except Misconfigured as error:
        yield Finding("FAIL", "ledger", str(error), "until then nothing is bought")
        return
    for period, micros, cap in (
        ("today", spent.today_micros, spent.cap_per_day_micros),
        ("this month", spent.month_micros, spent.cap_per_month_micros),
    ):
        is_near = micros >= NEARLY_SPENT * cap
        found = f"{show_dollars(micros)} of {show_dollars(cap)} spent {period}"
        step = f"CAP_PER_{'DAY' if period == 'today' else 'MONTH'}_CENTS: what goes beyond it waits" if is_near else ""
        yield Finding("warn" if is_near else "ok", "ledger", found, step)


def gemini_models(settings: Settings, prices: Prices) -> list[str]:
    """The models of Gemini that orders need."""
    models = prices.models
    texts = [models.planner, models.screener] if settings.director == "gemini" else []
    return list(dict.fromkeys([*texts, models.judge, models.keyframes]))
