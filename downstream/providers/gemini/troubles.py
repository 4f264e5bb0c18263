"""What it means when a request to Gemini gets no answer, or an error for an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import httpx2
from google.genai import errors

from downstream.domain.errors import (
    DownstreamError,
    InTrouble,
    Misconfigured,
    OnHold,
    PersonDecides,
    Throttled,
    TryAgain,
    Unknown,
)

if TYPE_CHECKING:
    from datetime import tzinfo

NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
"""What the SDK's transport raises before a byte of the request has left."""

_BUSY_SECONDS = 60.0
_NO_CREDIT_SECONDS = 3600.0
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,60}\Z")
_DELAY = re.compile(r"([0-9]+(?:\.[0-9]+)?)s\Z")


class Cost(Enum):
    """What a request that came to nothing has cost."""

    NOTHING = auto()
    ASSUMED = auto()
    """It was answered, so nothing more comes of it, but it may have been billed."""
    UNKNOWN = auto()
    """Nobody can tell whether it was taken."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What to raise, and what to write into the books."""

    error: DownstreamError
    cost: Cost


def trouble_of(error: Exception, what: str, model: str, now: datetime) -> Trouble:
    """What ``error``, from the SDK or its transport, means for ``what``; never in the service's own words.

    Its words could quote ours: a prompt, a key.
    """
    if isinstance(error, errors.APIError):
        return _answered(error, what, model, now)
    kind = type(error).__name__
    if isinstance(error, NEVER_SENT):
        return Trouble(TryAgain(f"{what}: Gemini cannot be reached ({kind}); nothing was sent"), Cost.NOTHING)
    if isinstance(error, httpx2.RequestError):
        return Trouble(Unknown(f"{what}: Gemini was asked and no answer came ({kind})"), Cost.UNKNOWN)
    return Trouble(Unknown(f"{what}: Gemini's answer cannot be read ({kind})"), Cost.UNKNOWN)


def code_of(name: object) -> str:
    """A code of the service's, as in ``IMAGE_SAFETY``; ``unknown`` for what does not look like one."""
    text = str(name or "")
    return text if _CODE.match(text) else "unknown"


def quota_resets_at(now: datetime) -> datetime:
    """The next midnight in California, when Gemini's daily quotas begin anew (ai.google.dev, rate limits)."""
    zone = _pacific()
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).astimezone(UTC)


def _answered(error: errors.APIError, what: str, model: str, now: datetime) -> Trouble:
    code, body = error.code, _google_body(error)
    if code >= 500 or code == 499:
        return _failed(code, body, what)
    if code == 429:
        return Trouble(_too_much(body, what, now), Cost.NOTHING)
    return Trouble(_turned_away(code, body, what, model), Cost.NOTHING if code >= 300 else Cost.UNKNOWN)


def _failed(code: int, body: dict[str, Any], what: str) -> Trouble:
    """A fault of the service's; what answers without Google's body is a proxy that lost the answer."""
    if not body:
        return Trouble(Unknown(f"{what}: something before Gemini answered {code}"), Cost.UNKNOWN)
    reason = f"{what}: Gemini is in trouble ({code} {code_of(body.get('status'))})"
    return Trouble(InTrouble(reason, wait_seconds=_BUSY_SECONDS), Cost.ASSUMED)


def _too_much(body: dict[str, Any], what: str, now: datetime) -> TryAgain:
    violations = [one for detail in _details(body, "QuotaFailure") for one in detail.get("violations", [])]
    if any("PerDay" in str(one.get("quotaId")) for one in violations if isinstance(one, dict)):
        until = quota_resets_at(now)
        reason = f"Gemini's quota of this day is used up; it begins anew at {until:%Y-%m-%d %H:%M} UTC"
        return OnHold(reason, fingerprint="gemini.quota", wait_seconds=(until - now).total_seconds())
    delays = (_DELAY.match(str(detail.get("retryDelay"))) for detail in _details(body, "RetryInfo"))
    hint = next((float(delay[1]) for delay in delays if delay), None)
    return Throttled(f"{what}: Gemini asks for less haste", hint_seconds=hint)


def _turned_away(code: int, body: dict[str, Any], what: str, model: str) -> DownstreamError:
    status = code_of(body.get("status"))
    reasons = {detail.get("reason") for detail in _details(body, "ErrorInfo")}
    if code == 402:
        reason = "Gemini's account is out of credit: top it up at Google; asked again within the hour"
        return OnHold(reason, fingerprint="gemini.credit", wait_seconds=_NO_CREDIT_SECONDS)
    if code in {401, 403} or "API_KEY_INVALID" in reasons:
        return Misconfigured(
            f"Gemini does not accept GOOGLE_AI_API_KEY ({code} {status}): set a key that may use {model}"
        )
    if status == "FAILED_PRECONDITION":
        return Misconfigured(
            f"Gemini does not serve the account of GOOGLE_AI_API_KEY ({code} {status}): region or billing"
        )
    if code == 404:
        return Misconfigured(f"Gemini has no model {model}: change [models] in prices.toml, or GOOGLE_API_VERSION")
    if code < 400:
        return _elsewhere(code, what)
    if code == 408:
        return TryAgain(f"{what}: Gemini did not get the whole request in time", wait_seconds=_BUSY_SECONDS)
    return PersonDecides(
        f"{what}: Gemini does not take this request ({code} {status}); mend what was asked, then retry"
    )


def _elsewhere(code: int, what: str) -> DownstreamError:
    if code >= 300:
        return Misconfigured(f"GOOGLE_GEMINI_BASE_URL answers with a redirect ({code}): set the address it leads to")
    return Unknown(f"{what}: Gemini answered {code}, which says nothing")


def _google_body(error: errors.APIError) -> dict[str, Any]:
    """The ``error`` of Google's error body; empty when the answer has none."""
    details = error.details
    body = details.get("error") if isinstance(details, dict) else None
    return body if isinstance(body, dict) and "status" in body else {}


def _details(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The details of one ``google.rpc`` type."""
    details = body.get("details")
    found = details if isinstance(details, list) else []
    return [one for one in found if isinstance(one, dict) and str(one.get("@type")).endswith(f".{kind}")]


def _pacific() -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # no zones on this machine: winter time, at worst an hour late
        return timezone(timedelta(hours=-8))
