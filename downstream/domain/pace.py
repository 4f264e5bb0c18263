"""How often to look whether something is done, and how long to wait before it is asked for again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from downstream.domain.errors import DownstreamError

Answer = TypeVar("Answer")

PAUSES_SECONDS = (1.0, 3.0, 9.0)
"""Between tries of what may be sent again harmlessly."""
_FIRST_SECONDS = 0.25
_GROWTH = 1.05


def pauses(longest_seconds: float, patience_seconds: float) -> Iterator[float]:
    """The seconds to wait between looks: about a twentieth of what has passed already, until patience is over.

    So the time lost to looking too late is a small share of the whole, whether that is a second or half an hour.
    """
    waited = 0.0
    for number in count():
        pause = min(longest_seconds, _FIRST_SECONDS * _GROWTH**number)
        yield pause
        waited += pause
        if waited >= patience_seconds:
            return


def persistently(
    send: Callable[[], Answer],
    wait: Callable[[float], None],
    hiccup: type[DownstreamError],
    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
) -> Answer:
    """The answer of ``send``, which may be sent again harmlessly: every ``hiccup`` but the last is waited out."""
    for seconds in pauses_seconds:
        try:
            return send()
        except hiccup:
            wait(seconds)
    return send()


def hint_seconds(retry_after: str) -> float | None:
    """How long a ``Retry-After`` header (RFC 9110, 10.2.3: seconds or a date) says to wait; None where it does not."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
