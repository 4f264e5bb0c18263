"""Each paid session is exactly one job, whatever order it is told in; nobody who did not pay gets one."""

from __future__ import annotations

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes.service import Fault

from downstream.domain.errors import TryAgain
from downstream.domain.story import Story
from downstream.locks import Lock
from downstream.shop import counter as errand_counter
from downstream.shop.checkout import go_to_pay
from downstream.shop.drafts import Closed, keep
from downstream.shop.events import replay
from downstream.shop.standing import Stage, standing

if TYPE_CHECKING:
    from conftest import Counter  # the shop's

    from downstream.domain.order import Order, Typed

EMAIL = "reader.of.tales@customer.example"


def test_a_payment_becomes_a_job_with_the_words_that_were_paid_for(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)

    counter.tell_all()

    assert counter.jobs() == {"pending": [order.stream_id]}
    job = counter.job(order.stream_id)
    assert (job["customer_email"], job["paid_amount"], job.get("currency", "eur")) == (EMAIL, 49, "eur")
    assert "paid_at" in job
    story = Story.model_validate_json((counter.home / "streams" / order.stream_id / "input.json").read_bytes())
    assert order.offered is not None
    assert (story.title, story.text, story.brief.tone) == ("The harbour", order.offered.text, ("calm", "dark"))
    kept = counter.order(order)
    assert kept.paid is not None
    assert [consent.agreement.value for consent in kept.consents] == ["start_now", "ai_images", "rights"]
    assert list(counter.shop.orders.drafts()) == []
    assert standing(counter.shop, kept).stage is Stage.PAID


def test_what_is_typed_after_going_to_pay_does_not_change_what_was_bought(counter: Counter) -> None:
    order, session = counter.at_checkout()
    assert order.typed is not None
    keep(counter.shop, order, order.typed.model_copy(update={"text": "", "title": ""}))
    counter.stripe.pay(session)

    counter.tell_all()

    story = Story.model_validate_json((counter.home / "streams" / order.stream_id / "input.json").read_bytes())
    assert order.offered is not None
    assert (story.title, story.text) == ("The harbour", order.offered.text)


def test_a_paid_order_cannot_be_changed_or_paid_again(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.tell_all()

    with pytest.raises(Closed):
        keep(counter.shop, order, order.typed or order.offered)  # type: ignore[arg-type]
    with pytest.raises(Closed):
        go_to_pay(counter.shop, order)


def test_an_order_whose_payment_is_under_way_cannot_be_changed_or_paid_again(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, method="delayed")
    counter.tell_all()

    with pytest.raises(Closed):
        keep(counter.shop, order, other_words(order))
    with pytest.raises(Closed):
        go_to_pay(counter.shop, order)

    assert len(counter.stripe.sessions) == 1
    counter.stripe.settle(session)
    counter.tell_all()
    assert title_of(counter, order.stream_id) == "The harbour"


def test_words_typed_while_the_news_of_a_payment_is_late_are_not_what_was_bought(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    keep(counter.shop, order, other_words(order))

    with pytest.raises(Closed):
        go_to_pay(counter.shop, order)

    assert len(counter.stripe.sessions) == 1
    counter.tell_all()
    assert counter.jobs() == {"pending": [order.stream_id]}
    assert title_of(counter, order.stream_id) == "The harbour"


def test_a_page_that_could_not_be_looked_at_changes_nothing_about_what_it_buys(counter: Counter) -> None:
    order, session = counter.at_checkout()
    keep(counter.shop, order, other_words(order))
    counter.stripe.fail_next(Fault.status(503), operations={"GetCheckoutSessionsSession"}, times=100)

    with pytest.raises(TryAgain):
        go_to_pay(counter.shop, order)

    counter.stripe.pay(session)
    counter.tell_all()
    assert title_of(counter, order.stream_id) == "The harbour"


def test_after_a_bank_did_not_pay_the_order_can_be_changed_and_paid_again(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, method="delayed")
    counter.stripe.settle(session, succeeded=False)
    counter.tell_all()

    keep(counter.shop, order, other_words(order))
    go_to_pay(counter.shop, order)

    counter.stripe.pay(counter.order(order).checkouts[-1].session_id)
    counter.tell_all()
    assert title_of(counter, order.stream_id) == "Other words"


def other_words(order: Order) -> Typed:
    """What somebody types who thinks again."""
    assert order.typed is not None
    return order.typed.model_copy(update={"title": "Other words"})


def title_of(counter: Counter, stream_id: str) -> str:
    """What was bought is called so."""
    return Story.model_validate_json((counter.home / "streams" / stream_id / "input.json").read_bytes()).title


def test_going_to_pay_again_uses_the_same_page(counter: Counter) -> None:
    order, session = counter.at_checkout()

    address = go_to_pay(counter.shop, order)

    assert address == counter.stripe.sessions[session]["url"]
    assert len(counter.stripe.sessions) == 1


def test_a_page_that_expired_is_replaced_by_a_new_one(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.expire(session)
    counter.tell_all()

    go_to_pay(counter.shop, order)

    checkouts = counter.order(order).checkouts
    assert [checkout.ended for checkout in checkouts] == ["expired", ""]
    counter.stripe.pay(checkouts[-1].session_id)
    counter.tell_all()
    assert counter.jobs() == {"pending": [order.stream_id]}


def test_told_ten_times_by_many_at_once_and_in_any_order_it_is_one_job(counter: Counter) -> None:
    orders = []
    for _ in range(6):
        order, session = counter.at_checkout()
        counter.stripe.pay(session, method="delayed")
        counter.stripe.settle(session)
        orders.append(order.stream_id)
    unpaid, _ = counter.at_checkout()
    events = list(counter.stripe.events) * 10
    random.Random(4).shuffle(events)

    with ThreadPoolExecutor(16) as many:
        list(many.map(counter.tell, events))

    assert counter.jobs() == {"pending": sorted(orders)}
    assert list(counter.shop.orders.drafts()) == [unpaid.stream_id]


def test_a_delayed_payment_is_a_job_only_when_the_bank_has_paid(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, method="delayed")
    counter.tell_all()
    assert counter.jobs() == {}
    assert standing(counter.shop, counter.order(order)).stage is Stage.PAYMENT_PENDING

    counter.stripe.settle(session)
    counter.tell_all()

    assert counter.jobs() == {"pending": [order.stream_id]}


def test_a_bank_that_does_not_pay_closes_the_page_and_the_customer_reads_it_once(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, method="delayed")
    counter.stripe.settle(session, succeeded=False)
    counter.tell_all()
    counter.tell_all()

    errand_counter.work_off(counter.shop)

    assert counter.jobs() == {}
    assert counter.order(order).checkouts[-1].ended == "failed"
    (letter,) = counter.smtp.letters
    assert letter.recipients == (EMAIL,)
    assert letter.message["Subject"] == "Your payment did not arrive"
    body = letter.message.get_body(("plain",))
    assert body is not None
    assert f"https://stories.example/drafts/{order.secret}" in body.get_content()


def test_nothing_to_pay_is_paid(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, amount=0)

    counter.tell_all()

    assert counter.jobs() == {"pending": [order.stream_id]}
    assert counter.job(order.stream_id)["paid_amount"] == 0


@pytest.mark.parametrize("paid", [{"amount": 100}, {"currency": "usd"}])
def test_another_amount_or_currency_is_for_a_person(counter: Counter, paid: dict[str, Any]) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session, **paid)

    counter.tell_all()
    counter.tell_all()

    assert counter.jobs() == {"failed": [order.stream_id]}
    assert "was paid where another amount was asked" in counter.job(order.stream_id)["failure"]["reason"]
    assert len(counter.told) == 1
    assert errand_counter.work_off(counter.shop) == 0


def test_a_second_payment_for_one_order_is_a_job_of_its_own_that_nobody_makes(counter: Counter) -> None:
    order, first = counter.at_checkout()
    counter.shop.orders.save(order.model_copy(update={"checkouts": ()}))  # as if the first page had been forgotten
    form = {**counter.stripe.sessions[first]}
    second = counter.stripe.open_session(
        {
            "mode": "payment",
            "line_items": [
                {"quantity": 1, "price_data": {"currency": "eur", "unit_amount": 4900, "product_data": {"name": "x"}}}
            ],
            "metadata": form["metadata"],
            "payment_intent_data": {"metadata": form["metadata"]},
            "client_reference_id": order.stream_id,
            "success_url": "https://stories.example/",
        }
    )["id"]
    counter.stripe.pay(first)
    counter.stripe.pay(second)

    counter.tell_all()
    counter.tell_all()

    jobs = counter.jobs()
    assert jobs["pending"] == [order.stream_id]
    (again,) = jobs["failed"]
    assert again.startswith(f"{order.stream_id}-")
    assert f"downstream refund {again}" in counter.job(again)["failure"]["reason"]


def test_a_payment_whose_words_are_gone_still_is_a_job_for_a_person(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.shop.orders.erase_draft(order.stream_id)
    counter.stripe.pay(session, email="reader@customer.example")

    counter.tell_all()

    assert counter.jobs() == {"failed": [order.stream_id]}
    job = counter.job(order.stream_id)
    assert "its story is gone" in job["failure"]["reason"]
    assert job["customer_email"] == "reader@customer.example"


def test_a_payment_for_something_else_is_none_of_ours(counter: Counter) -> None:
    session = counter.stripe.session_of_another_product()
    counter.stripe.pay(session["id"])

    counter.tell_all()

    assert counter.jobs() == {}
    assert not (counter.home / "logs" / "stripe").exists()


def test_a_stream_in_somebody_elses_hands_is_told_again(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downstream.shop.fulfil.PATIENCE_SECONDS", 0.1)
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    lock = Lock.take(counter.home / "streams" / order.stream_id / "lock")
    assert lock is not None

    with lock, pytest.raises(TryAgain):
        counter.tell_all()
    counter.tell_all()

    assert counter.jobs() == {"pending": [order.stream_id]}


def test_events_kept_are_carried_out_again_and_make_up_what_was_lost(counter: Counter) -> None:
    order, session = counter.at_checkout()
    before = shutil.copytree(counter.home / "streams", counter.home.parent / "before")
    counter.stripe.pay(session)
    counter.tell_all()
    shutil.rmtree(counter.home / "streams")
    shutil.copytree(before, counter.home / "streams")
    (counter.home / "jobs" / "pending" / f"{order.stream_id}.json").unlink()

    assert [event.kind.value for event in replay(counter.shop)] == ["checkout.session.completed"]
    assert len(list(replay(counter.shop))) == 1

    assert counter.jobs() == {"pending": [order.stream_id]}
    assert counter.job(order.stream_id)["customer_email"] == EMAIL


def test_what_is_kept_of_events_names_nobody(counter: Counter) -> None:
    _, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.stripe.refund_by_hand(counter.stripe.sessions[session]["payment_intent"])
    counter.tell_all()

    kept = "".join(path.read_text() for path in counter.home.glob("logs/stripe/*/*.json"))

    assert "checkout.session.completed" in kept
    assert "charge.refunded" in kept
    for word in (EMAIL, "4242", "card", "Reader", "secret"):
        assert word not in kept, word


def test_the_confirmation_is_sent_once_and_says_what_was_bought(counter: Counter) -> None:
    order, session = counter.at_checkout()
    counter.stripe.pay(session)
    counter.tell_all()

    errand_counter.work_off(counter.shop)
    counter.tell_all()
    errand_counter.work_off(counter.shop)

    (letter,) = counter.smtp.letters
    assert letter.recipients == (EMAIL,)
    body = letter.message.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "Paid: 49.00 EUR." in text
    assert f"https://stories.example/orders/{order.secret}" in text
    assert "my right of withdrawal ends" in text
    assert "Terms:" not in text


def test_the_confirmation_says_whom_one_deals_with(counter: Counter) -> None:
    pages = {"imprint_url": "https://stories.example/us", "terms_url": "https://stories.example/terms"}
    counter.shop = replace(counter.shop, settings=replace(counter.shop.settings, **pages))
    counter.stripe.pay(counter.at_checkout()[1])
    counter.tell_all()
    errand_counter.work_off(counter.shop)

    (letter,) = counter.smtp.letters
    text, document = (part.get_content() for part in letter.message.iter_parts())
    assert "Who we are:\nhttps://stories.example/us\nTerms:\nhttps://stories.example/terms" in text
    for address in pages.values():
        assert f'<a href="{address}">{address}</a>' in document
