"""Stripe's events: made, signed, and delivered to an endpoint by HTTP until it takes them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from copy import deepcopy
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

API_VERSION = "2026-10-28.endive"


def new_id(prefix: str) -> str:
    """An id nobody has yet."""
    return f"{prefix}_{uuid4().hex}"


def encoded(event: Mapping[str, Any]) -> bytes:
    """The body that carries an event."""
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to hand over an event. ``status`` 0: the endpoint did not answer."""

    event_id: str
    kind: str
    status: int
    seconds: float

    @property
    def is_taken(self) -> bool:
        """Anything but a 2xx is sent again, a redirect too."""
        return 200 <= self.status < 300


class Webhooks:
    """The events of an account and the one endpoint that hears of them.

    ``webhook_url``: nothing is delivered while it is empty. ``delivers``: new events are delivered on their own.
    ``delivery_tries`` and ``retry_seconds`` stand for Stripe's three days of trying, each pause twice the one before.
    """

    def __init__(self, *, webhook_url: str, webhook_secret: str, now: Callable[[], float]) -> None:
        self.webhook_url = webhook_url
        self.webhook_secret = webhook_secret
        self.now = now
        self.delivers = True
        self.delivery_tries = 8
        self.retry_seconds = 0.1
        self.events: list[dict[str, Any]] = []
        """Everything that happened, oldest first."""
        self.deliveries: list[Delivery] = []
        """Every attempt, oldest first."""
        self._kept: dict[str, dict[str, Any]] = {}
        self._closing = Event()
        self._postmen: list[Thread] = []

    def event(self, kind: str, thing: Mapping[str, Any]) -> dict[str, Any]:
        """A new event about a copy of ``thing``; it is neither kept nor delivered."""
        return {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(self.now()),
            "livemode": False,
            "pending_webhooks": 1 if self.webhook_url else 0,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            "data": {"object": deepcopy(dict(thing))},
        }

    def sign(self, body: bytes, *, secret: str = "", at: float | None = None) -> str:
        """The ``Stripe-Signature`` header of a body (https://docs.stripe.com/webhooks/signature)."""
        moment = int(self.now() if at is None else at)
        key = (secret or self.webhook_secret).encode()
        return f"t={moment},v1={hmac.new(key, f'{moment}.'.encode() + body, hashlib.sha256).hexdigest()}"

    def deliver(self, event: Mapping[str, Any], times: int = 1) -> list[Delivery]:
        """Sends an event ``times`` times, one after the other, whatever the endpoint says."""
        return [self._attempt(event) for _ in range(times)]

    def delivered(self, kind: str) -> list[Delivery]:
        """The attempts that were taken."""
        return [delivery for delivery in self.deliveries if delivery.kind == kind and delivery.is_taken]

    def wait_for_deliveries(self) -> None:
        """Every event that is being delivered on its own was taken or given up."""
        for postman in list(self._postmen):
            postman.join()

    def _happened(self, kind: str, thing: Mapping[str, Any]) -> Event:
        """A kept event. Returns what is set after its first attempt, and at once where none is made."""
        event, tried = self.event(kind, thing), Event()
        self.events.append(event)
        self._kept[event["id"]] = event
        if self.webhook_url and self.delivers:
            postman = Thread(target=self._deliver_until_taken, args=(event, tried), daemon=True)
            self._postmen.append(postman)
            postman.start()
        else:
            tried.set()
        return tried

    def _deliver_until_taken(self, event: Mapping[str, Any], tried: Event) -> None:
        for number in range(self.delivery_tries):
            taken = self._attempt(event).is_taken
            tried.set()
            if taken or self._closing.wait(self.retry_seconds * 2**number):
                return

    def _attempt(self, event: Mapping[str, Any]) -> Delivery:
        body, begun = encoded(event), time.monotonic()
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": self.sign(body)}
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.post(self.webhook_url, body, headers=headers, timeout=30, allow_redirects=False)
            status = answer.status_code
        except requests.RequestException:
            status = 0
        delivery = Delivery(event["id"], event["type"], status, time.monotonic() - begun)
        self.deliveries.append(delivery)
        if delivery.is_taken and event["id"] in self._kept:
            self._kept[event["id"]]["pending_webhooks"] = 0
        return delivery

    def _stop_delivering(self) -> None:
        self._closing.set()
        for postman in self._postmen:
            postman.join(timeout=1)  # an endpoint that hangs is not waited for
