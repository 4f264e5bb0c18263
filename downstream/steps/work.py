"""What every step is handed: the order, its folder, its receipts, and who to ask."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from downstream.domain.errors import Held, OnHold, PersonDecides, StopRun, TryAgain
from downstream.receipts import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pydantic import JsonValue
    from structlog.typing import FilteringBoundLogger

    from downstream.domain.job import Job
    from downstream.domain.ports import Progress, Providers
    from downstream.ledger import Ledger
    from downstream.receipts import Receipt, Receipts
    from downstream.settings import Settings
    from downstream.workspace import Workspace

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a call: files in the stream's folder, and facts for its receipt."""

    outputs: Sequence[Path] = ()
    result: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pools:
    """Where segments are worked on side by side, those of all running jobs together."""

    working: Executor
    """For what needs a processor."""
    calling: Executor
    """For what waits for answers."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The money an order may cost, and the books it is written in."""

    ledger: Ledger
    most_micros: int
    """The cap of this job, in millionths of a dollar."""
    spending: Lock = field(default_factory=Lock)
    """Held from the look at what was spent to the reservation: two calls must not both see the last cent."""


@dataclass(frozen=True, slots=True)
class Work:
    """One order on the bench."""

    job: Job
    workspace: Workspace
    receipts: Receipts
    providers: Providers
    settings: Settings
    log: FilteringBoundLogger
    progress: Progress
    pools: Pools
    budget: Budget
    check_running: Callable[[], None]
    """Raises ``StopRun`` when the run has to end: killswitch, signal, full disk."""
    wait: Callable[[float], None]
    """Passes that many seconds; raises ``StopRun`` as soon as the run has to end."""
    lock_descriptors: tuple[int, ...] = ()
    """The order's lock, for child processes that work for it."""

    def once(self, call: str, inputs: object, maker: str, make: Callable[[], Made]) -> Receipt:
        """The receipt of ``call``, a piece of our own work, for these inputs; ``make`` is called when there is none.

        Raises:
            StopRun: the run has to end before the piece is begun.
        """
        inputs_digest = digest(call, maker, inputs)
        receipt = self.receipts.outcome(call, inputs_digest)
        if receipt is not None:
            return receipt
        self.check_running()
        attempt = self.receipts.intend(call, inputs_digest, maker)
        started = time.monotonic()
        made = make()
        receipt = self.receipts.settle(attempt, outputs=made.outputs, result=made.result)
        self.log.info("step.done", call=call, seconds=round(time.monotonic() - started, 2))
        return receipt

    def each_in_turn(self, step: str, items: Sequence[Item], do: Callable[[Item], Result]) -> list[Result]:
        """``do`` of every item, each after the one before it."""
        results = []
        for done, item in enumerate(items):
            self.progress.advanced(self.job.stream_id, step, done, len(items))
            results.append(do(item))
        self.progress.advanced(self.job.stream_id, step, len(items), len(items))
        return results

    def each(
        self, step: str, items: Sequence[Item], do: Callable[[Item], Result], *, calling: bool = False
    ) -> list[Result]:
        """``do`` of every item, side by side, in the items' order; ``calling`` when they wait for outside answers.

        One that fails does not stop those that have begun: what they finish is kept. The gravest error is raised; where
        a later run goes on, it is as soon as any of them needs it.
        """
        self.progress.advanced(self.job.stream_id, step, 0, len(items))
        pool = self.pools.calling if calling and self.providers.origin == "outside" else self.pools.working
        futures = [pool.submit(do, item) for item in items]
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            if any(_is_final(future) for future in done):
                for future in waiting:
                    future.cancel()
            finished = sum(1 for future in futures if future.done() and not future.cancelled())
            self.progress.advanced(self.job.stream_id, step, finished, len(items))
        _raise_gravest(futures)
        return [future.result() for future in futures]


def _is_final(future: Future[Any]) -> bool:
    """Nothing more should be begun (or bought) for this order after that."""
    return not future.cancelled() and isinstance(future.exception(), StopRun | PersonDecides)


def _raise_gravest(futures: Iterable[Future[Any]]) -> None:
    errors = [error for future in futures if not future.cancelled() and (error := future.exception()) is not None]
    if errors:
        gravest, hasty = min(errors, key=_gravity), [error for error in errors if _is_soon(error)]
        if isinstance(gravest, OnHold) and hasty:  # what is bought is fetched, whatever holds up the rest
            gravest.wait_seconds, gravest.soon = min(error.wait_seconds for error in hasty), True
        raise gravest


def _gravity(error: BaseException) -> int:
    """What decides for the whole order comes first, then whose wait does not keep."""
    if isinstance(error, StopRun | OSError):
        return 0
    graver = (PersonDecides, Held, OnHold)
    found = next((place for place, kind in enumerate(graver, 1) if isinstance(error, kind)), None)
    return found or (4 if _is_soon(error) else 5)


def _is_soon(error: BaseException) -> TypeGuard[TryAgain]:
    return isinstance(error, TryAgain) and error.soon
