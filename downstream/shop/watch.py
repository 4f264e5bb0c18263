"""When to look at the payment service again, by the times of three empty files: a tick asks it for next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.locks import Lock
from downstream.stamps import age_seconds, done_now

if TYPE_CHECKING:
    from pathlib import Path

EVERY_SECONDS = 15 * 60
WORRY_AFTER_SECONDS = 3600
LEAST_DAYS = 4
"""How far back to look at least: Stripe calls again for three days, and bank transfers are told by their own events."""
MOST_DAYS = 30
"""How far back Stripe keeps its events."""
_DAY_SECONDS = 86400


def watch(home: Path, now: float | None = None) -> None:
    """From now on ``is_due`` asks for a look now and then: somebody may pay."""
    for stamp in (_begun(home), _succeeded(home)):
        if not stamp.exists():
            done_now(stamp, now)


def is_watched(home: Path) -> bool:
    """Payment pages were opened at some time."""
    return _begun(home).exists()


def is_due(home: Path, now: float | None = None) -> bool:
    """Payment pages were opened, and the last look was begun a quarter of an hour ago."""
    return is_watched(home) and not _is_within(_begun(home), EVERY_SECONDS, now)


def begin(home: Path, now: float | None = None) -> Lock | None:
    """The right to look now; None while somebody else does."""
    lock = Lock.take(home / "jobs" / ".reconcile.lock")
    if lock is not None:
        watch(home, now)
        if not _is_within(_begun(home), WORRY_AFTER_SECONDS, now):
            done_now(_awake(home), now)  # the machine was off, or its clock was set: nothing was tried meanwhile
        done_now(_begun(home), now)
    return lock


def succeeded(home: Path, now: float | None = None) -> None:
    """The look came to its end."""
    watch(home, now)
    done_now(_succeeded(home), now)


def is_worrying(home: Path, now: float | None = None) -> bool:
    """For an hour there were looks, and none came to its end."""
    stamps = (_succeeded(home), _awake(home))
    return not any(stamp.exists() and _is_within(stamp, WORRY_AFTER_SECONDS, now) for stamp in stamps)


def days_to_look_back(home: Path, now: float | None = None) -> int:
    """So many that nothing was paid unseen since the last look that came to its end, as far as Stripe remembers."""
    try:
        age = age_seconds(_succeeded(home), now)
    except FileNotFoundError:
        return LEAST_DAYS
    if age < 0:  # the clock was set back since: nobody knows how long ago that was
        return MOST_DAYS
    return min(max(LEAST_DAYS, 2 + int(age / _DAY_SECONDS)), MOST_DAYS)


def _is_within(stamp: Path, seconds: float, now: float | None) -> bool:
    """It was done that long ago at most, and not at a time to come."""
    return 0 <= age_seconds(stamp, now) < seconds


def _begun(home: Path) -> Path:
    return home / "jobs" / ".reconcile.begun"


def _succeeded(home: Path) -> Path:
    return home / "jobs" / ".reconcile.succeeded"


def _awake(home: Path) -> Path:
    """When the first look was begun after a long time without any."""
    return home / "jobs" / ".reconcile.awake"
