"""The settings: the environment and ``.env``, read once by the entry point and handed over from there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from downstream.domain.errors import Misconfigured
from downstream.domain.money import Money

if TYPE_CHECKING:
    from collections.abc import Mapping

Choice = TypeVar("Choice", bound=str)

KEYS = ("GOOGLE_AI_API_KEY", "REPLICATE_API_TOKEN", "VERCEL_TOKEN", "SMTP_URL")
"""What the outside services need; an order that was paid for waits until all of them are there."""
LOCALTIME = Path("/etc/localtime")
"""The machine's zone: a link to the file of its name, a copy of that, or nothing."""


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
    imprint_url: str = ""
    terms_url: str = ""
    privacy_url: str = ""

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
    def seller_pages(self) -> dict[str, str]:
        """Where customers read whom they deal with, by what the link says: the pages that are set."""
        pages = {"Who we are": self.imprint_url, "Terms": self.terms_url, "Privacy": self.privacy_url}
        return {name: address for name, address in pages.items() if address}

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
        review_policy=read.choice("REVIEW_POLICY", ("auto", "operator")),
        jobs_at_once=read.whole("JOBS_AT_ONCE", low=1, high=64),
        segments_at_once=read.whole("SEGMENTS_AT_ONCE", low=1, high=64, default=min(os.cpu_count() or 2, 64)),
        regenerations_per_segment=read.whole("REGENERATIONS_PER_SEGMENT", low=0, high=20),
        regenerations_per_order=read.whole("REGENERATIONS_PER_ORDER", low=0, high=100),
        clip_seconds=read.number("CLIP_SECONDS", low=0.5, high=10),
        clip_frames_per_second=read.whole("CLIP_FRAMES_PER_SECOND", low=8, high=60),
        clip_width=read.whole("CLIP_WIDTH", low=64, high=1920, step=2),
        clip_height=read.whole("CLIP_HEIGHT", low=36, high=1080, step=2),
        page_bytes_per_segment=read.whole("PAGE_BYTES_PER_SEGMENT", low=1, high=100_000_000),
        timezone=_timezone(environment),
        mail_from=read.address("MAIL_FROM"),
        operator_email=read.address("OPERATOR_EMAIL"),
        healthcheck_url=healthcheck_url(environment),
        disk_reserve_mb=read.whole("DISK_RESERVE_MB", low=0, high=1_000_000),
        memory_reserve_mb=read.whole("MEMORY_RESERVE_MB", low=0, high=1_000_000),
        google_ai_api_key=_secret("GOOGLE_AI_API_KEY", environment),
        google_gemini_base_url=read.base_url("GOOGLE_GEMINI_BASE_URL"),
        google_api_version=read.choice("GOOGLE_API_VERSION", ("v1", "v1beta")),
        replicate_api_token=_secret("REPLICATE_API_TOKEN", environment),
        replicate_base_url=read.base_url("REPLICATE_BASE_URL"),
        vercel_token=_secret("VERCEL_TOKEN", environment),
        vercel_team_id=read.text("VERCEL_TEAM_ID"),
        vercel_base_url=read.base_url("VERCEL_BASE_URL"),
        smtp_url=_smtp_url(environment),
        director=read.choice("DIRECTOR", ("gemini", "claude")),
        anthropic_api_key=_secret("ANTHROPIC_API_KEY", environment),
        claude_command=read.text("CLAUDE_COMMAND"),
        clip_resolution=read.choice("CLIP_RESOLUTION", ("768p", "1080p")),
        stripe_api_key=_secret("STRIPE_API_KEY", environment),
        stripe_webhook_secret=_secret("STRIPE_WEBHOOK_SECRET", environment),
        stripe_base_url=read.base_url("STRIPE_BASE_URL"),
        keep_failed_days=read.whole("KEEP_FAILED_DAYS", low=0, high=3650),
        price_cents=read.whole("PRICE_CENTS", low=0, high=10_000_000),
        currency=_currency(read.text("CURRENCY")),
        public_url=read.base_url("PUBLIC_URL"),
        imprint_url=read.page("IMPRINT_URL"),
        terms_url=read.page("TERMS_URL"),
        privacy_url=read.page("PRIVACY_URL"),
        calls_at_once=read.whole("CALLS_AT_ONCE", low=1, high=256),
        gemini_per_minute=read.whole("GEMINI_PER_MINUTE", low=1, high=10_000),
        gemini_at_once=read.whole("GEMINI_AT_ONCE", low=1, high=64),
        replicate_per_minute=read.whole("REPLICATE_PER_MINUTE", low=1, high=600),
        replicate_at_once=read.whole("REPLICATE_AT_ONCE", low=1, high=64),
        vercel_at_once=read.whole("VERCEL_AT_ONCE", low=1, high=50),
        cap_per_call_cents=read.whole("CAP_PER_CALL_CENTS", low=0, high=100_000),
        cap_per_job_percent=read.whole("CAP_PER_JOB_PERCENT", low=0, high=1000),
        cap_per_unpaid_job_cents=read.whole("CAP_PER_UNPAID_JOB_CENTS", low=0, high=1_000_000),
        cap_per_day_cents=read.whole("CAP_PER_DAY_CENTS", low=0, high=100_000_000),
        cap_per_month_cents=read.whole("CAP_PER_MONTH_CENTS", low=0, high=1_000_000_000),
    )


_DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class _Reader:
    """What the environment says; where it says nothing, or nothing between the quotes, the default."""

    environment: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.environment.get(name) or str(getattr(_DEFAULTS, name.lower()))

    def choice(self, name: str, choices: tuple[Choice, ...]) -> Choice:
        value = self.text(name)
        for choice in choices:
            if choice == value:
                return choice
        raise Misconfigured(f"{name} is {value!r}; it must be one of {', '.join(choices)}")

    def whole(self, name: str, *, low: int, high: int, step: int = 1, default: int | None = None) -> int:
        text = self.environment.get(name) or str(default or self.text(name))
        try:
            value = int(text)
        except ValueError:
            raise Misconfigured(f"{name} is {text!r}; it must be a whole number") from None
        if not low <= value <= high or value % step:
            even = " and even" if step == 2 else ""
            raise Misconfigured(f"{name} is {text}; it must be between {low} and {high}{even}")
        return value

    def number(self, name: str, *, low: float, high: float) -> float:
        text = self.text(name)
        try:
            value = float(text)
        except ValueError:
            raise Misconfigured(f"{name} is {text!r}; it must be a number") from None
        if not low <= value <= high:
            raise Misconfigured(f"{name} is {text}; it must be between {low:g} and {high:g}")
        return value

    def address(self, name: str) -> str:
        from email.utils import parseaddr

        address = self.text(name)
        if address and ("@" not in parseaddr(address)[1] or not address.isprintable()):
            raise Misconfigured(f"{name} is not an address such as DownStream <stories@example.com>")
        return address

    def base_url(self, name: str) -> str:
        return _base_url(name, self.text(name))

    def page(self, name: str) -> str:
        address = self.text(name)
        if address:
            _base_url(name, address)
        return address


def _timezone(environment: Mapping[str, str]) -> str:
    """The zone asked for, else the machine's, which is also cron's."""
    name = environment.get("TIMEZONE")
    if not name:
        return _machine_timezone(environment)
    if not is_timezone(name):
        raise Misconfigured(f"TIMEZONE is {name!r}, which is not a time zone such as Europe/Budapest")
    return name


def _machine_timezone(environment: Mapping[str, str]) -> str:
    name = environment.get("TZ", "").lstrip(":") or machine_zone()
    return name if is_timezone(name) else "UTC"


def machine_zone() -> str:
    """The zone of this machine's clock, by which cron goes whatever a shell's is; a path when nobody can tell which."""
    if not LOCALTIME.exists():
        return "UTC"  # localtime(5)
    return str(LOCALTIME.resolve()).rpartition("zoneinfo/")[2]


def is_timezone(name: str) -> bool:
    """There is a zone of that name."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return name == "UTC"  # known even where no zones are installed
    return True


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
    return Secret(_base_url("HEALTHCHECK_URL", address)) if address else NO_SECRET


def _base_url(name: str, address: str) -> str:
    """The address without its last slash; plain http only on this machine: keys and customers go there."""
    from urllib.parse import urlsplit

    address = address.rstrip("/")
    if not address.isprintable() or " " in address:  # urlsplit would pass over some
        raise Misconfigured(f"{name} has a character that no address has")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:  # its text would quote the address
        raise Misconfigured(f"{name} is not an address such as https://example.com") from None
    if host and (parts.scheme == "https" or (parts.scheme == "http" and host in {"127.0.0.1", "localhost", "::1"})):
        return address
    raise Misconfigured(f"{name} must begin with https:// (http:// is for this machine only)")


def _currency(name: str) -> str:
    currency = name.lower()
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
