"""By when a new order's page will be there: what is promised is computed from what waits now."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from downstream.domain.errors import DownstreamError
from downstream.domain.prices import MICROS_PER_CENT
from downstream.domain.promise import ONE_ORDER, SLACK
from downstream.domain.state import UNDER_WAY
from downstream.prices import read_prices

if TYPE_CHECKING:
    from datetime import datetime

    from downstream.shop.shop import Shop

_DEMO = timedelta(minutes=15)


def promised_by(shop: Shop, now: datetime) -> datetime:
    """When an order that is placed now will be delivered, on the full hour; later the more orders wait."""
    if shop.payments is None:
        return now + _DEMO * (1 + _ahead(shop))
    rounds = 1 + _ahead(shop) // shop.settings.jobs_at_once
    by_work = ONE_ORDER * rounds * SLACK
    by_money = timedelta(days=_ahead(shop) // _orders_a_day(shop))
    return _next_full_hour(now + max(by_work, by_money + ONE_ORDER * SLACK))


def _ahead(shop: Shop) -> int:
    return sum(len(shop.queue.names(state)) for state in UNDER_WAY)


def _orders_a_day(shop: Shop) -> int:
    """How many orders the day's cap pays for, each at the most it may cost."""
    settings = shop.settings
    try:
        most_micros = read_prices(shop.home).in_micros(settings.price) * settings.cap_per_job_percent // 100
    except DownstreamError:
        return 1  # no exchange rate is known: the order itself will tell the operator
    return max(1, settings.cap_per_day_cents * MICROS_PER_CENT // most_micros) if most_micros else 1


def _next_full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
