"""Whether the outside services take our keys: asked by calls that cost nothing and change nothing.

Gemini: ``GET /{version}/models/{model}`` (https://ai.google.dev/api/models). Replicate: ``GET /v1/account``
(https://replicate.com/docs/reference/http). Vercel: ``GET /v9/projects/{name}`` (https://vercel.com/docs/rest-api).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

import requests
from requests.auth import AuthBase

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
_NO_PROJECT = "downstream-doctor"
"""A project nobody has: that Vercel says so means that it took the token."""


@dataclass(frozen=True, slots=True)
class Health:
    """How one call was answered, in words for the operator that hold no key."""

    level: Literal["ok", "warn", "FAIL"]
    found: str
    next_step: str = ""
    at: datetime | None = None
    """The service's own clock."""


def check_gemini(key: str, base_url: str, api_version: str, model: str) -> Health:
    """The key is taken and the model is there for it."""
    answer = _get(f"{base_url}/{api_version}/models/{model}", {"x-goog-api-key": key})
    if isinstance(answer, Health):
        return answer
    at = _clock(answer)
    if answer.status_code == 404:
        return Health("FAIL", f"there is no model {model}", "change [models] in prices.toml, or GOOGLE_API_VERSION", at)
    return _judged(answer, f"{model} is there", "GOOGLE_AI_API_KEY", refusals={400, 401, 403})


def check_replicate(token: str, base_url: str) -> Health:
    """The token is taken. What credit is left no call tells."""
    answer = _get(f"{base_url}/v1/account", {"Authorization": f"Bearer {token}"})
    if isinstance(answer, Health):
        return answer
    taken = "the token is taken; how much credit is left only replicate.com/account/billing shows"
    return _judged(answer, taken, "REPLICATE_API_TOKEN")


def check_vercel(token: str, team_id: str, base_url: str) -> Health:
    """The token is taken, for the team if there is one."""
    team = {"teamId": team_id} if team_id else {}
    answer = _get(f"{base_url}/v9/projects/{_NO_PROJECT}", {"Authorization": f"Bearer {token}"}, team)
    if isinstance(answer, Health):
        return answer
    if answer.status_code == 404:
        return Health("ok", "the token is taken", at=_clock(answer))
    return _judged(answer, "the token is taken", "VERCEL_TOKEN or VERCEL_TEAM_ID")


def check_door(public_url: str) -> Health:
    """The shop answers at the address that customers have."""
    next_step = "is downstream serve running, and does the reverse proxy lead to it?"
    answer = _get(f"{public_url}/healthz", {})
    if isinstance(answer, Health):
        return Health("warn", f"{public_url}/healthz: {answer.found}", next_step)
    if answer.status_code == 200:
        return Health("ok", f"{public_url} answers")
    return Health("warn", f"{public_url}/healthz answers {answer.status_code}", next_step)


def _judged(
    answer: requests.Response, taken: str, key: str, refusals: frozenset[int] | set[int] = frozenset({401, 403})
) -> Health:
    status, at = answer.status_code, _clock(answer)
    if status == 200:
        return Health("ok", taken, at=at)
    if status in refusals:
        return Health("FAIL", f"{key} is not accepted ({status})", f"set a valid {key}", at)
    if 300 <= status < 400:
        return Health("FAIL", f"it answers with a redirect ({status})", "set the base address that it leads to", at)
    return Health("warn", f"it answers {status}", "ask again later", at)


def _get(
    address: str, headers: Mapping[str, str], query: Mapping[str, str] | None = None
) -> requests.Response | Health:
    """The answer; how it failed where there is none."""
    try:
        # No redirect is followed: it would take the key along.
        return requests.get(
            address,
            params=query,
            auth=_Headers(headers),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
        )
    except requests.RequestException as error:
        # The name of the error and nothing of its words: they quote the address.
        return Health("FAIL", f"no answer ({type(error).__name__})", "is the network up, is a firewall in the way?")


class _Headers(AuthBase):
    """Credentials that the ``.netrc`` of the machine does not replace."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


def _clock(answer: requests.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers.get("Date", "")).astimezone(UTC)
    except ValueError:
        return None
