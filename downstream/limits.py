"""The pace at which this machine may call a service, shared by all its processes.

``jobs/.limits/{service}.json`` holds the times of the last minute's creates, until when everybody keeps still, and
until when the service is on hold; slots are lock files, so a killed process frees its own. Losing the file (a power
cut) only loses the pace, so it is not written durably.
"""

from __future__ import annotations

import json
import random
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeVar

from downstream.domain.errors import LONGEST_PUT_OFF_SECONDS, DownstreamError, InTrouble, OnHold, Throttled, TryAgain
from downstream.files import replace
from downstream.locks import Lock
from downstream.machine import machine_trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Answer = TypeVar("Answer")

_MINUTE_SECONDS = 60.0
_LONGEST_BACK_OFF_SECONDS = 60.0
_LONGEST_STILL_SECONDS = 3600.0
"""Everybody keeps still for no longer: then the service is asked again, and says it again if it must."""


@dataclass(frozen=True, slots=True)
class Timepiece:
    """Where the time comes from."""

    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    steady: Callable[[], float] = time.monotonic
    """Seconds that pass whatever the clock is set to."""


@dataclass
class _State:
    """What all processes know of one service; times are seconds since 1970."""

    creates: list[float] = field(default_factory=list)
    still_until: float = 0.0
    throttled: int = 0
    """How often in a row it asked for less haste, or was in trouble."""
    held_until: float = 0.0
    why: str = ""
    fingerprint: str = ""


class SharedGate:
    """One service's gate (``Gate``); every process that calls the service has one."""

    def __init__(
        self,
        home: Path,
        service: str,
        *,
        creates_per_minute: int,
        at_once: int,
        wait: Callable[[float], None],
        check_running: Callable[[], None] = lambda: None,
        patience_seconds: float = 240.0,
        timepiece: Timepiece | None = None,
    ) -> None:
        """``wait`` passes that many seconds; it and ``check_running`` raise ``StopRun`` when the run has to end."""
        self._home = home
        self._folder = home / "jobs" / ".limits"
        self._service = service
        self._creates_per_minute = creates_per_minute
        self._at_once = at_once
        self._wait = wait
        self._check_running = check_running
        self._patience_seconds = patience_seconds
        timepiece = timepiece or Timepiece()
        self._clock, self._steady = timepiece.clock, timepiece.steady

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:
        """As ``Gate.run``."""
        give_up_at = self._steady() + self._patience_seconds
        sent = False
        while True:
            try:
                slot = self._enter(give_up_at, creates=creates)
            except DownstreamError as error:
                error.nothing_sent = not sent
                raise
            except OSError as error:  # the pace cannot be kept, and neither could the answer
                trouble = machine_trouble(error, self._home)
                trouble.nothing_sent = not sent
                raise trouble from None
            try:
                with slot:
                    sent = True
                    answer = send()
            except Throttled as error:
                with suppress(OSError):  # what the service said matters more than the pace, here and below
                    self._slow_down(error.hint_seconds)
                if self._steady() >= give_up_at:
                    raise
            except InTrouble:  # not sent again here: it may have been billed, so each time is an attempt of its own
                with suppress(OSError):
                    self._slow_down(None)
                raise
            except OnHold as error:
                with suppress(OSError):
                    self._hold(error)
                raise
            else:
                if creates:  # that a look was answered says nothing about creates
                    with suppress(OSError):
                        self._at_ease()
                return answer

    def held_until(self) -> float:
        """When the service is called again, in seconds since 1970; 0 when it is not on hold."""
        state, now = _load(self._path), self._clock()  # nothing is written: this is also asked on a full disk
        _set_right(state, now)
        return state.held_until if now < state.held_until else 0.0

    def _enter(self, give_up_at: float, *, creates: bool) -> Lock:
        """A place for one call, once the pace allows it; the call is counted.

        The pace is looked at with the place in hand, so that nobody who waited for a place calls on after a hold; and
        while the pace says wait, the place is free for others.
        """
        while True:
            with ExitStack() as undo:
                slot = undo.enter_context(self._slot(give_up_at))
                if creates:
                    self._check_running()
                seconds = self._turn(creates=creates)
                if seconds <= 0:
                    undo.pop_all()
                    return slot
            if self._steady() + seconds > give_up_at:
                raise Throttled(f"{self._service} asks for less haste", hint_seconds=seconds)
            self._wait(seconds)

    def _turn(self, *, creates: bool) -> float:
        """0 when it is our turn; else how many seconds it is too early."""
        with self._changing() as state:
            now = self._clock()
            # A look at what was bought already is let through: its results do not keep.
            if creates and now < state.held_until:
                raise OnHold(state.why, fingerprint=state.fingerprint, wait_seconds=state.held_until - now)
            if now < state.still_until and (creates or state.still_until - now < _MINUTE_SECONDS):
                return (state.still_until - now) * random.uniform(1.0, 1.1)  # noqa: S311 - not all at once
            if creates:
                if len(state.creates) >= self._creates_per_minute:
                    return state.creates[-self._creates_per_minute] + _MINUTE_SECONDS - now
                state.creates.append(now)
            return 0.0

    def _slot(self, give_up_at: float) -> Lock:
        """One of the places for calls at once."""
        while True:
            for number in range(self._at_once):
                slot = Lock.take(self._folder / f"{self._service}.{number}.lock")
                if slot is not None:
                    return slot
            if self._steady() > give_up_at:
                raise TryAgain(f"{self._service} has no room for another call", wait_seconds=60.0)
            self._wait(random.uniform(0.02, 0.08))  # noqa: S311

    def _slow_down(self, hint_seconds: float | None) -> None:
        """Nobody calls for as long as the service said, or else longer each time."""
        with self._changing() as state:
            state.throttled += 1
            seconds = hint_seconds
            if seconds is None:
                seconds = min(2.0 ** min(state.throttled, 10), _LONGEST_BACK_OFF_SECONDS) * random.uniform(0.7, 1.3)  # noqa: S311
            state.still_until = max(state.still_until, self._clock() + min(seconds, _LONGEST_STILL_SECONDS))

    def _hold(self, error: OnHold) -> None:
        with self._changing() as state:
            state.held_until = self._clock() + min(error.wait_seconds, LONGEST_PUT_OFF_SECONDS)
            state.why, state.fingerprint = str(error), error.fingerprint

    def _at_ease(self) -> None:
        with self._changing() as state:
            state.throttled = 0

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._service}.json"

    @contextmanager
    def _changing(self) -> Iterator[_State]:
        """The state, in nobody else's hands; what was changed is kept."""
        with Lock.wait(self._folder / f"{self._service}.lock"):
            state = _load(self._path)
            before = asdict(state)
            _set_right(state, self._clock())
            yield state
            if asdict(state) != before:
                replace(self._path, json.dumps(asdict(state)).encode(), durable=False)


def _load(path: Path) -> _State:
    try:
        state = _State(**json.loads(path.read_bytes()))
        state.creates = [float(at) for at in state.creates]
        state.still_until, state.held_until = float(state.still_until), float(state.held_until)
    except (OSError, ValueError, TypeError):
        return _State()
    return state


def _set_right(state: _State, now: float) -> None:
    """The creates are those of the last minute, and no time stands that only a clock set back can explain."""
    # One that is still to come was made a moment ago, before the clock was set back: it counts from now on.
    state.creates = [min(at, now) for at in state.creates if at > now - _MINUTE_SECONDS]
    if state.still_until > now + _LONGEST_STILL_SECONDS:
        state.still_until = 0.0
    if state.held_until > now + LONGEST_PUT_OFF_SECONDS:
        state.held_until = 0.0
