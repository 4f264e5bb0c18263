"""The shop as customers and Stripe meet it: ``downstream serve`` in a process of its own, killed when a test wants.

Its orders are drafted by the same core in the test's own process, on the same home.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import stripe
from conftest import environment
from fakes.stripe_webhooks import encoded
from live import STORY

from downstream.domain.order import Agreement, Typed
from downstream.log import open_log
from downstream.settings import read_settings
from downstream.shop.checkout import go_to_pay
from downstream.suppliers import open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fakes.smtp import FakeSmtp
    from fakes.stripe import FakeStripe

    from downstream.domain.order import Order
    from downstream.shop.shop import Shop

WEBHOOK = "/stripe/webhook"
AT_ONCE = 32
_ADDRESS = re.compile(r"the shop is at http://(127\.0\.0\.1):(\d+)/")


def typed(**changes: Any) -> Typed:
    """A form filled in well."""
    words = {"title": "The harbour", "text": STORY, "language": "en", "email": "reader.of.tales@customer.example"}
    return Typed(**{**words, "agreed": tuple(Agreement), **changes})


def shop_environment(stripe_account: FakeStripe, smtp: FakeSmtp | None = None) -> dict[str, str]:
    """The settings of the shop; without a mail service its letters wait."""
    mail = {"SMTP_URL": smtp.url, "SSL_CERT_FILE": str(smtp.authority)} if smtp else {}
    return {
        "STRIPE_API_KEY": stripe_account.key,
        "STRIPE_WEBHOOK_SECRET": stripe_account.webhook_secret,
        "STRIPE_BASE_URL": stripe_account.base_url,
        "PUBLIC_URL": "https://stories.example",
        "MAIL_FROM": "DownStream <stories@shop.example>",
        "TIMEZONE": "UTC",
        **mail,
    }


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered; status 0: nothing, or not to its end."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


NO_REPLY = Reply(0)


class Caller:
    """One client with one connection, opened again when it breaks. Not for several threads."""

    def __init__(self, port: int, timeout_seconds: float = 60) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """What came back; nothing is sent twice."""
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return NO_REPLY

    def tell(self, body: bytes, signature: str) -> Reply:
        """Calls the webhook as Stripe does."""
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
        return self.ask("POST", WEBHOOK, body, headers)

    def close(self) -> None:
        self._connection.close()


def signed(body: bytes, secret: str, at: float | None = None) -> str:
    """The ``Stripe-Signature`` header as Stripe's own package makes it."""
    moment = int(time.time() if at is None else at)
    return stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=moment)


@dataclass
class Served:
    """The real server on ``home``; 0 takes any free port, which it keeps when it is started again."""

    home: Path
    settings: Mapping[str, str]
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """It answers."""
        before = len(self.said)
        command = [sys.executable, "-m", "downstream", "--home", str(self.home), "serve", "--port", str(self.port)]
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(command, env=environment(**self.settings), stderr=errors)
        deadline = time.monotonic() + 60
        while (found := _ADDRESS.search(self.said, before)) is None:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)
        self.port = int(found[2])
        return self

    def kill(self) -> None:
        """It has died without a chance to do anything about it."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """It has ended as it should; returns its exit code."""
        return self._end(signal.SIGTERM)

    def caller(self, timeout_seconds: float = 60) -> Caller:
        """A new client."""
        return Caller(self.port, timeout_seconds)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own."""
        caller = self.caller()
        try:
            return caller.ask(method, path, body, headers)
        finally:
            caller.close()

    def tell(self, event: Mapping[str, Any] | bytes, secret: str = "", at: float | None = None) -> Reply:
        """Calls the webhook about an event (or with any body), with the right secret unless another is given."""
        body = event if isinstance(event, bytes) else encoded(event)
        caller = self.caller()
        try:
            return caller.tell(body, signed(body, secret or self.settings["STRIPE_WEBHOOK_SECRET"], at))
        finally:
            caller.close()

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def resident_megabytes(self) -> float:
        """The memory the process holds now."""
        status = Path(f"/proc/{self.process_id}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]

    @property
    def said(self) -> str:
        """Everything that it wrote to its standard error, over all its lives."""
        return self._errors.read_text("utf-8", "replace") if self._errors.exists() else ""

    @property
    def _errors(self) -> Path:
        return self.home.with_name(f"{self.home.name}.serve.err")

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(30)


@contextmanager
def serving(home: Path, settings: Mapping[str, str]) -> Iterator[Served]:
    """The server runs while this lasts."""
    served = Served(home, settings)
    try:
        yield served.start()
    finally:
        if served.is_running:
            served.kill()


def core(home: Path, settings: Mapping[str, str]) -> Shop:
    """The same shop in this process."""
    return open_shop(home, read_settings(dict(settings)), open_log(home, "shop"))


def at_checkout(shop: Shop, **changes: Any) -> tuple[Order, str]:
    """An order whose customer was sent to pay, and the payment page's id."""
    order = shop.orders.begin(typed(**changes), shop.clock())
    go_to_pay(shop, order)
    found = shop.orders.read(order.stream_id)
    assert found is not None
    return found, found.checkouts[-1].session_id


def jobs(home: Path) -> dict[str, list[str]]:
    """Stream id to every folder in which a job of that name lies."""
    found: dict[str, list[str]] = {}
    for path in sorted(home.glob("jobs/[a-z]*/*.json")):
        found.setdefault(path.stem, []).append(path.parent.name)
    return found


def half_written(home: Path) -> list[str]:
    """Temporary files, and JSON files that are none, below ``home``."""
    found = [path for path in home.rglob("*.tmp") if path.is_file()]
    return sorted(str(path.relative_to(home)) for path in [*found, *filter(_is_torn, home.rglob("*.json"))])


def _is_torn(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False
