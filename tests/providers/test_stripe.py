"""Payments by Stripe over HTTP: pages opened once, events believed only when signed, money given back once."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from fakes.http_server import Answer as Reply
from fakes.http_server import HttpServer
from fakes.service import FOR_EVER, Fault
from fakes.stripe import CREATE_REFUND, CREATE_SESSION, FakeStripe, key_in_use, pending_refund
from fakes.stripe_webhooks import encoded

from downstream.domain.errors import DownstreamError, Misconfigured, PersonDecides, Throttled, TryAgain, Unknown
from downstream.domain.money import Money
from downstream.domain.payment import CheckoutRequest, EventKind, Forged
from downstream.providers.stripe import StripePayments
from downstream.providers.stripe import wire as stripe_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = TypeVar("Answer")

EMAIL = "planted.reader@example.com"
PLANTED = (EMAIL, "Ana Planted", "Planted Street", "4242", "visa")
GET_SESSION = "GetCheckoutSessionsSession"
EXPIRE = "PostCheckoutSessionsSessionExpire"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OTHER_SECRET = "whsec_planted_other"  # noqa: S105 - obviously no secret


@dataclass
class OpenGate:
    """Lets everybody through, and sends again at once what was throttled."""

    hints: list[float | None] = field(default_factory=list)
    creates: int = 0

    def run(self, send: Callable[[], Answer], *, creates: bool = True) -> Answer:
        """As ``Gate.run``."""
        self.creates += creates
        while True:
            try:
                return send()
            except Throttled as error:
                self.hints.append(error.hint_seconds)


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    with FakeStripe() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def gate() -> OpenGate:
    return OpenGate()


@pytest.fixture
def payments(stripe: FakeStripe, gate: OpenGate) -> StripePayments:
    return StripePayments(stripe.key, stripe.base_url, stripe.webhook_secret, gate)


def request(**changes: Any) -> CheckoutRequest:
    asked = CheckoutRequest(
        stream_id="order-1",
        attempt=1,
        price=Money("eur", 4900),
        customer_email=EMAIL,
        expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
        success_url="https://shop.example/thanks?s={CHECKOUT_SESSION_ID}",
        cancel_url="https://shop.example/",
    )
    return replace(asked, **changes)


def paid(stripe: FakeStripe, payments: StripePayments, **how: Any) -> str:
    """The payment of an order that was paid."""
    session = payments.open_checkout(request())
    return str(stripe.pay(session.session_id, **how)["payment_intent"])


def told(stripe: FakeStripe, payments: StripePayments) -> list[Any]:
    """Everything that happened, as the shop reads it."""
    bodies = [encoded(event) for event in stripe.events]
    return [payments.read_event(body, stripe.sign(body)) for body in bodies]


# Pages


def test_a_payment_page_says_whose_it_is_in_all_places(stripe: FakeStripe, payments: StripePayments) -> None:
    asked = request()

    session = payments.open_checkout(asked)

    assert (session.stream_id, session.status, session.is_paid) == ("order-1", "open", False)
    assert (session.amount, session.expires_at, session.customer_email) == (asked.price, asked.expires_at, EMAIL)
    assert session.address.endswith(session.session_id)
    form = stripe.calls_of(CREATE_SESSION)[0].document
    ours = {"stream_id": "order-1", "source": "downstream"}
    assert (form["metadata"], form["payment_intent_data"]["metadata"]) == (ours, ours)
    assert form["client_reference_id"] == "order-1"
    assert stripe.sessions[session.session_id]["success_url"] == asked.success_url


def test_the_same_attempt_opens_one_page(stripe: FakeStripe, payments: StripePayments) -> None:
    asked = request()

    assert payments.open_checkout(asked) == payments.open_checkout(asked)
    assert len(stripe.sessions) == 1


@pytest.mark.parametrize(
    "changes",
    [{"attempt": 2}, {"price": Money("usd", 4900)}, {"price": Money("eur", 5000)}, {"customer_email": "b@example.com"}],
)
def test_whatever_else_is_asked_for_opens_another_page(
    stripe: FakeStripe, payments: StripePayments, changes: Any
) -> None:
    payments.open_checkout(request())

    payments.open_checkout(request(**changes))

    assert len(stripe.sessions) == 2


def test_a_page_whose_answer_was_lost_is_found_by_asking_again(stripe: FakeStripe, payments: StripePayments) -> None:
    asked = request()
    stripe.fail_next(Fault.lose_reply())
    with pytest.raises(TryAgain):
        payments.open_checkout(asked)

    assert payments.open_checkout(asked).session_id in stripe.sessions
    assert len(stripe.sessions) == 1


def test_a_remembered_failure_does_not_keep_an_order_from_being_paid(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    asked = request()
    stripe.fail_next(Fault.status(500), times=2)
    for _ in range(2):
        with pytest.raises(TryAgain):
            payments.open_checkout(asked)

    assert payments.open_checkout(asked) == payments.open_checkout(asked)
    assert len(stripe.sessions) == 1


def test_a_customer_who_has_finished_is_not_always_one_who_has_paid(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    card, delayed, voucher = (payments.open_checkout(request(attempt=number)).session_id for number in (1, 2, 3))

    stripe.pay(card)
    stripe.pay(delayed, method="delayed")
    stripe.pay(voucher, amount=0)

    found = [payments.session(each) for each in (card, delayed, voucher)]
    assert [each.status for each in found] == ["complete"] * 3
    assert [each.is_paid for each in found] == [True, False, True]
    assert [bool(each.payment_intent) for each in found] == [True, True, False]
    assert [each.address for each in found] == ["", "", ""]
    assert found[2].amount == Money("eur", 0)
    stripe.settle(delayed)
    assert payments.session(delayed).is_paid


def test_a_page_can_be_closed_once_or_twice(payments: StripePayments) -> None:
    session_id = payments.open_checkout(request()).session_id

    assert payments.close_checkout(session_id).status == "expired"
    assert payments.close_checkout(session_id).status == "expired"


def test_a_page_that_was_paid_while_it_was_closed_is_told_as_paid(stripe: FakeStripe, payments: StripePayments) -> None:
    session_id = payments.open_checkout(request()).session_id
    stripe.pay(session_id)

    assert payments.close_checkout(session_id).is_paid


def test_a_page_that_cannot_be_closed_is_not_called_closed(stripe: FakeStripe, payments: StripePayments) -> None:
    session_id = payments.open_checkout(request()).session_id
    stripe.fail_next(Fault.status(400), operations={EXPIRE})

    with pytest.raises(PersonDecides):
        payments.close_checkout(session_id)


@pytest.mark.parametrize("nonsense", ["cs_test_nobody", "", "../events", "cs_1?expand=x", "cs_1\n", "é"])
def test_what_is_not_there_is_told(payments: StripePayments, nonsense: str) -> None:
    for look in (payments.session, payments.close_checkout, payments.payment):
        with pytest.raises(PersonDecides):
            look(nonsense)


def test_all_complete_pages_are_listed_newest_first(stripe: FakeStripe, payments: StripePayments) -> None:
    made = [payments.open_checkout(request(attempt=number)).session_id for number in range(104)]
    for each in made[:103]:
        stripe.pay(each)
    stripe.sessions[made[0]]["created"] -= 100_000

    found = [each.session_id for each in payments.completed_sessions(datetime.now(UTC) - timedelta(days=1))]

    assert found == made[102:0:-1]
    assert len(stripe.calls_of("GetCheckoutSessions")) == 2


def test_pages_of_other_products_are_told_apart(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.pay(stripe.session_of_another_product()["id"])

    (found,) = payments.completed_sessions(LONG_AGO)

    assert (found.stream_id, found.is_paid, found.amount) == ("", True, Money("eur", 990))


# Money that goes back


def test_a_payment_tells_what_is_left_of_it(stripe: FakeStripe, payments: StripePayments) -> None:
    intent = paid(stripe, payments)
    stripe.refund_by_hand(intent, 900)
    stripe.dispute(intent)

    payment = payments.payment(intent)

    assert (payment.payment_intent, payment.stream_id, payment.succeeded) == (intent, "order-1", True)
    assert (payment.received, payment.refunded_minor, payment.is_disputed) == (Money("eur", 4900), 900, True)


def test_a_payment_that_has_not_arrived_has_not_succeeded(stripe: FakeStripe, payments: StripePayments) -> None:
    payment = payments.payment(paid(stripe, payments, method="delayed"))

    assert (payment.succeeded, payment.received) == (False, Money("eur", 0))


def test_all_that_is_left_is_given_back_once(stripe: FakeStripe, payments: StripePayments) -> None:
    intent = paid(stripe, payments)
    stripe.refund_by_hand(intent, 900)

    refund = payments.refund(intent, "order-1", "refund-order-1")

    assert (refund.amount, refund.status, refund.ours) == (Money("eur", 4000), "succeeded", True)
    assert payments.refund(intent, "order-1", "refund-order-1") == refund
    assert [(each.amount.amount_minor, each.ours) for each in payments.refunds(intent)] == [(900, False), (4000, True)]


def test_two_operators_at_once_give_back_once(stripe: FakeStripe, payments: StripePayments) -> None:
    intent = paid(stripe, payments)
    made: list[Any] = []
    operators = [Thread(target=lambda: made.append(payments.refund(intent, "order-1", "refund-order-1"))) for _ in "ab"]
    for operator in operators:
        operator.start()
    for operator in operators:
        operator.join()

    assert len({refund.refund_id for refund in made}) == len(stripe.refunds) == 1


def test_a_refund_under_way_and_one_that_failed_are_told(stripe: FakeStripe, payments: StripePayments) -> None:
    intent = paid(stripe, payments)
    stripe.fail_next(pending_refund())
    refund = payments.refund(intent, "order-1", "refund-order-1")
    assert refund.status == "pending"

    stripe.fail_refund(refund.refund_id)

    assert [each.status for each in payments.refunds(intent)] == ["failed"]
    assert payments.payment(intent).refunded_minor == 0


def test_why_nothing_is_given_back_is_said_in_words(stripe: FakeStripe, payments: StripePayments) -> None:
    refunded, disputed = paid(stripe, payments), stripe.pay(payments.open_checkout(request(attempt=2)).session_id)
    stripe.refund_by_hand(refunded)
    stripe.dispute(disputed["payment_intent"])

    with pytest.raises(PersonDecides, match="given back before"):
        payments.refund(refunded, "order-1", "one")
    with pytest.raises(PersonDecides, match="disputed: the customer's bank decides"):
        payments.refund(disputed["payment_intent"], "order-1", "two")
    with pytest.raises(PersonDecides, match="404 resource_missing"):
        payments.refund("pi_nobody", "order-1", "three")


@pytest.mark.parametrize(
    "fault", [Fault.lose_reply(), Fault.drop(), Fault.status(500), Fault.status(503), key_in_use()]
)
def test_a_refund_without_an_answer_is_unknown_and_safe_to_repeat(
    stripe: FakeStripe, payments: StripePayments, fault: Fault
) -> None:
    intent = paid(stripe, payments)
    stripe.fail_next(fault)
    with pytest.raises(Unknown):
        payments.refund(intent, "order-1", "refund-order-1")

    refund = payments.refund(intent, "order-1", "refund-order-1")

    assert [each.refund_id for each in payments.refunds(intent)] == [refund.refund_id]
    assert payments.refund(intent, "order-1", "refund-order-1") == refund


def test_a_throttled_refund_is_sent_again_by_the_gate(
    stripe: FakeStripe, payments: StripePayments, gate: OpenGate
) -> None:
    intent = paid(stripe, payments)
    stripe.fail_next(Fault.status(429, retry_after="7"))
    stripe.fail_next(Fault.status(429))

    payments.refund(intent, "order-1", "refund-order-1")

    assert gate.hints == [7.0, None]
    assert len(stripe.refunds) == 1


def test_a_key_that_was_used_for_another_payment_is_refused(stripe: FakeStripe, payments: StripePayments) -> None:
    first, second = paid(stripe, payments), stripe.pay(payments.open_checkout(request(attempt=2)).session_id)
    payments.refund(first, "order-1", "refund-order-1")

    with pytest.raises(PersonDecides, match="same idempotency key"):
        payments.refund(second["payment_intent"], "order-2", "refund-order-1")


# Errors


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.drop(), TryAgain),
        (Fault.status(500), TryAgain),
        (Fault.status(503), TryAgain),
        (Fault.status(424), TryAgain),
        (key_in_use(), TryAgain),
        (Fault.status(402), PersonDecides),
        (Fault.status(400, code="email_invalid", message=f"Invalid email address: {EMAIL}"), PersonDecides),
        (Fault.status(401, message=f"Invalid API Key provided for {EMAIL}"), Misconfigured),
        (Fault.status(403), Misconfigured),
        (Fault.cut(), TryAgain),
    ],
)
def test_faults_are_told_apart_and_keep_secrets(
    stripe: FakeStripe, payments: StripePayments, fault: Fault, expected: type[DownstreamError]
) -> None:
    stripe.fail_next(fault)

    with pytest.raises(expected) as caught:
        payments.open_checkout(request())

    shown = "".join(traceback.format_exception(caught.value))
    assert EMAIL not in shown
    assert stripe.key not in shown
    assert type(caught.value) is not Unknown
    if fault.details.get("code"):
        assert "email_invalid" in str(caught.value)


def test_an_answer_that_comes_too_late_is_none(
    stripe: FakeStripe, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = payments.open_checkout(request()).session_id
    stripe.fail_next(Fault.late(30.0), operations={GET_SESSION})
    monkeypatch.setattr(stripe_wire, "READ_SECONDS", 1.0)

    with pytest.raises(TryAgain, match="no answer from Stripe"):
        payments.session(session_id)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'{"object": "list"}', b"\xff", b""])
def test_an_answer_that_is_none_of_stripes_is_not_believed(gate: OpenGate, body: bytes) -> None:
    server = HttpServer(lambda _request: Reply(200, body))
    payments = StripePayments("sk_test_planted", f"http://{server.open_port()}", OTHER_SECRET, gate)
    calls: list[Callable[[], object]] = [
        lambda: payments.open_checkout(request()),
        lambda: payments.session("cs_1"),
        lambda: payments.payment("pi_1"),
        lambda: payments.refunds("pi_1"),
        lambda: list(payments.completed_sessions(LONG_AGO)),
        lambda: list(payments.money_events(LONG_AGO)),
        lambda: payments.refund("pi_1", "order-1", "one"),
        payments.check,
    ]
    for call in calls:
        with pytest.raises(TryAgain):
            call()
    server.stop()


def test_a_redirect_does_not_take_the_key_along(stripe: FakeStripe, gate: OpenGate) -> None:
    server = HttpServer(lambda _request: Reply(302, b"", {"location": stripe.base_url + "/v1/events"}))
    payments = StripePayments(stripe.key, f"http://{server.open_port()}", OTHER_SECRET, gate)

    with pytest.raises(Misconfigured, match="STRIPE_BASE_URL"):
        payments.check()

    assert stripe.calls == []
    server.stop()


def test_a_key_is_tried_by_looking(stripe: FakeStripe, payments: StripePayments, gate: OpenGate) -> None:
    live = FakeStripe(key="rk_live_planted")
    with live:
        assert StripePayments(live.key, live.base_url, OTHER_SECRET, gate).check() == "live mode"
    assert payments.check() == "test mode"
    for key in ("sk_test_wrong", stripe.restricted_key, ""):
        with pytest.raises(Misconfigured, match="STRIPE_API_KEY"):
            StripePayments(key, stripe.base_url, OTHER_SECRET, gate).check()
    assert gate.creates == 0


def test_only_what_changes_something_counts_as_a_create(
    stripe: FakeStripe, payments: StripePayments, gate: OpenGate
) -> None:
    intent = paid(stripe, payments)
    payments.refunds(intent)
    payments.payment(intent)
    payments.refund(intent, "order-1", "one")

    assert gate.creates == len(stripe.calls_of(CREATE_SESSION, CREATE_REFUND)) == 2


def test_a_fault_that_stays_is_tried_once_a_call(stripe: FakeStripe, payments: StripePayments) -> None:
    stripe.fail_next(Fault.status(503), times=FOR_EVER)

    with pytest.raises(TryAgain):
        payments.open_checkout(request())

    assert len(stripe.calls) == 1
    stripe.clear_faults()


# Events


def test_a_signed_event_tells_of_its_session(stripe: FakeStripe, payments: StripePayments) -> None:
    session = payments.open_checkout(request())
    stripe.pay(session.session_id, email="typed@example.com")

    (event,) = told(stripe, payments)

    assert (event.kind, event.stream_id, event.event_id) == (EventKind.COMPLETED, "order-1", stripe.events[0]["id"])
    assert event.session == replace(payments.session(session.session_id), customer_email="typed@example.com")
    assert event.at == datetime.fromtimestamp(stripe.events[0]["created"], UTC)


def test_every_kind_of_session_event_is_read(stripe: FakeStripe, payments: StripePayments) -> None:
    made = [payments.open_checkout(request(attempt=number)).session_id for number in (1, 2, 3)]
    for each in made[:2]:
        stripe.pay(each, method="delayed")
    stripe.settle(made[0])
    stripe.settle(made[1], succeeded=False)
    stripe.expire(made[2])

    found = [(event.kind, event.session.status, event.session.is_paid) for event in told(stripe, payments)]

    assert found == [
        (EventKind.COMPLETED, "complete", False),
        (EventKind.COMPLETED, "complete", False),
        (EventKind.ASYNC_SUCCEEDED, "complete", True),
        (EventKind.ASYNC_FAILED, "complete", False),
        (EventKind.EXPIRED, "expired", False),
    ]


def test_refunds_and_disputes_tell_of_the_payment(stripe: FakeStripe, payments: StripePayments) -> None:
    intent = paid(stripe, payments)
    stripe.refund_by_hand(intent, 900)
    refund = payments.refund(intent, "order-1", "one")
    stripe.fail_refund(refund.refund_id)
    stripe.dispute(intent)
    stripe.close_dispute(intent, "lost")

    found = told(stripe, payments)[1:]

    assert {event.payment_intent for event in found} == {intent, ""}
    facts = [(event.kind, event.amount and event.amount.amount_minor, event.is_full, event.outcome) for event in found]
    assert facts == [
        (EventKind.REFUND_CREATED, 900, False, "succeeded"),
        (EventKind.CHARGE_REFUNDED, 900, False, ""),
        (EventKind.REFUND_CREATED, 4000, False, "succeeded"),
        (EventKind.CHARGE_REFUNDED, 4900, True, ""),
        (EventKind.REFUND_UPDATED, 4000, False, "failed"),
        (EventKind.REFUND_FAILED, 4000, False, "failed"),
        (EventKind.DISPUTE_CREATED, 4900, False, "needs_response"),
        (EventKind.OTHER, None, False, ""),
        (EventKind.DISPUTE_CLOSED, 4900, False, "lost"),
    ]
    assert [event.by_us for event in found if event.refund_id] == [False, True, True, True]
    assert {event.refund_id for event in found if event.by_us} == {refund.refund_id}
    assert [event.stream_id for event in found if event.kind is EventKind.CHARGE_REFUNDED] == ["order-1"] * 2


def test_money_events_are_listed_oldest_first(stripe: FakeStripe, payments: StripePayments) -> None:
    intent = paid(stripe, payments)
    for _ in range(60):
        stripe.refund_by_hand(intent, 10)
    stripe.dispute(intent)
    stripe.events[1]["created"] -= 100_000

    found = list(payments.money_events(datetime.now(UTC) - timedelta(days=1)))

    wanted = [event for event in told(stripe, payments)[2:] if event.kind is not EventKind.OTHER]
    assert found == wanted
    assert (len(found), found[-1].kind) == (120, EventKind.DISPUTE_CREATED)


def test_what_is_kept_has_nothing_of_the_customer_and_reads_the_same(
    stripe: FakeStripe, payments: StripePayments
) -> None:
    intent = paid(stripe, payments)
    stripe.refund_by_hand(intent, 900)
    stripe.dispute(intent)

    for event in told(stripe, payments):
        kept = json.dumps(event.kept)
        again = payments.recall_event(json.loads(kept))
        forgetful = replace(event.session, customer_email="") if event.session else None
        assert again == replace(event, session=forgetful)
        assert not [word for word in PLANTED if word in kept]


def test_what_was_kept_and_then_changed_is_forged(stripe: FakeStripe, payments: StripePayments) -> None:
    paid(stripe, payments)
    kept = json.loads(json.dumps(told(stripe, payments)[0].kept))
    for changes in ({"id": "../evt"}, {"created": "soon"}, {"data": {"object": {}}}, {"data": None}):
        with pytest.raises(Forged):
            payments.recall_event({**kept, **changes})
    with pytest.raises(Forged):
        payments.recall_event({})


def test_what_was_not_signed_lately_with_our_secret_is_forged(stripe: FakeStripe, payments: StripePayments) -> None:
    paid(stripe, payments)
    body, now = encoded(stripe.events[0]), time.time()
    good = stripe.sign(body)
    forged = [
        "",
        "nonsense",
        "t=1,v1=é",
        f"t={now:.0f}",
        good.replace("v1=", "v0="),
        f"{good[:-1]}{'0' if good[-1] != '0' else '1'}",
        stripe.sign(body, secret=OTHER_SECRET),
        stripe.sign(body, at=now - 302),
        stripe.sign(body, at=now + 310),
        good.replace("t=", f"t={now + 10:.0f},t="),
        stripe.sign(body + b" "),
    ]
    for signature in forged:
        with pytest.raises(Forged):
            payments.read_event(body, signature)
    rolled = f"{stripe.sign(body, secret=OTHER_SECRET)},{good.partition(',')[2]}"
    for signature in (good, rolled, stripe.sign(body, at=now - 290), stripe.sign(body, at=now + 290)):
        assert payments.read_event(body, signature).kind is EventKind.COMPLETED


def test_without_a_secret_nothing_is_believed(stripe: FakeStripe, gate: OpenGate) -> None:
    body = encoded(stripe.event("ping", {}))
    payments = StripePayments(stripe.key, stripe.base_url, "", gate)
    with pytest.raises(Forged):
        payments.read_event(body, "t=1,v1=0")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"object":"event"}',
        b"[" * 100_000,
        b'{"object":"event","id":"evt_1","type":"ping","created":1e400,"livemode":false,"data":{"object":{}}}',
        b'{"object":"event","id":"evt_/../x","type":"ping","created":1,"livemode":false,"data":{"object":{}}}',
        b'{"object":"v2.core.event","id":"evt_1","type":"ping","created":1,"livemode":false,"data":{"object":{}}}',
    ],
)
def test_what_is_signed_and_no_event_is_forged(stripe: FakeStripe, payments: StripePayments, body: bytes) -> None:
    with pytest.raises(Forged):
        payments.read_event(body, stripe.sign(body))


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "payment_intent"},
        {"id": "cs_../../x"},
        {"id": ""},
        {"payment_status": "maybe"},
        {"amount_total": "4900"},
        {"amount_total": -1},
        {"currency": "€"},
        {"created": 10**15},
        {"payment_intent": 7},
    ],
)
def test_a_session_that_is_none_is_forged(stripe: FakeStripe, payments: StripePayments, changes: Any) -> None:
    paid(stripe, payments)
    body = encoded(stripe.event("checkout.session.completed", stripe.events[0]["data"]["object"] | changes))
    with pytest.raises(Forged):
        payments.read_event(body, stripe.sign(body))


def test_a_payment_given_whole_is_read_as_its_id(stripe: FakeStripe, payments: StripePayments) -> None:
    intent = paid(stripe, payments)
    session = stripe.events[0]["data"]["object"] | {"payment_intent": stripe.intents[intent]}
    body = encoded(stripe.event("checkout.session.completed", session))

    event = payments.read_event(body, stripe.sign(body))

    assert event.session is not None
    assert event.session.payment_intent == intent


@pytest.mark.parametrize(
    "thing", [{}, {"id": "prod-1.a/b", "object": "product"}, {"metadata": {"stream_id": "order-1"}}]
)
def test_events_of_other_things_are_no_ones(stripe: FakeStripe, payments: StripePayments, thing: Any) -> None:
    body = encoded(stripe.event("product.updated", thing))

    event = payments.read_event(body, stripe.sign(body))

    assert (event.kind, event.stream_id, event.session) == (EventKind.OTHER, "", None)
    assert payments.recall_event(event.kept) == event


def test_a_session_of_another_kind_is_none_of_ours(stripe: FakeStripe, payments: StripePayments) -> None:
    session = stripe.session_of_another_product() | {"mode": "setup", "amount_total": None, "currency": None}
    session |= {"status": None, "payment_status": "no_payment_required", "metadata": None}
    body = encoded(stripe.event("checkout.session.completed", session))

    event = payments.read_event(body, stripe.sign(body))

    assert event.session is not None
    assert (event.session.stream_id, event.session.is_paid, event.session.amount) == ("", False, None)
