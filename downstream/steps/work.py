"""What every step is handed: the order, its folder, its receipts, and who to ask."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from downstream.domain.errors import PersonDecides, StopRun
from downstream.receipts import Receipt, Receipts, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pydantic import JsonValue
    from structlog.typing import FilteringBoundLogger

    from downstream.domain.job import Job
    from downstream.domain.ports import Progress, Providers
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
class Work:
    """One order on the bench."""

    job: Job
    workspace: Workspace
    receipts: Receipts
    providers: Providers
    settings: Settings
    log: FilteringBoundLogger
    progress: Progress
    pool: Executor
    """Where segments are worked on side by side."""
    check_running: Callable[[], None]
    """Raises ``StopRun`` when the run has to end: killswitch, signal, full disk."""

    def once(self, call: str, inputs: object, provider: str, make: Callable[[], Made]) -> Receipt:
        """The receipt of ``call`` for these inputs; ``make`` is called only when there is none.

        Raises:
            StopRun: the run has to end before the call is made.
        """
        inputs_digest = digest(call, provider, inputs)
        receipt = self.receipts.outcome(call, inputs_digest)
        if receipt is not None:
            return receipt
        self.check_running()
        self.receipts.intend(call, inputs_digest, provider)
        started = time.monotonic()
        made = make()
        receipt = self.receipts.settle(call, inputs_digest, provider, outputs=made.outputs, result=made.result)
        self.log.info("step.done", call=call, seconds=round(time.monotonic() - started, 2))
        return receipt

    def each(self, step: str, items: Sequence[Item], do: Callable[[Item], Result]) -> list[Result]:
        """``do`` of every item, side by side, in the items' order.

        One that fails does not stop those that have begun: what they finish is kept. The gravest error is raised.
        """
        self.progress.advanced(self.job.stream_id, step, 0, len(items))
        futures = [self.pool.submit(do, item) for item in items]
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
        raise min(errors, key=_gravity)


def _gravity(error: BaseException) -> int:
    if isinstance(error, StopRun | OSError):
        return 0
    return 1 if isinstance(error, PersonDecides) else 2
