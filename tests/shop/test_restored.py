"""After a restore nobody knows what the lost machine did since: letters, refunds and payments wait for a person."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from downstream.domain.errors import PersonDecides
from downstream.domain.state import State
from downstream.holds import CANCELLED, REFUNDED, RESTORED, find_hold, hold_restored, note_restored
from downstream.shop import counter as errand_counter
from downstream.shop import errands
from downstream.shop.cancel import cancel, note_delivered, release
from downstream.shop.reconcile import reconcile
from downstream.shop.refund import refund
from downstream.shop.standing import Stage, standing
from downstream.shop.withdraw import TooLate, withdraw

if TYPE_CHECKING:
    from shop.conftest import Counter

    from downstream.domain.order import Order

BACKUP = "2026-11-24T03:00:00+00:00"


def paid(counter: Counter) -> Order:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.tell_all()
    return counter.order(order)


def kind(counter: Counter, order: Order) -> str:
    found = find_hold(counter.home, order.stream_id)
    return found.kind if found else ""


def restored(counter: Counter, order: Order) -> None:
    hold_restored(counter.home, order.stream_id, BACKUP, counter.shop.clock())


def test_letters_wait_with_their_order(counter: Counter) -> None:
    order = paid(counter)
    restored(counter, order)

    assert errand_counter.work_off(counter.shop) == 0
    assert counter.smtp.letters == []

    held = release(counter.shop.queue, order.stream_id)
    assert held.reason == f"restored from a backup of {BACKUP}; was it delivered since?"
    assert errand_counter.work_off(counter.shop) == 1
    assert len(counter.smtp.letters) == 1


def test_a_letter_to_somebody_who_has_not_paid_waits_too_and_can_be_let_go(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, method="delayed")
    counter.stripe.settle(session, succeeded=False)
    counter.tell_all()
    restored(counter, order)
    assert errand_counter.work_off(counter.shop) == 0

    release(counter.shop.queue, order.stream_id)

    assert errand_counter.work_off(counter.shop) == 1
    assert counter.smtp.letters[0].message["Subject"] == "Your payment did not arrive"


def test_a_payment_begun_before_the_restore_makes_a_job_that_waits(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    note_restored(counter.home, BACKUP, counter.shop.clock() + timedelta(seconds=5))

    assert reconcile(counter.shop).healed == [order.stream_id]
    assert counter.jobs() == {"pending": [order.stream_id]}
    assert kind(counter, order) == RESTORED
    errand_counter.work_off(counter.shop)
    assert counter.smtp.letters == []

    release(counter.shop.queue, order.stream_id)
    assert reconcile(counter.shop).healed == []
    assert kind(counter, order) == ""


def test_a_payment_begun_after_the_restore_is_like_any_other(counter: Counter) -> None:
    note_restored(counter.home, BACKUP, counter.shop.clock() - timedelta(seconds=5))

    order = paid(counter)

    assert kind(counter, order) == ""


def test_a_note_of_the_restore_that_cannot_be_read_holds(counter: Counter) -> None:
    (counter.home / "jobs" / ".restored").write_text("[]")

    assert kind(counter, paid(counter)) == RESTORED


def test_money_that_went_back_since_the_backup_is_known_when_the_order_is_let_go(counter: Counter) -> None:
    order = paid(counter)
    restored(counter, order)
    assert order.paid
    counter.stripe.refund_by_hand(order.paid.payment_intent)

    reconcile(counter.shop)

    assert kind(counter, order) == RESTORED
    assert errand_counter.work_off(counter.shop) == 0
    release(counter.shop.queue, order.stream_id)
    assert kind(counter, order) == REFUNDED
    errand_counter.work_off(counter.shop)
    assert counter.jobs() == {"failed": [order.stream_id]}


def test_the_operator_is_told_once_of_money_that_went_back(counter: Counter) -> None:
    order = paid(counter)
    restored(counter, order)
    assert order.paid
    counter.stripe.refund_by_hand(order.paid.payment_intent)
    counter.tell_all()
    counter.tell_all()

    assert len([sentence for sentence in counter.told if "was refunded" in sentence]) == 1


def test_a_refund_by_hand_waits_with_its_letter(counter: Counter) -> None:
    order = paid(counter)
    restored(counter, order)

    assert refund(counter.shop, order.stream_id)
    errand_counter.work_off(counter.shop)

    assert counter.smtp.letters == []
    assert errands.is_waiting(counter.home, errands.Errand(order.stream_id, errands.REFUNDED))


def test_a_customer_cannot_withdraw_what_may_have_been_delivered(counter: Counter) -> None:
    order = paid(counter)
    assert standing(counter.shop, order).may_withdraw
    restored(counter, order)

    found = standing(counter.shop, order)

    assert (found.stage, found.may_withdraw) == (Stage.DELAYED, False)
    with pytest.raises(TooLate):
        withdraw(counter.shop, order)


def test_what_was_delivered_since_is_closed_without_a_word(counter: Counter) -> None:
    order = paid(counter)
    restored(counter, order)

    for _ in range(2):  # also by a run after one that was killed
        note_delivered(counter.shop.queue, order.stream_id, "https://pages.example/", counter.shop.clock())
        restored(counter, order)
    release(counter.shop.queue, order.stream_id)

    errand_counter.work_off(counter.shop)
    assert counter.smtp.letters == []
    assert counter.shop.queue.find(order.stream_id) is State.COMPLETED
    assert [one["what"] for one in counter.job(order.stream_id)["history"]] == ["published", "mailed", "moved"]
    found = standing(counter.shop, counter.order(order))
    assert (found.stage, found.address) == (Stage.READY, "https://pages.example/")


def test_only_what_came_out_of_a_backup_is_closed_by_hand(counter: Counter) -> None:
    order = paid(counter)

    with pytest.raises(PersonDecides, match="is not held because of a restore"):
        note_delivered(counter.shop.queue, order.stream_id, "https://pages.example/", counter.shop.clock())


def test_an_order_given_up_is_given_up_under_the_hold(counter: Counter) -> None:
    order = paid(counter)
    restored(counter, order)

    assert cancel(counter.shop.queue, order.stream_id, "never mind", counter.shop.clock())

    assert counter.jobs() == {"failed": [order.stream_id]}
    held = find_hold(counter.home, order.stream_id)
    assert held is not None
    assert held.kinds == {RESTORED, CANCELLED}
    assert (
        json.loads((counter.home / f"jobs/.holds/{order.stream_id}.json").read_bytes())["before"]["kind"] == CANCELLED
    )
