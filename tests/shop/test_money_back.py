"""Money goes back once, whoever asks and whatever is lost; what was refunded or is disputed is never made."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from fakes.service import Fault
from fakes.smtp import MailFault
from fakes.stripe import CREATE_REFUND, pending_refund

from downstream.domain.errors import DownstreamError, Misconfigured, PersonDecides, TryAgain, Unknown
from downstream.domain.job import Job
from downstream.holds import DISPUTED, PART_REFUNDED, REFUNDED, find_hold
from downstream.shop import counter as errand_counter
from downstream.shop import errands
from downstream.shop.cancel import cancel, release
from downstream.shop.events import replay
from downstream.shop.forget import forget
from downstream.shop.reconcile import reconcile
from downstream.shop.refund import account, refund
from downstream.shop.standing import Stage, standing
from downstream.shop.withdraw import TooLate, withdraw
from downstream.web.status import status_of

if TYPE_CHECKING:
    from conftest import Counter  # the shop's

    from downstream.domain.order import Order
    from downstream.shop.shop import Shop

NOW = datetime.now(UTC)


def paid(counter: Counter) -> tuple[Order, str]:
    """An order that is paid for and waits, and its payment."""
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.tell_all()
    errand_counter.work_off(counter.shop)
    counter.smtp.letters.clear()
    return counter.order(order), counter.stripe.sessions[session]["payment_intent"]


def refunded_cents(counter: Counter) -> int:
    """What the payment service has given back in all."""
    return sum(one["amount"] for one in counter.stripe.refunds.values() if one["status"] in {"succeeded", "pending"})


def kind_of_hold(counter: Counter, order: Order) -> str:
    held = find_hold(counter.home, order.stream_id)
    return held.kind if held else ""


def test_a_refund_closes_the_order_and_the_customer_reads_of_it(counter: Counter) -> None:
    order, _ = paid(counter)

    made = refund(counter.shop, order.stream_id)
    errand_counter.work_off(counter.shop)
    counter.tell_all()
    errand_counter.work_off(counter.shop)

    assert made is not None
    assert str(made.amount) == "49.00 EUR"
    assert counter.jobs() == {"failed": [order.stream_id]}
    assert counter.job(order.stream_id)["failure"]["kind"] == "refunded"
    assert kind_of_hold(counter, order) == REFUNDED
    assert refunded_cents(counter) == 4900
    (letter,) = counter.smtp.letters
    assert letter.message["Subject"] == "Your money is on its way back: 49.00 EUR"
    assert counter.told == []  # it was us
    assert standing(counter.shop, order).stage is Stage.WITHDRAWN
    assert account(counter.shop, order.stream_id).left.amount_minor == 0


def test_what_the_payment_service_echoes_of_our_refund_does_not_swallow_the_letter(counter: Counter) -> None:
    order, _ = paid(counter)
    counter.smtp.fail_next(MailFault.refuse("RCPT", "451 4.3.0 Try again later"), times=2)

    refund(counter.shop, order.stream_id)
    errand_counter.work_off(counter.shop)
    counter.tell_all()
    errand_counter.work_off(counter.shop)
    soon(counter)
    errand_counter.work_off(counter.shop)

    assert [letter.message["Subject"] for letter in counter.smtp.letters] == [
        "Your money is on its way back: 49.00 EUR"
    ]
    counter.tell_all()
    errand_counter.work_off(counter.shop)
    assert len(counter.smtp.letters) == 1


def test_an_errand_that_is_put_off_keeps_what_was_added_to_it_meanwhile(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, payment = paid(counter)
    counter.stripe.refund_by_hand(payment)
    counter.tell_all()
    listed = list(errands.due(counter.home, counter.shop.clock()))
    errands.put(
        counter.home,
        order.stream_id,
        errands.REFUNDED,
        counter.shop.clock(),
        amount_minor=4900,
        currency="eur",
        letter=True,
    )
    monkeypatch.setattr(errands, "due", lambda *_: iter(listed))
    counter.smtp.fail_next(MailFault.refuse("RCPT", "451 4.3.0 Try again later"))

    assert [errand_counter.work_off(counter.shop) for _ in range(2)] == [0, 1]

    assert len(counter.smtp.letters) == 1


def test_two_operators_at_once_refund_once(counter: Counter) -> None:
    order, _ = paid(counter)

    with ThreadPoolExecutor(8) as operators:
        made = list(operators.map(lambda _: refund(counter.shop, order.stream_id), range(8)))
    errand_counter.work_off(counter.shop)

    assert refunded_cents(counter) == 4900
    assert len(counter.stripe.refunds) == 1
    assert sum(1 for one in made if one) == 1
    assert len(counter.smtp.letters) == 1


def test_a_lost_answer_is_asked_for_again_and_nothing_is_given_twice(counter: Counter) -> None:
    order, _ = paid(counter)
    counter.stripe.fail_next(Fault.lose_reply(), operations={CREATE_REFUND})

    with pytest.raises(Unknown):
        refund(counter.shop, order.stream_id)
    assert kind_of_hold(counter, order) == REFUNDED
    refund(counter.shop, order.stream_id)
    errand_counter.work_off(counter.shop)

    assert refunded_cents(counter) == 4900
    assert len(counter.stripe.refunds) == 1
    assert len(counter.smtp.letters) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_service_that_says_no_for_now_is_asked_again_later(counter: Counter, status: int) -> None:
    order, _ = paid(counter)
    counter.stripe.fail_next(Fault.status(status), operations={CREATE_REFUND}, times=50)

    with pytest.raises(DownstreamError):
        refund(counter.shop, order.stream_id)
    counter.stripe.clear_faults()
    refund(counter.shop, order.stream_id)

    assert refunded_cents(counter) == 4900


def test_what_is_left_of_a_part_refund_goes_back(counter: Counter) -> None:
    order, payment = paid(counter)
    counter.stripe.refund_by_hand(payment, 1000)
    assert str(account(counter.shop, order.stream_id).left) == "39.00 EUR"

    made = refund(counter.shop, order.stream_id)

    assert made is not None
    assert made.amount.amount_minor == 3900
    assert refunded_cents(counter) == 4900


def test_a_refund_that_the_bank_turned_down_can_be_made_again(counter: Counter) -> None:
    order, _ = paid(counter)
    counter.stripe.fail_next(pending_refund())
    first = refund(counter.shop, order.stream_id)
    assert first is not None
    counter.stripe.fail_refund(first.refund_id)
    counter.tell_all()
    assert any("did not reach the customer" in sentence for sentence in counter.told)

    again = refund(counter.shop, order.stream_id)

    assert again is not None
    assert again.refund_id != first.refund_id
    assert refunded_cents(counter) == 4900


def test_a_disputed_payment_is_left_to_the_bank(counter: Counter) -> None:
    order, payment = paid(counter)
    counter.stripe.dispute(payment)

    with pytest.raises(PersonDecides, match="disputed"):
        refund(counter.shop, order.stream_id)

    assert refunded_cents(counter) == 0


def test_what_was_not_paid_for_here_cannot_be_given_back(counter: Counter, demo: Shop) -> None:
    counter.shop.queue.enqueue(Job(stream_id="by-hand", customer_email="a@b.example", paid_amount=49))

    with pytest.raises(PersonDecides, match="was not paid for in this shop"):
        refund(counter.shop, "by-hand")
    with pytest.raises(Misconfigured, match="STRIPE_API_KEY"):
        refund(demo, "by-hand")


@pytest.mark.parametrize("times", [1, 3])
def test_a_refund_at_the_payment_service_stops_the_order_and_is_told_once(counter: Counter, times: int) -> None:
    order, payment = paid(counter)
    counter.stripe.refund_by_hand(payment)

    for _ in range(times):
        counter.tell_all()
        errand_counter.work_off(counter.shop)

    assert kind_of_hold(counter, order) == REFUNDED
    assert counter.jobs() == {"failed": [order.stream_id]}
    assert counter.told
    assert len(counter.told) == len(set(counter.told)) <= 2
    assert counter.smtp.letters == []  # whoever did it there tells the customer
    history = counter.job(order.stream_id)["history"]
    assert [entry["evidence"]["amount_minor"] for entry in history if entry["what"] == "refunded"] == [4900]


def test_a_part_refund_or_a_dispute_holds_the_order_where_it_is(counter: Counter) -> None:
    refunded, payment = paid(counter)
    counter.stripe.refund_by_hand(payment, 500)
    disputed, other = paid(counter)
    counter.stripe.dispute(other)

    counter.tell_all()
    errand_counter.work_off(counter.shop)

    assert kind_of_hold(counter, refunded) == PART_REFUNDED
    assert kind_of_hold(counter, disputed) == DISPUTED
    assert counter.jobs() == {"pending": sorted([refunded.stream_id, disputed.stream_id])}
    assert counter.shop.queue.claim_next(live=True, now=counter.shop.clock()) is None
    counter.stripe.close_dispute(other, "won")
    counter.tell_all()
    assert any(f"downstream release {disputed.stream_id}" in sentence for sentence in counter.told)
    assert kind_of_hold(counter, disputed) == DISPUTED


def test_what_an_operator_let_go_is_not_held_again_by_what_was_told_before(counter: Counter) -> None:
    disputed, payment = paid(counter)
    counter.stripe.dispute(payment)
    counter.stripe.close_dispute(payment, "won")
    refunded, other = paid(counter)
    counter.stripe.refund_by_hand(other, 500)
    counter.tell_all()
    for order in (disputed, refunded):
        release(counter.shop.queue, order.stream_id)
    told = list(counter.told)

    counter.tell_all()
    list(replay(counter.shop))
    reconcile(counter.shop)

    assert [kind_of_hold(counter, order) for order in (disputed, refunded)] == ["", ""]
    assert counter.told == told


def test_a_dispute_that_was_kept_and_not_carried_out_is_carried_out_by_the_next_look(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, payment = paid(counter)
    counter.stripe.dispute(payment)
    with monkeypatch.context() as patched:
        patched.setattr("downstream.shop.events.hold", disk_full)
        with pytest.raises(OSError, match="full"):
            counter.tell_all()
    assert kind_of_hold(counter, order) == ""

    found = [reconcile(counter.shop).events for _ in range(2)]

    assert found == [1, 0]
    assert kind_of_hold(counter, order) == DISPUTED


def disk_full(*_: object) -> bool:
    raise OSError("the disk is full")


def test_told_of_the_refund_before_the_payment_the_order_is_never_begun(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.stripe.refund_by_hand(counter.stripe.sessions[session]["payment_intent"])

    for event in reversed(counter.stripe.events):
        counter.tell(event)
    assert counter.shop.queue.claim_next(live=True, now=counter.shop.clock()) is None
    errand_counter.work_off(counter.shop)

    assert kind_of_hold(counter, order) == REFUNDED


def test_a_refund_heard_of_before_its_payment_is_noted_when_the_payment_is(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    (payment,) = counter.stripe.events
    counter.stripe.refund_by_hand(counter.stripe.sessions[session]["payment_intent"])
    for event in counter.stripe.events:
        if event is not payment:
            counter.tell(event)
    errand_counter.work_off(counter.shop)

    counter.tell(payment)
    errand_counter.work_off(counter.shop)

    assert counter.jobs() == {"failed": [order.stream_id]}
    history = counter.job(order.stream_id)["history"]
    assert [entry["evidence"]["amount_minor"] for entry in history if entry["what"] == "refunded"] == [4900]
    assert counter.smtp.letters == []
    assert errands.is_empty(counter.home)
    assert forget(counter.shop, order.stream_id, lambda: None).status == "done"


def test_a_refund_whose_payment_nobody_ever_tells_of_is_not_waited_for_for_ever(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.stripe.refund_by_hand(counter.stripe.sessions[session]["payment_intent"])
    for event in counter.stripe.events[1:]:
        counter.tell(event)

    for _ in range(errand_counter.MOST_WAITS_FOR_A_JOB):
        errand_counter.work_off(counter.shop)
        assert not errands.is_empty(counter.home)
        soon(counter)
    errand_counter.work_off(counter.shop)

    assert errands.is_empty(counter.home)
    assert kind_of_hold(counter, order) == REFUNDED


def test_a_withdrawal_gives_the_order_up_and_the_money_back_by_itself(counter: Counter) -> None:
    order, _ = paid(counter)
    assert standing(counter.shop, order).may_withdraw

    withdraw(counter.shop, order)
    with pytest.raises(TooLate):
        withdraw(counter.shop, order)
    for _ in range(3):
        errand_counter.work_off(counter.shop)

    assert counter.jobs() == {"failed": [order.stream_id]}
    assert counter.job(order.stream_id)["failure"]["kind"] == "withdrawn"
    assert refunded_cents(counter) == 4900
    assert [letter.message["Subject"] for letter in counter.smtp.letters] == [
        "Your money is on its way back: 49.00 EUR"
    ]
    assert not standing(counter.shop, order).may_withdraw


def test_a_voucher_is_withdrawn_without_a_word_about_money(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, amount=0)
    counter.tell_all()
    errand_counter.work_off(counter.shop)

    withdraw(counter.shop, counter.order(order))
    errand_counter.work_off(counter.shop)

    now = standing(counter.shop, counter.order(order))
    assert (now.stage, now.is_free) == (Stage.WITHDRAWN, True)
    assert "Nothing was paid" in status_of(now, NOW, "UTC").sentence
    assert counter.told == []
    assert not list((counter.home / "jobs" / ".errands").iterdir())


def test_an_order_that_was_given_up_from_here_promises_no_money(counter: Counter) -> None:
    order, _ = paid(counter)

    cancel(counter.shop.queue, order.stream_id, "the services refuse it", NOW)

    assert standing(counter.shop, order).stage is Stage.CANCELLED
    assert "goes back" not in status_of(standing(counter.shop, order), NOW, "UTC").sentence
    refund(counter.shop, order.stream_id)
    errand_counter.work_off(counter.shop)
    assert standing(counter.shop, order).stage is Stage.WITHDRAWN


def test_nobody_withdraws_once_work_has_begun(counter: Counter) -> None:
    order, _ = paid(counter)
    claim = counter.shop.queue.claim_next(live=True, now=counter.shop.clock())
    assert claim is not None
    with pytest.raises(TooLate):
        withdraw(counter.shop, order)
    (counter.home / "streams" / order.stream_id / "receipts.jsonl").write_text("{}\n")
    claim.give_back()

    assert not standing(counter.shop, order).may_withdraw
    with pytest.raises(TooLate):
        withdraw(counter.shop, order)

    assert counter.jobs() == {"pending": [order.stream_id]}
    assert refunded_cents(counter) == 0


def soon(counter: Counter) -> None:
    """What was put off is due now."""
    for path in (counter.home / "jobs" / ".errands").glob("*.json"):
        errand = json.loads(path.read_bytes())
        path.write_text(json.dumps(errand | {"not_before": counter.shop.clock().isoformat()}))


def test_a_mail_server_that_says_no_for_now_delays_a_letter(counter: Counter) -> None:
    _, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.tell_all()
    counter.smtp.fail_next(MailFault.refuse("RCPT", "451 4.3.0 Try again later"))

    assert errand_counter.work_off(counter.shop) == 0
    assert errand_counter.work_off(counter.shop) == 0  # it is put off
    soon(counter)
    assert errand_counter.work_off(counter.shop) == 1

    assert len(counter.smtp.letters) == 1
    assert errands.is_empty(counter.home)


def test_a_letter_whose_acceptance_got_lost_is_sent_once_more_and_known_as_the_same(counter: Counter) -> None:
    _, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.tell_all()
    counter.smtp.fail_next(MailFault.drop_after_data())

    errand_counter.work_off(counter.shop)
    soon(counter)
    errand_counter.work_off(counter.shop)

    first, second = counter.smtp.letters
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert errands.is_empty(counter.home)


def test_an_address_that_is_refused_reaches_the_operator(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.tell_all()
    counter.smtp.fail_next(MailFault.refuse("RCPT", "550 5.1.1 No such user"))

    errand_counter.work_off(counter.shop)

    (told,) = counter.told
    assert told.startswith(f"{order.stream_id}: confirm is not done")
    assert errands.is_empty(counter.home)
    assert [path.name for path in (counter.home / "jobs" / ".errands").glob("*.refused")] == [
        f"{order.stream_id}.confirm.refused"
    ]


def test_a_reconciliation_finds_what_nobody_told(counter: Counter) -> None:
    found, session = counter.at_checkout()
    counter.stripe.pay(session)
    gone, other = counter.at_checkout()
    counter.stripe.pay(other)
    counter.stripe.refund_by_hand(counter.stripe.sessions[other]["payment_intent"])
    unpaid, _ = counter.at_checkout()
    late, waiting = counter.at_checkout()
    counter.stripe.pay(waiting, method="delayed")

    first = reconcile(counter.shop)
    second = reconcile(counter.shop)

    assert sorted(first.healed) == sorted([found.stream_id, gone.stream_id])
    assert (first.sessions, second.sessions, second.healed, second.events) == (2, 2, [], 0)
    assert {unpaid.stream_id, late.stream_id} == set(counter.shop.orders.drafts())
    assert kind_of_hold(counter, gone) == REFUNDED
    claim = counter.shop.queue.claim_next(live=True, now=counter.shop.clock())
    assert claim is not None
    assert claim.job.stream_id == found.stream_id
    assert len([sentence for sentence in counter.told if "nobody told us" in sentence]) == 2


def days_later(counter: Counter, days: int) -> None:
    counter.shop.clock = lambda: datetime.now(UTC) + timedelta(days=days)


@pytest.mark.parametrize("is_told_of_the_beginning", [True, False])
def test_a_bank_that_pays_after_two_weeks_makes_a_job_though_nobody_tells(
    counter: Counter, *, is_told_of_the_beginning: bool
) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, method="delayed")
    if is_told_of_the_beginning:
        counter.tell_all()
    days_later(counter, 10)
    assert reconcile(counter.shop).healed == []
    assert standing(counter.shop, counter.order(order)).stage is Stage.PAYMENT_PENDING

    days_later(counter, 14)
    counter.stripe.settle(session)
    healed = [reconcile(counter.shop).healed for _ in range(2)]

    assert healed == [[order.stream_id], []]
    assert counter.jobs() == {"pending": [order.stream_id]}


def test_a_payment_under_way_of_which_nobody_told_is_known_by_the_next_look(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, method="delayed")

    reconcile(counter.shop)

    assert standing(counter.shop, counter.order(order)).stage is Stage.PAYMENT_PENDING


def test_a_page_of_whose_end_nobody_told_is_looked_up_once_and_a_spoilt_draft_stops_no_other(counter: Counter) -> None:
    spoilt, _ = counter.at_checkout()
    (counter.home / "streams" / ".drafts" / f"{spoilt.stream_id}.json").write_text("{}")
    order, session = counter.at_checkout()
    counter.stripe.expire(session)
    days_later(counter, 2)

    for _ in range(3):
        reconcile(counter.shop)

    assert counter.order(order).checkouts[-1].ended == "expired"
    looked_up = [call for call in counter.stripe.calls if call.operation == "GetCheckoutSessionsSession"]
    assert len(looked_up) == 1


def test_a_payment_service_that_is_down_stops_no_reconciliation_for_good(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.stripe.fail_next(Fault.status(503), operations={"GetEvents", "GetCheckoutSessions"}, times=100)
    with pytest.raises(TryAgain):
        reconcile(counter.shop)
    counter.stripe.clear_faults()

    assert reconcile(counter.shop).healed == [order.stream_id]
