"""Outside calls: reserved, intended, made and settled, so that whatever breaks in between nothing is paid for twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from downstream.domain.errors import DownstreamError, InTrouble, OnHold, PersonDecides, Refused, Unknown
from downstream.domain.job import What
from downstream.domain.prices import show_dollars
from downstream.ledger import LOOK_AGAIN_SECONDS
from downstream.receipts import Attempt, Phase, Receipt, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from pydantic import JsonValue

    from downstream.domain.ports import Call
    from downstream.steps.work import Made, Work

MOST_USELESS = 3
"""How often a call may be paid for that comes to nothing, other than by a service's trouble: that goes by tries."""
MOST_LOST = 2
"""How often a call whose answer was lost may have been made: the first time and once more."""


def make_call(
    work: Work,
    name: str,
    inputs: object,
    provider: str,
    make: Callable[[Call], Made],
    *,
    price_micros: int = 0,
    continues: bool = False,
) -> Receipt:
    """The receipt of the outside call ``name`` for these inputs; the call is made only when there is none.

    ``price_micros`` is reserved for it. A call that ``continues`` is left open when its outcome is unknown: its
    provider can look at what an earlier attempt began, and goes on from there. Any other counts as spent and may be
    made once more.

    Raises:
        Refused: a content filter refused just these inputs, now or earlier.
        OnHold: a cap forbids it.
        PersonDecides: its answer was lost too often.
        StopRun: the run has to end.
    """
    inputs_digest = digest(name, work.providers.origin, inputs)
    receipt = work.receipts.outcome(name, inputs_digest)
    if receipt is not None:
        return receipt
    continues = continues or work.providers.origin == "embedded"  # those may be repeated at will
    earlier = work.receipts.attempts_at(name, inputs_digest)
    if earlier and earlier[-1].phase is Phase.REFUSED:
        raise Refused(earlier[-1].reason)
    work.check_running()
    attempt = earlier[-1] if earlier and earlier[-1].is_open else None
    if attempt is not None and not continues:
        _end(work, attempt, Phase.UNKNOWN, "the run ended before the answer came", cost_micros=attempt.reserved_micros)
        attempt = None
    if attempt is None:
        _check_not_in_vain(work, earlier)
        attempt = _reserve(work, name, inputs_digest, provider, len(earlier) + 1, price_micros)
    return _made(work, attempt, make, continues=continues)


def receipt_of(work: Work, name: str, inputs: object) -> Receipt | None:
    """The receipt of the outside call ``name``, if it was made with these inputs and what came of it is still there."""
    return work.receipts.outcome(name, digest(name, work.providers.origin, inputs))


def _reserve(work: Work, name: str, inputs_digest: str, provider: str, number: int, price_micros: int) -> Attempt:
    """The amount is reserved and the intent on the disk, in this order: the ledger can be settled from the receipts."""
    if not price_micros:
        return work.receipts.intend(name, inputs_digest, provider)
    stream_id, budget = work.job.stream_id, work.budget
    with budget.spending:
        spent = work.receipts.capped_micros
        if spent + price_micros > budget.most_micros:
            raise OnHold(
                f"{stream_id} has cost {show_dollars(spent)}, and {name} would take it past its cap of "
                f"{show_dollars(budget.most_micros)} (CAP_PER_JOB_PERCENT, CAP_PER_UNPAID_JOB_CENTS)",
                fingerprint=f"cap.job.{stream_id}",
                wait_seconds=LOOK_AGAIN_SECONDS,
            )
        budget.ledger.reserve(stream_id, name, inputs_digest, number, provider, price_micros)
        return work.receipts.intend(name, inputs_digest, provider, reserved_micros=price_micros)


def _made(work: Work, attempt: Attempt, make: Callable[[Call], Made], *, continues: bool) -> Receipt:
    call = OpenCall(work, attempt)
    started = time.monotonic()
    try:
        made = make(call)
    except DownstreamError as error:
        _end_badly(work, call, error, continues=continues)
        raise
    cost = attempt.reserved_micros if call.cost_micros is None else call.cost_micros
    exact = call.exact and call.cost_micros is not None
    receipt = work.receipts.settle(
        attempt, outputs=made.outputs, result=made.result, cost_micros=cost, exact=exact or not cost
    )
    _settle_ledger(work, attempt)
    seconds = round(time.monotonic() - started, 2)
    work.log.info("call.done", call=attempt.call, provider=attempt.provider, seconds=seconds, cost_micros=cost)
    return receipt


def _end_badly(work: Work, call: OpenCall, error: DownstreamError, *, continues: bool) -> None:
    """The attempt's end is on the disk, unless a later run can go on with it."""
    attempt, cost = call.open, call.cost_micros
    if error.nothing_sent and not continues:  # what continues may have bought something before it came to this
        cost = 0
    if isinstance(error, Unknown) or (cost is None and not continues):
        phase, cost = Phase.UNKNOWN, attempt.reserved_micros
    elif cost is None:
        return
    else:
        phase = Phase.REFUSED if isinstance(error, Refused) else Phase.FAILED
    in_trouble = isinstance(error, InTrouble) and phase is Phase.FAILED
    _end(work, attempt, phase, str(error), cost_micros=cost, exact=call.exact, in_trouble=in_trouble)


def _end(
    work: Work,
    attempt: Attempt,
    phase: Phase,
    reason: str,
    *,
    cost_micros: int,
    exact: bool = False,
    in_trouble: bool = False,
) -> None:
    exact = (exact or not cost_micros) and phase is not Phase.UNKNOWN
    work.receipts.end(attempt, phase, reason, cost_micros=cost_micros, exact=exact, in_trouble=in_trouble)
    _settle_ledger(work, attempt)
    work.log.warning("call.ended", call=attempt.call, phase=phase, reason=reason, cost_micros=cost_micros)


def _settle_ledger(work: Work, attempt: Attempt) -> None:
    if attempt.reserved_micros:
        work.budget.ledger.settle(work.job.stream_id, attempt)


def _check_not_in_vain(work: Work, earlier: Sequence[Attempt]) -> None:
    """A person who says ``retry`` has looked, so what was lost or paid for in vain before that does not count."""
    since = max((entry.at for entry in work.job.history if entry.what is What.RETRIED), default=None)
    now = work.receipts.clock()  # what is said to be later was written before the clock was set back
    counted = [one for one in earlier if since is None or since < one.began_at <= now]
    lost = [one for one in counted if one.phase is Phase.UNKNOWN]
    useless = [one for one in counted if one.phase is Phase.FAILED and one.cost_micros and not one.in_trouble]
    if len(useless) >= MOST_USELESS:
        raise PersonDecides(
            f"{useless[-1].call} was paid for {len(useless)} times in vain, the last time: {useless[-1].reason}. "
            f"downstream retry {work.job.stream_id} asks again"
        )
    if len(lost) >= MOST_LOST:
        spent = show_dollars(sum(one.cost_micros for one in lost))
        raise PersonDecides(
            f"{lost[-1].provider} was asked for {lost[-1].call} {len(lost)} times, each answer was lost; up to {spent} "
            f"may have been spent. downstream retry {work.job.stream_id} asks again"
        )


class OpenCall:
    """A call that is being made (``Call``)."""

    def __init__(self, work: Work, attempt: Attempt) -> None:
        self._work = work
        self.open = attempt
        self.cost_micros: int | None = None
        """What the answer said it cost; None while nothing was said."""
        self.exact = True

    @property
    def key(self) -> str:
        """As ``Call.key``."""
        name = self.open.call.replace("/", "-")
        return f"{self._work.job.stream_id}-{name}-{self.open.inputs[:12]}-{self.open.number}"

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """As ``Call.facts``."""
        return self.open.facts

    @property
    def lock_descriptors(self) -> tuple[int, ...]:
        """As ``Call.lock_descriptors``."""
        return self._work.lock_descriptors

    def note(self, **facts: JsonValue) -> None:
        """As ``Call.note``."""
        self._work.receipts.note(self.open, facts)

    def spent(self, cost_micros: int, *, exact: bool = True) -> None:
        """As ``Call.spent``."""
        self.cost_micros, self.exact = cost_micros, exact

    def now(self) -> datetime:
        """As ``Call.now``."""
        return self._work.receipts.clock()

    def check(self) -> None:
        """As ``Call.check``."""
        self._work.check_running()

    def wait(self, seconds: float) -> None:
        """As ``Call.wait``."""
        self._work.wait(seconds)
