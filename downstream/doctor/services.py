"""Do the outside services take the keys, and what the clock says to theirs. Every question is free."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from downstream.doctor.books import gemini_models
from downstream.doctor.finding import Finding, run
from downstream.domain.errors import DownstreamError, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downstream.domain.prices import Prices
    from downstream.providers.health import Health
    from downstream.settings import Settings

Answer = TypeVar("Answer")
CLOCK_OFF, CLOCK_WRONG = timedelta(seconds=30), timedelta(seconds=300)
"""Signed addresses and a mail's date bear the first; whole services refuse the second."""


def claude(settings: Settings) -> Iterator[Finding]:
    """Where Claude plans, its command is there."""
    if settings.director != "claude":
        return
    ended = run([settings.claude_command, "--version"], os.environ)
    if ended is None or ended.returncode:
        found = f"DIRECTOR=claude, and {settings.claude_command} --version does not work"
        yield Finding("FAIL", "claude", found, "install it, or set CLAUDE_COMMAND or DIRECTOR")
    else:
        yield Finding("ok", "claude", ended.stdout.strip()[:60] or "the command is there")


def production(settings: Settings, prices: Prices) -> Iterator[Finding]:
    """Every service whose key is set takes it; their clocks and ours agree."""
    clocks: list[timedelta] = []
    for name, ask in _questions(settings, prices):
        health = ask()
        if health.at is not None:
            clocks.append(datetime.now(UTC) - health.at)
        yield Finding(health.level, name, health.found, health.next_step)
    if settings.smtp_url:
        yield _mail_login(settings)
    if clocks:
        yield _clock(clocks[0])


def payment(settings: Settings) -> Iterator[Finding]:
    """Stripe takes the key, and customers find the shop."""
    from downstream.providers.health import check_door

    if settings.stripe_api_key:
        yield _stripe(settings)
        health = check_door(settings.public_url)
        yield Finding(health.level, "shop", health.found, health.next_step)


def _stripe(settings: Settings) -> Finding:
    from downstream.providers.stripe import StripePayments

    secrets = settings.stripe_api_key.reveal(), settings.stripe_base_url, settings.stripe_webhook_secret.reveal()
    try:
        mode = StripePayments(*secrets, _AtOnce()).check()
    except Misconfigured as error:
        return Finding("FAIL", "stripe", str(error), "set a valid STRIPE_API_KEY")
    except DownstreamError as error:
        return Finding("warn", "stripe", str(error), "ask again later")
    return Finding("ok", "stripe", f"the key is taken: {mode}")


class _AtOnce:
    """A gate that leaves nothing behind: one question needs no pace."""

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:  # noqa: ARG002
        """The answer."""
        return send()


def _questions(settings: Settings, prices: Prices) -> Iterator[tuple[str, Callable[[], Health]]]:
    from downstream.providers.health import check_gemini, check_replicate, check_vercel

    if key := settings.google_ai_api_key.reveal():
        for model in gemini_models(settings, prices):
            address = settings.google_gemini_base_url, settings.google_api_version
            yield "gemini", partial(check_gemini, key, *address, model)
    if token := settings.replicate_api_token.reveal():
        yield "replicate", partial(check_replicate, token, settings.replicate_base_url)
    if token := settings.vercel_token.reveal():
        yield "vercel", partial(check_vercel, token, settings.vercel_team_id, settings.vercel_base_url)


def _mail_login(settings: Settings) -> Finding:
    from downstream.providers.smtp import check_login

    try:
        check_login(settings.smtp_url.reveal())
    except DownstreamError as error:
        return Finding("FAIL", "smtp", str(error), "mend SMTP_URL; some hosts of servers block ports 25 and 465")
    return Finding("ok", "smtp", "the server takes the login; nothing was sent")


def _clock(ahead: timedelta) -> Finding:
    """By how much this machine's clock is ahead of a service's."""
    off = abs(ahead)
    found = f"{off.total_seconds():.0f} seconds {'ahead of' if ahead > timedelta() else 'behind'} a service's"
    if off <= CLOCK_OFF:
        return Finding("ok", "clock", f"within {CLOCK_OFF.total_seconds():.0f} seconds of a service's")
    return Finding("FAIL" if off > CLOCK_WRONG else "warn", "clock", found, "timedatectl set-ntp true")
