"""The settings: the environment and ``.env``, read once by the entry point and handed over from there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from downstream.domain.errors import Misconfigured
from downstream.domain.money import Money

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = ("GOOGLE_AI_API_KEY", "REPLICATE_API_TOKEN", "VERCEL_TOKEN", "SMTP_URL")
"""What the outside services need; an order that was paid for waits until all of them are there."""


class Secret:
    """A value that shows itself only when asked: not in logs, tracebacks or ``repr``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __bool__(self) -> bool:
        """It is set."""
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Both hide the same value."""
        return isinstance(other, Secret) and other.reveal() == self._value

    def __hash__(self) -> int:
        """As the value's."""
        return hash(self._value)

    def __repr__(self) -> str:
        """Whether it is set, and nothing else."""
        return "Secret(set)" if self._value else "Secret(not set)"


NO_SECRET = Secret("")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may set; every field has a default that works. The README explains each."""

    review_policy: Literal["auto", "operator"] = "auto"
    jobs_at_once: int = 4
    segments_at_once: int = 2
    regenerations_per_segment: int = 2
    regenerations_per_order: int = 4
    clip_seconds: float = 6.0
    clip_frames_per_second: int = 24
    clip_width: int = 1280
    clip_height: int = 720
    page_bytes_per_segment: int = 1_500_000
    timezone: str = "UTC"
    mail_from: str = "DownStream <stories@localhost>"
    operator_email: str = ""
    healthcheck_url: Secret = NO_SECRET
    disk_reserve_mb: int = 1000
    memory_reserve_mb: int = 300

    google_ai_api_key: Secret = NO_SECRET
    google_gemini_base_url: str = "https://generativelanguage.googleapis.com"
    google_api_version: str = "v1"
    replicate_api_token: Secret = NO_SECRET
    replicate_base_url: str = "https://api.replicate.com"
    vercel_token: Secret = NO_SECRET
    vercel_team_id: str = ""
    vercel_base_url: str = "https://api.vercel.com"
    smtp_url: Secret = NO_SECRET
    director: Literal["gemini", "claude"] = "gemini"
    claude_command: str = "claude"
    anthropic_api_key: Secret = NO_SECRET
    clip_resolution: Literal["768p", "1080p"] = "768p"

    stripe_api_key: Secret = NO_SECRET
    stripe_webhook_secret: Secret = NO_SECRET
    stripe_base_url: str = "https://api.stripe.com"
    keep_failed_days: int = 90
    price_cents: int = 4900
    currency: str = "eur"
    public_url: str = "http://127.0.0.1:8000"

    calls_at_once: int = 48
    gemini_per_minute: int = 60
    gemini_at_once: int = 8
    replicate_per_minute: int = 60
    replicate_at_once: int = 16
    vercel_at_once: int = 16

    cap_per_call_cents: int = 100
    cap_per_job_percent: int = 40
    cap_per_unpaid_job_cents: int = 500
    cap_per_day_cents: int = 10_000
    cap_per_month_cents: int = 100_000

    @property
    def price(self) -> Money:
        """What an order costs the customer; ``price_cents`` are the currency's own smallest unit."""
        return Money(self.currency, self.price_cents)

    @property
    def missing_keys(self) -> tuple[str, ...]:
        """Which of ``KEYS`` are not set."""
        values = (self.google_ai_api_key, self.replicate_api_token, self.vercel_token, self.smtp_url)
        return tuple(name for name, value in zip(KEYS, values, strict=True) if not value)


def read_environment(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, and below it what ``.env`` in the installation's folder sets."""
    path = home / ".env"
    if not path.exists():
        return dict(environment)
    from dotenv import dotenv_values

    kept = {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}
    return {**kept, **environment}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings the environment asks for.

    Raises:
        Misconfigured: a value is not of its kind; the text names the variable.
    """
    read = _Reader(environment)
    return Settings(
        review_policy="operator" if read.choice("REVIEW_POLICY", ("auto", "operator")) == "operator" else "auto",
        jobs_at_once=int(read.number("JOBS_AT_ONCE", 4, low=1, high=64)),
        segments_at_once=int(read.number("SEGMENTS_AT_ONCE", min(os.cpu_count() or 2, 64), low=1, high=64)),
        regenerations_per_segment=int(read.number("REGENERATIONS_PER_SEGMENT", 2, low=0, high=20)),
        regenerations_per_order=int(read.number("REGENERATIONS_PER_ORDER", 4, low=0, high=100)),
        clip_seconds=read.number("CLIP_SECONDS", 6, low=0.5, high=10, whole=False),
        clip_frames_per_second=int(read.number("CLIP_FRAMES_PER_SECOND", 24, low=8, high=60)),
        clip_width=int(read.number("CLIP_WIDTH", 1280, low=64, high=1920, step=2)),
        clip_height=int(read.number("CLIP_HEIGHT", 720, low=36, high=1080, step=2)),
        page_bytes_per_segment=int(read.number("PAGE_BYTES_PER_SEGMENT", 1_500_000, low=1, high=100_000_000)),
        timezone=_timezone(environment),
        mail_from=_address("MAIL_FROM", environment) or "DownStream <stories@localhost>",
        operator_email=_address("OPERATOR_EMAIL", environment),
        healthcheck_url=healthcheck_url(environment),
        disk_reserve_mb=int(read.number("DISK_RESERVE_MB", 1000, low=0, high=1_000_000)),
        memory_reserve_mb=int(read.number("MEMORY_RESERVE_MB", 300, low=0, high=1_000_000)),
        google_ai_api_key=_secret("GOOGLE_AI_API_KEY", environment),
        google_gemini_base_url=_base_url(
            "GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com", environment
        ),
        google_api_version="v1beta" if read.choice("GOOGLE_API_VERSION", ("v1", "v1beta")) == "v1beta" else "v1",
        replicate_api_token=_secret("REPLICATE_API_TOKEN", environment),
        replicate_base_url=_base_url("REPLICATE_BASE_URL", "https://api.replicate.com", environment),
        vercel_token=_secret("VERCEL_TOKEN", environment),
        vercel_team_id=environment.get("VERCEL_TEAM_ID", ""),
        vercel_base_url=_base_url("VERCEL_BASE_URL", "https://api.vercel.com", environment),
        smtp_url=_smtp_url(environment),
        director="claude" if read.choice("DIRECTOR", ("gemini", "claude")) == "claude" else "gemini",
        anthropic_api_key=_secret("ANTHROPIC_API_KEY", environment),
        claude_command=environment.get("CLAUDE_COMMAND") or "claude",
        clip_resolution="1080p" if read.choice("CLIP_RESOLUTION", ("768p", "1080p")) == "1080p" else "768p",
        stripe_api_key=_secret("STRIPE_API_KEY", environment),
        stripe_webhook_secret=_secret("STRIPE_WEBHOOK_SECRET", environment),
        stripe_base_url=_base_url("STRIPE_BASE_URL", "https://api.stripe.com", environment),
        keep_failed_days=int(read.number("KEEP_FAILED_DAYS", 90, low=0, high=3650)),
        price_cents=int(read.number("PRICE_CENTS", 4900, low=0, high=10_000_000)),
        currency=_currency(environment),
        public_url=_base_url("PUBLIC_URL", "http://127.0.0.1:8000", environment),
        calls_at_once=int(read.number("CALLS_AT_ONCE", 48, low=1, high=256)),
        gemini_per_minute=int(read.number("GEMINI_PER_MINUTE", 60, low=1, high=10_000)),
        gemini_at_once=int(read.number("GEMINI_AT_ONCE", 8, low=1, high=64)),
        replicate_per_minute=int(read.number("REPLICATE_PER_MINUTE", 60, low=1, high=600)),
        replicate_at_once=int(read.number("REPLICATE_AT_ONCE", 16, low=1, high=64)),
        vercel_at_once=int(read.number("VERCEL_AT_ONCE", 16, low=1, high=50)),
        cap_per_call_cents=int(read.number("CAP_PER_CALL_CENTS", 100, low=0, high=100_000)),
        cap_per_job_percent=int(read.number("CAP_PER_JOB_PERCENT", 40, low=0, high=1000)),
        cap_per_unpaid_job_cents=int(read.number("CAP_PER_UNPAID_JOB_CENTS", 500, low=0, high=1_000_000)),
        cap_per_day_cents=int(read.number("CAP_PER_DAY_CENTS", 10_000, low=0, high=100_000_000)),
        cap_per_month_cents=int(read.number("CAP_PER_MONTH_CENTS", 100_000, low=0, high=1_000_000_000)),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    environment: Mapping[str, str]

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self.environment.get(name) or choices[0]
        if value not in choices:
            raise Misconfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
        return value

    def number(self, name: str, default: float, *, low: float, high: float, whole: bool = True, step: int = 1) -> float:
        text = self.environment.get(name) or str(default)
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            raise Misconfigured(f"{name} is {text!r}; it must be a {'whole ' if whole else ''}number") from None
        if not low <= value <= high or (value % step and whole):
            even = " and even" if step == 2 else ""
            raise Misconfigured(f"{name} is {text}; it must be between {low:g} and {high:g}{even}")
        return value


def _timezone(environment: Mapping[str, str]) -> str:
    """The zone asked for, else the machine's, which is also cron's."""
    name = environment.get("TIMEZONE")
    if not name:
        return _machine_timezone(environment)
    if not is_timezone(name):
        raise Misconfigured(f"TIMEZONE is {name!r}, which is not a time zone such as Europe/Budapest")
    return name


def _machine_timezone(environment: Mapping[str, str]) -> str:
    name = environment.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve()).rpartition("zoneinfo/")[2]
    return name if is_timezone(name) else "UTC"


def is_timezone(name: str) -> bool:
    """There is a zone of that name."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return name == "UTC"  # known even where no zones are installed
    return True


def _address(name: str, environment: Mapping[str, str]) -> str:
    from email.utils import parseaddr

    address = environment.get(name) or ""
    if address and ("@" not in parseaddr(address)[1] or not address.isprintable()):
        raise Misconfigured(f"{name} is not an address such as DownStream <stories@example.com>")
    return address


def _secret(name: str, environment: Mapping[str, str]) -> Secret:
    value = environment.get(name, "").strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise Misconfigured(f"{name} has a character that no key has; was it copied whole, without quotes?")
    return Secret(value)


def healthcheck_url(environment: Mapping[str, str]) -> Secret:
    """Where a watcher is told that all is well; whoever knows the address can tell it so, too: it is a secret.

    Raises:
        Misconfigured: that is no address.
    """
    address = _secret("HEALTHCHECK_URL", environment).reveal()
    return Secret(_base_url("HEALTHCHECK_URL", address, environment)) if address else NO_SECRET


def _base_url(name: str, default: str, environment: Mapping[str, str]) -> str:
    """Where a service is; plain http only on this machine, for a key goes along with every call."""
    from urllib.parse import urlsplit

    address = (environment.get(name) or default).rstrip("/")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text would quote the address
        raise Misconfigured(f"{name} is not an address such as https://example.com") from None
    if host and (parts.scheme == "https" or (parts.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"})):
        return address
    raise Misconfigured(f"{name} must begin with https:// (http:// is for this machine only)")


def _currency(environment: Mapping[str, str]) -> str:
    currency = (environment.get("CURRENCY") or "eur").lower()
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        raise Misconfigured(f"CURRENCY is {currency!r}, which is not a currency such as eur")
    return currency


def _smtp_url(environment: Mapping[str, str]) -> Secret:
    """``smtps://user:password@host:465`` (implicit TLS) or ``smtp://user:password@host:587`` (STARTTLS)."""
    from urllib.parse import urlsplit

    found = _secret("SMTP_URL", environment)
    wrong = "SMTP_URL must look like smtps://user:password@host:465 or smtp://user:password@host:587"
    try:
        parts = urlsplit(found.reveal())
        usable = parts.scheme in {"smtp", "smtps"} and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if found and not usable:
        raise Misconfigured(wrong)  # without the value: it holds a password
    return found
