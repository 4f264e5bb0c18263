"""``downstream doctor``: is everything there that unattended work needs? Part of the entry point: it asks services.

Nothing is spent, published, mailed or changed, and no finding holds the value of a key.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from downstream.doctor import books, cron, machine, services, shop
from downstream.doctor.finding import Finding
from downstream.domain.errors import DownstreamError, Misconfigured
from downstream.prices import read_prices
from downstream.settings import Settings, read_environment, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path


def examine(home: Path, environment: Mapping[str, str], now: datetime, *, offline: bool) -> Iterator[Finding]:
    """Every finding, as it is made; ``environment`` is this shell's. With ``offline`` nobody outside is asked."""
    if not (home / "jobs").is_dir():
        yield Finding("FAIL", "installation", f"{home} is none: it has no jobs/", "give --home, or downstream init")
        return
    yield Finding("ok", "installation", str(home.resolve()))
    yield from machine.rights(home)
    yield machine.one_file_system(home)
    yield from machine.room(home)
    yield machine.heartbeat(home, now)
    try:
        settings = read_settings(read_environment(home, environment))
        prices = read_prices(home)
    except (Misconfigured, OSError, UnicodeDecodeError) as error:
        yield Finding("FAIL", "settings", _sentence(error), "mend it in .env or prices.toml; the rest is not looked at")
        return
    yield Finding("ok", "settings", f"{len(fields(Settings))} are readable")
    yield from machine.reserve(home, settings)
    yield from books.price_table(settings, prices, now)
    yield from books.keys(settings)
    yield from books.spending(home, settings, now)
    yield from shop.look(home, settings, prices, now)
    yield from machine.backup(home, settings, now)
    yield from cron.look(home, environment, settings, now)
    yield from services.claude(settings)
    if offline:
        yield Finding("ok", "services", "not asked: --offline")
    else:
        yield from services.production(settings, prices)
        yield from services.payment(settings)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, DownstreamError) else ".env is not UTF-8"
