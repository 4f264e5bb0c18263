"""Money and time in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from downstream.domain.money import minor_digits

if TYPE_CHECKING:
    from downstream.domain.money import Money

_SIGNS = {"eur": "€", "usd": "$", "gbp": "£", "jpy": "¥", "inr": "₹", "krw": "₩", "pln": "zł", "try": "₺", "uah": "₴"}
_ROUNDED_TO = timedelta(minutes=15)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def price_words(price: Money) -> str:
    """``€49``, ``€49.50``, ``1,200 HUF``: cents only where there are some."""
    digits = minor_digits(price.currency)
    whole, rest = divmod(price.amount_minor, 10**digits)
    amount = f"{whole:,}" + (f".{rest:0{digits}d}" if rest else "")
    sign = _SIGNS.get(price.currency)
    return f"{sign}{amount}" if sign else f"{amount}\N{NO-BREAK SPACE}{price.currency.upper()}"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, for people and for machines."""

    words: str
    """``tomorrow by about 15:00 (Berlin time)``."""
    iso: str


def moment(at: datetime, now: datetime, timezone: str) -> Moment:
    """``at``, rounded up to a quarter of an hour, as it is told in ``timezone`` at ``now``."""
    zone = ZoneInfo(timezone)
    local, today = _rounded_up(at).astimezone(zone), now.astimezone(zone).date()
    days = (local.date() - today).days
    if days in {0, 1}:
        day = ("today", "tomorrow")[days]
    elif 1 < days < 7:
        day = f"on {_WEEKDAYS[local.weekday()]}"
    else:
        day = f"on {local.day} {_MONTHS[local.month - 1]}"
    return Moment(f"{day} by about {local:%H:%M} ({_place(timezone)})", local.isoformat(timespec="minutes"))


def _rounded_up(at: datetime) -> datetime:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - (midnight - at) // _ROUNDED_TO * _ROUNDED_TO


def _place(timezone: str) -> str:
    """``Europe/Berlin`` is ``Berlin time``."""
    place = timezone.rpartition("/")[2].replace("_", " ")
    return place if place.isupper() else f"{place} time"
