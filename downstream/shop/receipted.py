"""Letters and refunds: intent before, outcome after, in the stream's ``shop.jsonl``.

A file of its own, since whoever makes the page holds the stream's lock, and with it ``receipts.jsonl``, for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from downstream.domain.errors import DownstreamError, PersonDecides, Unknown
from downstream.receipts import Phase, Receipts, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

    from downstream.shop.shop import Shop

MOST_LOST = 2
"""How often a letter whose acceptance got lost is sent: the first time and once more, under the same Message-ID."""


def shop_receipts(shop: Shop, stream_id: str) -> Receipts:
    """The shop's receipts of an order, for who is ``changing`` it."""
    return Receipts(shop.home / "streams" / stream_id / "shop.jsonl", shop.clock)


def once(
    receipts: Receipts,
    name: str,
    inputs: object,
    provider: str,
    make: Callable[[], Mapping[str, JsonValue]],
    *,
    repeatable: bool = False,
) -> Mapping[str, JsonValue]:
    """What came of the call ``name`` with these inputs, which is made only when that is not known yet.

    ``repeatable``: its service does it once however often it is asked under the same name (an idempotency key), so a
    lost answer is asked for again. Any other is made at most once more.

    Raises:
        PersonDecides: its answer was lost too often.
    """
    inputs_digest = digest(name, inputs)
    if (receipt := receipts.outcome(name, inputs_digest)) is not None:
        return receipt.result
    earlier = receipts.attempts_at(name, inputs_digest)
    attempt = earlier[-1] if earlier and earlier[-1].is_open else None
    if attempt is not None and not repeatable:
        receipts.end(attempt, Phase.UNKNOWN, "the run ended before the answer came", cost_micros=0)
        attempt = None
    if sum(1 for one in earlier if one.phase is Phase.UNKNOWN) >= MOST_LOST:
        raise PersonDecides(f"{provider} was asked for {name} {MOST_LOST} times, and each answer was lost")
    if attempt is None:
        attempt = receipts.intend(name, inputs_digest, provider)
    try:
        result = make()
    except Unknown as error:
        if not repeatable:
            receipts.end(attempt, Phase.UNKNOWN, str(error), cost_micros=0)
        raise
    except DownstreamError as error:
        receipts.end(attempt, Phase.FAILED, str(error), cost_micros=0)
        raise
    return receipts.settle(attempt, result=result).result
