"""What the status page says about an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from downstream.shop.standing import Stage
from downstream.web.words import Moment, moment

if TYPE_CHECKING:
    from datetime import datetime

    from downstream.shop.standing import Standing

OVER = frozenset({Stage.READY, Stage.WITHDRAWN, Stage.CANCELLED})
"""The page does not move any more."""
_OFF_THE_WAY = frozenset({Stage.DELAYED, Stage.WITHDRAWN, Stage.CANCELLED})

_SAID = {
    Stage.DRAFT: (
        "We are waiting for the confirmation of your payment",
        (
            "It mostly takes a few seconds. If you did not finish paying, nothing was charged, and your order is still "
            "in the form."
        ),
    ),
    Stage.PAYMENT_PENDING: (
        "Your payment is on its way",
        "Some ways to pay take a few days. Work on your story begins when the money arrives; you need not do anything.",
    ),
    Stage.PAID: ("Your order is in", "Work on your story begins when its turn comes."),
    Stage.IN_PRODUCTION: (
        "Your story is in production",
        "Its scenes are drawn and set in motion, one by one.",
    ),
    Stage.IN_REVIEW: ("Your story is looked over", "Every scene is made. The whole page is checked before you see it."),
    Stage.READY: (
        "Your page is ready",
        "Open it and scroll: the pictures move with your reading. The link goes to your mail, too.",
    ),
    Stage.DELAYED: (
        "It takes longer than we said",
        (
            "A person is looking at your order. Nothing is lost and you need not do anything: we write to you when the "
            "page is there, or if there is something to ask."
        ),
    ),
    Stage.WITHDRAWN: ("This order was withdrawn", "The money goes back the way it came; banks take a few days for it."),
    Stage.CANCELLED: (
        "This order was given up",
        "Nothing more will be made for it. If you have a question about it or your payment, answer any of our letters.",
    ),
}
_SAID_OF_A_DEMO = {Stage.READY: "Open it and scroll: the pictures move with your reading."}
_SAID_WHERE_NOTHING_WAS_PAID = {
    Stage.WITHDRAWN: "Nothing was paid, and nothing will be made.",
    Stage.CANCELLED: "Nothing was paid, and nothing more will be made.",
}
_STEPS = ("Paid", "In production", "In review", "Ready")
_STEPS_OF_A_DEMO = ("Ordered", *_STEPS[1:])
_STEPS_DONE = {Stage.PAID: 1, Stage.IN_PRODUCTION: 1, Stage.IN_REVIEW: 2, Stage.READY: len(_STEPS)}
_WAITS_FOR_ITS_TURN = Stage.PAID


@dataclass(frozen=True, slots=True)
class Step:
    """One station of the order's way."""

    name: str
    state: Literal["done", "now", "later"]


@dataclass(frozen=True, slots=True)
class Status:
    """The status page in words, nothing personal among them; its JSON is what the page's script shows."""

    stage: str
    headline: str
    sentence: str
    steps: tuple[Step, ...]
    """Empty where the order has left its way."""
    done: int
    total: int
    made: str
    """``3 of 8 scenes are made``; empty while that says nothing."""
    promised: Moment | None
    address: str
    may_withdraw: bool
    is_over: bool


def status_of(standing: Standing, now: datetime, timezone: str) -> Status:
    """The page for an order that stands there."""
    stage = standing.stage
    headline, sentence = _SAID[stage]
    if standing.is_free:
        sentence = _SAID_WHERE_NOTHING_WAS_PAID.get(stage, sentence)
    counts = stage is Stage.IN_PRODUCTION and standing.total > 0
    promised = standing.promised_by if stage not in OVER | {Stage.DELAYED} else None
    return Status(
        stage=stage.value,
        headline=headline,
        sentence=_SAID_OF_A_DEMO.get(stage, sentence) if standing.is_demo else sentence,
        steps=_steps(standing),
        done=standing.done if counts else 0,
        total=standing.total if counts else 0,
        made=f"{standing.done} of {standing.total} pieces are made" if counts else "",
        promised=moment(promised, now, timezone) if promised else None,
        address=standing.address if stage is Stage.READY else "",
        may_withdraw=standing.may_withdraw,
        is_over=stage in OVER,
    )


def _steps(standing: Standing) -> tuple[Step, ...]:
    if standing.stage in _OFF_THE_WAY:
        return ()
    names = _STEPS_OF_A_DEMO if standing.is_demo else _STEPS
    done = _STEPS_DONE.get(standing.stage, 0)
    now = None if standing.stage is _WAITS_FOR_ITS_TURN else done
    return tuple(Step(name, _state(number, done, now)) for number, name in enumerate(names))


def _state(number: int, done: int, now: int | None) -> Literal["done", "now", "later"]:
    if number < done:
        return "done"
    return "now" if number == now else "later"
