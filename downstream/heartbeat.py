"""The killswitch: HEARTBEAT.md, read before every paid or outward call.

The file is for people first: a few lines of the form ``Name: value`` anywhere in it are read, the rest is prose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from downstream.domain.errors import Paused
from downstream.files import write_durably

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_RENEW_DAYS = 30
_LINE = re.compile(
    r"^[ \t]*[-*]?[ \t]*\**(Status|Renewed|Renew every|Reason)\**[ \t]*:[ \t]*(.*?)[ \t]*$", re.IGNORECASE
)
SUNSET = "SUNSET"
"""The status of a shop that is closed for good: what is paid is finished, and a renewal does not open it."""
_STOPPED = re.compile(r"(PAUSED|STOP)\b")

_TEMPLATE = """\
# Heartbeat

This file is the killswitch. The system reads it before everything that costs money or is seen by a customer.

- Status: {status}
- Renewed: {renewed}
- Renew every: {days} days
{reason}
Status ACTIVE works normally. When the renewal is overdue the system is CAUTIOUS: it finishes what is paid, takes no
new orders and says so in every report. PAUSED or STOP, or a file that is missing or cannot be read, stops everything:
nothing is touched and nothing is lost. SUNSET, which `downstream sunset` writes, finishes what is paid and takes no new
orders for good.

`downstream heartbeat` shows where things stand; `renew`, `pause` and `resume` write this file. Editing it by hand
does the same.
"""


class Pulse(StrEnum):
    """What the heartbeat allows."""

    ACTIVE = "active"
    CAUTIOUS = "cautious"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What HEARTBEAT.md says at one moment; ``why`` is a sentence for the operator."""

    pulse: Pulse
    why: str
    status: str = ""
    """The word in the file, in upper case; empty when there is none."""
    reason: str = ""
    renewed: date | None = None
    renew_days: int = DEFAULT_RENEW_DAYS

    @property
    def due(self) -> date | None:
        """The last day on which the renewal is not overdue."""
        return _due(self.renewed, self.renew_days) if self.renewed else None

    @property
    def is_sunset(self) -> bool:
        """The shop is closed for good, also while everything is paused."""
        return self.status == SUNSET or self.reason.startswith(f"{SUNSET.lower()}:")

    def require_running(self) -> None:
        """Returns unless everything must stop.

        Raises:
            Paused: with the reason.
        """
        if self.pulse is Pulse.PAUSED:
            raise Paused(self.why)


def read_heartbeat(home: Path, now: datetime) -> Heartbeat:
    """What HEARTBEAT.md says now; whatever is not clearly alive counts as paused."""
    try:
        text = (home / "HEARTBEAT.md").read_text("utf-8")
    except FileNotFoundError:
        return Heartbeat(Pulse.PAUSED, "HEARTBEAT.md is missing; downstream heartbeat renew writes a new one")
    except (OSError, UnicodeDecodeError) as error:
        return Heartbeat(Pulse.PAUSED, f"HEARTBEAT.md cannot be read ({type(error).__name__})")
    lines = [(match[1].lower(), match[2].strip("*` ")) for match in map(_LINE.match, text.splitlines()) if match]
    found = {**dict(lines), "status": _status([value for name, value in lines if name == "status"])}
    pulse, why = _judge(found, now.astimezone(UTC).date())
    return Heartbeat(
        pulse,
        why,
        status=found["status"],
        reason=found.get("reason", ""),
        renewed=_renewed(found),
        renew_days=_renew_days(found) or DEFAULT_RENEW_DAYS,
    )


def _status(values: list[str]) -> str:
    """What the status lines say together: a word of stopping anywhere stops, and so does a contradiction."""
    words = sorted({value.upper() for value in values})
    stopped = [match[0] for match in map(_STOPPED.match, words) if match]
    return stopped[0] if stopped else " and ".join(words)


def _judge(found: dict[str, str], today: date) -> tuple[Pulse, str]:
    status, renewed, days = found["status"], _renewed(found), _renew_days(found)
    if status in {"PAUSED", "STOP"}:
        return Pulse.PAUSED, ": ".join(filter(None, (f"HEARTBEAT.md says {status}", found.get("reason"))))
    if status not in {"ACTIVE", "CAUTIOUS", SUNSET}:
        return Pulse.PAUSED, "HEARTBEAT.md has no line 'Status: ACTIVE' (or PAUSED)"
    if renewed is None or days is None:
        return Pulse.PAUSED, "HEARTBEAT.md has no readable 'Renewed: YYYY-MM-DD' or 'Renew every: N days'"
    due = _due(renewed, days)
    if status == SUNSET:
        return Pulse.CAUTIOUS, "HEARTBEAT.md says SUNSET: the shop is closed for good, what is paid is finished"
    if status == "CAUTIOUS":
        return Pulse.CAUTIOUS, "HEARTBEAT.md says CAUTIOUS"
    if today > due:
        return Pulse.CAUTIOUS, f"last renewed on {renewed}, which was good until {due}: downstream heartbeat renew"
    if renewed > today + timedelta(days=1):
        return Pulse.CAUTIOUS, f"renewed on {renewed}, a day that has not come yet: is the clock right?"
    return Pulse.ACTIVE, f"renewed on {renewed}"


def _renewed(found: dict[str, str]) -> date | None:
    try:
        return date.fromisoformat(found.get("renewed", ""))
    except ValueError:
        return None


def _renew_days(found: dict[str, str]) -> int | None:
    days = re.match(r"([0-9]{1,3})(?: |$)", found.get("renew every", str(DEFAULT_RENEW_DAYS)))
    return int(days[1]) if days and 0 < int(days[1]) <= 366 else None


def _due(renewed: date, days: int) -> date:
    return date.fromordinal(min(renewed.toordinal() + days, date.max.toordinal()))


def write_heartbeat(home: Path, *, status: str, renewed: date, renew_days: int, reason: str = "") -> None:
    """HEARTBEAT.md says so from the next call on."""
    line = f"- Reason: {' '.join(reason.split())}\n" if reason else ""
    text = _TEMPLATE.format(status=status, renewed=renewed, days=renew_days, reason=line)
    write_durably(home / "HEARTBEAT.md", text.encode())
