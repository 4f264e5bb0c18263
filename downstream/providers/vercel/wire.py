"""Vercel's REST interface and a visitor's way to a page.

Two sessions, because a visitor must be anonymous: no token, no cookie, no login from a ``.netrc``.
Behaviour of the service: https://vercel.com/docs/rest-api
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from downstream.domain.errors import DownstreamError, Misconfigured, OnHold, PersonDecides, Throttled, TryAgain
from downstream.domain.pace import hint_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from downstream.domain.ports import Gate

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
TOTAL_SECONDS = 180.0
"""No answer takes longer, however it drips in."""
LARGEST_ANSWER_BYTES = 32_000_000
LARGEST_FILE_BYTES = 200_000_000
CONNECTIONS = 50
LONG_SECONDS = 300.0
"""A limit that is lifted later than that holds up everybody instead of being waited for."""
UNPAID_SECONDS = 3600.0
SHORTEST_AWAY_SECONDS = 1.0
"""A service that is away is asked again no sooner, whatever it says."""


class NoAnswer(TryAgain):
    """Whether Vercel did what it was asked is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Vercel said; ``code`` is its word for an error."""

    status: int
    body: Mapping[str, Any]

    @property
    def code(self) -> str:
        """The error's code, empty where there is none that is fit to be shown."""
        error = self.body.get("error")
        return shown(error.get("code")) if isinstance(error, dict) else ""

    def text(self, name: str) -> str:
        """What every such answer has under ``name``. Raises ``NoAnswer`` where this one does not."""
        value = self.body.get(name)
        if not isinstance(value, str):
            raise NoAnswer(f"Vercel's answer has no {name}")
        return value


class Vercel:
    """Sends calls to the interface; threads may share it."""

    def __init__(self, token: str, team_id: str, base_url: str, gate: Gate) -> None:
        self._session = _session(_Bearer(token))
        self._team = {"teamId": team_id} if team_id else {}
        self._base_url = base_url.rstrip("/")
        self._gate = gate

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
        expected: tuple[int, ...] = (),
        repeatable: bool | None = None,
    ) -> Answer:
        """The answer, a success or one of the ``expected`` statuses.

        ``repeatable``: it may be sent again although nobody knows what became of it; unless given, all but POSTs are.

        Raises:
            NoAnswer: nobody knows whether it was done; sent once.
            OnHold: a payment or a limit is in the way.
            Misconfigured: the token, the team or the plan is not right.
            PersonDecides: the request is not accepted.
        """

        creates = method == "POST"
        may_repeat = not creates if repeatable is None else repeatable

        def send() -> Answer:
            return self._send(method, path, expected, repeatable=may_repeat, params=query or {}, json=document)

        return self._gate.run(send, creates=creates)

    def upload(self, data: bytes, sha1: str) -> None:
        """Vercel has these bytes under their SHA-1; repeated freely."""
        headers = {"Content-Type": "application/octet-stream", "x-vercel-digest": sha1}

        def send() -> Answer:
            return self._send("POST", "/v2/files", (), repeatable=True, params={}, data=data, headers=headers)

        self._gate.run(send, creates=False)

    def _send(
        self,
        method: str,
        path: str,
        expected: tuple[int, ...],
        *,
        repeatable: bool,
        params: Mapping[str, str],
        **rest: Any,
    ) -> Answer:
        def request() -> requests.Response:
            address = self._base_url + path
            return self._session.request(method, address, params={**params, **self._team}, **_ONCE, **rest)

        response, data = _received(request, LARGEST_ANSWER_BYTES)
        answer = Answer(response.status_code, _parsed(data))
        if 200 <= answer.status < 300 or answer.status in expected:
            return answer
        raise _error(answer, response.headers, repeatable=repeatable)


class Visitor:
    """Looks at pages the way anybody can."""

    def __init__(self) -> None:
        self._session = _session(_nobody)

    def get(self, address: str) -> tuple[int, bytes]:
        """The status and the bytes. Redirects are not followed.

        Raises:
            NoAnswer: there was none.
        """
        headers = {"Cache-Control": "no-cache"}
        response, data = _received(lambda: self._session.get(address, headers=headers, **_ONCE), LARGEST_FILE_BYTES)
        return response.status_code, data


_ONCE: dict[str, Any] = {"timeout": (CONNECT_SECONDS, READ_SECONDS), "allow_redirects": False, "stream": True}


class _Bearer(AuthBase):
    """The token. As ``auth`` and not as a header, which a ``.netrc`` would replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """No credentials, not even those of a ``.netrc``."""
    return request


def _session(auth: Callable[[requests.PreparedRequest], requests.PreparedRequest]) -> requests.Session:
    session = requests.Session()
    session.auth = auth
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = HTTPAdapter(pool_maxsize=CONNECTIONS)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _received(request: Callable[[], requests.Response], largest_bytes: int) -> tuple[requests.Response, bytes]:
    """The answer and all of its body. Raises ``NoAnswer``."""
    ends = time.monotonic() + TOTAL_SECONDS
    body = bytearray()
    try:
        with request() as response:
            for chunk in response.iter_content(65_536):
                body += chunk
                if len(body) > largest_bytes or time.monotonic() > ends:
                    raise NoAnswer("Vercel's answer has no end")
    except requests.RequestException as error:
        raise NoAnswer(f"no answer from Vercel ({type(error).__name__})") from None
    return response, bytes(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(answer: Answer, headers: Mapping[str, str], *, repeatable: bool) -> DownstreamError:
    """What an answer other than a success means. Its text is not quoted: it may repeat what was sent."""
    status = answer.status
    which = f"{status} {answer.code}".strip()
    if status in {401, 403}:
        return Misconfigured(f"Vercel does not accept VERCEL_TOKEN for VERCEL_TEAM_ID ({which}); set valid ones")
    if status == 402:
        return OnHold(
            f"Vercel wants to be paid ({which}): see the team's billing page",
            fingerprint="vercel.payment",
            wait_seconds=UNPAID_SECONDS,
        )
    if status == 428:
        return Misconfigured(f"Vercel's plan lacks what is needed to open pages to visitors ({which}); change the plan")
    if status == 429:
        return _limited(which, _hint_seconds(answer, headers))
    if status == 503 and repeatable and (hint := hint_seconds(headers.get("Retry-After", ""))) is not None:
        # What creates something is looked for before it is sent again.
        return Throttled(f"Vercel is away for a while ({which})", hint_seconds=max(hint, SHORTEST_AWAY_SECONDS))
    if 400 <= status < 500 and status != 408:
        return PersonDecides(f"Vercel does not accept the request ({which})")
    return NoAnswer(f"Vercel answered {which}")


def _limited(which: str, hint: float | None) -> DownstreamError:
    if hint is not None and hint > LONG_SECONDS:
        reason = f"a limit of the Vercel plan is used up ({which})"
        return OnHold(reason, fingerprint="vercel.limit", wait_seconds=hint)
    return Throttled(f"Vercel asks for less haste ({which})", hint_seconds=hint)


def _hint_seconds(answer: Answer, headers: Mapping[str, str]) -> float | None:
    """How long to wait, by the header or else by the limit in the body."""
    by_header = hint_seconds(headers.get("Retry-After", ""))
    if by_header is not None:
        return by_header
    error = answer.body.get("error")
    limit = error.get("limit") if isinstance(error, dict) else None
    reset = limit.get("reset") if isinstance(limit, dict) else None
    if not isinstance(reset, int):
        return None
    return max(0.0, reset - datetime.now(UTC).timestamp())


def shown(word: object) -> str:
    """The word if it is a code and not a sentence, else nothing."""
    return word if isinstance(word, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", word) else ""
