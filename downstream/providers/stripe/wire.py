"""Stripe's interface, through its own client: our time-outs, no repeats but our own, errors by what happens next.

Behaviour of the service: https://docs.stripe.com/api/errors and https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import re
import time
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import stripe
from requests.adapters import HTTPAdapter

from downstream.domain.errors import DownstreamError, Misconfigured, PersonDecides, Throttled, TryAgain
from downstream.domain.pace import hint_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from downstream.domain.ports import Gate

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
TOTAL_SECONDS = 60.0
"""No answer takes longer, however it drips in; a customer may be waiting."""
LARGEST_ANSWER_BYTES = 16_000_000
CONNECTIONS = 16
KEYS_PER_CALL = 5
"""How often a call is sent anew when Stripe only repeats an earlier failure."""


class NoAnswer(TryAgain):
    """Whether Stripe did what it was asked is not known."""


class NotTaken(PersonDecides):
    """Stripe understood the request and will not do it; ``code`` is its word for why."""

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.code = code


class Wire:
    """Sends calls through the gate; threads may share it."""

    def __init__(self, api_key: str, base_url: str, gate: Gate) -> None:
        client = stripe.StripeClient(
            api_key, base_addresses={"api": base_url}, max_network_retries=0, http_client=_Client()
        )
        self._services = client.v1
        self._gate = gate

    def look(self, call: Callable[[stripe.V1Services], stripe.StripeObject]) -> dict[str, Any]:
        """The answer of a call that changes nothing.

        Raises:
            NoAnswer: there was none.
            Misconfigured: the key is wrong.
            NotTaken: there is no such thing.
        """
        return self._gate.run(lambda: _told_apart(lambda: call(self._services)), creates=False)

    def change(self, call: Callable[[stripe.V1Services, str], stripe.StripeObject], key: str) -> dict[str, Any]:
        """The answer of a call that is done once however often it is sent: ``call`` sends the key it is given.

        Stripe repeats what it first answered to a key for a day or longer, a failure as well; that says nothing
        about now, so the call is sent again under a key that follows from the first.

        Raises:
            NoAnswer: nobody knows whether it was done.
            Misconfigured: the key is wrong.
            NotTaken: Stripe will not do it.
        """

        def send() -> stripe.StripeObject:
            for number in range(1, KEYS_PER_CALL):
                try:
                    return call(self._services, key if number == 1 else f"{key}-{number}")
                except stripe.StripeError as error:
                    if not _header(error, "Idempotent-Replayed"):
                        raise
            return call(self._services, f"{key}-{KEYS_PER_CALL}")

        return self._gate.run(lambda: _told_apart(send), creates=True)


class _Client(stripe.HTTPClient):
    """HTTP for Stripe's client: time-outs, no redirect that takes the key along, no login from a ``.netrc``."""

    name = "requests"

    def __init__(self) -> None:
        super().__init__()
        self._session = requests.Session()
        self._session.auth = _as_it_is
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
        self._session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_usage: Any
    ) -> Any:
        """Body, status and headers of the answer. Raises ``stripe.APIConnectionError``."""
        ends = time.monotonic() + TOTAL_SECONDS
        body = bytearray()
        try:
            with self._session.request(
                method,
                url,
                headers=dict(headers or {}),
                data=post_data,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer:
                for chunk in answer.iter_content(65_536):
                    body += chunk
                    if len(body) > LARGEST_ANSWER_BYTES or time.monotonic() > ends:
                        raise requests.Timeout  # it has no end
        except requests.RequestException as error:
            raise stripe.APIConnectionError(type(error).__name__) from None  # type: ignore[no-untyped-call]
        # As text: Stripe's client breaks at bytes that are none.
        return body.decode("utf-8", "replace"), answer.status_code, answer.headers


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The credentials are in the headers already."""
    return request


def _told_apart(call: Callable[[], stripe.StripeObject]) -> dict[str, Any]:
    """The answer of ``call``; Stripe's errors as ours, without their text, which may repeat what was sent."""
    try:
        found = call()
    except stripe.StripeError as error:
        raise _error(error) from None
    if not isinstance(found, stripe.StripeObject):
        raise NoAnswer("Stripe's answer is no object")
    return found.to_dict()


def _error(error: stripe.StripeError) -> DownstreamError:
    status, code = error.http_status or 0, _shown(error.code)
    which = f"{status} {code}".strip()
    if isinstance(error, stripe.APIConnectionError):
        return NoAnswer(f"no answer from Stripe ({error.user_message})")
    if status in {401, 403}:
        return Misconfigured(f"Stripe does not accept STRIPE_API_KEY for this ({which}); set a valid one")
    if 300 <= status < 400:
        return Misconfigured(f"STRIPE_BASE_URL answers with a redirect ({status}); set the address that it leads to")
    if status == 429:
        return Throttled(
            f"Stripe asks for less haste ({which})", hint_seconds=hint_seconds(_header(error, "Retry-After"))
        )
    if isinstance(error, stripe.IdempotencyError):
        return NotTaken("Stripe was asked for something else under the same idempotency key", "idempotency_error")
    if status == 404:
        return NotTaken(
            f"Stripe knows no such thing ({which}); was it made with another key, or in the other mode?", code
        )
    if 400 <= status < 500 and status not in {408, 409, 424}:
        return NotTaken(f"Stripe does not accept the request ({which})", code)
    return NoAnswer(f"Stripe answered {which}")


def _header(error: stripe.StripeError, name: str) -> str:
    return str((error.headers or {}).get(name, ""))


def _shown(word: object) -> str:
    """The word if it is a code and not a sentence, else nothing."""
    return word if isinstance(word, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", word) else ""
