"""What stands before every page: which hosts and origins are answered, how often, and with which headers."""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network
from time import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import abort, request
from limits import RateLimitItemPerDay, RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import TooManyRequests

if TYPE_CHECKING:
    from flask import Flask, Response

    from downstream.settings import Settings

WEBHOOK = "/stripe/webhook"
"""Stripe's own calls come from another site, and as often as Stripe likes."""

_PAYMENT_PAGES = "https://checkout.stripe.com"
_LIVE_SERVICE = "https://api.stripe.com"
_THIS_MACHINE = {"127.0.0.1", "localhost", "[::1]"}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?\Z", re.IGNORECASE)


class Doing(Enum):
    """What one visitor may do only so often."""

    BEGIN = RateLimitItemPerHour(20, namespace="begin")
    BEGIN_TODAY = RateLimitItemPerDay(30, namespace="begin_today")
    SAVE = RateLimitItemPerHour(120, namespace="save")
    UPLOAD = RateLimitItemPerHour(30, namespace="upload")
    GUESS = RateLimitItemPerHour(60, namespace="guess")
    """Asking for an order that there is not."""
    DETECT = RateLimitItemPerHour(600, namespace="detect")


class Visitors:
    """How often each visitor did what lately; forgotten when the server ends."""

    def __init__(self) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count(self, doing: Doing) -> None:
        """The visitor does it once more.

        Raises:
            TooManyRequests: too often; it says when to come again.
        """
        if not self._limiter.hit(doing.value, visitor()):
            raise self._too_often(doing)

    def check(self, doing: Doing) -> None:
        """The visitor has not done it too often yet.

        Raises:
            TooManyRequests: too often; it says when to come again.
        """
        if not self._limiter.test(doing.value, visitor()):
            raise self._too_often(doing)

    def _too_often(self, doing: Doing) -> TooManyRequests:
        window = self._limiter.get_window_stats(doing.value, visitor())
        return TooManyRequests(retry_after=max(1, round(window.reset_time - time())))


def visitor() -> str:
    """Who asks: the address; of IPv6 the network, for one household has a whole network of addresses."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return request.remote_addr or "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))


def guard(app: Flask, settings: Settings) -> None:
    """Every request to ``app`` is looked at before it is answered, and every answer has the headers it needs."""
    own = urlsplit(settings.public_url)
    hosts = {_bare(own.netloc), *_THIS_MACHINE}
    headers = security_headers(settings)

    @app.before_request
    def refuse() -> None:
        if _bare(request.headers.get("Host", "")) not in hosts:
            abort(400)
        if request.method not in {"GET", "HEAD", "OPTIONS"} and request.path != WEBHOOK and _is_foreign(own.netloc):
            abort(403)

    @app.after_request
    def protect(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response


def security_headers(settings: Settings) -> dict[str, str]:
    """What goes along with every answer that does not know better."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        # Chromium holds redirects after a form's POST to this, too, and "Go to payment" ends on the payment page.
        "form-action": f"'self' {_payment_pages(settings)}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    if is_secure(settings):
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


def is_secure(settings: Settings) -> bool:
    """Customers come by https."""
    return settings.public_url.startswith("https:")


def _payment_pages(settings: Settings) -> str:
    if settings.stripe_base_url == _LIVE_SERVICE:
        return _PAYMENT_PAGES
    parts = urlsplit(settings.stripe_base_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:*"  # its pages are at another port than its interface


def _bare(host: str) -> str:
    """The host without its port, in lower case; empty when it is none."""
    found = _HOST.match(host)
    return found[1].lower() if found else ""


def _is_foreign(own: str) -> bool:
    """Another site's page sends this.

    ``Origin: null`` says nothing: under our own Referrer-Policy that is what our own forms send (Fetch Standard,
    "append a request Origin header"). ``Sec-Fetch-Site`` tells then.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return True
    origin = request.headers.get("Origin", "null")
    return origin != "null" and urlsplit(origin).netloc not in {own, request.host}
