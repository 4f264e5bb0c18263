"""The one way to Gemini: a request goes through the gate, and whatever happens becomes ours, its cost told."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import httpx2
from google import genai
from google.genai import errors, types

from downstream.domain.errors import DownstreamError
from downstream.providers.gemini.request import cost_micros
from downstream.providers.gemini.troubles import Cost, trouble_of

if TYPE_CHECKING:
    from downstream.domain.ports import Call, Gate
    from downstream.domain.prices import Prices
    from downstream.providers.gemini.request import Ask

TIMEOUT_SECONDS = 180.0
CONNECT_TIMEOUT_SECONDS = 10.0

_FAILURES = (
    errors.APIError,
    httpx2.RequestError,
    # What the SDK trips over when a 200 holds something else than an answer.
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
)


class GeminiService:
    """Holds the key and the connections; its threads may share it."""

    def __init__(
        self,
        key: str,
        base_url: str,
        api_version: str,
        gate: Gate,
        prices: Prices,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.prices = prices
        self._gate = gate
        self._client = _client(key, base_url, api_version, timeout_seconds)

    def price_micros(self, ask: Ask) -> int:
        """The most ``ask`` should cost by the price table, in millionths of a dollar.

        Raises:
            Misconfigured: the table does not have its model.
        """
        return ask.price_micros(self.prices.tokens_of(ask.model))

    def ask(self, ask: Ask, call: Call) -> types.GenerateContentResponse:
        """Returns what the service answered with 200; what it cost is told before it is looked at.

        Raises:
            OnHold: the day's quota or the account's credit is used up, for every process.
            TryAgain: it was not sent, or throttled.
            InTrouble: it was answered with a fault of the service's.
            Unknown: no answer came, or none that can be read.
            PersonDecides: the service does not take the request.
            Misconfigured: key, model or address are wrong.
        """
        cost = Cost.NOTHING

        def send() -> types.GenerateContentResponse:
            nonlocal cost
            call.check()
            cost = Cost.UNKNOWN
            try:
                response = self._client.models.generate_content(model=ask.model, contents=contents, config=config)
            except _FAILURES as error:
                trouble = trouble_of(error, ask.what, ask.model, call.now())
                cost = trouble.cost
                raise trouble.error from None  # the SDK's own error quotes what was sent and answered
            self._tell_cost(ask, response, call)
            return response

        try:
            contents, config = list[types.PartUnionDict](ask.contents()), ask.config()
            return self._gate.run(send)
        except DownstreamError:
            # Only now, not within ``send``: after a throttled attempt the gate sends again, and that reply may be lost.
            if cost is Cost.NOTHING:
                call.spent(0)
            elif cost is Cost.ASSUMED:
                call.spent(self.price_micros(ask), exact=False)
            raise

    def _tell_cost(self, ask: Ask, response: types.GenerateContentResponse, call: Call) -> None:
        usage = response.usage_metadata
        if usage is None or usage.prompt_token_count is None:
            call.spent(self.price_micros(ask), exact=False)
        else:
            call.spent(cost_micros(usage, self.prices.tokens_of(ask.model)))


def _client(key: str, base_url: str, api_version: str, timeout_seconds: float) -> genai.Client:
    """A client that takes nothing from the environment, sends every request once and follows nobody elsewhere."""
    # The SDK warns of finish reasons it does not know, and of keys in the environment; cron would mail both.
    warnings.filterwarnings("ignore", message=".* is not a valid ", module=r"google\.genai\._common")
    logging.getLogger("google_genai").setLevel(logging.ERROR)
    return genai.Client(
        vertexai=False,
        api_key=key,
        http_options=types.HttpOptions(
            base_url=base_url,
            api_version=api_version,
            timeout=int(timeout_seconds * 1000),
            # The SDK's own transport would follow a redirect, sending the request and the key a second time.
            httpx_client=httpx2.Client(follow_redirects=False, event_hooks={"request": [_connect_sooner]}),
        ),
    )


def _connect_sooner(request: httpx2.Request) -> None:
    """The SDK has one time-out for everything, and an answer may take minutes that a connection may not."""
    patience = request.extensions["timeout"]
    patience["connect"] = min(CONNECT_TIMEOUT_SECONDS, patience["connect"])
