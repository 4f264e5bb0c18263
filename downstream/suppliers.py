"""Puts a run together: its settings, its books, and the providers who serve it. Part of the entry point."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING

from downstream import outbox
from downstream.alerts import is_news
from downstream.domain.errors import Misconfigured
from downstream.domain.ports import Providers, Suppliers
from downstream.ledger import Caps, Ledger
from downstream.limits import SharedGate, Timepiece
from downstream.prices import most_micros, read_prices
from downstream.queue import Queue
from downstream.stages.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from downstream.domain.ports import Director, Editor, Mail, Payments, Progress
    from downstream.domain.prices import Prices
    from downstream.providers.gemini.service import GeminiService
    from downstream.settings import Settings
    from downstream.shop.shop import Shop


def _now() -> datetime:
    return datetime.now(UTC)


def equip(
    home: Path,
    settings: Settings,
    name: str,
    log: FilteringBoundLogger,
    progress: Progress,
    clock: Callable[[], datetime] = _now,
) -> Context:
    """One run of the stage ``name``. Outside services are there when all their keys are; none is loaded before use."""
    context = Context(
        home=home,
        settings=settings,
        queue=Queue(home),
        suppliers=Suppliers(embedded=cache(partial(_embedded, home))),
        log=log,
        progress=progress,
        stage=name,
        ledger=Ledger(home, caps=Caps.of(settings), timezone=settings.timezone, clock=clock),
        most_micros=partial(most_micros, home, settings),
        hear=lambda sentence: outbox.put(home, settings, [sentence], clock()),
        clock=clock,
    )
    if not settings.missing_keys:
        context.suppliers = Suppliers(context.suppliers.embedded, cache(partial(_outside, context)))
    return context


def open_shop(
    home: Path,
    settings: Settings,
    log: FilteringBoundLogger,
    tell: Callable[[str], None] = lambda _: None,
    clock: Callable[[], datetime] = _now,
) -> Shop:
    """The shop door. The operator is told by mail and through ``tell``; a sentence is told once.

    Raises:
        Misconfigured: one of the two Stripe secrets is set without the other.
    """
    from downstream.shop.shop import Shop

    def tell_once(fingerprint: str, sentence: str) -> None:
        log.warning("operator.told", fingerprint=fingerprint)
        if is_news(home, fingerprint, clock()):
            outbox.put(home, settings, [sentence], clock())
            tell(sentence)

    payments = payments_of(home, settings) if settings.stripe_api_key or settings.stripe_webhook_secret else None
    return Shop(home, settings, Queue(home), payments, partial(_mail, home, settings), log, tell_once, clock)


def payments_of(home: Path, settings: Settings) -> Payments:
    """The payment service.

    Raises:
        Misconfigured: one of its two secrets is not set.
    """
    from downstream.providers.stripe import StripePayments

    for name, value in (
        ("STRIPE_API_KEY", settings.stripe_api_key),
        ("STRIPE_WEBHOOK_SECRET", settings.stripe_webhook_secret),
    ):
        if not value:
            raise Misconfigured(f"{name} is not set: with one of the Stripe secrets alone no payment can be believed")
    way = SharedGate(home, "stripe", creates_per_minute=1000, at_once=16, wait=time.sleep, patience_seconds=20)
    return StripePayments(
        settings.stripe_api_key.reveal(), settings.stripe_base_url, settings.stripe_webhook_secret.reveal(), way
    )


def _mail(home: Path, settings: Settings, is_paid: bool) -> Mail | None:  # noqa: FBT001 - a callback's argument
    from downstream.providers.embedded.mail import EmbeddedMail
    from downstream.providers.smtp import SmtpMail

    if not is_paid:
        return EmbeddedMail(home)
    return SmtpMail(settings.smtp_url.reveal(), settings.mail_from) if settings.smtp_url else None


def _embedded(home: Path) -> Providers:
    from downstream.providers.embedded.clips import EmbeddedClips
    from downstream.providers.embedded.director import EmbeddedDirector
    from downstream.providers.embedded.hosting import EmbeddedHosting
    from downstream.providers.embedded.keyframes import EmbeddedKeyframes
    from downstream.providers.embedded.mail import EmbeddedMail

    return Providers(
        origin="embedded",
        director=EmbeddedDirector(),
        keyframes=EmbeddedKeyframes(),
        clips=EmbeddedClips(),
        hosting=EmbeddedHosting(home),
        mail=EmbeddedMail(home),
    )


def _outside(context: Context) -> Providers:
    from downstream.providers.gemini.judge import GeminiJudge
    from downstream.providers.gemini.keyframes import GeminiKeyframes
    from downstream.providers.gemini.service import GeminiService
    from downstream.providers.minimax import MinimaxClips
    from downstream.providers.smtp import SmtpMail
    from downstream.providers.vercel import VercelHosting

    settings, prices = context.settings, read_prices(context.home)
    _check_shape(settings)
    gemini = GeminiService(
        settings.google_ai_api_key.reveal(),
        settings.google_gemini_base_url,
        settings.google_api_version,
        gate(context, "gemini", settings.gemini_per_minute, settings.gemini_at_once),
        prices,
    )
    director, editor = _director(context, gemini, prices)
    return Providers(
        origin="outside",
        director=director,
        editor=editor,
        judge=GeminiJudge(gemini),
        keyframes=GeminiKeyframes(gemini),
        clips=MinimaxClips(
            settings.replicate_api_token.reveal(),
            settings.replicate_base_url,
            gate(context, "minimax", settings.replicate_per_minute, settings.replicate_at_once),
            prices,
            settings.clip_resolution,
        ),
        hosting=VercelHosting(
            settings.vercel_token.reveal(),
            settings.vercel_team_id,
            settings.vercel_base_url,
            gate(context, "vercel", 10_000, settings.vercel_at_once),
        ),
        mail=SmtpMail(settings.smtp_url.reveal(), settings.mail_from),
    )


def _check_shape(settings: Settings) -> None:
    """What the services make can be of use.

    Raises:
        Misconfigured: pictures of that size or shape would be paid for and rejected.
    """
    width, height = settings.clip_width, settings.clip_height
    if abs(width / height - 16 / 9) > 0.03 * 16 / 9 or width > 1376 or height > 768:
        raise Misconfigured(
            f"CLIP_WIDTH and CLIP_HEIGHT are {width}x{height}; outside services make pictures of 16:9, 1376x768 pixels"
        )


def _director(context: Context, gemini: GeminiService, prices: Prices) -> tuple[Director, Editor]:
    """Who plans: the Gemini text model, or the ``claude`` command."""
    settings = context.settings
    if settings.director == "claude":
        from downstream.providers.claude import ClaudeDirector, ClaudeEditor

        environment = dict(os.environ)
        if settings.anthropic_api_key:
            environment["ANTHROPIC_API_KEY"] = settings.anthropic_api_key.reveal()
        command = settings.claude_command
        way = gate(context, "claude", 60, 4)
        return ClaudeDirector(command, way, prices, environment), ClaudeEditor(command, way, prices, environment)
    from downstream.providers.gemini.director import GeminiDirector
    from downstream.providers.gemini.editor import GeminiEditor

    return GeminiDirector(gemini), GeminiEditor(gemini)


def gate(context: Context, service: str, per_minute: int, at_once: int) -> SharedGate:
    """The gate all processes of this machine pass on their way to one service."""
    return SharedGate(
        context.home,
        service,
        creates_per_minute=per_minute,
        at_once=at_once,
        wait=context.wait,
        check_running=context.check_running,
        timepiece=Timepiece(lambda: context.clock().timestamp(), context.steady),
    )
