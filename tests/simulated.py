"""Days of business in minutes: the real stages, shop and services on a clock that the test moves.

Nothing sleeps: who waits moves the clock. While a service is being called it stands still, so that what is measured at
the services is what the gates meant.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from served import typed

from downstream import outbox, promises, stamps
from downstream.domain.errors import DownstreamError
from downstream.domain.ports import Silence
from downstream.domain.state import UNDER_WAY
from downstream.heartbeat import Pulse, read_heartbeat
from downstream.locks import is_held
from downstream.log import open_log
from downstream.queue import Queue
from downstream.settings import Settings, read_settings
from downstream.shop import counter, watch
from downstream.shop.checkout import go_to_pay
from downstream.shop.reconcile import reconcile
from downstream.stages.daily import daily
from downstream.stages.monthly import monthly
from downstream.stages.process import process
from downstream.stages.review import review
from downstream.stages.weekly import weekly
from downstream.suppliers import equip, open_shop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from downstream.shop.shop import Shop
    from downstream.stages.context import Context

TICK = timedelta(minutes=5)
REVIEW_TICKS = 3
_READING = timedelta(microseconds=1)
_YIELD_SECONDS = 0.0005
STAGES: dict[str, Callable[[Context], object]] = {
    "process": process,
    "review": review,
    "daily": daily,
    "weekly": weekly,
    "monthly": monthly,
}


class PowerCut(BaseException):
    """The machine is off from this instant: no error that the program could do anything about."""


class Clock:
    """The true time, and what this machine takes for it. Armed, it cuts the power after so many readings."""

    def __init__(self, start: datetime, home: Path) -> None:
        self._true = start
        self._locks = home / "jobs" / ".limits"
        self._lock = threading.Lock()
        self._readings_left: int | None = None
        self.offset = timedelta()
        """How far this machine's clock is ahead of the true time."""
        self.cuts = 0

    @property
    def true(self) -> datetime:
        """The time as everybody else has it."""
        with self._lock:
            return self._true

    def now(self) -> datetime:
        """What this machine's clock says; no two readings are alike."""
        with self._lock:
            if self._readings_left is not None:
                self._readings_left -= 1
                if self._readings_left < 0:
                    raise PowerCut
            self._true += _READING
            return self._true + self.offset

    def at_the_services(self) -> float:
        """Seconds since 1970 by the services' clocks."""
        return self.true.timestamp()

    def steady(self) -> float:
        """Seconds that pass whatever the clock is set to."""
        return self.true.timestamp()

    def go_on(self, until: datetime) -> None:
        """It is that late, truly; a time that has passed already changes nothing."""
        with self._lock:
            self._true = max(self._true, until)

    def wait(self, seconds: float) -> None:
        """That long has passed, once nobody is being called any more."""
        time.sleep(_YIELD_SECONDS)
        while any(is_held(path) for path in self._locks.glob("*.[0-9]*.lock")):
            time.sleep(_YIELD_SECONDS)
        with self._lock:
            self._true += timedelta(seconds=seconds)

    def arm(self, readings: int) -> None:
        """The power is cut after so many readings, and stays off until ``disarm``."""
        self._readings_left = readings

    def disarm(self) -> bool:
        """The power is on again; returns whether it was cut."""
        left, self._readings_left = self._readings_left, None
        was_cut = left is not None and left < 0
        self.cuts += was_cut
        return was_cut


class _Stop(threading.Event):
    """Waiting for it moves the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        if not self.is_set():
            self._clock.wait(timeout)
        return self.is_set()


@dataclass
class House:
    """One machine under cron, and its shop."""

    home: Path
    environment: Mapping[str, str]
    clock: Clock
    told: list[str] = field(default_factory=list)
    """What the operator was told."""
    runs: list[str] = field(default_factory=list)
    """The stages that were begun, in order."""

    @property
    def settings(self) -> Settings:
        return read_settings(dict(self.environment))

    @property
    def shop(self) -> Shop:
        """The shop door, which is opened anew each time."""
        return open_shop(self.home, self.settings, open_log(self.home, "shop"), self.told.append, self.clock.now)

    @property
    def local(self) -> datetime:
        """What the clock on this machine's wall says."""
        return (self.clock.true + self.clock.offset).astimezone(ZoneInfo(self.settings.timezone))

    def run(self, stage: str) -> None:
        """One run of a stage, as its command makes it; a power cut ends it where it comes."""
        with suppress(PowerCut):
            self._run(stage)

    def at_once(self, *stages: str) -> None:
        """Several runs that overlap."""
        threads = [threading.Thread(target=self.run, args=(stage,)) for stage in stages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def begin_order(self, **words: str) -> tuple[str, str]:
        """A customer was sent to pay: the order and its payment page."""
        shop = self.shop
        order = shop.orders.begin(typed(**words), shop.clock())
        go_to_pay(shop, order)
        found = shop.orders.read(order.stream_id)
        assert found is not None
        return found.stream_id, found.checkouts[-1].session_id

    @property
    def takes_orders(self) -> bool:
        return self.shop.is_open

    def _run(self, stage: str) -> None:
        self.runs.append(stage)
        outbox.send(self.home, self.settings)
        if read_heartbeat(self.home, self.clock.now()).pulse is Pulse.PAUSED:
            return
        if stage == "process":
            self._tend_shop()
            self._look_at_promises()
        context = equip(self.home, self.settings, stage, open_log(self.home, stage), Silence(), self.clock.now)
        context.stop, context.steady = _Stop(self.clock), self.clock.steady
        STAGES[stage](context)
        assert context.outcome.stopped is None, context.outcome.stopped
        self.told += context.outcome.told
        outbox.send(self.home, self.settings)

    def _tend_shop(self) -> None:
        now = self.clock.now().timestamp()
        try:
            counter.work_off(self.shop)
            if watch.is_due(self.home, now) and (lock := watch.begin(self.home, now)) is not None:
                with lock:
                    reconcile(self.shop)
            counter.work_off(self.shop)
        except DownstreamError as error:
            if watch.is_worrying(self.home, now):
                self.told.append(f"payments cannot be compared: {error}")

    def _look_at_promises(self) -> None:
        stamp, now = self.home / "jobs" / ".promises", self.clock.now()
        if stamps.is_due(stamp, 600, now.timestamp()):
            promises.tell(self.home, self.settings, now, self.told.append)
            stamps.done_now(stamp, now.timestamp())

    def where(self) -> dict[str, str]:
        """Every job and the folder it lies in."""
        return {path.stem: path.parent.name for path in sorted(self.home.glob("jobs/[a-z]*/*.json"))}

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is being made."""
        queue = Queue(self.home)
        return all(queue.is_empty(state) for state in UNDER_WAY)


class Cron:
    """Starts the stages at their times by the clock on the wall."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._wall = house.local
        self._ticks = 0

    def tick(self) -> None:
        """What is due now is run, one after the other."""
        for stage in self.due():
            self._house.run(stage)

    def due(self) -> list[str]:
        """The stages whose times came since the tick before; none while the clock stands or was set back."""
        before, self._wall = self._wall, self._house.local
        self._ticks += 1
        found = ["process"] + (["review"] if self._ticks % REVIEW_TICKS == 0 else [])
        if _passes(before, self._wall, 23):
            found.append("daily")
        if _passes(before, self._wall, 20) and self._wall.isoweekday() == 7:
            found.append("weekly")
        return found

    def forget(self) -> None:
        """The machine was off, or its clock was set: cron starts nothing for what was missed (cron(8))."""
        self._wall = self._house.local


def _passes(before: datetime, after: datetime, hour: int) -> bool:
    """The hand of the clock on the wall went over that hour."""
    bell = after.replace(hour=hour, minute=0, second=0, microsecond=0)
    return before.replace(tzinfo=None) < bell.replace(tzinfo=None) <= after.replace(tzinfo=None)


def moment(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
