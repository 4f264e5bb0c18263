"""The books of all orders together: what was reserved and spent, by month, and the caps that hold for the house.

``logs/ledger/2026-11.jsonl`` gets a line before each paid call (the reservation) and one after it (the settlement). A
stream's receipts say what was bought; the ledger lets the caps for a day and a month hold for every process of this
machine, and outlives the stream. A reservation is written before the intent in the receipts, so whatever a crash leaves
behind can be settled from them (``agree``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from downstream.domain.errors import Misconfigured, OnHold
from downstream.domain.prices import MICROS_PER_CENT, show_dollars
from downstream.files import append_durably, private_folder, whole_lines
from downstream.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, tzinfo
    from pathlib import Path

    from downstream.receipts import Attempt
    from downstream.settings import Settings

LOOK_AGAIN_SECONDS = 3600.0
"""A cap may be raised at any time, so what it holds up asks again after this long."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be spent, in millionths of a dollar."""

    per_call_micros: int
    per_day_micros: int
    per_month_micros: int

    @classmethod
    def of(cls, settings: Settings) -> Caps:
        """The caps an operator has set."""
        return cls(
            per_call_micros=settings.cap_per_call_cents * MICROS_PER_CENT,
            per_day_micros=settings.cap_per_day_cents * MICROS_PER_CENT,
            per_month_micros=settings.cap_per_month_cents * MICROS_PER_CENT,
        )


Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One paid call in the books."""

    stream_id: str
    call: str
    inputs: str
    number: int
    provider: str
    at: datetime
    micros: int
    """What it cost; until it is settled, what is reserved for it."""
    is_open: bool = True
    exact: bool = False

    @property
    def key(self) -> Key:
        """Which attempt at which call."""
        return (self.stream_id, self.call, self.inputs, self.number)


class Ledger:
    """The ledger of one installation. Threads and processes may share it."""

    def __init__(self, home: Path, *, caps: Caps, timezone: str, clock: Callable[[], datetime]) -> None:
        self._folder = home / "logs" / "ledger"
        self._caps = caps
        self._zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)
        self._clock = clock
        self._books: dict[Path, _Book] = {}

    def reserve(self, stream_id: str, call: str, inputs: str, number: int, provider: str, micros: int) -> None:
        """It is on the disk that this much may be spent.

        Raises:
            OnHold: a cap forbids it; nothing was written.
        """
        if micros > self._caps.per_call_micros:
            raise _refused("call", f"{call} may cost {show_dollars(micros)}", self._caps.per_call_micros)
        now = self._now()
        with self._locked():
            today, month = self._spent(now)
            if today + micros > self._caps.per_day_micros:
                raise _refused("day", f"{show_dollars(today)} are spent today", self._caps.per_day_micros)
            if month + micros > self._caps.per_month_micros:
                raise _refused("month", f"{show_dollars(month)} are spent this month", self._caps.per_month_micros)
            self._append(self._path(now), Entry(stream_id, call, inputs, number, provider, now, micros))

    def settle(self, stream_id: str, attempt: Attempt) -> None:
        """It is on the disk what an attempt cost; one that nothing was reserved for is not in the books."""
        with self._locked():
            for path in self._around(attempt.began_at):
                entry = self._book(path).get((stream_id, attempt.call, attempt.inputs, attempt.number))
                if entry is not None and entry.is_open:
                    settled = replace(entry, micros=attempt.cost_micros, exact=attempt.exact, is_open=False)
                    self._append(path, settled)

    def agree(self, stream_id: str, attempts: Sequence[Attempt]) -> None:
        """What a crash left open in the ledger is settled as the stream's receipts have it.

        A reservation that has no intent belongs to a call that was never made. A call that the receipts know as open,
        and the ledger as settled, was copied into a backup between the two: its end will be written down once more.
        Looked at are last month's book, all later ones (a clock that was ahead begins some), and those of the attempts.
        """
        known = {(stream_id, one.call, one.inputs, one.number): one for one in attempts}
        last_month = self._path(self._now().replace(day=1) - timedelta(days=1))
        with self._locked():
            since = [path for path in sorted(self._folder.glob("*.jsonl")) if path.name >= last_month.name]
            began = [path for one in attempts if one.reserved_micros for path in self._around(one.began_at)]
            for path in dict.fromkeys((*since, *began)):
                for entry in [one for one in self._book(path).values() if one.stream_id == stream_id]:
                    agreed = _agreed(entry, known.get(entry.key))
                    if agreed is not entry:
                        self._append(path, agreed)

    def entries(self, month: date) -> list[Entry]:
        """Every paid call of one month, in the operator's time zone.

        Raises:
            Misconfigured: a line of the file was changed into something that is no entry.
        """
        with self._locked():
            return list(self._book(self._path(month)).values())

    def spent(self, now: datetime) -> tuple[int, int]:
        """What was spent or is reserved on the day and in the month of ``now``."""
        with self._locked():
            return self._spent(now.astimezone(self._zone))

    def _now(self) -> datetime:
        return self._clock().astimezone(self._zone)

    def _spent(self, now: datetime) -> tuple[int, int]:
        books = [self._book(path).values() for path in self._around(now)]
        this_month = [one for book in books for one in book if (one.at.year, one.at.month) == (now.year, now.month)]
        today = sum(entry.micros for entry in this_month if entry.at.date() == now.date())
        return today, sum(entry.micros for entry in this_month)

    def _locked(self) -> Lock:
        return Lock.wait(private_folder(self._folder) / ".lock")

    def _around(self, moment: datetime) -> list[Path]:
        """The books an entry of that moment may lie in; at a month's ends two: the time zone may have been another."""
        local, day = moment.astimezone(self._zone), timedelta(days=1)
        return list(dict.fromkeys(self._path(each) for each in (local - day, local, local + day)))

    def _path(self, month: date) -> Path:
        return self._folder / f"{month:%Y-%m}.jsonl"

    def _book(self, path: Path) -> dict[Key, Entry]:
        """The entries of one file; of a file that was read before, only what was added since is read."""
        book = self._books.setdefault(path, _Book())
        for line in whole_lines(path, book.size):
            book.size += len(line) + 1
            try:
                entry = _entry(json.loads(line), self._zone)
            except (ValueError, LookupError, TypeError):
                raise Misconfigured(f"logs/ledger/{path.name}: {line[:80]!r} is not an entry; mend it") from None
            earlier = book.entries.get(entry.key)
            # It counts on the day it was reserved; what was settled already and is reserved again is a new call.
            if earlier is not None and (earlier.is_open or not entry.is_open):
                entry = replace(entry, at=earlier.at)
            book.entries[entry.key] = entry
        return book.entries

    def _append(self, path: Path, entry: Entry) -> None:
        line = {
            "at": (entry.at.astimezone(UTC) if entry.is_open else self._clock()).isoformat(),
            "what": "reserved" if entry.is_open else "settled",
            "stream": entry.stream_id,
            "call": entry.call,
            "inputs": entry.inputs,
            "attempt": entry.number,
            "provider": entry.provider,
            "micros": entry.micros,
            "exact": entry.exact,
        }
        append_durably(path, json.dumps(line).encode() + b"\n")


def _agreed(entry: Entry, attempt: Attempt | None) -> Entry:
    """The entry as the receipts have the attempt it is of; itself where they agree."""
    if not entry.is_open:
        if attempt is not None and attempt.is_open:
            return replace(entry, micros=attempt.reserved_micros, exact=False, is_open=True)
        return entry
    if attempt is None:
        return replace(entry, micros=0, exact=True, is_open=False)
    if attempt.is_open:
        return entry
    return replace(entry, micros=attempt.cost_micros, exact=attempt.exact, is_open=False)


@dataclass
class _Book:
    """What was read of one file so far."""

    size: int = 0
    entries: dict[Key, Entry] = field(default_factory=dict)


def _entry(line: dict[str, Any], zone: tzinfo) -> Entry:
    return Entry(
        line["stream"],
        line["call"],
        line["inputs"],
        line["attempt"],
        line["provider"],
        datetime.fromisoformat(line["at"]).astimezone(zone),
        int(line["micros"]),
        is_open=line["what"] == "reserved",
        exact=line["exact"],
    )


def _refused(what: str, why: str, cap_micros: int) -> OnHold:
    setting = f"CAP_PER_{what.upper()}_CENTS"
    return OnHold(
        f"the cap for a {what} is reached: {why}, the cap is {show_dollars(cap_micros)} ({setting})",
        fingerprint=f"cap.{what}",
        wait_seconds=LOOK_AGAIN_SECONDS,
    )
